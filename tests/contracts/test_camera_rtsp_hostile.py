"""drivers.camera.rtsp against a peer that describes its stream without end, or with false lengths."""

import os
import re
import signal
import socket

import msgspec
import pytest

from drivers.camera import rtsp
from drivers.child.camera import ChildCamera
from drivers.child.fork_server import ForkServer
from drivers.contracts import Camera
from drivers.errors import DriverError
from drivers.media import Frame, Packet
from drivers.stream_child import MAX_MEMORY_BYTES
from tests.contracts.conftest import READ_TIMEOUT_S, RtspServer, open_driver, read_media
from tests.contracts.peer_memory import (
    children_of,
    peak_memory_bytes,
    reset_peak_memory,
    sampled_growth,
)
from tests.loopback_server import LoopbackServer

DEVICE = "/dev/video255"
"""No board has as many."""
AGENT_GROWTH_BYTES = 8_000_000
"""Nothing of a description reaches the agent."""

OK = b"RTSP/1.0 200 OK\r\nCSeq: %s\r\n"
SDP = b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n"
MEDIA = b"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
DESCRIPTIONS: dict[str, tuple[bytes, bytes]] = {
    "a length of 1 GB": (SDP % 1_000_000_000, MEDIA * 1000),
    "a length of 2 GB and more": (SDP % 3_000_000_000, MEDIA * 1000),
    "headers without end": (b"", b"X-More: " + b"a" * 4000 + b"\r\n"),
    "a header line without end": (b"X-More: ", b"a" * 65_536),
    "a million media": (SDP % (len(MEDIA) * 1_000_000), MEDIA * 1000),
    "a line without end": (SDP % 100_000_000, b"a" * 65_536),
}


def hostile_camera(header: bytes, repeated: bytes) -> LoopbackServer:
    """A camera that answers DESCRIBE with `header`, then `repeated` without end."""

    def serve(connection: socket.socket) -> None:
        while request := connection.recv(65_536):
            sequence = re.search(rb"CSeq: (\d+)", request)
            assert sequence
            connection.sendall(OK % sequence[1])
            if not request.startswith(b"DESCRIBE"):
                connection.sendall(b"Public: DESCRIBE, SETUP, PLAY\r\n\r\n")
                continue
            connection.sendall(header)
            while True:
                connection.sendall(repeated)

    return LoopbackServer(serve)


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_hostile_description_is_refused_within_bounded_memory(name: str) -> None:
    with pytest.raises(DriverError, match="no server listens"):
        open_driver("rtsp", {"url": "rtsp://127.0.0.1:9/x"})  # starts the fork server
    with (
        hostile_camera(*DESCRIPTIONS[name]) as camera,
        sampled_growth(rtsp.FORK_SERVER) as child_growth,
    ):
        before_bytes = reset_peak_memory()
        with pytest.raises(DriverError) as caught:
            open_driver(
                "rtsp", {"url": f"rtsp://127.0.0.1:{camera.port}/live", "open_timeout_s": 2.0}
            )
        growth_bytes = peak_memory_bytes() - before_bytes
    assert caught.value.kind in ("protocol", "timeout", "crashed")
    assert growth_bytes < AGENT_GROWTH_BYTES
    assert child_growth.bytes < MAX_MEMORY_BYTES
    assert children_of(rtsp.FORK_SERVER) == []


def failure_of(camera: Camera) -> DriverError:
    def read_on() -> None:
        while True:
            camera.read(READ_TIMEOUT_S)

    with pytest.raises(DriverError) as caught:
        read_on()
    return caught.value


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_child_that_is_killed_is_an_error_and_the_other_camera_goes_on(
    rtsp_server: RtspServer, number: signal.Signals
) -> None:
    options = {"url": rtsp_server.url("open")}
    broken, sound = open_driver("rtsp", options), open_driver("rtsp", options)
    try:
        read_media(broken, Frame, 2)
        assert isinstance(broken, ChildCamera)
        assert broken.child_pid is not None
        os.kill(broken.child_pid, number)
        error = failure_of(broken)
        assert error.kind == "crashed"
        assert f"was killed by {number.name} after" in str(error)
        assert failure_of(broken) is error
        again = open_driver("rtsp", options)
        first = read_media(again, Packet, 1)[0]
        assert first.is_key
        again.close()
        read_media(sound, Frame, 5)
    finally:
        broken.close()
        sound.close()
    assert children_of(rtsp.FORK_SERVER) == []


