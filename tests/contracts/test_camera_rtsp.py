"""drivers.camera.rtsp beyond the contract: failures of a network camera, each on a real server."""

import re
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote

import av
import msgspec
import pytest

from agent.base.model import ShiftTolerance
from agent.detection.active_scene import ActiveScene
from agent.detection.scene import PrivacyMask, Scene
from drivers.av_stream import frame_planes
from drivers.camera import rtsp
from drivers.contracts import Camera, ReadingsSource
from drivers.errors import DriverError
from drivers.masking import MASK_LUMA
from drivers.media import NS_PER_S, Frame, Packet, Point
from tests.free_port import free_port

from .conftest import (
    PASSWORD,
    READ_TIMEOUT_S,
    USER,
    RtspServer,
    boottime_ns,
    open_driver,
    read_media,
)

SLACK_S = 10.0
"""Allowance for a busy machine on top of a timeout. The timeout itself is in the error; a call that hangs takes longer."""


def fails(kind: str, work: Callable[[], object], match: str = ".") -> str:
    """The one line of the DriverError of this kind that `work` raises."""
    with pytest.raises(DriverError, match=match) as caught:
        work()
    assert caught.value.kind == kind
    line = str(caught.value)
    assert "\n" not in line
    for secret in (PASSWORD, quote(PASSWORD, safe="")):
        assert secret not in line + repr(caught.value.__cause__)
    return line


