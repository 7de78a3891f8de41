"""The running system: no failed unit, nothing writable, no login, no listening port."""

import base64
import re
from pathlib import Path

import msgspec
import pytest

from agent.provisioning.time_config import CONFIG_FILE, RUNTIME_DIR, TimeConfig, render_files
from tests.image.built_image import BuiltImage
from tests.image.guest import Guest
from tests.image.outside_services import BROKER_ADDRESS, BUNDLE_SERVER_ADDRESS
from tests.systemd.test_units import MAX_EXPOSURE, MAX_OTHER_EXPOSURE

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("one look")]

SYSCTLS = (
    Path(__file__).parents[2] / "images/recipe/mkosi.extra/usr/lib/sysctl.d/50-vigie-image.conf"
)
LISTENING = "0A"
DHCP_CLIENT = 68
SYSTEM_EXPOSURE = {"dbus.service": 8, "rauc.service": 14, "systemd-udevd.service": 49}
"""By systemd-analyze, in tenths, as measured."""
ALLOWED_UDP = {DHCP_CLIENT, 546}
"""DHCP for IPv4 and IPv6, of systemd-networkd."""


def test_no_unit_has_failed(running: Guest) -> None:
    failed = running.run("systemctl list-units --failed --plain --no-legend")
    assert failed == ""
    state = running.run("timeout 600 systemctl is-system-running --wait", check=False).strip()
    assert state == "running", running.run("systemctl list-jobs --no-pager", check=False)


def test_the_system_reports_its_version(running: Guest, built: BuiltImage) -> None:
    release = dict(
        line.split("=", 1) for line in running.run("cat /etc/os-release").splitlines() if line
    )
    assert release["IMAGE_ID"].strip('"') == "vigie"
    assert release["IMAGE_VERSION"].strip('"') == built.version
    assert release["VARIANT_ID"].strip('"') == built.profile
    assert f"compatible={built.compatible}\n" in running.run("cat /etc/rauc/system.conf")


@pytest.mark.parametrize("folder", ["/", "/usr", "/opt/vigie", "/usr/lib/systemd/system"])
def test_the_system_cannot_be_written_to(running: Guest, folder: str) -> None:
    code, message = running.run_unchecked(f"touch {folder}/x")
    assert code != 0
    assert "Read-only file system" in message
    code, message = running.run_unchecked("mount -o remount,rw /")
    assert "squashfs" in running.run("findmnt -no FSTYPE /")
    assert running.run_unchecked("touch /usr/x")[0] != 0


def test_no_user_can_log_in(running: Guest) -> None:
    for line in running.run("cat /etc/shadow").splitlines():
        assert line.split(":")[1][:1] in ("!", "*"), line
    units = running.run("systemctl list-units --plain --no-legend --state=running,listening")
    assert not re.search(r"getty|ssh|telnet|cockpit", units)


def test_only_dhcp_clients_listen(running: Guest) -> None:
    for table in ("tcp", "tcp6"):
        assert [port for state, port in sockets(running, table) if state == LISTENING] == []
    for table in ("udp", "udp6"):
        assert {port for _, port in sockets(running, table)} <= ALLOWED_UDP
    assert [*sockets(running, "raw")] == []


ADAPTERS = (
    "for i in /sys/class/net/*; do case $(readlink -f $i) in */usb*) basename $i;; esac; done"
)


def test_a_network_adapter_that_is_plugged_in_stays_down(running: Guest) -> None:
    assert (
        running.run("ip -color=never -4 -brief address show up scope global")
        .split()[2]
        .startswith("10.0.2.")
    )
    running.machine.plug_network_adapter()
    try:
        running.wait_for(f'test -n "$({ADAPTERS})"')
        name = running.run(ADAPTERS).strip()
        running.wait_for(f"networkctl status {name} | grep -q 60-vigie-others.network")
        assert (
            "UP"
            not in running.run(f"ip -color=never -brief link show {name}")
            .split("<")[1]
            .split(">")[0]
        )
        assert running.run(f"ip -color=never -brief address show {name}").split()[2:] == []
    finally:
        running.machine.unplug_network_adapter()


