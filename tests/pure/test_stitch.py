"""agent.ptz.panorama: true to the street, with exact poses and with errors."""

import math
import random
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from agent.config.heads import FieldOfView, SweepConfig
from agent.ptz.automation.sweep import plan_sweep
from agent.ptz.panorama.align import align_strips
from agent.ptz.panorama.shot import Image, Shot
from agent.ptz.panorama.stitch import StitchedImage, render_panorama, stitch
from agent.ptz.panorama.strip import project_shot
from drivers.contracts import Pose, Range
from simulation.street.renderer import SceneConditions
from simulation.surround import backdrop
from simulation.surround.surround_renderer import SurroundRenderer

WIDTH, HEIGHT = 480, 270
FOV = FieldOfView(wide=60.0, tele=60.0)
CONFIG = SweepConfig(tilt_deg=-12.0)
ROUND = plan_sweep(None, FOV, CONFIG)
LOWER_EDGE_DEG = 32.4
"""By hand: looking down by 12, the lower edge of a picture 60 wide reaches so far to each side; the
tangent is 0.5774 / (cos 12 - 0.3248 sin 12).
"""
CLEAR = SceneConditions(night=False, rain=0.0, noise=0.0)


@pytest.fixture(scope="module")
def street() -> SurroundRenderer:
    return SurroundRenderer(WIDTH, HEIGHT, CLEAR, 1, px_per_deg=8.0)


def empty(street: SurroundRenderer, pose: Pose) -> Image:
    """The street without anybody."""
    return street.render_static(street.panned_view(pose.pan_deg, pose.tilt_deg, 60.0))


def swept(
    street: SurroundRenderer,
    poses: tuple[Pose, ...] = ROUND,
    error_deg: float = 0.0,
    seen: Callable[[Image, int], Image] = lambda image, _: image,
) -> tuple[list[Shot], list[Pose]]:
    """Shots at the poses that the head reports, and the poses where it really pointed."""
    rng = random.Random(5)
    shots, looked = [], []
    for index, pose in enumerate(poses):
        really = Pose(
            pan_deg=pose.pan_deg + rng.uniform(-error_deg, error_deg),
            tilt_deg=pose.tilt_deg + rng.uniform(-error_deg, error_deg),
        )
        image = seen(empty(street, really), index)
        shots.append(Shot(pose=pose, error_deg=error_deg, image=image))
        looked.append(really)
    return shots, looked