def read_until_it_fails(camera: Camera) -> None:
    while True:
        camera.read(1.0)


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.touch(0o600)
    path.write_text(PASSWORD + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("method", ["digest", "basic"])
def test_user_and_password_open_a_locked_camera(
    rtsp_servers: Callable[..., Any], method: str, password_file: Path
) -> None:
    with rtsp_servers("--auth", method) as server:
        url = server.url("locked")
        known = {"username": USER, "password_file": str(password_file)}
        camera = open_driver("rtsp", {"url": url, **known})
        assert isinstance(camera.read(READ_TIMEOUT_S), Packet)
        camera.close()
        fails("protocol", lambda: open_driver("rtsp", {"url": url}), "username and password")
        wrong = server.url("locked", user=f"{USER}:not-it@")
        line = fails("protocol", lambda: open_driver("rtsp", {"url": wrong}), "refuses")
        assert "not-it" not in line
        assert f"127.0.0.1:{server.port}/locked" in line
        password_file.write_text("stale")
        fails("protocol", lambda: open_driver("rtsp", {"url": url, **known}), "refuses")


def test_a_password_file_readable_by_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("secret")
    path.chmod(0o644)
    options = {"url": "rtsp://127.0.0.1:1/x", "username": "u", "password_file": str(path)}
    with pytest.raises(DriverError, match=r"has mode 0644: others may read it") as caught:
        rtsp.url_with_credentials(rtsp.Options(**options), "camera 'x'")
    assert "secret" not in str(caught.value)


def test_a_missing_password_file_is_absent() -> None:
    options = {"url": "rtsp://127.0.0.1:1/x", "username": "u", "password_file": "/nowhere/pw"}
    fails("absent", lambda: open_driver("rtsp", options), "/nowhere/pw")


def test_a_missing_path_or_port_is_absent(rtsp_server: RtspServer) -> None:
    url = rtsp_server.url("nowhere")
    assert url in fails("absent", lambda: open_driver("rtsp", {"url": url}), "no such path")
    fails(
        "absent", lambda: open_driver("rtsp", {"url": "rtsp://127.0.0.1:1/x"}), "no server listens"
    )


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_server_that_freezes_is_a_timeout(
    rtsp_servers: Callable[..., Any], transport: str
) -> None:
    with rtsp_servers() as server:
        options = {
            "url": server.url("open"),
            "transport": transport,
            "read_timeout_s": 3.0,
            "open_timeout_s": 1.0,
        }
        camera = open_driver("rtsp", {**options, "open_timeout_s": 20.0})
        assert camera.read(READ_TIMEOUT_S) is not None
        server.freeze()
        began_s = monotonic()
        fails("timeout", lambda: read_until_it_fails(camera), "sent nothing for 3 s")
        assert monotonic() - began_s < 3.0 + SLACK_S
        fails("timeout", lambda: camera.read(0.0))
        began_s = monotonic()
        camera.close()
        assert monotonic() - began_s < SLACK_S
        began_s = monotonic()
        fails("timeout", lambda: open_driver("rtsp", options), "did not open within 1 s")
        assert monotonic() - began_s < 1.0 + SLACK_S


def test_a_read_returns_in_time_from_a_frozen_server(rtsp_servers: Callable[..., Any]) -> None:
    with rtsp_servers() as server:
        camera = open_driver("rtsp", {"url": server.url("open"), "read_timeout_s": 20.0})
        server.freeze()
        began_s = monotonic()
        while camera.read(0.3) is not None:
            began_s = monotonic()
        assert monotonic() - began_s < 0.3 + SLACK_S
        camera.close()


def test_a_killed_server_ends_the_stream_and_reopening_works(
    rtsp_servers: Callable[..., Any],
) -> None:
    with rtsp_servers("--port", str(free_port())) as server:
        options = {"url": server.url("open")}
        camera = open_driver("rtsp", options)
        assert camera.read(READ_TIMEOUT_S) is not None
        server.kill()
        fails("ended", lambda: read_until_it_fails(camera), "the stream ended")
        fails("ended", lambda: camera.read(0.0))
        camera.close()
        fails("absent", lambda: open_driver("rtsp", options), "no server listens")
        with rtsp_servers("--port", str(server.port)):
            camera = open_driver("rtsp", options)
            media = camera.read(READ_TIMEOUT_S)
            assert isinstance(media, Packet)
            assert media.is_key
            camera.close()


def test_motion_at_a_keyframe_brings_all_pictures_since_the_one_before(
    rtsp_server: RtspServer,
) -> None:
    answers = iter([True, False, True])
    watched: list[Frame] = []

    def watch(frame: Frame) -> bool:
        watched.append(frame)
        return next(answers, True)

    camera = open_driver(
        "rtsp", {"url": rtsp_server.url("open")}, packets=False, keyframe_watch=watch
    )
    frames: list[Frame] = []
    while len(watched) < 4:
        media = camera.read(READ_TIMEOUT_S)
        assert isinstance(media, Frame)
        frames.append(media)
    assert isinstance(camera, ReadingsSource)
    readings = camera.readings()
    camera.close()
    assert readings is not None
    still_ns, moving_ns = watched[1].t_ns, watched[2].t_ns
    onset = [frame for frame in frames if still_ns <= frame.t_ns <= moving_ns]
    missing = onset[-1].seq - onset[0].seq + 1 - len(onset)
    assert 0 <= missing <= readings.dropped_frames, "a busy machine may drop some, counted"
    assert (onset[0].t_ns, onset[-1].t_ns) == (still_ns, moving_ns)
    assert all(after.t_ns >= before.t_ns for before, after in pairwise(frames))


def test_a_camera_that_states_no_frame_rate_is_opened_and_counts_as_25_a_second(
    rtsp_server: RtspServer,
) -> None:
    camera = open_driver("rtsp", {"url": rtsp_server.url("rateless")}, packets=False)
    assert (camera.info.codec, camera.info.fps) == ("mjpeg", 25.0)
    assert read_media(camera, Frame, 3)
    camera.close()


@pytest.mark.parametrize("settled_s", [-3600, 3600])
def test_pictures_of_a_move_that_come_after_the_rest_are_recorded_covered(
    rtsp_server: RtspServer, settled_s: int
) -> None:
    """A stall is a time that has passed meanwhile: the head has come to rest after each of these pictures, or before."""
    gate = Scene(mask=(PrivacyMask(polygon=(Point(0, 0), Point(0.1, 0), Point(0, 0.1))),))
    viewpoint = ActiveScene({"gate": gate}, lambda: boottime_ns() + settled_s * NS_PER_S)
    viewpoint.update_position("gate", settled=True, tolerance=ShiftTolerance(x=0.0, y=0.0))
    camera = open_driver(
        "rtsp", {"url": rtsp_server.url("open")}, current_masks=viewpoint.masks, transcode=True
    )
    media = read_media(camera, (Frame, Packet), 30)
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = camera.info.extradata
    camera.close()
    packets = [av.Packet(one.data) for one in media if isinstance(one, Packet)]
    recorded = [
        frame_planes(picture)[0]
        for packet in packets
        for picture in decoder.decode(packet)  # type: ignore[attr-defined]
    ]
    pictures = [*recorded, *(one.y for one in media if isinstance(one, Frame))]
    assert len(recorded) > 5
    assert {bool((luma < MASK_LUMA + 4).all()) for luma in pictures} == {settled_s > 0}


@pytest.mark.parametrize("transcode", [False, True])
def test_without_the_configured_decoder_pictures_are_decoded_in_software_and_the_reason_is_reported_once(
    rtsp_server: RtspServer, monkeypatch: pytest.MonkeyPatch, transcode: bool
) -> None:
    monkeypatch.setattr(rtsp, "_decoder_failures", {})
    failures: list[DriverError] = []

    def opened() -> Camera:
        return open_driver(
            "rtsp",
            {"url": rtsp_server.url("open"), "decoder_device": "/dev/video255"},
            on_decoder_failure=failures.append,
            transcode=transcode,
        )

    camera = opened()
    packet, *frames = read_media(camera, Packet, 1) + read_media(camera, Frame, 5)
    assert packet.is_key
    assert all(after.t_ns > before.t_ns for before, after in pairwise(frames))
    assert frames[0].y.shape == (240, 320)
    assert frames[-1].y.max() > frames[-1].y.min(), "the ball"
    camera.close()
    line = "camera 'test': device '/dev/video255': no such device"
    assert [(error.kind, str(error)) for error in failures] == [("unsupported", line)]
    monkeypatch.setattr(rtsp, "HARDWARE_FORK_SERVER", None)
    again = opened()
    read_media(again, Frame, 2)
    again.close()
    assert [str(error) for error in failures] == [line, line], "at each opening, without a try"


def test_a_camera_whose_pictures_are_not_wanted_uses_no_decoder(
    rtsp_server: RtspServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtsp, "_decoder_failures", {})
    failures: list[DriverError] = []
    camera = open_driver(
        "rtsp",
        {"url": rtsp_server.url("open"), "decoder_device": "/dev/video255"},
        frames_fps=0.0,
        on_decoder_failure=failures.append,
    )
    read_media(camera, Packet, 30)
    camera.close()
    assert failures == []


def test_no_thread_stays_behind(rtsp_server: RtspServer) -> None:
    camera = open_driver("rtsp", {"url": rtsp_server.url("open")})
    while not isinstance(camera.read(READ_TIMEOUT_S), Frame):
        pass
    camera.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("read camera")]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://u:p%40ss@cam.example:554/a/b", "rtsp://cam.example:554/a/b"),
        ("rtsp://cam.example/s?user=u&password=p", "rtsp://cam.example/s"),
        (
            "rtsp://cam.example/user=u&password=p&channel=1",
            "rtsp://cam.example/user=u&password=...&channel=1",
        ),
        ("rtsp://u:p@[fe80::1]:554/x", "rtsp://[fe80::1]:554/x"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert rtsp.redacted_url(url) == shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "http://x/y"}, "rtsp://"),
        ({"url": "rtsp:///y"}, "rtsp://"),
        ({"url": "rtsp://x/y", "transport": "http"}, "transport"),
        ({"url": "rtsp://x/y", "read_timeout_s": 0}, "read_timeout_s"),
        ({"url": "rtsp://x/y", "decoder_device": "/dev/mem"}, "decoder_device"),
        ({"url": "rtsp://x/y", "decoder_device": "/dev/video1/../sda"}, "decoder_device"),
        ({"url": "rtsp://x/y", "open_timeout_s": 60}, "open_timeout_s"),
        ({"url": "rtsp://x/y", "username": "u"}, "go together"),
        ({"url": "rtsp://a:b@x/y", "username": "u", "password_file": "/p"}, "give it once"),
        ({"url": "rtsp://x/y", "colour": 1}, "colour"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=re.escape(message)):
        msgspec.convert(options, rtsp.Options)
