"""USB sticks: root mounts one for a command of the console, and unmounts it however that command ends."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.console.errors import ConsoleError
from agent.console.stick_mount import mount_stick
from agent.console.terminal import Terminal
from agent.console.usb_export import list_usb_mounts
from agent.update import stick_service, usb_stick
from agent.update.usb_stick import StickReply, StickRequest, UsbStick
from drivers.local_wire import LocalConnection, MessageDecoder, pack_message
from tests.conftest import ManualClock
from tests.parts.console_rig import ConsoleRig

CTRL_C, CTRL_D = b"\x03", b"\x04"
TIMEOUT_S = 60.0
IDLE_TIMEOUT_S = 0.05
MOUNT_SCRIPT = """#!/bin/sh
echo "mount $*" >>{root}/calls
for folder; do :; done
mkdir -p "{root}$folder" && : >"{root}$folder/new.raucb"
"""
STOP_SCRIPT = """#!/bin/sh
echo "$*" >>{root}/calls
rm -r {root}/run/media
"""
CLIENT = """
import socket, sys
with socket.socket(fileno=int(sys.argv[1])) as connection:
    connection.sendall(bytes.fromhex(sys.argv[2]))
    print(connection.recv(100).hex(), flush=True)
    connection.recv(100)
"""


class StickUnit:
    """vigie-stick.service, with programs that record their arguments in place of systemd's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / usb_stick.DEVICE_DIR).mkdir(parents=True)
        (root / "run").mkdir(exist_ok=True)
        self.write_program(stick_service.SYSTEMD_MOUNT, MOUNT_SCRIPT.format(root=root))
        self.write_program(stick_service.SYSTEMCTL, STOP_SCRIPT.format(root=root))
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def write_program(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def plug_in(self, *links: str) -> None:
        for link in links:
            (self.root / usb_stick.DEVICE_DIR / link).symlink_to(f"../{link.rpartition('-')[2]}")

    @property
    def calls(self) -> list[str]:
        path = self.root / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def is_mounted(self) -> bool:
        return bool(self.calls) and self.calls[-1].startswith("mount ")

    def start(self) -> None:
        self._listener.bind(str(self.root / usb_stick.SOCKET))
        self._listener.listen()
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(TIMEOUT_S)
        self._listener.close()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            stick_service.serve(self._listener, self.root, IDLE_TIMEOUT_S)


@pytest.fixture
def rig(clock: ManualClock, tmp_path_factory: pytest.TempPathFactory) -> ConsoleRig:
    # A short path: unix(7) allows 107 bytes for that of a socket.
    rig = ConsoleRig(clock, tmp_path_factory.mktemp("box"))
    (rig.root / "proc/self/mounts").write_text("")
    return rig


@pytest.fixture
def unit(rig: ConsoleRig) -> Iterator[StickUnit]:
    unit = StickUnit(rig.root)
    yield unit
    unit.close()


def terminal_of(rig: ConsoleRig) -> Terminal:
    return Terminal(rig.line, rig.clock.boottime_ns)


def test_a_stick_is_mounted_as_long_as_a_command_needs_it(rig: ConsoleRig, unit: StickUnit) -> None:
    unit.plug_in("stick-vfat-sda1")
    unit.start()
    with mount_stick(terminal_of(rig), rig.context, writable=False):
        (call,) = unit.calls
    words = call.split()
    assert words[-2:] == ["/dev/sda1", "/run/media/sda1"]
    (options,) = (word.partition("=")[2] for word in words if word.startswith("--options="))
    assert {"ro", "nosuid", "nodev", "noexec", f"uid={os.getuid()}"} <= set(options.split(","))
    assert "--type=vfat" in words
    assert unit.calls[1:] == ["stop run-media-sda1.mount"], "unmounted before the block is left"


def test_only_an_export_can_write_to_a_stick(rig: ConsoleRig, unit: StickUnit) -> None:
    unit.plug_in("stick-exfat-sdb")
    unit.start()
    for writable in (False, True):
        with mount_stick(terminal_of(rig), rig.context, writable=writable):
            pass
    mounts = [call for call in unit.calls if call.startswith("mount ")]
    assert ["--options=ro," in call for call in mounts] == [True, False]
    assert ["--options=rw," in call for call in mounts] == [False, True]


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param({"keys": CTRL_C + b"logout\r"}, id="Ctrl-C"),
        pytest.param({"keys": b"no\rlogout\r"}, id="logout"),
        pytest.param({"keys": CTRL_D}, id="Ctrl-D"),
        pytest.param({"silence_s": 700}, id="idle logout"),
        pytest.param({}, id="lost cable"),
    ],
)
def test_no_end_of_a_session_leaves_a_stick_mounted(
    rig: ConsoleRig, unit: StickUnit, ending: dict[str, object]
) -> None:
    unit.plug_in("stick-vfat-sda1")
    unit.start()
    screen = rig.run_logged_in("update usb", **ending)  # type: ignore[arg-type]
    assert "/run/media/sda1/new.raucb" in screen
    unit.close()
    assert len(unit.calls) == 2
    assert not unit.is_mounted


