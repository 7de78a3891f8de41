"""The drivers' searches of `vigie probe`: the kernel's and the network's data on devices."""

import errno
import os
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import serial

from agent.diagnostics.probe.scan import access_problem, read_board_model, searchable_ports
from drivers import gpio_chips, v4l2_devices
from drivers.csi import camera_modules, camera_modules_child
from drivers.csi.camera_modules import CameraModule, enumerate_modules
from drivers.device_files import find_holders, stable_names
from drivers.errors import DriverError
from drivers.rtsp_search import FoundRtspServer, parse_answer, search_subnet
from drivers.serial_ports import FoundPort, find_ports, is_kernel_console, port_condition
from tests.loopback_server import LoopbackServer


class Kernel:
    """A V4L2 driver's ioctl, by the layouts of linux/videodev2.h."""

    def __init__(
        self, driver: str = "uvcvideo", caps: int = 0x1, letters: tuple[str, ...] = ("YUYV",)
    ) -> None:
        self.driver, self.caps, self.letters = driver, caps, letters
        self.owned = False

    def __call__(self, device: int, request: int, given: bytes) -> bytes:
        assert os.fstat(device)
        if request == 0x80685600:
            caps = (self.caps | 0x80000000, self.caps)
            return struct.pack(
                "16s32s32sIII12x", self.driver.encode(), b"HD Pro", b"usb-1", 6, *caps
            )
        if request == 0xC0405602:
            (index,) = struct.unpack_from("I", given)
            if index >= len(self.letters):
                raise OSError(errno.EINVAL, "no more")
            letters = self.letters[index].encode()
            return struct.pack("III32s4sI12x", index, 1, 0, b"words", letters, 0)
        assert request == 0xC0145608
        count, kind, _ = struct.unpack_from("III", given)
        assert (count, kind) == (0, 1), "no buffer is asked for"
        if self.owned:
            raise OSError(errno.EBUSY, "another has them")
        return given


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    (tmp_path / "video0").symlink_to("/dev/null")
    return tmp_path


def test_a_usb_camera_is_listed_with_its_formats_best_first(dev: Path) -> None:
    (dev / "v4l/by-id").mkdir(parents=True)
    (dev / "v4l/by-id/usb-HD_Pro-index0").symlink_to("/dev/null")
    (found,) = v4l2_devices.find_devices(dev, Kernel(letters=("YUYV", "MJPG", "GREY", "YUYV")))
    assert (found.is_capture, found.state, found.name) == (True, "free", "HD Pro")
    assert (found.formats, found.other_formats) == (("mjpeg", "yuyv422"), ("GREY",))
    assert found.best_path == str(dev / "v4l/by-id/usb-HD_Pro-index0")


def test_a_camera_in_use_is_busy(dev: Path) -> None:
    kernel = Kernel()
    kernel.owned = True
    (found,) = v4l2_devices.find_devices(dev, kernel)
    assert (found.is_capture, found.state) == (True, "busy")
    assert found.reason is not None
    assert found.reason.endswith("has it")


@pytest.mark.parametrize(
    ("driver", "caps"),
    [
        ("uvcvideo", 0x00800000),  # its metadata
        ("bcm2835-codec", 0x4000),
        ("vicodec", 0x8000 | 0x1),
        ("unicam", 0x1),  # the sensor's receiver, which libcamera has
        ("rp1-cfe", 0x1),
    ],
)
def test_a_device_without_capture_is_not_a_camera(driver: str, caps: int, dev: Path) -> None:
    (found,) = v4l2_devices.find_devices(dev, Kernel(driver, caps))
    assert (found.is_capture, found.kernel_driver) == (False, driver)


def test_devices_are_sorted_by_their_numbers(dev: Path) -> None:
    for name in ("video10", "video2"):
        (dev / name).symlink_to("/dev/null")
    found = v4l2_devices.find_devices(dev, Kernel())
    assert [Path(one.path).name for one in found] == ["video0", "video2", "video10"]


def test_a_kernel_without_cameras_gives_an_empty_list(dev: Path) -> None:
    (dev / "video1").symlink_to("/dev/nothing-there")
    found = v4l2_devices.find_devices(dev)
    assert [one.state for one in found] == ["unsupported", "absent"]
    (dev / "gpiochip0").symlink_to("/dev/null")
    (chip,) = gpio_chips.find_chips(dev)
    assert chip.state == "unsupported"


