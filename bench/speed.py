"""Speeds at lines next to true speeds: on published tracks of four views, and of the box's own tracks on the rendered avenue.

The published tracks (see `bench.speed_truth`) go through the box's own memory of road users, lines and speeds, ten
pictures a second. Their ground is the reference, or that of the measured distances as known lengths; the difference is the
calibration's. The avenue has an exact ground and one true speed; the difference is the detector's. Run:
`python -m bench.accuracy_report --rules speed`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec
import numpy as np

from agent.base.errors import UserError
from agent.base.model import BoundingBox, FrameResult, Track
from agent.base.speed_bands import MOTOR_VEHICLES, speed_band, v85_km_h
from agent.config.configuration import DetectConfig
from agent.detection.crossing_speeds import CrossingSpeed, CrossingSpeeds
from agent.detection.ground_marks import GroundMarks, GroundPoint, MarkedPoint
from agent.detection.ground_plane import calibrate
from agent.detection.pipeline import DetectionPipeline
from agent.detection.rules.line_crossing import Crossing, LineCrossingDetector
from agent.detection.rules.road_users import TrackMemory
from agent.detection.rules.scene_ground import SceneGround
from agent.detection.scene import Scene, SceneLine
from agent.detection.tflite import open_detector
from bench import speed_truth
from bench.report_rows import Goal, ReportRow, at_least, number_row, share_row
from bench.speed_truth import TrueView
from drivers.media import NS_PER_S, Frame, Point
from simulation.street.renderer import bgr_to_planes
from simulation.surround.avenue import SPEED_MPS
from simulation.surround.surround_renderer import SurroundRenderer

EVERY_FRAME = 5
"""Of 50 frames a second: a box detects on ten."""
LINES = {"near": 0.25, "middle": 0.5, "far": 0.75}
"""Shares of the way from the first measurement line to the last."""
CAR_M = (1.8, 1.5)
RULE = "speed"
PUBLISHED = "median 0.58, mean 0.75 km/h with a detector of its own (arXiv 2003.13137); these tracks with the best calibration of their set 1.04, 1.36"
GATE_LUMA = np.zeros((90, 160), np.uint8)

AVENUE_SIZE_PX = (1280, 720)
AVENUE_PAN_DEG, AVENUE_TILT_DEG, AVENUE_FOV_DEG = -8.0, -12.0, 55.0
AVENUE_S, AVENUE_FPS, AVENUE_SEED = 120, 10, 25
AVENUE_LINES_M = {"15 m": 15.0, "25 m": 25.0, "40 m": 40.0}
AVENUE_MARKS_M = tuple((x_m, z_m) for z_m in (12.0, 20.0, 35.0, 60.0) for x_m in (-5.6, 5.6))


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One vehicle at one line: its true speed, the one known at the crossing, and the one that is counted."""

    line: str
    true_km_h: float
    at_once_km_h: float | None
    counted_km_h: float | None
    counted_error_km_h: float | None


class SpeedErrors(msgspec.Struct, frozen=True, kw_only=True):
    """How far speeds are from the true ones, of `crossings` of which some have none. In km/h."""

    crossings: int
    given: int
    median: float
    mean: float
    below_95: float
    """95 of 100 errors are below it."""


def report_rows(note: Callable[[str], None]) -> list[ReportRow]:
    """Return the rows of the published tracks, if their files are there, and of the avenue. `note` takes progress."""
    note("speed: published tracks")
    published = _published_rows(list(speed_truth.views()))
    note("speed: rendered avenue")
    return [*published, *_error_rows("own tracks on the rendered avenue", measure_avenue())]