def test_the_time_daemon_has_one_capability_and_no_port(running: Guest) -> None:
    """CAP_SYS_TIME is bit 25."""
    config = render_files(TimeConfig(servers=("10.0.2.99",)), None)[CONFIG_FILE]
    file = f"/{RUNTIME_DIR}/{CONFIG_FILE}"
    assert running.run("systemctl is-active vigie-time.service", check=False).strip() == "inactive"
    coded = base64.b64encode(config.encode()).decode()
    running.run(f"echo {coded} | base64 -d >{file} && systemctl start vigie-time.service")
    try:
        pid = running.run("systemctl show --value -p MainPID vigie-time.service").strip()
        running.wait_for("journalctl -b -u vigie-time.service | grep -q 'chronyd version'")
        assert running.run(f"stat -c %U /proc/{pid}").strip() == "_chrony"
        for line in running.run(f"grep ^Cap /proc/{pid}/status").splitlines():
            assert int(line.split()[1], 16) in (0, 1 << 25), line
        for table in ("udp", "udp6"):
            assert not {port for _, port in sockets(running, table)} & {123, 323}
        assert running.run("systemctl is-active vigie-time.service").strip() == "active"
    finally:
        running.run(f"systemctl stop vigie-time.service; rm {file}")


def test_the_time_is_saved_for_a_board_without_a_battery(running: Guest) -> None:
    running.run("systemctl start vigie-clock-save.service")
    age_s = running.run("echo $(($(date +%s) - $(stat -c %Y /var/lib/systemd/timesync/clock)))")
    assert int(age_s) < 600
    assert running.run("systemctl is-active vigie-clock-save.timer").strip() == "active"


def sockets(guest: Guest, table: str) -> list[tuple[str, int]]:
    """State and port of each that is not bound to this machine alone (proc_net_tcp.rst)."""
    found = []
    for line in guest.run(f"cat /proc/net/{table}").splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        address, port = local.split(":")
        if not address.endswith("7F") and not address.endswith("0100007F"):
            found.append((state, int(port, 16)))
    return found


def test_the_agents_units_have_a_low_exposure_score(running: Guest) -> None:
    units = running.run(
        "systemctl list-unit-files --plain --no-legend 'vigie-*.service' | cut -d' ' -f1"
    ).split()
    assert "vigie-agent.service" in units
    exposed = [
        unit
        for unit in units
        if running.run_unchecked(
            "systemd-analyze security --no-pager "
            f"--threshold={MAX_EXPOSURE.get(unit, MAX_OTHER_EXPOSURE)} "
            + unit.replace("@.", "@ttyS1.")
        )[0]
    ]
    assert exposed == []


@pytest.mark.parametrize(("unit", "threshold"), SYSTEM_EXPOSURE.items())
def test_a_service_of_the_system_has_the_rights_that_it_uses(
    unit: str, threshold: int, running: Guest
) -> None:
    code, report = running.run_unchecked(
        f"systemd-analyze security --no-pager --threshold={threshold} {unit}"
    )
    assert code == 0, report


def test_no_service_keeps_the_state_of_radios(running: Guest) -> None:
    for unit in ("systemd-rfkill.service", "systemd-rfkill.socket"):
        assert running.run(f"systemctl is-enabled {unit}", check=False).strip() == "masked"


def test_the_kernel_is_locked_down(running: Guest) -> None:
    """No program of root's changes the kernel: no unsigned module, no /dev/mem, no raw access to ports."""
    assert "[integrity]" in running.run("cat /sys/kernel/security/lockdown")


def test_systemd_accepts_every_line_of_the_agents_units(running: Guest) -> None:
    units = running.run(
        "cd /usr/lib/systemd/system; ls -d vigie-*.service vigie-*.socket vigie-*.timer vigie-*.path"
    )
    for unit in units.split():
        named = unit.replace("@.", "@ttyS1.")
        code, message = running.run_unchecked(
            f"systemd-analyze verify --man=no --recursive-errors=yes {named}"
        )
        assert (code, message) == (0, ""), unit


def test_the_identity_of_the_box_is_apart_from_its_footage(running: Guest) -> None:
    def device(folder: str) -> str:
        return running.run(f"findmnt -no SOURCE --target {folder}").split("[")[0].strip()

    def label(folder: str) -> str:
        return running.run(f"lsblk -no PARTLABEL {device(folder)}").strip()

    assert label("/var/lib/vigie/identity") == "state"
    assert label("/etc/vigie") == "state"
    assert label("/var/lib/vigie/footage") == "data"
    assert "noatime" in running.run("findmnt -no OPTIONS /data")
    assert "noatime" in running.run("findmnt -no OPTIONS /state")