def test_a_gpio_chip_is_listed_with_its_name(dev: Path) -> None:
    (dev / "gpiochip4").symlink_to("/dev/null")

    def ioctl(_chip: int, request: int, given: bytes) -> bytes:
        assert (request, len(given)) == (0x8044B401, 68)
        return struct.pack("32s32sI", b"gpiochip4", b"pinctrl-rp1", 54)

    (chip,) = gpio_chips.find_chips(dev, ioctl)
    assert (chip.label, chip.lines, chip.state) == ("pinctrl-rp1", 54, "free")


@pytest.fixture
def terminal() -> Iterator[str]:
    master, slave = os.openpty()
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


def test_a_port_is_free_until_a_process_opens_it(terminal: str) -> None:
    assert port_condition(terminal).state == "free"
    with serial.Serial(terminal, exclusive=True):
        held = port_condition(terminal)
    assert (held.state, held.reason) == ("busy", "another program has it")
    assert port_condition(terminal).state == "free"


def test_probing_a_port_changes_none_of_its_settings(terminal: str) -> None:
    with Path(terminal).open("rb", buffering=0) as port:
        before = termios.tcgetattr(port)
        assert port_condition(terminal).state == "free"
        assert termios.tcgetattr(port) == before


def test_a_port_without_permission_is_denied(terminal: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    Path(terminal).chmod(0o600)
    ask = "import sys; from drivers.serial_ports import port_condition; print(port_condition(sys.argv[1]).state)"
    message = subprocess.run(
        [sys.executable, "-c", ask, terminal],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        user=65534,
        group=65534,
        extra_groups=[],
        check=False,
    )
    assert message.stdout == "denied\n", message.stderr


@pytest.mark.parametrize(
    ("path", "state"),
    [("/dev/nothing-there", "absent"), ("/dev/null", "unsupported"), ("/etc", "unsupported")],
)
def test_a_file_that_is_not_a_port_is_reported(path: str, state: str) -> None:
    assert port_condition(path).state == state


def test_the_process_that_holds_a_device_is_named(tmp_path: Path) -> None:
    for pid, target in (("812", "/dev/null"), ("813", "/etc/hostname"), ("14", "/dev/null")):
        fd = tmp_path / pid / "fd"
        fd.mkdir(parents=True)
        (fd / "3").symlink_to(target)
        (tmp_path / pid / "comm").write_text("vigie\n")
    (tmp_path / "self").mkdir()
    assert find_holders(tmp_path) == {
        os.stat("/dev/null").st_rdev: ("process 14 (vigie)", "process 812 (vigie)")  # noqa: PTH116 - as the others
    }


def test_a_port_used_by_the_kernel_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "ttyS0").mkdir()
    (tmp_path / "ttyS0" / "console").write_text("Y\n")
    assert is_kernel_console("/dev/ttyS0", tmp_path)
    assert not is_kernel_console("/dev/ttyUSB0", tmp_path)


def test_the_first_of_two_link_names_is_used(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).symlink_to("/dev/null")
    assert stable_names(tmp_path) == {"/dev/null": str(tmp_path / "a")}
    assert stable_names(tmp_path / "none") == {}


def test_ports_are_listed_with_their_stable_names(tmp_path: Path) -> None:
    there = [port.path for port in find_ports(tmp_path)]
    if not there:
        pytest.skip("needs a serial port")
    for folder in ("by-id", "by-path"):
        (tmp_path / "serial" / folder).mkdir(parents=True)
        (tmp_path / "serial" / folder / f"{folder}-name").symlink_to(there[0])
    first = find_ports(tmp_path)[0]
    assert first.by_id == first.best_path == str(tmp_path / "serial/by-id/by-id-name")
    assert first.by_path == str(tmp_path / "serial/by-path/by-path-name")


def test_a_user_without_camera_rights_gets_a_hint(tmp_path: Path) -> None:
    media = [tmp_path / "media1", tmp_path / "media0"]
    reported = access_problem(media, lambda path, _mode: path.name != "media1")
    assert reported is not None
    assert (reported.kind, reported.message.startswith(f"{media[0]}: denied")) == ("denied", True)
    assert access_problem(media, lambda _path, _mode: True) is None
    assert access_problem([]) is None


def test_the_board_model_is_read(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"Raspberry Pi 4 Model B Rev 1.4\0")
    assert read_board_model(tmp_path / "model") == "Raspberry Pi 4 Model B Rev 1.4"
    assert read_board_model(tmp_path / "none") is None


