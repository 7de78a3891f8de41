"""The units and their files: checked by systemd's own tools, without starting any."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.console import page_wire
from agent.console.commands import page
from agent.provisioning import network_filter

ROOT = Path(__file__).parents[2]
HOME = ROOT / "systemd"
SERVICES = sorted(HOME.glob("*.service"))
IMAGE_UNITS = ROOT / "images/recipe/mkosi.extra/usr/lib/systemd/system"
IMAGE_SERVICES = sorted(IMAGE_UNITS.glob("*.service"))
UNITS = sorted([*SERVICES, *HOME.glob("*.timer"), *HOME.glob("*.path"), *HOME.glob("*.socket")])
MAX_EXPOSURE = {
    # The clock, with the one capability that sets it.
    "vigie-time.service": 19,
    # Devices, a network, and the query of the clock.
    "vigie-agent.service": 17,
    "vigie-console@.service": 17,
    # Root, which becomes the agent's user.
    "vigie-provision.service": 17,
    # A network.
    "vigie-selftest.service": 14,
}
"""By systemd-analyze, in tenths. As measured: a unit that grows worse needs a reason here."""
MAX_OTHER_EXPOSURE = 12
SYSTEMDS_OWN = ("*.target", "*.slice", "*.mount", "*.socket")
MOMENTS = {"OnCalendar": "calendar", "OnBootSec": "timespan"}
"""A timer's setting, and what systemd-analyze calls such a moment."""
PROGRAMS = (
    "bin/rm",
    "bin/sh",
    "opt/vigie/bin/vigie",
    "opt/vigie/bin/python",
    "usr/bin/journalctl",
    "usr/bin/systemctl",
)

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze"
)


def message(*words: str | Path) -> tuple[int, str]:
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with our units and systemd's own targets, and with the programs that ours start."""
    root = tmp_path_factory.mktemp("tree")
    subprocess.run([HOME / "install", root, "/usr"], check=True)
    for pattern in SYSTEMDS_OWN:
        for unit in Path("/usr/lib/systemd/system").glob(pattern):
            shutil.copy(unit, root / "usr/lib/systemd/system")
    for name in PROGRAMS:
        program = root / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    return root


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_unit_that_reads_the_clock_error_does_not_protect_the_clock(unit: Path) -> None:
    """ProtectClock= brings a filter of its own, which refuses what another one allows."""
    lines = unit.read_text().splitlines()
    reads_clock_error = any(
        line.startswith("SystemCallFilter=") and "adjtimex" in line for line in lines
    )
    assert not (reads_clock_error and "ProtectClock=yes" in lines)


def test_no_unit_asks_systemd_logind_for_a_reboot() -> None:
    """`systemctl reboot` does, and prints that an image has none: `Call to Reboot failed`."""
    commands = [
        line.split()
        for unit in SERVICES
        for line in unit.read_text().splitlines()
        if line.startswith("Exec") and "systemctl" in line
    ]
    assert any(words[-1] == "reboot.target" for words in commands)
    assert not any("reboot" in words for words in commands)


def seconds(unit: Path, setting: str) -> float:
    """Return a unit's setting in seconds, parsed as systemd does."""
    values = [
        line.partition("=")[2]
        for line in unit.read_text().splitlines()
        if line.startswith(setting + "=")
    ]
    code, reported = message("systemd-analyze", "timespan", values[-1])
    assert code == 0, reported
    return int(reported.splitlines()[1].split(":")[1]) / 1e6


def test_a_system_on_trial_is_left_only_after_the_boot_checks_timeout() -> None:
    data = ROOT / "images/recipe/mkosi.extra/usr/lib/systemd/system/vigie-data.service"
    provision = HOME / "vigie-provision.service"
    tries = int(provision.read_text().partition("StartLimitBurst=")[2].split()[0])
    longest = (
        seconds(data, "TimeoutStartSec")
        + tries * (seconds(provision, "TimeoutStartSec") + seconds(provision, "RestartSec"))
        + seconds(HOME / "vigie-boot-good.service", "TimeoutStartSec")
    )
    assert longest < seconds(HOME / "vigie-fallback.timer", "OnBootSec")


@pytest.mark.parametrize("unit", [*SERVICES, *IMAGE_SERVICES], ids=lambda unit: unit.name)
def test_a_services_exposure_score_is_low(unit: Path) -> None:
    assert exposure(unit) <= MAX_EXPOSURE.get(unit.name, MAX_OTHER_EXPOSURE)


def exposure(unit: Path) -> int:
    """Return a unit's score in tenths."""
    code, reported = message(
        *("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=100", unit)
    )
    assert code == 0, reported
    (score,) = re.findall(r"Overall exposure level for \S+: (\d+\.\d)", reported)
    return round(float(score) * 10)


@pytest.mark.parametrize("name", network_filter.UNITS)
def test_the_network_filter_lowers_the_score(name: str, tmp_path: Path) -> None:
    drop_in = network_filter.render_drop_in(frozenset({"10.4.0.2", "10.9.0.5"}))
    unit = tmp_path / name
    unit.write_text(f"{(HOME / name).read_text()}\n{drop_in}")
    assert exposure(unit) < exposure(HOME / name)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_accepts_every_line_and_finds_every_named_unit(unit: Path, tree: Path) -> None:
    reported = message(
        *("systemd-analyze", "verify", f"--root={tree}", "--man=no", "--recursive-errors=yes"),
        unit.name,
    )
    assert reported == (0, "")