def _published_rows(views: Sequence[TrueView]) -> list[ReportRow]:
    if not views:
        return []
    by_view = {view.view.view: measure(view, view.marks()) for view in views}
    known = [one for measured in by_view.values() for one in measured]
    at_once = errors((one.at_once_km_h, one.true_km_h) for one in known)
    within = [
        abs(one.counted_km_h - one.true_km_h) <= 2 * one.counted_error_km_h
        for one in known
        if one.counted_km_h is not None and one.counted_error_km_h is not None
    ]
    off = {name: _v85_difference(measured) for name, measured in by_view.items()}
    by_lengths, refused = _measure_lengths(views)
    return [
        *_error_rows("published tracks", known, is_goal=True, published=PUBLISHED),
        share_row(
            RULE,
            "counted speeds within twice their stated error",
            sum(within),
            len(within),
            at_least(0.95),
        ),
        share_row(
            RULE, "crossings whose event has a speed", at_once.given, at_once.crossings, None
        ),
        number_row(
            RULE,
            "median error of the event's speed",
            at_once.median,
            _spread(at_once),
            at_once.given,
            None,
        ),
        number_row(
            RULE,
            "V85 from bands, apart from that of the true speeds, of the worst view",
            max(map(abs, off.values())),
            ", ".join(f"{one:+.1f}" for one in off.values()) + " km/h",
            len(off),
            None,
        ),
        *_error_rows("the same on the ground of known lengths", by_lengths, cause=refused),
    ]


def _error_rows(
    of: str,
    measured: Sequence[Measured],
    *,
    is_goal: bool = False,
    published: str = "-",
    cause: str = "",
) -> list[ReportRow]:
    found = errors((one.counted_km_h, one.true_km_h) for one in measured)
    return [
        number_row(
            RULE,
            f"median error of counted speeds, {of}",
            found.median,
            _spread(found),
            found.given,
            Goal(0.6, is_least=False, text="at most 0.6 km/h") if is_goal else None,
            published=published,
            cause=cause,
        ),
        share_row(
            RULE,
            f"crossings with a counted speed, {of}",
            found.given,
            found.crossings,
            at_least(0.9) if is_goal else None,
        ),
    ]


def _spread(found: SpeedErrors) -> str:
    return f"{found.median:.2f} km/h, mean {found.mean:.2f}, 95 of 100 below {found.below_95:.2f}"


def errors(speeds: Iterable[tuple[float | None, float]]) -> SpeedErrors:
    """Return the errors of speeds next to the true ones."""
    pairs = list(speeds)
    off = [abs(found - true) for found, true in pairs if found is not None]
    return SpeedErrors(
        crossings=len(pairs),
        given=len(off),
        median=float(np.median(off)),
        mean=float(np.mean(off)),
        below_95=float(np.quantile(off, 0.95)),
    )


def measure(view: TrueView, marks: GroundMarks) -> list[Measured]:
    """Return each vehicle that crosses a line, on the ground of some marks. Raises: UserError: refused marks."""
    calibrate(marks)
    lines = {name: view.line_at(share) for name, share in LINES.items()}
    true_km_h = {track.number: track.speed_km_h for track in view.tracks}
    return _follow(marks, lines, _results(view), true_km_h)


