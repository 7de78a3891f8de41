"""Views of a fisheye camera: their configuration, their pictures, and its masks in them."""

import threading
from pathlib import Path

import numpy as np
import pytest

from agent.base.errors import UserError
from agent.capture import camera_source
from agent.capture.camera_source import CameraSource
from agent.capture.camera_views import FrameFeed, open_view
from agent.config.configuration import Config
from agent.config.fisheye import ViewOptions
from agent.config_change import config_check
from agent.detection.dewarp import Dewarper
from agent.detection.fisheye_lens import FisheyeLens
from drivers.contracts import Camera, StreamRequest
from drivers.errors import DriverError, MaskError
from drivers.masking import MASK_LUMA
from drivers.media import Frame, StreamInfo
from tests.conftest import ManualClock

CONFIG = """
[box]
id = "casa-0001"
site = "a corner"
[broker]
url = "mqtt://127.0.0.1:1883"
[[camera]]
name = "around"
driver = "fake"
record = false
options = { width_px = 640, height_px = 640, pace = "fast", noise = 0 }
projection = "fisheye"
lens = { field_of_view_deg = 185 }
detect = { enabled = false, scene = "around.toml" }
[camera.institution]
owner = "Casa Tramway"
purpose = "safety"
viewers = ["Amina"]
[[camera]]
name = "north"
driver = "view"
record = false
options = { camera = "around", pan_deg = 0, tilt_deg = -45, width_px = 320, height_px = 240 }
detect = { scene = "north.toml" }
"""
LINE = '[[line]]\nname = "street"\nfrom = [0.1, 0.5]\nto = [0.9, 0.5]\n'
TOP_MASK = "[[mask]]\npolygon = [[0.0, 0.0], [1.0, 0.0], [1.0, 0.5], [0.0, 0.5]]\n"
"""All that is ahead of a camera that looks down."""
ALL_FRAMES = StreamRequest(packets=False, frames_fps=float("inf"))


def write(folder: Path, text: str = CONFIG, around: str = "", north: str = LINE) -> Path:
    (folder / "around.toml").write_text(around)
    (folder / "north.toml").write_text(north)
    path = folder / "vigie.toml"
    path.write_text(text)
    return path


def load(path: Path) -> tuple[Config, tuple[CameraSource, ...]]:
    return camera_source.load_sources(path, ManualClock())


def read_frame(camera: Camera) -> Frame:
    while True:
        media = camera.read(5.0)
        if isinstance(media, Frame):
            return media