def test_an_unknown_systemd_setting_is_found(tree: Path) -> None:
    bad = tree / "usr/lib/systemd/system/bad.service"
    bad.write_text("[Service]\nExecStart=/opt/vigie/bin/vigie\nRestartSecond=2\n")
    code, reported = message(
        "systemd-analyze", "verify", f"--root={tree}", "--recursive-errors=yes", bad.name
    )
    bad.unlink()
    assert code == 1
    assert "RestartSecond" in reported


def test_every_unit_and_every_setting_is_installed(tree: Path) -> None:
    installed = {file.name for file in tree.rglob("*") if file.is_file()}
    wanted = {file.name for file in HOME.rglob("*") if file.is_file()} - {"install"}
    assert wanted <= installed


@pytest.mark.parametrize("timer", sorted(HOME.glob("*.timer")), ids=lambda unit: unit.name)
def test_a_timer_has_a_time_and_its_service(timer: Path) -> None:
    assert timer.with_suffix(".service") in SERVICES
    lines = (line.partition("=") for line in timer.read_text().splitlines())
    ((kind, moment),) = ((name, value) for name, _, value in lines if name in MOMENTS)
    code, reported = message("systemd-analyze", MOMENTS[kind], moment)
    assert code == 0, reported


def test_every_unit_enabled_at_first_exists() -> None:
    lines = (HOME / "system-preset/50-vigie.preset").read_text().splitlines()
    assert {line.removeprefix("enable ") for line in lines} <= {unit.name for unit in UNITS}


def test_the_user_can_never_log_in(tmp_path: Path) -> None:
    code, reported = message(
        "systemd-sysusers", f"--root={tmp_path}", HOME / "sysusers.d/vigie.conf"
    )
    assert code == 0, reported
    (vigie,) = (
        line for line in (tmp_path / "etc/passwd").read_text().splitlines() if line[:6] == "vigie:"
    )
    assert vigie.endswith(":/usr/sbin/nologin")
    (shadow,) = (
        line for line in (tmp_path / "etc/shadow").read_text().splitlines() if line[:6] == "vigie:"
    )
    assert shadow.split(":")[1].startswith("!")


def test_the_folders_are_the_users_own(tmp_path: Path) -> None:
    for kind, program in (("sysusers.d", "systemd-sysusers"), ("tmpfiles.d", "systemd-tmpfiles")):
        create = ["--create"] if kind == "tmpfiles.d" else []
        code, reported = message(program, f"--root={tmp_path}", *create, HOME / kind / "vigie.conf")
        assert code == 0, reported
    for folder in ("etc/vigie", "var/lib/vigie", "run/vigie"):
        found = (tmp_path / folder).stat()
        assert found.st_mode & 0o777 == 0o750
        assert found.st_uid != 0
    door = (tmp_path / "run/vigie-update").stat()
    assert (door.st_mode & 0o7777, door.st_uid) == (0o1770, 0)
    assert door.st_gid == (tmp_path / "run/vigie").stat().st_gid


def test_the_device_names_are_valid_udev_rules() -> None:
    if shutil.which("udevadm", path="/usr/bin:/bin") is None:
        pytest.skip("needs udevadm: apt-get install udev")
    code, reported = message(
        "udevadm", "verify", "--resolve-names=never", HOME / "udev/70-vigie.rules"
    )
    assert code == 0, reported


def test_the_pages_unit_accepts_the_networks_that_the_console_prints_links_of() -> None:
    lines = (HOME / "vigie-page.service").read_text().splitlines()
    (allowed,) = (line.split("=", 1)[1].split() for line in lines if "IPAddressAllow" in line)
    keywords = {
        "localhost": ["127.0.0.0/8", "::1/128"],
        "link-local": ["169.254.0.0/16", "fe80::/64"],
    }
    networks = {network for word in allowed for network in keywords.get(word, [word])}
    assert networks == set(map(str, page.NETWORKS))
    assert "SocketBindDeny=any" in lines
    assert f"SocketBindAllow=tcp:{page_wire.MIN_PORT}-{page_wire.MAX_PORT}" in lines


def test_only_the_agents_user_and_the_page_pass_the_folder_of_the_acts(tmp_path: Path) -> None:
    for kind, program in (("sysusers.d", "systemd-sysusers"), ("tmpfiles.d", "systemd-tmpfiles")):
        create = ["--create"] if kind == "tmpfiles.d" else []
        code, reported = message(program, f"--root={tmp_path}", *create, HOME / kind / "vigie.conf")
        assert code == 0, reported
    found, agents = (tmp_path / page_wire.ACTS_DIR).stat(), (tmp_path / "run/vigie").stat()
    assert found.st_mode & 0o7777 == 0o710
    assert (found.st_uid, found.st_gid != agents.st_gid) == (agents.st_uid, True)
    (user,) = (
        line.split(":")
        for line in (tmp_path / "etc/passwd").read_text().splitlines()
        if line.startswith("vigie-page:")
    )
    assert (int(user[3]), user[6]) == (found.st_gid, "/usr/sbin/nologin")
