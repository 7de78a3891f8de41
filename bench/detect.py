"""Cost of the parts of detection: motion gate, detector step, tracker, ground, thumbnail.

Run: `python -m bench detect`.
"""

import contextlib
import random
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from agent.base.model import BoundingBox, Detection, Label, Track
from agent.config.configuration import DetectConfig
from agent.detection import image
from agent.detection.geometry import bottom_centre
from agent.detection.model_card import load_card
from agent.detection.motion_gate import MotionGate
from agent.detection.nms import merge_detections
from agent.detection.rules.ground_track import GroundTrack
from agent.detection.rules.scene_ground import SceneGround
from agent.detection.scene import Scene
from agent.detection.tracker import ObjectTracker
from bench import detect_step, videos
from bench.cpu import TurnTimes, one_core, run_in_turns
from bench.table import Row
from bench.tracking_peers import PEER_PYTHON, open_peers
from drivers.media import Frame, Plane
from tests.ground_camera import GroundCamera

MODEL = DetectConfig().model
GATE_WIDTH_PX = 320
GATE_FPS = 10


def rows() -> list[Row]:
    """Return the rows of the table."""
    with one_core():
        return [
            *gate_rows(),
            *detect_step.rows(),
            *tracker_rows(),
            *ground_rows(),
            *thumbnail_rows(),
        ]


def gate_rows() -> list[Row]:
    """Compare the motion gate with OpenCV's background subtractor on the same small images.

    A still street is one image with new sensor noise in each frame.
    """
    busy = [
        image.downscale_luma(frame.y, GATE_WIDTH_PX)
        for frame in videos.read_frames(videos.BUSY_MAIN, 120)
    ]
    rng = np.random.default_rng(1)
    still = [
        np.clip(busy[0] + rng.normal(0, videos.NOISE, busy[0].shape), 0, 255).astype(np.uint8)
        for _ in busy
    ]
    rows = []
    for name, luma_planes in (("busy", busy), ("still", still)):
        turns = run_in_turns({"ours": _gate_work(luma_planes), "mog2": _mog2_work(luma_planes)})
        rows.append(
            Row(
                name=f"motion gate / MOG2, {name}",
                value=turns.ratio("ours", "mog2"),
                unit="ratio",
                target="<= 0.2",
                note=f"{_format_ms(turns, len(luma_planes))} at 320x180, MOG2 with its defaults",
            )
        )
    return rows


def _format_ms(turns: TurnTimes, parts: int) -> str:
    """Format the milliseconds behind a ratio."""
    return " : ".join(f"{turns.ms(name, parts):.3f}" for name in turns.seconds) + " ms"