def test_a_killed_console_leaves_no_stick_mounted(unit: StickUnit) -> None:
    unit.plug_in("stick-vfat-sda1")
    ours, theirs = socket.socketpair()
    request = pack_message(StickRequest(link="stick-vfat-sda1")).hex()
    with theirs:
        client = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(theirs.fileno()), request],
            pass_fds=[theirs.fileno()],
            stdout=subprocess.PIPE,
        )
    with ours, client:
        service = threading.Thread(
            target=stick_service.serve_connection, args=(ours, unit.root), daemon=True
        )
        service.start()
        assert client.stdout is not None
        assert bytes.fromhex(client.stdout.readline().decode()) == pack_message(StickReply())
        assert unit.is_mounted
        client.kill()
        service.join(TIMEOUT_S)
    assert not service.is_alive()
    assert not unit.is_mounted


def test_the_technician_chooses_one_of_several_sticks(rig: ConsoleRig, unit: StickUnit) -> None:
    unit.plug_in("stick-vfat-sdb1", "stick-exfat-sda1", "camera-7", "stick-ext4-sdc1")
    size = rig.root / "sys/class/block/sdb1/size"
    size.parent.mkdir(parents=True)
    size.write_text("31116288\n")
    unit.start()
    screen = rig.run_logged_in("update usb", "2", keys=CTRL_C)
    assert "1  /dev/sda1\n2  /dev/sdb1, 15.9 GB\nWhich: 2" in screen
    unit.close()
    assert "/dev/sdb1 /run/media/sdb1" in unit.calls[0]


def test_nothing_is_mounted_before_a_technician_asks(rig: ConsoleRig, unit: StickUnit) -> None:
    unit.plug_in("stick-vfat-sda1")
    unit.start()
    rig.type_lines("help", "about", "update usb", "login amina", "wrong")
    rig.run_logged_in("status", "footage")
    assert unit.calls == []


def error_of(unit: StickUnit, sent: bytes) -> str | None:
    ours, theirs = socket.socketpair()
    with ours, LocalConnection(theirs, 10_000) as console:
        theirs.sendall(sent)
        console.end_sending()
        stick_service.serve_connection(ours, unit.root)
        answer = console.receive(MessageDecoder(StickReply), TIMEOUT_S)
    assert answer is not None
    return answer.error


@pytest.mark.parametrize(
    "link",
    [
        "stick-ext4-sda1",
        "stick-vfat-sdb1",
        "stick-vfat-sda1\n",
        "stick-vfat-../sda1",
        "stick-vfat-vda1",
        "stick-vfat-sda1 -o suid",
        "serial-ttyUSB0",
        "",
    ],
)
def test_only_a_stick_that_udev_knows_is_mounted(unit: StickUnit, link: str) -> None:
    unit.plug_in("stick-vfat-sda1", "serial-ttyUSB0")
    sent = pack_message(StickRequest(link=link))
    assert "no USB stick that is plugged in" in str(error_of(unit, sent))
    assert unit.calls == []


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b'{"link":"stick-vfat-sda1"}\n',
        pack_message(StickRequest(link="stick-vfat-sda1"))[:-1],
        pack_message("stick-vfat-sda1"),
        pack_message({"link": 1}),
        pack_message({"link": "stick-vfat-sda1", "options": "suid"}),
        pack_message({"link": "a" * 100}),
        pack_message({"link": "a" * 10_000}),
    ],
)
def test_a_malformed_request_is_answered_and_mounts_nothing(unit: StickUnit, sent: bytes) -> None:
    unit.plug_in("stick-vfat-sda1")
    assert str(error_of(unit, sent)).startswith("request: ")
    assert unit.calls == []


def test_a_failed_mount_is_reported_in_one_line(rig: ConsoleRig, unit: StickUnit) -> None:
    unit.plug_in("stick-vfat-sda1")
    unit.write_program(stick_service.SYSTEMD_MOUNT, "#!/bin/sh\necho 'wrong fs type' >&2\nexit 1\n")
    unit.start()
    assert "the USB disk cannot be mounted: wrong fs type" in rig.run_logged_in("update usb")


def test_a_service_that_does_not_run_is_reported(rig: ConsoleRig, unit: StickUnit) -> None:
    unit.plug_in("stick-vfat-sda1")
    with (
        pytest.raises(ConsoleError, match=r"cannot be mounted: .*No such file"),
        mount_stick(terminal_of(rig), rig.context, writable=False),
    ):
        raise AssertionError


def test_a_system_that_mounts_sticks_itself_asks_for_nothing(rig: ConsoleRig) -> None:
    with mount_stick(terminal_of(rig), rig.context, writable=True):
        pass


def test_a_link_names_a_partition_and_its_file_system(tmp_path: Path) -> None:
    stick = UsbStick(file_system="exfat", partition="sdab12")
    assert usb_stick.parse_link(stick.link) == stick
    assert usb_stick.find_sticks(tmp_path) == ()


def test_a_stick_whose_mount_is_listed_twice_is_one(tmp_path: Path) -> None:
    stick = tmp_path / "run/media/sda1"
    stick.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mounts").write_text("/dev/sda1 /run/media/sda1 vfat rw 0 0\n" * 2)
    assert list_usb_mounts(tmp_path) == (stick,)
