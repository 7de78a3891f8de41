"""agent.recording.mask_store through the whole agent: footage, pictures and receipts; a failure closes the
camera.
"""

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from agent.app.agent import Agent
from agent.base.model import FrameResult
from agent.detection import image
from agent.recording import catalogue, mask_store
from agent.recording.catalogue import FootageEntry
from agent.recording.export import clip_masking
from agent.recording.mask_store import MaskingError
from agent.reporting.payloads import HealthMessage
from centre.client import ReceivedMessage
from drivers.av_stream import frame_planes
from drivers.masking import MASK_CHROMA, MASK_LUMA
from drivers.media import Frame, Point
from tests.whole.drawn_clip import write_street_clip
from tests.whole.report.reporting_box import wait_until
from tests.whole.rig import TIMEOUT_S, AgentBox, RunningCentre, make_agent

CONFIG = """
[box]
id = "casa-0001"
site = "x"
state = "state"
[broker]
url = "mqtt://127.0.0.1:1"
[[camera]]
name = "north"
{camera}
[camera.detect]
scene = "scene.toml"
{more}
"""
DRAWN = """
driver = "fake"
options = { width_px = 320, height_px = 180, fps = 10, pace = "fast", duration_s = 5 }
"""
SOUTH = '[[camera]]\nname = "south"' + DRAWN + "[camera.detect]\nenabled = false\n"
VIDEO = 'driver = "replay"\noptions = { path = "street.mp4", pace = "fast" }\n'

MASK = "[[mask]]\npolygon = [[0.25, 0.5], [0.75, 0.5], [0.75, 1.0], [0.25, 1.0]]\n"
POLYGON = (Point(0.25, 0.5), Point(0.75, 0.5), Point(0.75, 1.0), Point(0.25, 1.0))

FLAT_WITHIN = 4
"""Of luma and chroma, after an encoder that loses."""

Picture = npt.NDArray[np.uint8]


