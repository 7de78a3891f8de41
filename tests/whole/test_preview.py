"""agent.capture.preview: the console's view of the running agent's cameras."""

import random
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from agent.base.clock import SystemClock
from agent.base.model import CommandRefused
from agent.capture.live_keyframes import LiveKeyframes
from agent.capture.live_looks import LiveLooks
from agent.capture.preview import (
    PreviewFrame,
    PreviewHandler,
    PreviewRequest,
    PreviewUnavailable,
    request_preview,
)
from agent.capture.snapshot_command import CameraAccess
from agent.detection.image import encode_snapshot
from agent.runtime.control_socket import SOCKET_NAME, ControlSocket
from agent.runtime.stage import StageThread
from drivers.local_wire import MessageDecoder, connect, pack_message
from drivers.masking import MASK_LUMA
from drivers.media import Frame
from tests.child_processes import child_commands
from tests.parts.console_peers import make_picture
from tests.whole.drawn_clip import write_street_clip
from tests.whole.report.broker import Mosquitto
from tests.whole.report.reporting_box import wait_until
from tests.whole.rig import TIMEOUT_S, AgentBox

CLOCK = SystemClock()
REFUSAL = MessageDecoder(CommandRefused)
LEFT_HALF_MASKED = """
[[mask]]
polygon = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]
"""


def no_keyframes(cameras: Mapping[str, CameraAccess]) -> LiveKeyframes:
    """Keyframes of cameras without any, and no looks."""
    looks = LiveLooks(lambda _look: None, lambda _look, _ended: None, CLOCK.boottime_ns)
    return LiveKeyframes(looks, cameras, CLOCK.boottime_ns)


class Agent:
    """The stage, and a camera whose frames come all the time."""

    def __init__(self, state: Path) -> None:
        self.cameras = {
            "north": CameraAccess(),
            "bank": CameraAccess(viewers=("omar",)),
            "yard": CameraAccess(has_frames=False),
            "dark": CameraAccess(),
        }
        previews = PreviewHandler(
            self.cameras, no_keyframes(self.cameras), encode_snapshot, CLOCK.boottime_ns
        )
        control = ControlSocket(state, CLOCK.boottime_ns)
        worker = control.add_blocking_method("preview", PreviewRequest, previews.handle)
        self._threads = [
            StageThread(stage, CLOCK.boottime_ns, random.Random(1), vital=False)
            for stage in (control, worker)
        ]
        self._ending = threading.Event()
        self._frames = threading.Thread(target=self._offer)
        self.luma = make_picture(1, 360, 640)

    def start(self, state: Path) -> None:
        for thread in self._threads:
            thread.start()
        self._frames.start()
        while request_preview(state, "north", "amina") is None:
            assert not self._ending.wait(0.01)

    def _offer(self) -> None:
        half = np.full((180, 320), 128, np.uint8)
        seq = 0
        while not self._ending.wait(0.01):
            seq += 1
            frame = Frame(seq=seq, t_ns=CLOCK.boottime_ns(), y=self.luma, u=half, v=half)
            for camera in ("north", "bank"):
                self.cameras[camera].next_frame.offer(frame)

    def stop(self) -> None:
        self._ending.set()
        self._frames.join(TIMEOUT_S)
        for thread in self._threads:
            thread.stop()
        assert all(thread.join(TIMEOUT_S) for thread in self._threads)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    one = Agent(tmp_path)
    one.start(tmp_path)
    yield one
    one.stop()


def test_a_preview_is_the_newest_picture_scaled_with_its_measurements(
    agent: Agent, tmp_path: Path
) -> None:
    seen = request_preview(tmp_path, "north", "amina")
    assert seen is not None
    assert (seen.width_px, seen.height_px) == (640, 360)
    assert seen.plane.shape == (90, 160)
    assert seen.plane.mean() == pytest.approx(agent.luma.mean(), abs=1)
    assert seen.aim.focus is not None


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize(
    ("camera", "by", "why"),
    [
        ("south", "amina", "none of that name"),
        ("bank", "amina", "not among its viewers"),
        ("yard", "amina", "has no pictures"),
    ],
)
def test_a_forbidden_or_impossible_preview_is_rejected_with_its_reason(
    tmp_path: Path, camera: str, by: str, why: str
) -> None:
    with pytest.raises(PreviewUnavailable, match=why):
        request_preview(tmp_path, camera, by)