def measure_avenue() -> list[Measured]:
    """Return each vehicle that the box sees crossing a line of the avenue."""
    renderer = SurroundRenderer(*AVENUE_SIZE_PX, seed=AVENUE_SEED)
    pose = (AVENUE_PAN_DEG, AVENUE_TILT_DEG, AVENUE_FOV_DEG)
    view = renderer.panned_view(*pose)

    def point(x_m: float, z_m: float) -> Point:
        x_px, y_px = view.pixel(x_m, 0.0, z_m)
        return Point(x_px / AVENUE_SIZE_PX[0], y_px / AVENUE_SIZE_PX[1])

    marks = GroundMarks(
        point=tuple(
            MarkedPoint(at=point(*place), metres=GroundPoint(*place)) for place in AVENUE_MARKS_M
        )
    )
    lines = {name: (point(-6.0, z_m), point(6.0, z_m)) for name, z_m in AVENUE_LINES_M.items()}
    pipeline = DetectionPipeline(open_detector(DetectConfig().model))

    def frame(seq: int) -> Frame:
        y, u, v = bgr_to_planes(renderer.render(*pose, seq / AVENUE_FPS, seq))
        return Frame(seq=seq, t_ns=seq * NS_PER_S // AVENUE_FPS, y=y, u=u, v=v)

    results = (pipeline.process(frame(seq)) for seq in range(AVENUE_S * AVENUE_FPS))
    return _follow(marks, lines, results, defaultdict(lambda: 3.6 * SPEED_MPS))


def _follow(
    marks: GroundMarks,
    lines: Mapping[str, tuple[Point, Point]],
    results: Iterable[FrameResult],
    true_km_h: Mapping[int, float],
) -> list[Measured]:
    """Return the motor vehicles that cross lines. The true speeds are by the track's id."""
    scene = Scene(
        ground=marks,
        line=tuple(
            SceneLine(name=name, start=start, to=to, labels=tuple(sorted(MOTOR_VEHICLES)))
            for name, (start, to) in lines.items()
        ),
    )
    ground = SceneGround(scene)
    memory = TrackMemory(ground)
    detectors = [LineCrossingDetector(line, memory) for line in scene.line]
    speeds = CrossingSpeeds(memory)
    crossings: list[Crossing] = []
    final: list[CrossingSpeed] = []
    for result in results:
        ground.step()
        memory.step(result)
        for detector in detectors:
            detector.step()
        new = [crossing for detector in detectors for crossing in detector.crossings]
        crossings += new
        final += speeds.step(result.t_ns, new)
    final += speeds.flush()
    counted = {id(one.crossing): one for one in final}
    return [
        Measured(
            line=crossing.line.name,
            true_km_h=true_km_h[crossing.track.id],
            at_once_km_h=None if crossing.ground is None else crossing.ground.speed_km_h,
            counted_km_h=None if speed is None else speed.speed_km_h,
            counted_error_km_h=None if speed is None else speed.speed_error_km_h,
        )
        for crossing in crossings
        for speed in (counted.get(id(crossing)),)
    ]


def _measure_lengths(views: Sequence[TrueView]) -> tuple[list[Measured], str]:
    """Return the vehicles on the ground of known lengths, and a line about the views whose lengths are refused."""
    measured: list[Measured] = []
    refused = []
    for view in views:
        try:
            measured += measure(view, view.lengths())
        except UserError as error:
            refused.append(f"{view.view.view} refused: {error}")
    return measured, "; ".join(refused)


def _v85_difference(measured: Sequence[Measured]) -> float:
    pairs = [one for one in measured if one.line == "middle" and one.counted_km_h is not None]
    bands: dict[int, int] = defaultdict(int)
    for one in pairs:
        bands[speed_band(one.counted_km_h or 0.0)] += 1
    found = v85_km_h({"car": bands})
    assert found is not None
    return found - float(np.quantile([one.true_km_h for one in pairs], 0.85))


def _results(view: TrueView) -> Iterator[FrameResult]:
    """Yield the tracks of each frame, as boxes of a car's size above their points."""
    plane = calibrate(view.marks())
    size_px = (view.view.width_px, view.view.height_px)
    by_frame = defaultdict(list)
    for track in view.tracks:
        for t_s, at_px in zip(track.t_s, track.points_px, strict=True):
            frame = round(float(t_s) * view.view.fps)
            if frame % EVERY_FRAME == 0:
                by_frame[frame].append((track, at_px))
    for frame in sorted(by_frame):
        t_ns = round(frame / view.view.fps * NS_PER_S)
        tracks = []
        for track, at_px in by_frame[frame]:
            foot = view.point(at_px)
            scale = plane.pixels_per_metre(foot, *size_px)
            w, h = CAR_M[0] * scale / size_px[0], CAR_M[1] * scale / size_px[1]
            tracks.append(
                Track(
                    id=track.number,
                    label="car",
                    score=0.9,
                    box=BoundingBox(foot.x - w / 2, foot.y - h, w, h),
                    vx=0.0,
                    vy=0.0,
                    begin_ns=t_ns,
                    seen_ns=t_ns,
                )
            )
        yield FrameResult(
            seq=frame,
            t_ns=t_ns,
            width_px=size_px[0],
            height_px=size_px[1],
            gate_luma=GATE_LUMA,
            moving_ratio=0.0,
            tracks=tuple(tracks),
            inference_count=0,
        )