def truth(
    street: SurroundRenderer, canvas: StitchedImage, pan_off_deg: float = 0, tilt_off_deg: float = 0
) -> Image:
    """Return the perfect panorama of the same size and position, rendered from the street."""
    height, width = canvas.image.shape[:2]
    pan = canvas.pan_from_deg + (np.arange(width) + 0.5) / width * canvas.width_deg
    high, low = (
        math.tan(math.radians(tilt)) for tilt in (canvas.tilt_high_deg, canvas.tilt_low_deg)
    )
    slope = high + (np.arange(height) + 0.5) / height * (low - high)
    tilt = np.degrees(np.arctan(slope))
    down, across = street.backdrop.shape[:2]
    x = ((pan + pan_off_deg + 180) % 360) / 360 * across - 0.5
    span = backdrop.TOP_DEG - backdrop.BOTTOM_DEG
    y = (backdrop.TOP_DEG - tilt - tilt_off_deg) / span * down - 0.5
    maps = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return np.asarray(
        cv2.remap(street.backdrop, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.uint8
    )


def errors(canvas: StitchedImage, true: Image) -> np.ndarray:
    """The mean difference of luma of each column, where something is shown."""
    shown = canvas.image.max(axis=2) > 0
    luma, true_luma = (
        cv2.cvtColor(i, cv2.COLOR_BGR2GRAY).astype(float) for i in (canvas.image, true)
    )
    apart = np.abs(luma - true_luma) * shown
    return apart.sum(axis=0) / np.maximum(1, shown.sum(axis=0))


def seams(canvas: StitchedImage, poses: tuple[Pose, ...] = ROUND) -> np.ndarray:
    """Whether a column is where two neighbours meet: in the half of the round between poses."""
    width = canvas.image.shape[1]
    pan = canvas.pan_from_deg + (np.arange(width) + 0.5) / width * canvas.width_deg
    step = 360 / len(poses)
    beside = np.abs((pan - poses[0].pan_deg + step / 2) % step - step / 2)
    return beside > step / 4


def apart_deg(strips: tuple, looked: list[Pose]) -> np.ndarray:
    """How far neighbours are put wrongly to each other: N x 2, pan and tilt."""
    off = np.array(
        [
            (s.pose.pan_deg - really.pan_deg, s.pose.tilt_deg - really.tilt_deg)
            for s, really in zip(strips, looked, strict=True)
        ]
    )
    return off - np.roll(off, 1, axis=0)


def test_with_true_poses_the_panorama_matches_the_street(street: SurroundRenderer) -> None:
    shots, _ = swept(street)
    for refine in (False, True):
        canvas = stitch(shots, FOV, refine=refine)
        assert canvas.width_deg == 360
        assert canvas.image.shape[1] == round(2 * math.pi * WIDTH / 2 / math.tan(math.radians(30)))
        wrong = errors(canvas, truth(street, canvas))
        assert wrong.mean() < 2.5
        # A seam is not worse than the picture next to it.
        at_seams = seams(canvas)
        assert wrong[at_seams].mean() < 1.25 * wrong[~at_seams].mean()


def test_the_panorama_closes_at_180_degrees_without_a_seam(street: SurroundRenderer) -> None:
    canvas = stitch(swept(street)[0], FOV)
    ends = np.concatenate([canvas.image[:, -40:], canvas.image[:, :40]], axis=1).astype(int)
    true = truth(street, canvas).astype(int)
    true_ends = np.concatenate([true[:, -40:], true[:, :40]], axis=1)
    rows = slice(40, -60)
    assert np.abs(ends[rows] - true_ends[rows])[:, 30:50].mean() < 3


def test_overlaps_of_neighbours_correct_the_poses(street: SurroundRenderer) -> None:
    shots, looked = swept(street, error_deg=1.0)
    strips = [project_shot(shot, FOV, 4096) for shot in shots]
    before = apart_deg(tuple(strips), looked)
    found = align_strips(strips)
    after = apart_deg(found.strips, looked)
    assert found.pair_count == found.matched_count == 10
    assert np.abs(before).max() > 1.0
    assert np.abs(after).max() < 0.1


def test_a_head_that_is_wrong_by_a_degree_leaves_no_step(street: SurroundRenderer) -> None:
    shots, looked = swept(street, error_deg=1.0)
    reported, refined = stitch(shots, FOV, refine=False), stitch(shots, FOV)
    strips = align_strips([project_shot(shot, FOV, 4096) for shot in shots]).strips
    # A full circle has no absolute reference: that is the mean of the reported poses.
    pan_off, tilt_off = (
        float(
            np.mean(
                [
                    getattr(p, axis) - getattr(s.pose, axis)
                    for s, p in zip(strips, looked, strict=True)
                ]
            )
        )
        for axis in ("pan_deg", "tilt_deg")
    )
    wrong = errors(refined, truth(street, refined, pan_off, tilt_off))
    wrongly_reported = errors(reported, truth(street, reported))
    assert wrong.mean() < 3.0
    assert wrongly_reported.mean() > 2 * wrong.mean()
    at_seams = seams(refined)
    assert wrong[at_seams].mean() < 1.4 * wrong[~at_seams].mean()
    assert abs(pan_off) < 1.0
    assert abs(tilt_off) < 1.0


def test_without_matches_the_reported_poses_are_used(street: SurroundRenderer) -> None:
    """Fog at night: a tenth of the contrast, under noise."""
    rng = np.random.default_rng(1)

    def fog(image: Image, _: int) -> Image:
        noise = rng.standard_normal(image.shape[:2])[..., None] * 5
        return np.clip(20 + 0.1 * image + noise, 0, 255).astype(np.uint8)

    shots, looked = swept(street, error_deg=0.3, seen=fog)
    strips = [project_shot(shot, FOV, 4096) for shot in shots]
    found = align_strips(strips)
    assert found.matched_count < found.pair_count / 2
    worst = np.abs(apart_deg(tuple(strips), looked)).max()
    assert np.abs(apart_deg(found.strips, looked)).max() < worst + 0.2
    canvas = stitch(shots, FOV)
    assert canvas.width_deg == 360
    clear = truth(street, canvas)
    correlation = np.corrcoef(
        cv2.blur(cv2.cvtColor(canvas.image, cv2.COLOR_BGR2GRAY), (9, 9))[20:-40].ravel(),
        cv2.blur(cv2.cvtColor(clear, cv2.COLOR_BGR2GRAY), (9, 9))[20:-40].ravel(),
    )[0, 1]
    assert correlation > 0.9


def test_differences_in_brightness_are_levelled(street: SurroundRenderer) -> None:
    bright = (1.0, 0.75, 1.2, 0.8, 1.1, 0.9, 1.25, 0.8, 1.0, 0.7)

    def seen(image: Image, index: int) -> Image:
        return np.clip(image * bright[index], 0, 255).astype(np.uint8)

    canvas = stitch(swept(street, seen=seen)[0], FOV)
    true = truth(street, canvas)
    rows = slice(30, -50)
    ratio = canvas.image[rows].mean(axis=(0, 2)) / true[rows].mean(axis=(0, 2))
    assert ratio.std() / ratio.mean() < 0.06
    assert np.std(bright) > 0.15


def test_moving_vehicles_neither_distort_the_panorama_nor_leave_ghosts(
    street: SurroundRenderer,
) -> None:
    """Each picture is taken four seconds after the one before: everybody has moved."""
    rng = random.Random(2)
    shots, looked = [], []
    for index, pose in enumerate(ROUND):
        pan_deg, tilt_deg = pose.pan_deg + rng.uniform(-1, 1), pose.tilt_deg + rng.uniform(-1, 1)
        image = street.render(pan_deg, tilt_deg, 60, 20 + 4.0 * index, index)
        shots.append(Shot(pose=pose, error_deg=1.0, image=image))
        looked.append(Pose(pan_deg=pan_deg, tilt_deg=tilt_deg))
    found = align_strips([project_shot(shot, FOV, 4096) for shot in shots])
    assert found.matched_count >= 9
    assert np.abs(apart_deg(found.strips, looked)).max() < 0.15
    canvas = stitch(shots, FOV)
    assert canvas.image.mean() > 100


def test_a_head_with_end_stops_gives_its_visible_range(street: SurroundRenderer) -> None:
    poses = plan_sweep(Range(low=-80, high=60), FOV, CONFIG)
    canvas = stitch(swept(street, poses)[0], FOV)
    assert canvas.pan_from_deg == pytest.approx(-80 - LOWER_EDGE_DEG, abs=0.3)
    assert canvas.width_deg == pytest.approx(140 + 2 * LOWER_EDGE_DEG, abs=0.5)
    assert errors(canvas, truth(street, canvas)).mean() < 3


def test_one_picture_makes_a_panorama_too(street: SurroundRenderer) -> None:
    canvas = stitch(swept(street, ROUND[:1])[0], FOV)
    assert canvas.width_deg == pytest.approx(2 * LOWER_EDGE_DEG, abs=0.5)
    assert (canvas.pair_count, canvas.matched_count) == (0, 0)


def test_uncovered_areas_are_black(street: SurroundRenderer) -> None:
    """Poses that were forbidden: their content is not invented."""
    shots, _ = swept(street)
    canvas = stitch(shots[:4] + shots[6:], FOV)
    assert canvas.width_deg == 360
    width = canvas.image.shape[1]
    at = [round((pan + 180) / 360 * width) for pan in (-8, 0, 8)]
    assert canvas.image[:, at].max() == 0
    assert canvas.image[100, round((90 + 180) / 360 * width)].max() > 0


def test_overlapping_by_more_than_half_it_still_closes(street: SurroundRenderer) -> None:
    poses = plan_sweep(None, FOV, SweepConfig(tilt_deg=-12.0, overlap=0.7))
    assert len(poses) == 21
    canvas = stitch(swept(street, poses)[0], FOV)
    assert errors(canvas, truth(street, canvas)).mean() < 2.5


def test_the_order_of_the_pictures_does_not_matter(street: SurroundRenderer) -> None:
    shots, _ = swept(street)
    one, other = stitch(shots, FOV), stitch(shots[::-1], FOV)
    assert one.image.tobytes() == other.image.tobytes()


@pytest.mark.parametrize("max_bytes", [200_000, 60_000, 20_000, 5_000])
def test_the_jpeg_fits_its_size_limit(street: SurroundRenderer, max_bytes: int) -> None:
    jpeg = render_panorama(swept(street)[0], FOV, max_bytes)
    assert len(jpeg) <= max_bytes
    back = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert len(jpeg) > max_bytes / 3 or max_bytes == 200_000
    assert back.shape[1] > 4 * back.shape[0]
    assert b"GPano:FullPanoWidthPixels" in jpeg


def test_large_pictures_are_made_smaller_first(street: SurroundRenderer) -> None:
    large, _ = swept(street, seen=lambda image, _: np.asarray(cv2.resize(image, (1920, 1080))))
    canvas = stitch(large, FOV)
    assert canvas.image.shape[1] == pytest.approx(4096, abs=2)
    assert errors(canvas, truth(street, canvas)).mean() < 4