def test_probed_serial_lines_have_stable_names() -> None:
    ports = (
        FoundPort(path="/dev/ttyUSB0", by_id="/dev/serial/by-id/x", state="free"),
        FoundPort(path="/dev/ttyUSB1", by_path="/dev/serial/by-path/y", state="busy"),
        FoundPort(path="/dev/ttyAMA0", state="free", is_kernel_console=True),
        FoundPort(path="/dev/ttyS3", state="absent"),
    )
    assert searchable_ports(ports) == ("/dev/serial/by-id/x", "/dev/serial/by-path/y")


def test_camera_modules_have_picamera2s_numbers() -> None:
    reported = camera_modules_child.parse_modules(
        [
            {"Id": "/base/i2c@1/imx708@1a", "Model": "imx708", "Rotation": 180, "Num": 1},
            {"Id": "/base/pcie/usb@1-1:1.0-046d:0825", "Num": 0},
        ]
    )
    assert reported == (
        CameraModule(number=0, id="/base/i2c@1/imx708@1a", model="imx708", rotation_deg=180),
        CameraModule(number=1, id="/base/pcie/usb@1-1:1.0-046d:0825", model="", is_usb=True),
    )


@pytest.mark.parametrize(
    ("library", "kind", "message"),
    [
        ("raise ImportError('no libcamera')", "absent", "no libcamera"),
        ("import threading; threading.Event().wait()", "timeout", "says nothing for 2 s"),
        ("import os; os.abort()", "protocol", "was killed by SIGABRT"),
        (
            (
                "class Picamera2:\n  @staticmethod\n  def global_camera_info():\n"
                "    raise RuntimeError('no camera manager')"
            ),
            "unsupported",
            "no camera manager",
        ),
    ],
)
def test_a_failing_camera_library_does_not_stop_the_probe(
    library: str, kind: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "picamera2.py").write_text(library)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(DriverError, match=message) as caught:
        enumerate_modules(2.0 if kind == "timeout" else camera_modules.ENUMERATE_TIMEOUT_S)
    assert caught.value.kind == kind


def test_output_of_a_camera_library_does_not_disturb_the_probe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "picamera2.py").write_text(
        "print('hello')\nclass Picamera2:\n  @staticmethod\n  def global_camera_info():\n"
        "    print('hello'); return [{'Id': 'x', 'Model': 'imx219'}]"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert enumerate_modules() == (CameraModule(number=0, id="x", model="imx219"),)


@pytest.mark.parametrize(
    ("answer", "status", "server"),
    [
        (b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nServer: GStreamer RTSP server\r\n\r\n", 200, "GStreamer RTSP server"),
        (b"RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\n\r\n", 401, None),
        (b"RTSP/2.0 505\r\n\r\n", 505, None),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", None, None),
        (b"SSH-2.0-OpenSSH_9.2\r\n", None, None),
        (b"", None, None),
    ],
)  # fmt: skip
def test_the_status_line_shows_if_a_server_speaks_rtsp(
    answer: bytes, status: int | None, server: str | None
) -> None:
    found = FoundRtspServer(host="10.0.0.1", port=554, status=status, server=server)
    assert parse_answer("10.0.0.1", 554, answer) == found


def test_a_subnet_that_is_too_large_is_refused() -> None:
    with pytest.raises(DriverError, match="at most a /22"):
        search_subnet(IPv4Network("10.0.0.0/21"))


def answering_peer(answer: bytes) -> LoopbackServer:
    """A server that sends `answer` to each client."""

    def serve(peer: socket.socket) -> None:
        peer.recv(4096)
        peer.sendall(answer)
        peer.shutdown(socket.SHUT_WR)
        peer.recv(4096)

    return LoopbackServer(serve)


def test_a_host_that_accepts_a_connection_is_listed_with_its_protocol() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        closed_port = int(gone.getsockname()[1])
    with (
        answering_peer(b"RTSP/1.0 200 OK\r\nServer: Cam\r\n\r\n") as camera,
        answering_peer(b"HTTP/1.1 400 Bad Request\r\n\r\n") as web,
        answering_peer(b"") as silent,
    ):
        ports = (camera.port, web.port, silent.port, closed_port)
        found = search_subnet(IPv4Network("127.0.0.1/32"), ports)
    assert [one.port for one in found] == list(ports[:3])
    assert [one.status for one in found] == [200, None, None]