class Street:
    """A folder with a box's files, and the agent on it until its cameras have ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.frames: list[Frame] = []
        self.closed = threading.Event()
        """Set when a file of footage was closed."""
        self.faults: dict[str, str] = {}

    def run(
        self,
        camera: str,
        scene: str,
        until: Callable[[Agent], bool] | None = None,
        more: str = "",
    ) -> None:
        (self.folder / "vigie.toml").write_text(CONFIG.format(camera=camera, more=more))
        (self.folder / "scene.toml").write_text(scene)
        agent = make_agent(self.folder / "vigie.toml", self.folder, on_bad_scene="close")
        for pipeline in agent.pipelines:
            pipeline.frame_listeners.append(self._see)
            pipeline.segment_listeners.append(lambda _segment: self.closed.set())
        agent.start()
        try:
            assert until(agent) if until else agent.wait_until_ended(TIMEOUT_S)
            self.faults = {f"{f.code} {f.subject}": f.detail for f in agent.faults.active()}
        finally:
            agent.stop()

    def segments(self, camera: str = "north") -> list[FootageEntry]:
        return catalogue.find_segments(
            self.state / "footage", self.state / "custody", [camera], None, None
        )

    def _see(self, frame: Frame, _sight: FrameResult) -> None:
        self.frames.append(frame)


@pytest.fixture
def street(tmp_path: Path) -> Street:
    return Street(tmp_path)


def pictures(file: Path) -> list[tuple[Picture, Picture, Picture]]:
    with av.open(str(file)) as container:
        return [frame_planes(frame) for frame in container.decode(video=0)]


def is_masked(y: Picture, u: Picture, v: Picture) -> bool:
    """Whether the middle of the lower half is flat, as far as an encoder lets it be: within a block
    of its edges what is outside rings.
    """
    height, width = y.shape
    luma = y[height // 2 + 8 :, width // 4 + 8 : 3 * width // 4 - 8].astype(int)
    spread = [np.abs(luma - MASK_LUMA).max()]
    for plane in (u, v):
        rows, columns = plane.shape
        part = plane[rows // 2 + 4 :, columns // 4 + 4 : 3 * columns // 4 - 4].astype(int)
        spread.append(np.abs(part - MASK_CHROMA).max())
    return max(spread) <= FLAT_WITHIN and int(y.max()) > 100


def test_a_stream_encoded_by_the_box_is_masked_in_footage_and_pictures(
    street: Street,
) -> None:
    street.run(DRAWN, MASK)
    segments = street.segments()
    assert segments
    for entry in segments:
        assert entry.closed is not None
        assert entry.closed.mask_applied == "camera"
        assert entry.closed.mask == mask_store.version([POLYGON])
        shown = pictures(entry.path)
        assert shown
        assert all(is_masked(*one) for one in shown)
    assert street.frames
    assert all(is_masked(f.y, f.u, f.v) for f in street.frames)
    jpeg = image.encode_thumbnail(street.frames[-1], 320, 20_000, None)
    decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    inside = decoded[100:170, 90:230]
    assert int(inside.max()) - int(inside.min()) <= 2 * FLAT_WITHIN
    assert street.faults.keys() <= {"NET-01 broker"}


def test_an_encoded_stream_is_recorded_unmasked_and_masked_on_export(
    street: Street, tmp_path: Path
) -> None:
    write_street_clip(tmp_path / "street.mp4", 5.0)
    street.run(VIDEO, MASK)
    entry = street.segments()[0]
    assert entry.closed is not None
    assert entry.closed.mask_applied == "export"
    assert not any(is_masked(*one) for one in pictures(entry.path))
    assert all(is_masked(f.y, f.u, f.v) for f in street.frames)

    masks = mask_store.masks_to_apply(street.state / mask_store.MASKS_DIR, [entry.closed])
    assert masks == (POLYGON,)
    clip = tmp_path / "clip.mp4"
    reported: list[float] = []
    clip_masking.write_masked_clip(entry.path, clip, masks, reported.append)
    shown = pictures(clip)
    assert len(shown) == len(pictures(entry.path))
    assert all(is_masked(*one) for one in shown)
    assert reported == sorted(reported)
    assert reported[-1] == 1.0


def test_a_transcoded_stream_is_masked_in_the_footage(street: Street, tmp_path: Path) -> None:
    write_street_clip(tmp_path / "street.mp4", 5.0)
    street.run(VIDEO + "transcode = true\n", MASK)
    for entry in street.segments():
        assert entry.closed is not None
        assert entry.closed.mask_applied == "camera"
        assert all(is_masked(*one) for one in pictures(entry.path))


def test_without_masks_the_receipt_names_none(street: Street) -> None:
    street.run(DRAWN, "")
    entry = street.segments()[0]
    assert entry.closed is not None
    assert (entry.closed.mask, entry.closed.mask_applied) == (None, "none")
    assert not (street.state / mask_store.MASKS_DIR).exists()
    assert mask_store.masks_to_apply(street.state / mask_store.MASKS_DIR, [entry.closed]) == ()


@pytest.mark.parametrize(
    "scene",
    [
        MASK + "[[mask]",
        MASK + "\x00",
        MASK.replace("polygon", "polygone"),
        MASK.replace("[0.75, 1.0]", "[0.25, 0.5]").replace("[0.25, 1.0]", "[0.75, 0.5]"),
        MASK.replace("0.75", "1.75"),
        MASK.replace("[0.25, 0.5], [0.75, 0.5]", "[0.75, 0.5], [0.25, 0.5]"),
    ],
)
def test_a_scene_that_cannot_be_loaded_closes_its_camera_and_no_other(
    street: Street, scene: str
) -> None:
    def south_is_recorded(agent: Agent) -> bool:
        north = next(lane for lane in agent.pipelines if lane.name == "north")
        return (
            street.closed.wait(TIMEOUT_S)
            and not north.counts().is_open
            and not north.capture_stages
        )

    street.run(DRAWN, scene, south_is_recorded, more=SOUTH)
    assert "MSK-01 north" in street.faults
    assert "scene.toml" in street.faults["MSK-01 north"]
    assert street.frames == []
    assert street.segments() == []
    assert street.segments("south")


@pytest.mark.raises_fault("MSK-01")
def test_masks_that_cannot_be_stored_close_the_camera(street: Street) -> None:
    street.state.mkdir()
    (street.state / mask_store.MASKS_DIR).symlink_to(street.state / "a disk that is away" / "masks")

    def is_reported(agent: Agent) -> bool:
        wait_until(lambda: any(fault.code == "MSK-01" for fault in agent.faults.active()))
        return not any(lane.counts().is_open for lane in agent.pipelines)

    street.run(DRAWN, MASK, is_reported)
    assert "masks cannot be stored" in street.faults["MSK-01 north"]
    assert street.frames == []
    assert street.segments() == []


def test_stored_masks_have_a_version_and_altered_ones_are_refused(
    tmp_path: Path,
) -> None:
    name = mask_store.store(tmp_path / "masks", [POLYGON])
    assert mask_store.store(tmp_path / "masks", [POLYGON]) == name
    assert mask_store.load(tmp_path / "masks", name) == (POLYGON,)
    (tmp_path / "masks" / f"{name}.json").write_text("[]")
    with pytest.raises(MaskingError, match="was altered"):
        mask_store.load(tmp_path / "masks", name)
    assert mask_store.store(tmp_path / "masks", [POLYGON]) == name
    assert mask_store.load(tmp_path / "masks", name) == (POLYGON,)
    with pytest.raises(MaskingError, match="No such file"):
        mask_store.load(tmp_path / "masks", "0" * 64)


def test_a_clip_that_cannot_be_masked_is_not_written(tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    write_street_clip(whole, 2.0)
    noise, empty = tmp_path / "noise.mp4", tmp_path / "empty.mp4"
    noise.write_bytes(bytes(range(256)) * 40)
    empty.touch()
    for source, mask in (
        (noise, POLYGON),
        (empty, POLYGON),
        (tmp_path / "nowhere.mp4", POLYGON),
        (whole, POLYGON[:2]),
    ):
        with pytest.raises(MaskingError) as caught:
            clip_masking.write_masked_clip(source, out, [mask])
        assert "\n" not in str(caught.value)
        assert not out.exists()


def test_a_camera_that_stays_closed_is_reported_to_the_centre(
    box: AgentBox, centre: RunningCentre
) -> None:
    (box.folder / "scene.toml").write_text(MASK + "[[mask]")
    with (box.folder / "vigie.toml").open("a") as config:
        config.write('\n[[camera]]\nname = "south"\ndriver = "fake"\noptions = {}\n')
    box.start()

    def reported(all_: list[ReceivedMessage]) -> bool:
        healths = [h.message.data for h in all_ if isinstance(h.message, HealthMessage)]
        return any(
            fault.code == "MSK-01" and "scene.toml" in fault.detail
            for report in healths
            for fault in report.faults
        )

    centre.wait_for(reported, "MSK-01")
    assert box.stop(signal.SIGTERM) == 0
    assert not list((box.folder / "state" / "footage").rglob("north/*.mp4*"))
