"""drivers.rtsp_push to a real RTSP server, with and without TLS, and to hostile ones."""

import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self
from urllib.parse import quote

import msgspec
import pytest

from agent.recording.annex_b import AnnexBConverter
from drivers import rtsp_push
from drivers.child import syscall_filter
from drivers.contracts import Camera
from drivers.errors import DriverError
from drivers.media import Packet
from drivers.rtsp_push import RtspPush
from tests.contracts.conftest import open_driver, read_media
from tests.contracts.peer_memory import children_of, peak_memory_bytes, reset_peak_memory
from tests.contracts.video_receiver import (
    PASSWORD,
    USER,
    VideoServer,
    skip_without_server,
)
from tests.loopback_server import LoopbackServer
from tests.server_certificate import ServerCertificate
from tests.whole.report.reporting_box import wait_until

TIMEOUT_S = 60.0
AGENT_GROWTH_BYTES = 8_000_000
LARGE_PACKETS = 60
"""Of 300 kB: more than all buffers between a box and a server that reads nothing."""


@pytest.fixture(scope="module", autouse=True)
def _server_there() -> Iterator[None]:
    skip_without_server()
    yield
    rtsp_push.FORK_SERVER.close()


@pytest.fixture(scope="module")
def camera() -> Iterator[Camera]:
    street = open_driver(
        "fake", {"width_px": 320, "height_px": 240, "fps": 15, "pace": "fast"}, frames_fps=0.0
    )
    yield street
    street.close()


@pytest.fixture(scope="module")
def packets(camera: Camera) -> list[Packet]:
    """Two seconds of the street, from a keyframe on."""
    converter = AnnexBConverter(camera.info)
    return [converter.convert(packet) for packet in read_media(camera, Packet, 30)]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ServerCertificate:
    return ServerCertificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Callable[..., VideoServer]]:
    """Starts servers that are killed after the test."""
    started: list[VideoServer] = []

    def start(certificate: ServerCertificate | None = None, *arguments: str) -> VideoServer:
        started.append(VideoServer(tmp_path / "received", certificate, *arguments))
        return started[-1]

    yield start
    for server in started:
        server.kill()


class Push:
    """A push whose end is awaited, and the packets that the child reported as sent."""

    def __init__(self, camera: Camera, url: str, ca_file: Path = Path("/none")) -> None:
        self.started = threading.Event()
        self._changed = threading.Condition()
        self.sent = 0
        port = re.search(r":(\d+)/", url)
        assert port
        self.push = RtspPush(
            "video server centre",
            url,
            int(port[1]),
            str(ca_file),
            camera.info,
            self.started.set,
            self._on_sent,
        )

    def __enter__(self) -> Self:
        self.push.wait_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.push.close()

    def send(self, packets: list[Packet]) -> None:
        """Send packets, and wait until the child has sent them all. Raises: DriverError."""
        wanted = self.sent + len(packets)
        for packet in packets:
            self.push.send(packet, lambda: False)
        while self.sent < wanted:
            self.push.check()
            with self._changed:
                self._changed.wait(0.05)

    def _on_sent(self, _size_bytes: int) -> None:
        with self._changed:
            self.sent += 1
            self._changed.notify()


def failure_of(
    camera: Camera, packets: list[Packet], url: str, ca: Path = Path("/none")
) -> DriverError:
    with Push(camera, url, ca) as push, pytest.raises(DriverError) as caught:
        push.send(packets)
    assert not push.started.is_set()
    return caught.value


def nal_units(stream: bytes) -> list[bytes]:
    return re.split(rb"\x00\x00\x00?\x01", stream)[1:]


def large_packets(first: Packet) -> list[Packet]:
    """The first packet, then slices of 300 kB that no decoder would take."""
    slices = b"\x00\x00\x00\x01\x65" + os.urandom(300_000).replace(b"\x00", b"\x01")
    return [
        first,
        *(
            msgspec.structs.replace(
                first,
                data=slices,
                dts_ns=first.dts_ns + number * 40_000_000,
                pts_ns=first.pts_ns + number * 40_000_000,
            )
            for number in range(1, LARGE_PACKETS)
        ),
    ]


def test_the_stream_arrives_over_tls_as_it_is(
    camera: Camera,
    packets: list[Packet],
    certificate: ServerCertificate,
    servers: Callable[..., VideoServer],
) -> None:
    server = servers(certificate)
    with Push(camera, f"rtsps://localhost:{server.port}/a", certificate.ca) as push:
        push.send(packets)
        assert push.started.is_set()
        units = nal_units(b"".join(packet.data for packet in packets))
        wait_until(server.file().exists)
        wait_until(lambda: nal_units(server.file().read_bytes())[-len(units) :] == units)
    planes = server.luma_planes()
    assert len(planes) == len(packets)
    assert planes[0].shape == (240, 320)
    assert children_of(rtsp_push.FORK_SERVER) == []


def test_a_server_that_asks_for_a_password_gets_it(
    camera: Camera, packets: list[Packet], servers: Callable[..., VideoServer]
) -> None:
    server = servers(None, "--auth")
    user = f"{USER}:{quote(PASSWORD, safe='')}"
    with Push(camera, f"rtsp://{user}@127.0.0.1:{server.port}/a") as push:
        push.send(packets[:5])
    wrong = failure_of(camera, packets, f"rtsp://{USER}:wr0ng@127.0.0.1:{server.port}/b")
    assert str(wrong) == "video server centre: the server refuses this username and password"
    assert "wr0ng" not in repr(wrong.__cause__)


