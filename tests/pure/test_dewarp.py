"""agent.detection.dewarp: views of a fisheye camera against what a camera in their place would show."""

import json
import math
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from agent.config.fisheye import ViewOptions
from agent.detection.dewarp import Dewarper, share
from agent.detection.fisheye_lens import FisheyeLens, view_rays
from bench.fisheye_film import (
    FisheyeFilm,
    render_avenue,
    to_street,
    view_positions,
)
from drivers.masking import MASK_CHROMA, MASK_LUMA
from drivers.media import Frame, Planes, Point
from simulation.street.renderer import SceneConditions, bgr_to_planes
from simulation.surround.surround_renderer import SurroundRenderer

SHARED = Path(__file__).parents[3] / "shared" / "fisheye"
"""Fisheye frames with rotated boxes, CEPDOF; not part of the project."""

LENS = FisheyeLens(
    focal_length=0.5 / math.radians(92.5), centre=Point(0.505, 0.49), k=(0.01, -0.003, 0.0, 0.0)
)
VIEW = ViewOptions(
    camera="mast", pan_deg=-35, tilt_deg=-40, field_of_view_deg=80, width_px=240, height_px=180
)


def frame_of(planes: Planes) -> Frame:
    return Frame(seq=7, t_ns=123, y=planes[0], u=planes[1], v=planes[2], is_late=True)


def checks(width_px: int, height_px: int) -> Planes:
    """A smooth picture in which each place looks different, in colour."""
    y, x = np.mgrid[0:height_px, 0:width_px]
    luma = 120 + 60 * np.sin(x / 11) * np.cos(y / 13) + 30 * np.sin((x + 2 * y) / 29)
    half = luma[::2, ::2]
    return (
        luma.astype(np.uint8),
        (half * 0.5 + 60).astype(np.uint8),
        (200 - half * 0.5).astype(np.uint8),
    )


def test_a_film_that_a_fisheye_lens_bent_is_dewarped_to_itself() -> None:
    film = frame_of(checks(VIEW.width_px, VIEW.height_px))
    fisheye = FisheyeFilm(LENS, (VIEW,), 1000, 750).warp(film)
    view = Dewarper(LENS, VIEW).dewarp(frame_of(fisheye))
    assert (view.seq, view.t_ns, view.is_late) == (7, 123, True)
    assert (view.width_px, view.height_px) == (VIEW.width_px, VIEW.height_px)
    for before, after in zip((film.y, film.u, film.v), (view.y, view.u, view.v), strict=True):
        inner = np.s_[4:-4, 4:-4]
        assert before.shape == after.shape
        assert not after.flags.writeable
        off = np.abs(before[inner].astype(int) - after[inner])
        # A shift of half a pixel would be 3 of luma on average.
        assert off.mean() < 1
        assert np.percentile(off, 99) <= 5


def test_a_place_that_the_camera_does_not_see_has_the_colour_of_a_mask() -> None:
    view = msgspec.structs.replace(VIEW, tilt_deg=60)
    seen = Dewarper(LENS, view).dewarp(frame_of(checks(800, 800)))
    assert (seen.y[0, 120], seen.u[0, 60], seen.v[0, 60]) == (MASK_LUMA, MASK_CHROMA, MASK_CHROMA)


def test_the_maps_follow_the_size_of_the_picture() -> None:
    dewarper = Dewarper(LENS, VIEW)
    small, large = (dewarper.dewarp(frame_of(checks(size, size))) for size in (400, 800))
    assert np.abs(small.y.astype(int) - large.y).max() > 0
    again = dewarper.dewarp(frame_of(checks(400, 400)))
    assert again.y.tobytes() == small.y.tobytes()


def test_the_small_luma_of_a_view_is_that_of_the_whole_view_and_of_a_shared_frame() -> None:
    frame = frame_of(checks(1000, 1000))
    view = Dewarper(LENS, VIEW).dewarp(frame)
    small = view.luma_at_least(120)
    assert small.shape == (90, 120)
    whole = cv2.resize(view.y, (120, 90), interpolation=cv2.INTER_AREA)
    inner = np.s_[2:-2, 2:-2]
    assert np.abs(small[inner].astype(int) - whole[inner]).mean() < 3
    shared = Dewarper(LENS, VIEW).dewarp(share(frame)).luma_at_least(120)
    assert shared.tobytes() == small.tobytes()