def test_files_outside_the_boxs_state_are_gone_after_a_boot(running: Guest) -> None:
    for folder in ("/etc", "/var", "/tmp"):  # noqa: S108 - the guest's
        assert running.run(f"findmnt -no FSTYPE --target {folder}").strip() in (
            "tmpfs",
            "overlay",
        )
    assert running.run("tail -n +2 /proc/swaps | grep -v zram; true") == ""


def test_a_hang_is_noticed_by_the_boards_watchdog(running: Guest) -> None:
    assert running.run("systemctl show --value -p RuntimeWatchdogUSec").strip() not in ("", "0")
    assert running.run("cat /sys/class/watchdog/watchdog0/state").strip() == "active"


def test_the_card_was_grown_to_its_full_size(running: Guest) -> None:
    size = int(running.run("df --output=size -B1 /data | tail -1"))
    assert size > 1 << 30


def test_the_image_contains_its_inventory_and_licences(running: Guest) -> None:
    parts = msgspec.json.decode(running.run("cat /usr/share/vigie/sbom.cdx.json"))
    assert parts["bomFormat"] == "CycloneDX"
    names = {part["name"] for part in parts["components"]}
    assert {"systemd", "rauc", "opencv-python-headless", "FFmpeg", "x264", "libxml2"} <= names
    packages = [part for part in parts["components"] if part["bom-ref"].startswith("deb/")]
    assert len(packages) > 100
    assert all(part["licenses"] and part["hashes"] and part["properties"] for part in packages)
    assert "perl-base" not in names, "its files are deleted"
    assert not running.run("find /usr/share/vigie/licences -type f -empty")
    assert len(running.run("ls /usr/share/vigie/licences/*").split()) > len(names) // 2


def test_the_image_has_one_ffmpeg_and_no_openssl_in_a_wheel(running: Guest) -> None:
    wheels = running.run("find /opt/vigie -name '*.so*'").splitlines()
    libraries = [path.rpartition("/")[2] for path in wheels]
    assert len([name for name in libraries if name.startswith("libavcodec")]) == 1
    assert not [name for name in libraries if name.startswith(("libcrypto", "libssl"))]


def test_every_setting_of_the_kernel_is_in_force(running: Guest) -> None:
    text = SYSCTLS.read_text()
    settings = re.findall(r"^([^#\s]\S*) = (\S+)$", text, re.MULTILINE)
    assert settings
    for key, value in settings:
        path = key.removeprefix("-").replace(".", "/")
        found = set(running.run(f"cat /proc/sys/{path}").split())
        assert found == {value}, key


def test_no_program_is_setuid(running: Guest) -> None:
    assert running.run("find / -xdev -type f -perm /6000") == ""


@pytest.mark.parametrize(
    "folder",
    [
        *("/etc", "/var", "/tmp", "/run", "/dev/shm", "/state", "/data", "/select"),  # noqa: S108 - the guest's
        "/var/lib/vigie/footage",
    ],
)
def test_what_can_be_written_holds_no_programs_and_no_devices(running: Guest, folder: str) -> None:
    options = running.run(f"findmnt -no OPTIONS --target {folder}").strip().split(",")
    assert {"nosuid", "nodev", "noexec"} <= set(options)


CONNECT_AS_AGENT = """
echo $$ >/sys/fs/cgroup/system.slice/vigie-agent.service/cgroup.procs &&
exec /opt/vigie/bin/python -c "import socket; socket.create_connection(({host!r}, {port}), 20)" 2>&1
"""


CONNECT_FROM_SHELL = """
/opt/vigie/bin/python -c "import socket; socket.create_connection(({host!r}, {port}), 20)" 2>&1
"""


def test_the_agent_may_reach_its_peers_only(running: Guest) -> None:
    running.wait_for("test -e /run/systemd/system/vigie-agent.service.d/50-network-filter.conf")
    shown = running.run("systemctl show -p NeedDaemonReload -p IPAddressDeny vigie-agent.service")
    assert "NeedDaemonReload=no" in shown
    assert "0.0.0.0/0" in shown
    results = []
    for address in (BROKER_ADDRESS, BUNDLE_SERVER_ADDRESS):
        host, _, port = address.partition(":")
        results.append(running.run_unchecked(CONNECT_AS_AGENT.format(host=host, port=port)))
    (broker_code, _), (server_code, message) = results
    assert (broker_code, server_code) == (0, 1)
    # The kernel drops each packet of the connection; only a datagram's sender gets an error.
    assert "TimeoutError" in message, message
    host, _, port = BUNDLE_SERVER_ADDRESS.partition(":")
    assert running.run_unchecked(CONNECT_FROM_SHELL.format(host=host, port=port))[0] == 0