def test_a_view_is_a_camera_with_its_own_scene_and_size_and_the_owner_of_its_fisheye_camera(
    tmp_path: Path,
) -> None:
    config, (around, north) = load(write(tmp_path))
    assert [line.name for line in north.scene.line] == ["street"]
    assert north.frame_size_px == (320, 240)
    assert north.config.institution == around.config.institution == config.camera[1].institution
    assert north.config.institution is not None
    assert [camera.view_of for camera in config.camera] == [None, "around"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('camera = "around"', 'camera = "mast"', r"camera\[1\]\.options\.camera = 'mast': no such camera; allowed: around"),
        ('camera = "around"', 'camera = "north"', r"camera\[1\]\.options\.camera = 'north': no such camera; allowed: around"),
        ('driver = "view"\nrecord = false', 'driver = "view"', r"camera\[1\]\.record: has no use in a view"),
        ('driver = "view"', 'driver = "view"\ntranscode = true', r"camera\[1\]\.transcode: has no use in a view"),
        ("pan_deg = 0", "pan_deg = 200", r"camera\[1\]\.options\.pan_deg = 200: allowed: "),
        ("width_px = 320", "width_px = 321", r"camera\[1\]\.options\.width_px = 321: allowed: "),
        ("width_px = 320, height_px = 240", "width_px = 4000, height_px = 3000", r"width_px = 4000: with height_px = 3000; allowed: 4,000,000 pixels in all"),
        ("width_px = 320", "field_of_view_deg = 200, width_px = 320", "allowed: up to 150, or projection = 'panorama'"),
        ('projection = "fisheye"\n', "", "projection = 'fisheye' and lens go together"),
        ("lens = { field_of_view_deg = 185 }\n", "", "projection = 'fisheye' and lens go together"),
        ("enabled = false, ", "", r"detect\.enabled = true: its views detect; allowed: false"),
        ("lens = { field_of_view_deg = 185 }", "lens = { field_of_view_deg = 185, k = [-0.3, 0.0, 0.0, 0.0] }", r"camera\[0\]\.lens: field_of_view_deg: the lens bends rays back at"),
        ("lens = { field_of_view_deg = 185 }", "lens = { focal_length = 0.3, circle = 9.0 }", r"camera\[0\]\.lens\.circle = 9\.0: allowed: "),
    ],
)  # fmt: skip
def test_a_mistake_in_a_fisheye_camera_or_a_view_is_one_line_of_every_check(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert CONFIG.count(old) == 1
    path = write(tmp_path, CONFIG.replace(old, new))
    with pytest.raises(UserError, match=message):
        load(path)
    assert any(str(problem) for problem in config_check.find_problems(path, ManualClock())), (
        "check-config goes another way"
    )


@pytest.mark.parametrize("camera", ["around", "north"])
def test_a_view_that_claims_to_be_a_fisheye_camera_is_refused(tmp_path: Path, camera: str) -> None:
    """Each view of another, or of itself, would have no end."""
    fisheye = 'projection = "fisheye"\nlens = { field_of_view_deg = 185 }\n'
    text = CONFIG.replace('driver = "fake"', 'driver = "view"')
    text = text.replace(
        'options = { width_px = 640, height_px = 640, pace = "fast", noise = 0 }',
        f'options = {{ camera = "{camera}" }}',
    )
    text = text.replace(
        'driver = "view"\nrecord = false\noptions = { camera = "around", pan',
        f'driver = "view"\n{fisheye}record = false\noptions = {{ camera = "around", pan',
    )
    path = write(tmp_path, text)
    with pytest.raises(UserError):
        load(path)
    problems = [str(problem) for problem in config_check.find_problems(path, ManualClock())]
    assert any("no such camera" in problem for problem in problems)


def test_a_fisheye_camera_on_a_head_is_refused(tmp_path: Path) -> None:
    head = '[[head]]\nname = "mast"\ndriver = "fake"\ncamera = "north"\n'
    with pytest.raises(UserError, match="a fisheye camera does not turn; allowed: on no head"):
        load(write(tmp_path, CONFIG.replace('scene = "north.toml"', "enabled = true") + head))


@pytest.mark.parametrize(
    ("around", "north", "message"),
    [
        ("", TOP_MASK, r"north\.toml: mask\[0\]: masks of a view are drawn on the picture of its camera 'around'"),
        (LINE, "", r"around\.toml: lines and zones of a fisheye camera are drawn on its views"),
    ],
)  # fmt: skip
def test_masks_are_drawn_on_the_fisheye_picture_and_lines_on_its_views(
    tmp_path: Path, around: str, north: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load(write(tmp_path, around=around, north=north))


def test_at_the_pole_a_view_with_a_mask_of_its_own_stays_closed(tmp_path: Path) -> None:
    path = write(tmp_path, north=TOP_MASK)
    _, (around, north) = camera_source.load_sources(path, ManualClock(), "close")
    assert north.scene_error is not None
    assert around.scene_error is None


def test_a_view_that_is_opened_alone_shows_no_pixel_under_a_mask(tmp_path: Path) -> None:
    _, (_, open_north) = load(write(tmp_path))
    _, (_, masked_north) = load(write(tmp_path, around=TOP_MASK))
    seen, masked = (
        read_frame(source.open_main(ALL_FRAMES)) for source in (open_north, masked_north)
    )
    assert np.ptp(seen.y) > 50
    assert (masked.y == MASK_LUMA).all()


def test_a_view_of_a_camera_whose_masks_are_unknown_stays_closed(tmp_path: Path) -> None:
    path = write(tmp_path, around="[[mask]]\npolygon = 1\n")
    _, (_, north) = camera_source.load_sources(path, ManualClock(), "close")
    with pytest.raises(MaskError, match=r"around\.toml"):
        north.open_main(ALL_FRAMES)


LENS = FisheyeLens(focal_length=0.3)
INFO = StreamInfo(codec="h264", width_px=64, height_px=64, fps=15)


def frame(seq: int, t_ns: int = 0) -> Frame:
    y, x = np.mgrid[0:128, 0:128].astype(np.uint8)
    return Frame(seq=seq, t_ns=t_ns, y=y, u=x[::2, ::2], v=x[::2, ::2])


def dewarper(pan_deg: float) -> Dewarper:
    return Dewarper(LENS, ViewOptions(camera="around", pan_deg=pan_deg, width_px=64, height_px=64))


def test_each_view_gets_the_newest_frame_of_the_camera_dewarped_for_itself() -> None:
    feed = FrameFeed("around")
    with pytest.raises(DriverError, match="camera 'around' is not open yet"):
        open_view(dewarper(0), feed.open, ALL_FRAMES)
    feed.info = INFO
    north, south = (open_view(dewarper(pan), feed.open, ALL_FRAMES) for pan in (0, 180))
    assert (north.info.width_px, north.info.codec, north.info.fps) == (64, "rawvideo", 15)
    feed.put(frame(1))
    feed.put(frame(2))
    ahead, behind = read_frame(north), read_frame(south)
    assert (ahead.seq, behind.seq) == (2, 2)
    assert ahead.y.mean() < 64 < behind.y.mean(), "rows count from the top, which is ahead"
    assert north.read(0.0) is None


def test_a_view_detects_at_its_own_rate() -> None:
    feed = FrameFeed("around")
    feed.info = INFO
    view = open_view(dewarper(0), feed.open, StreamRequest(packets=False, frames_fps=5))
    taken = []
    for number in range(20):
        feed.put(frame(number, number * 50_000_000))
        if isinstance(view.read(1.0), Frame):
            taken.append(number)
    assert len(taken) == 5


def test_a_closed_view_ends_its_read_and_leaves_the_feed() -> None:
    feed = FrameFeed("around")
    feed.info = INFO
    view = open_view(dewarper(0), feed.open, ALL_FRAMES)
    view.close()
    view.close()
    with pytest.raises(DriverError, match="closed"):
        view.read(0.0)
    late = Frame(seq=1, t_ns=0, y=frame(1).y, u=frame(1).u, v=frame(1).v, is_late=True)
    thread = threading.Thread(target=lambda: [feed.put(late) for _ in range(3)])
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "a late frame waits for no view that has left"


def test_pictures_between_keyframes_are_wanted_if_one_view_wants_them_and_each_has_seen_the_keyframe() -> (
    None
):
    feed = FrameFeed("around")
    feed.info = INFO
    assert not feed.is_wanted(frame(1))
    seen: list[tuple[str, int]] = []
    answers = {"north": False, "south": False}

    def watch(name: str) -> StreamRequest:
        def is_wanted(keyframe: Frame) -> bool:
            seen.append((name, keyframe.width_px))
            return answers[name]

        return StreamRequest(packets=False, frames_fps=10, keyframe_watch=is_wanted)

    for name, pan_deg in (("north", 0), ("south", 180)):
        open_view(dewarper(pan_deg), feed.open, watch(name))
    assert not feed.is_wanted(frame(1))
    answers["north"] = True
    assert feed.is_wanted(frame(2))
    assert seen == [("north", 64), ("south", 64)] * 2