def test_a_part_of_a_view_is_that_part_of_the_whole_view() -> None:
    view = Dewarper(LENS, VIEW).dewarp(frame_of(checks(600, 600)))
    y, u, v = view.part(40, 20, 140, 80)
    assert (y == view.y[20:80, 40:140]).all()
    assert (u == view.u[10:40, 20:70]).all()
    assert (v == view.v[10:40, 20:70]).all()


def test_the_avenue_in_a_view_is_the_avenue_of_a_camera_that_looks_there() -> None:
    clear = SceneConditions(night=False, rain=0.0, noise=0.0)
    picture = render_avenue(LENS, 600, 600, conditions=clear)(12.0, 0)
    view = Dewarper(LENS, VIEW).dewarp(frame_of(bgr_to_planes(picture)))
    renderer = SurroundRenderer(VIEW.width_px, VIEW.height_px, clear)
    direct, _, _ = bgr_to_planes(
        renderer.render(VIEW.pan_deg, VIEW.tilt_deg, VIEW.field_of_view_deg, 12.0)
    )
    smooth = [cv2.GaussianBlur(luma, (9, 9), 2).astype(int) for luma in (view.y, direct)]
    assert np.abs(smooth[0] - smooth[1]).mean() < 4
    shift, _ = cv2.phaseCorrelate(*(one.astype(np.float64) for one in smooth))
    assert math.hypot(*shift) < 0.5, "right to the pixel"


needs_shared = pytest.mark.skipif(not SHARED.exists(), reason=f"{SHARED} is not there")


def shared_frame() -> tuple[Frame, list[tuple[float, float, float, float, float]]]:
    """An indoor picture of a ceiling camera, and its people's rotated boxes: middle, size, degrees clockwise."""
    picture = cv2.imread(str(SHARED / "Lunch3_000001.jpg"))
    truth = json.loads((SHARED / "cepdof_video_0.json").read_text())
    boxes = [
        tuple(one["bbox"]) for one in truth["annotations"] if one["image_id"] == "Lunch3_000001"
    ]
    return frame_of(bgr_to_planes(np.asarray(picture, np.uint8))), boxes


@needs_shared
def test_a_real_picture_that_is_dewarped_and_bent_again_is_itself() -> None:
    frame, _ = shared_frame()
    lens = FisheyeLens(focal_length=0.5 / (math.pi / 2))
    view = ViewOptions(
        camera="hall", tilt_deg=-90, field_of_view_deg=100, width_px=1600, height_px=1600
    )
    dewarped = Dewarper(lens, view).dewarp(frame)
    again = FisheyeFilm(lens, (view,), frame.width_px, frame.height_px).warp(dewarped)[0]
    middle = np.s_[800:1250, 800:1250]
    off = np.abs(again[middle].astype(int) - frame.y[middle])
    assert off.mean() < 5, "the grain is smoothed twice"
    shift, _ = cv2.phaseCorrelate(
        again[middle].astype(np.float64), frame.y[middle].astype(np.float64)
    )
    assert math.hypot(*shift) < 0.05


@needs_shared
def test_people_below_a_ceiling_camera_stand_upright_in_the_middle_of_a_view_at_them() -> None:
    frame, boxes = shared_frame()
    lens = FisheyeLens(focal_length=0.5 / (math.pi / 2))
    leans_deg = []
    for x, y, width, height, clockwise_deg in boxes:
        middle = np.array([x, y])
        turn = math.radians(clockwise_deg)
        to_end = height / 2 * np.array([math.sin(turn), -math.cos(turn)])
        ends = np.array([middle, middle - to_end, middle + to_end]) / (
            frame.width_px,
            frame.height_px,
        )
        rays = to_street(lens, lens.unproject(ends, 1.0))
        right, up, ahead = rays[0]
        tilt_deg = math.degrees(math.asin(up))
        if tilt_deg < -65 or height < 1.2 * width:
            continue
        view = ViewOptions(
            camera="hall",
            pan_deg=math.degrees(math.atan2(right, ahead)),
            tilt_deg=tilt_deg,
            field_of_view_deg=90,
        )
        centre, one, other = view_positions(view, rays) * (view.width_px, view.height_px)
        assert centre == pytest.approx((view.width_px / 2, view.height_px / 2), abs=1e-6)
        across, down = np.abs(one - other)
        leans_deg.append(math.degrees(math.atan2(across, down)))
        positions = view_positions(view, rays)
        back = lens.project(lens.to_camera(view_rays(view, *positions.T)), 1.0)
        assert np.abs((back - ends) * frame.width_px).max() < 0.01, "back on its pixel"
    assert len(leans_deg) >= 3
    # They sit at tables and lean; by chance it would be 45.
    assert float(np.median(leans_deg)) < 30