def _gate_work(luma_planes: Sequence[Plane]) -> Callable[[], None]:
    def work() -> None:
        gate = MotionGate()
        for index, one in enumerate(luma_planes):
            gate.detect(one, index * 1_000_000_000 // GATE_FPS)

    return work


def _mog2_work(luma_planes: Sequence[Plane]) -> Callable[[], None]:
    def work() -> None:
        subtractor = cv2.createBackgroundSubtractorMOG2()
        for one in luma_planes:
            subtractor.apply(one)

    return work


def synthetic_detections(objects: int, seconds: int = 20) -> list[list[Detection]]:
    """Return detections of road users who cross a picture, at 10 frames per second.

    Bounding boxes jitter by 3 % of their size, one in twenty is missing, some have a low score.
    """
    rng = np.random.default_rng(objects)
    positions = rng.uniform(0.1, 0.9, (objects, 2))
    speed = rng.normal(0, 0.04, (objects, 2))
    size = rng.uniform(0.02, 0.08, (objects, 1)) * (1.0, 1.8)
    labels: tuple[Label, ...] = ("person", "car")
    frames = []
    for _ in range(seconds * GATE_FPS):
        positions += speed / GATE_FPS
        speed = np.where((positions < 0.05) | (positions > 0.95), -speed, speed)
        detections = []
        for one in np.flatnonzero(rng.uniform(size=objects) > 0.05).tolist():
            w, h = (size[one] * rng.normal(1, 0.03, 2)).tolist()
            x, y = (positions[one] + size[one] * rng.normal(0, 0.03, 2)).tolist()
            detections.append(
                Detection(
                    label=labels[one % 2],
                    score=float(rng.uniform(0.25, 0.95)),
                    box=BoundingBox(x - w / 2, y - h / 2, w, h),
                )
            )
        frames.append(detections)
    return frames


def tracker_rows() -> list[Row]:
    """Compare the tracker with ByteTrack of the package `trackers`, on the same detections."""
    rows = []
    for objects in (5, 20, 50):
        frames = synthetic_detections(objects)
        track_count = [0]
        works: dict[str, Callable[[], float | None]] = {"ours": _tracker_work(frames, track_count)}
        with contextlib.ExitStack() as stack:
            if PEER_PYTHON.exists():
                peers = stack.enter_context(open_peers())
                film = peers.write_film("synthetic", frames, (1920, 1080), GATE_FPS, 0.6)
                works["bytetrack"] = lambda peers=peers, film=film: peers.track("bytetrack", film)[
                    0
                ]  # type: ignore[misc]
            turns = run_in_turns({**works, "merge": _merge_work(frames)}, turns=5)
        merge_note = f"joining of detections, not in it: {turns.ms('merge', len(frames)):.3f} ms"
        if not PEER_PYTHON.exists():
            note = f"next to nothing: `make setup-bench` installs the peer; {merge_note}"
            value, unit, target = turns.ms("ours", len(frames)), "ms", "-"
        else:
            value, unit, target = turns.ratio("ours", "bytetrack"), "ratio", "<= 0.3"
            own_ms, peer_ms = (turns.ms(name, len(frames)) for name in works)
            note = f"{own_ms:.3f} : {peer_ms:.3f} ms a frame; tracks {track_count[0]}; {merge_note}"
        name = f"tracker / trackers.ByteTrack, {objects} objects"
        rows.append(Row(name=name, value=value, unit=unit, target=target, note=note))
    return rows


def ground_rows() -> list[Row]:
    """Compare a frame's ground step, which places the foot of each track, with the tracker.

    The motion is computed only if it is asked for: of road users in an event, and of vehicles in a queue or wrong-way zone.
    """
    rows = []
    for objects in (5, 20, 50):
        frames = synthetic_detections(objects)
        tracked = _track_frames(frames)
        turns = run_in_turns(
            {
                "ground": _ground_work(tracked, fits_motion=False),
                "motion": _ground_work(tracked, fits_motion=True),
                "tracker": _tracker_work(frames, [0]),
            },
            turns=5,
        )
        own_ms, motion_ms, tracker_ms = (turns.ms(name, len(frames)) for name in turns.seconds)
        rows.append(
            Row(
                name=f"ground step / tracker, {objects} objects",
                value=turns.ratio("ground", "tracker"),
                unit="ratio",
                target="<= 0.5",
                note=f"{own_ms:.3f} : {tracker_ms:.3f} ms a frame; with the motion of all of them {motion_ms:.3f} ms",
            )
        )
    return rows


def _track_frames(frames: Sequence[Sequence[Detection]]) -> list[tuple[Track, ...]]:
    """Return the tracks of each frame."""
    tracker = ObjectTracker(load_card(MODEL).thresholds)
    found = []
    for index, detections in enumerate(frames):
        tracker.predict(index * 1_000_000_000 // GATE_FPS)
        searched = [1.0] * len(tracker.live_tracks)
        found.append(tracker.update(detections, [True] * len(detections), searched))
    return found


def _ground_work(frames: Sequence[tuple[Track, ...]], *, fits_motion: bool) -> Callable[[], None]:
    camera = GroundCamera()
    marks = camera.mark(camera.visible_places(random.Random(1), 8, 40.0))

    def work() -> None:
        ground = SceneGround(Scene(ground=marks))
        ground_tracks: dict[int, GroundTrack] = {}
        for index, tracks in enumerate(frames):
            t_ns = index * 1_000_000_000 // GATE_FPS
            ground.step()
            for track in tracks:
                ground_track = ground_tracks.setdefault(track.id, GroundTrack())
                if ground.plane is not None:
                    ground_track.add(t_ns, bottom_centre(track.box), ground.plane)
                    if fits_motion:
                        ground_track.motion(ground.plane)

    return work


def _tracker_work(
    frames: Sequence[Sequence[Detection]], track_count: list[int]
) -> Callable[[], None]:
    thresholds = load_card(MODEL).thresholds

    def work() -> None:
        tracker = ObjectTracker(thresholds)
        for index, detections in enumerate(frames):
            tracker.predict(index * 1_000_000_000 // GATE_FPS)
            moves, searched = [True] * len(detections), [1.0] * len(tracker.live_tracks)
            track_count[0] = len(tracker.update(detections, moves, searched))

    return work


def _merge_work(frames: Sequence[Sequence[Detection]]) -> Callable[[], None]:
    def work() -> None:
        for detections in frames:
            merge_detections(detections)

    return work


def thumbnail_rows() -> list[Row]:
    """Compare a thumbnail from planes with the way through colour, at the same quality."""
    frames = videos.read_frames(videos.BUSY_MAIN, 10, every=30)
    flats = [np.concatenate([f.y.ravel(), f.u.ravel(), f.v.ravel()]) for f in frames]
    i420_pictures = [flat.reshape(-1, frames[0].width_px) for flat in flats]
    rows = []
    for width, target in ((320, "aim <= 0.4"), (640, "aim <= 0.4")):
        turns = run_in_turns(
            {"planes": _planes_work(frames, width), "bgr": _bgr_work(i420_pictures, width)}
        )
        rows.append(
            Row(
                name=f"thumbnail by planes / by BGR, {width} px",
                value=turns.ratio("planes", "bgr"),
                unit="ratio",
                target=target,
                note=f"{_format_ms(turns, len(frames))} from 1080p, quality 80",
            )
        )
    return rows


def _planes_work(frames: Sequence[Frame], width: int) -> Callable[[], None]:
    def work() -> None:
        for frame in frames:
            image.encode_thumbnail(frame, width, 1_000_000)

    return work


def _bgr_work(i420_pictures: Sequence[npt.NDArray[np.uint8]], width: int) -> Callable[[], None]:
    size = (width, width * 9 // 16)

    def work() -> None:
        for one in i420_pictures:
            bgr = cv2.cvtColor(one, cv2.COLOR_YUV2BGR_I420)
            small = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
            cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])

    return work