def test_a_server_of_another_authority_gets_nothing(
    camera: Camera,
    packets: list[Packet],
    certificate: ServerCertificate,
    servers: Callable[..., VideoServer],
    tmp_path: Path,
) -> None:
    server = servers(certificate)
    other = ServerCertificate(tmp_path / "other")
    error = failure_of(camera, packets, f"rtsps://localhost:{server.port}/a", other.ca)
    assert error.kind == "protocol"
    assert "TLS: Peer certificate failed verification" in str(error)
    assert server.received_bytes() == 0


def test_a_server_of_another_name_gets_nothing(
    camera: Camera, packets: list[Packet], servers: Callable[..., VideoServer], tmp_path: Path
) -> None:
    other = ServerCertificate(tmp_path / "other", "elsewhere.example")
    server = servers(other)
    error = failure_of(camera, packets, f"rtsps://localhost:{server.port}/a", other.ca)
    assert "TLS: The certificate's owner does not match hostname localhost" in str(error)
    assert server.received_bytes() == 0


def test_without_authorities_no_server_is_trusted(
    camera: Camera,
    packets: list[Packet],
    certificate: ServerCertificate,
    servers: Callable[..., VideoServer],
) -> None:
    server = servers(certificate)
    error = failure_of(camera, packets, f"rtsps://localhost:{server.port}/a", Path("/none"))
    assert "TLS" in str(error)
    assert server.received_bytes() == 0


def test_a_server_without_tls_gets_nothing_over_rtsps(
    camera: Camera,
    packets: list[Packet],
    certificate: ServerCertificate,
    servers: Callable[..., VideoServer],
) -> None:
    server = servers()
    failure_of(camera, packets, f"rtsps://localhost:{server.port}/a", certificate.ca)
    assert server.received_bytes() == 0


def test_a_port_without_a_server_is_an_error(camera: Camera, packets: list[Packet]) -> None:
    error = failure_of(camera, packets, "rtsp://127.0.0.1:9/a")
    assert (error.kind, "no server listens" in str(error)) == ("absent", True)


def test_a_server_that_is_killed_ends_the_push(
    camera: Camera, packets: list[Packet], servers: Callable[..., VideoServer]
) -> None:
    server = servers()
    with Push(camera, f"rtsp://127.0.0.1:{server.port}/a") as push:
        push.send(packets[:5])
        server.process.kill()
        server.process.wait()
        with pytest.raises(DriverError) as caught:
            push.send(packets[5:])
    assert caught.value.kind in ("ended", "absent")


def test_a_server_that_reads_nothing_ends_the_push(
    camera: Camera,
    packets: list[Packet],
    servers: Callable[..., VideoServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = servers()
    with Push(camera, f"rtsp://127.0.0.1:{server.port}/a") as push:
        push.send(packets[:2])
        server.freeze()
        monkeypatch.setattr(rtsp_push, "STALL_S", 2.0)
        with pytest.raises(DriverError, match="takes no data for 2 s"):
            push.send(large_packets(packets[0]))
    assert children_of(rtsp_push.FORK_SERVER) == []


def test_the_child_is_confined(
    camera: Camera, packets: list[Packet], servers: Callable[..., VideoServer]
) -> None:
    server = servers()
    with Push(camera, f"rtsp://127.0.0.1:{server.port}/a") as push:
        push.send(packets[:2])
        proc = Path(f"/proc/{push.push.child_pid}")
        status = proc.joinpath("status").read_text()
        limits = proc.joinpath("limits").read_text()
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status or syscall_filter.load_library() is None
        assert re.search(r"Max open files +128 +128", limits)


def test_a_child_that_is_killed_ends_the_push(
    camera: Camera, packets: list[Packet], servers: Callable[..., VideoServer]
) -> None:
    server = servers()
    with Push(camera, f"rtsp://127.0.0.1:{server.port}/a") as push:
        push.send(packets[:2])
        assert push.push.child_pid is not None
        os.kill(push.push.child_pid, signal.SIGKILL)
        with pytest.raises(DriverError) as caught:
            push.send(packets[2:])
    assert caught.value.kind == "crashed"


def hostile_server(header: bytes, repeated: bytes) -> LoopbackServer:
    """A server that answers each request with `header`, then `repeated` without end."""

    def serve(connection: socket.socket) -> None:
        while request := connection.recv(65_536):
            sequence = re.search(rb"CSeq: (\d+)", request)
            if header and sequence:
                connection.sendall(header % sequence[1])
            while repeated:
                connection.sendall(repeated)

    return LoopbackServer(serve)


OK = b"RTSP/1.0 200 OK\r\nCSeq: %s\r\n"


@pytest.mark.parametrize(
    ("header", "repeated"),
    [
        (b"", b""),
        (OK, b"X-More: " + b"a" * 4000 + b"\r\n"),
        (OK + b"X-More: ", b"a" * 65_536),
        (OK + b"Content-Length: 1000000000\r\n\r\n", b"a" * 65_536),
        (b"RTSP/1.0 301 Moved\r\nCSeq: %s\r\nLocation: rtsp://127.0.0.1:9/b\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nCSeq: %s\r\n\r\n", b""),
    ],
    ids=["silent", "headers", "a line", "a body of 1 GB", "a redirect", "no RTSP"],
)
def test_a_hostile_server_is_given_up_in_time_within_bounded_memory(
    camera: Camera,
    packets: list[Packet],
    header: bytes,
    repeated: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rtsp_push, "OPEN_TIMEOUT_S", 1.0)
    monkeypatch.setattr(rtsp_push, "STALL_S", 3.0)
    with hostile_server(header, repeated) as server:
        before_bytes = reset_peak_memory()
        failure_of(camera, packets[:1], f"rtsp://127.0.0.1:{server.port}/a")
        assert peak_memory_bytes() - before_bytes < AGENT_GROWTH_BYTES
    assert children_of(rtsp_push.FORK_SERVER) == []