def test_a_child_that_hangs_is_ended(rtsp_server: RtspServer) -> None:
    camera = open_driver("rtsp", {"url": rtsp_server.url("open")})
    assert isinstance(camera, ChildCamera)
    assert camera.child_pid is not None
    read_media(camera, Packet, 1)
    camera._policy = msgspec.structs.replace(camera._policy, silence_limits_ns={object: 10**9})
    os.kill(camera.child_pid, signal.SIGSTOP)
    error = failure_of(camera)
    assert error.kind == "crashed"
    assert "its process hangs: silent for 1 s" in str(error)
    assert children_of(rtsp.FORK_SERVER) == []
    camera.close()


def test_a_camera_is_read_again_after_the_fork_server_was_killed(rtsp_server: RtspServer) -> None:
    options = {"url": rtsp_server.url("open")}
    camera = open_driver("rtsp", options)
    server = rtsp.FORK_SERVER._process
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    error = failure_of(camera)
    assert error.kind == "crashed"
    camera.close()
    again = open_driver("rtsp", options)
    read_media(again, Frame, 2)
    again.close()


@pytest.mark.parametrize(
    ("misdeed", "words"),
    [
        ("wrong size", "sends no message"),
        ("shrunk memory", "sends no message"),
        ("frame elsewhere", "wrong place of a frame"),
        ("keyframe unasked", "wrong place of a keyframe"),
        ("loading unasked", "wrong progress of a network"),
        ("decoder unasked", "wrong failure of a decoder"),
        ("time of tomorrow", "wrong times of a packet"),
        ("endless packet", "sends no message"),
    ],
)
def test_a_child_that_was_taken_over_is_ended(
    monkeypatch: pytest.MonkeyPatch, hostile_server: ForkServer, misdeed: str, words: str
) -> None:
    """It speaks the protocol, and breaks it."""
    monkeypatch.setattr(rtsp, "FORK_SERVER", hostile_server)
    path = misdeed.replace(" ", "-")

    def read_on() -> None:
        camera = open_driver("rtsp", {"url": f"rtsp://127.0.0.1/{path}"})
        while True:
            camera.read(READ_TIMEOUT_S)

    with pytest.raises(DriverError, match=words) as caught:
        read_on()
    assert caught.value.kind == "crashed"
    assert children_of(hostile_server) == []


def test_a_child_that_ends_while_a_decoder_of_the_board_is_used_has_none_the_next_time(
    monkeypatch: pytest.MonkeyPatch, hostile_server: ForkServer, rtsp_server: RtspServer
) -> None:
    """A driver of the kernel or of libavcodec may end the process, each time again."""
    monkeypatch.setattr(rtsp, "_decoder_failures", {})
    monkeypatch.setattr(rtsp, "HARDWARE_FORK_SERVER", hostile_server)
    failures: list[str] = []

    def opened(url: str) -> Camera:
        return open_driver(
            "rtsp",
            {"url": url, "decoder_device": DEVICE},
            on_decoder_failure=lambda error: failures.append(str(error)),
        )

    camera = opened("rtsp://127.0.0.1/x")
    read_media(camera, Packet, 1)
    assert failures == []
    assert isinstance(camera, ChildCamera)
    assert camera.child_pid is not None
    os.kill(camera.child_pid, signal.SIGKILL)
    assert failure_of(camera).kind == "crashed"
    line = f"camera 'test': device '{DEVICE}': its process ended while it decoded"
    assert failures == [line]
    camera.close()
    again = opened(rtsp_server.url("open"))
    read_media(again, Frame, 2)
    assert failures == [line, line]
    again.close()
    assert children_of(hostile_server) == []