@pytest.mark.usefixtures("agent")
def test_a_viewer_of_a_lent_camera_sees_it(tmp_path: Path) -> None:
    assert request_preview(tmp_path, "bank", "omar") is not None


@pytest.mark.usefixtures("agent")
def test_a_camera_without_frames_is_reported_in_time(tmp_path: Path) -> None:
    with pytest.raises(PreviewUnavailable, match="no picture came within 5 s"):
        request_preview(tmp_path, "dark", "amina")


def test_without_an_agent_a_preview_fails(tmp_path: Path) -> None:
    assert request_preview(tmp_path, "north", "amina") is None


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize(
    "message",
    [
        pack_message({}),
        pack_message({"method": "preview", "camera": 1}),
        pack_message({"method": "preview", "camera": "north", "by": "amina", "columns": 641}),
    ],
)
def test_an_invalid_request_is_rejected_and_the_next_one_served(
    tmp_path: Path, message: bytes
) -> None:
    with connect(tmp_path / SOCKET_NAME, TIMEOUT_S, 10_000) as connection:
        connection.socket.sendall(message)
        connection.socket.shutdown(socket.SHUT_WR)
        assert isinstance(connection.receive(REFUSAL, TIMEOUT_S), CommandRefused)
    assert request_preview(tmp_path, "north", "amina") is not None


@pytest.mark.usefixtures("agent")
def test_a_preview_has_the_picture_as_a_bounded_jpeg_on_request(tmp_path: Path) -> None:
    seen = request_preview(tmp_path, "north", "amina", jpeg_max_bytes=20_000)
    assert seen is not None
    assert 1000 < len(seen.jpeg) <= 20_000
    assert simplejpeg.decode_jpeg_header(seen.jpeg)[:2] == (360, 640)
    plain = request_preview(tmp_path, "north", "amina")
    assert plain is not None
    assert plain.jpeg == b""


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize(("columns", "rows"), [(240, 180), (640, 100), (10, 480)])
def test_a_preview_keeps_the_shape_of_the_picture(tmp_path: Path, columns: int, rows: int) -> None:
    seen = request_preview(tmp_path, "north", "amina", columns, rows)
    assert seen is not None
    assert seen.columns <= columns
    assert seen.rows <= rows
    assert seen.columns / seen.rows == pytest.approx(640 / 360, rel=0.15)


def test_a_camera_that_is_only_recorded_shows_its_keyframes_with_masks_as_long_as_they_are_requested(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    clip = tmp_path / "street.mp4"
    write_street_clip(clip, 4.0)
    camera = f'driver = "replay"\n[camera.options]\npath = "{clip}"\nloop = true'
    box = AgentBox(tmp_path / "box", mosquitto.url, camera)
    file = box.folder / "vigie.toml"
    file.write_text(file.read_text().replace("[camera.detect]", "[camera.detect]\nenabled = false"))
    (box.folder / "scene.toml").write_text(LEFT_HALF_MASKED)
    box.start()
    try:
        shown: list[PreviewFrame] = []

        def is_shown() -> bool:
            with suppress(PreviewUnavailable):  # the camera is not open yet
                state = box.folder / "state"
                seen = request_preview(state, "north", "amina", jpeg_max_bytes=60_000)
                shown.extend([] if seen is None else [seen])  # None before the agent listens
            return bool(shown)

        before = _decoders(box)
        wait_until(is_shown)
        (seen,) = shown
        assert seen.aim.focus is not None
        assert seen.jpeg.startswith(b"\xff\xd8")
        half = seen.columns // 2 - 2
        assert np.abs(seen.plane[:, :half].astype(int) - MASK_LUMA).max() <= 3
        assert np.ptp(seen.plane[:, -half:]) > 50
        assert _decoders(box) > before
        # Without a request for a while.
        wait_until(lambda: _decoders(box) == before)
    finally:
        box.kill()


def _decoders(box: AgentBox) -> int:
    """The number of processes that the agent has for keyframes."""
    return sum("fork" in command for command in child_commands(box.pid).values())
