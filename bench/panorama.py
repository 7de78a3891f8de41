"""Cost of a panorama of a full sweep, against OpenCV's stitcher on the same images.

Ten images of the rendered avenue from poses with an error of up to half a degree, four seconds apart, so
that all road users have moved. Also the cost of one image of that avenue, as a demo with a turning head
requests it. Run: `python -m bench panorama`.
"""

import random
from collections.abc import Callable

import cv2

from agent.config.heads import FieldOfView, SweepConfig
from agent.ptz.automation.sweep import plan_sweep
from agent.ptz.panorama.shot import Image, Shot
from agent.ptz.panorama.stitch import render_panorama, stitch
from bench.cpu import Work, one_core, run_in_turns
from bench.table import Row
from simulation.street.renderer import SceneConditions
from simulation.surround.surround_renderer import SurroundRenderer

WIDTH_PX, HEIGHT_PX = 640, 360
FOV = FieldOfView(wide=60.0, tele=60.0)
CONFIG = SweepConfig(tilt_deg=-12.0)
ERROR_DEG = 0.5
SHOT_INTERVAL_S = 4.0
MAX_BYTES = 300_000
VIEWS = 100
CONDITIONS = {
    "day": SceneConditions(night=False, rain=0.0, noise=2.0),
    "night": SceneConditions(night=True, rain=0.0, noise=4.0),
}


def discard_result(work: Callable[[], object]) -> Work:
    """Wrap a work whose result is ignored."""

    def run_work() -> None:
        work()

    return run_work


def take_sweep(renderer: SurroundRenderer) -> list[Shot]:
    """Take the images of one sweep, with pose errors."""
    rng = random.Random(4)
    shots = []
    for index, pose in enumerate(plan_sweep(None, FOV, CONFIG)):
        image = renderer.render(
            pose.pan_deg + rng.uniform(-ERROR_DEG, ERROR_DEG),
            pose.tilt_deg + rng.uniform(-ERROR_DEG, ERROR_DEG),
            FOV.wide,
            20 + SHOT_INTERVAL_S * index,
            index,
        )
        shots.append(Shot(pose=pose, error_deg=ERROR_DEG, image=image))
    return shots


def stitch_with_opencv(images: list[Image]) -> int:
    """Run OpenCV's stitcher with its defaults. Return how many images it placed."""
    peer = cv2.Stitcher.create(cv2.Stitcher_PANORAMA)
    status, _ = peer.stitch(images)
    return len(peer.component()) if status == cv2.Stitcher_OK else 0


def render_views(renderer: SurroundRenderer) -> None:
    """Render the views of a head that turns all the time, at ten frames per second."""
    for index in range(VIEWS):
        renderer.render(-180 + 3.6 * index, -12, FOV.wide, index / 10, index)


def rows() -> list[Row]:
    """Compare the panorama and the peer, in turns."""
    renderers = {
        name: SurroundRenderer(WIDTH_PX, HEIGHT_PX, conditions, 1)
        for name, conditions in CONDITIONS.items()
    }
    shots = {name: take_sweep(street) for name, street in renderers.items()}
    images = {name: [shot.image for shot in panoramas] for name, panoramas in shots.items()}
    count = len(shots["day"])
    with one_core():
        cv2.setRNGSeed(1)
        peer_placed = {name: stitch_with_opencv(each) for name, each in images.items()}
        turns = run_in_turns(
            {
                "ours": discard_result(lambda: render_panorama(shots["day"], FOV, MAX_BYTES)),
                "theirs": discard_result(lambda: stitch_with_opencv(images["day"])),
                "view": lambda: render_views(renderers["day"]),
            },
            turns=5,
        )
        panoramas = {name: stitch(each, FOV) for name, each in shots.items()}
    matched_text = ", ".join(
        f"{one.matched_count} of {one.pair_count} by {name}" for name, one in panoramas.items()
    )
    peer_text = ", ".join(f"{number} by {name}" for name, number in peer_placed.items())
    return [
        Row(
            name=f"panorama of a round, {count} pictures of {WIDTH_PX}x{HEIGHT_PX}",
            value=turns.ms("ours", 1),
            unit="ms",
            target="<= 1000",
            note=f"CPU, with the JPEG; neighbours aligned by what they show: {matched_text}",
        ),
        Row(
            name="panorama / cv2.Stitcher, same pictures",
            value=turns.ratio("ours", "theirs"),
            unit="ratio",
            target="<= 0.5",
            note=f"it knows no poses; of {count} pictures it places {peer_text}; ours are all there",
        ),
        Row(
            name=f"the rendered avenue, a picture of {WIDTH_PX}x{HEIGHT_PX}",
            value=turns.ms("view", VIEWS),
            unit="ms",
            target="<= 10",
            note="CPU, while the head turns; 10 a second are 10 % of a core at 10 ms",
        ),
    ]
