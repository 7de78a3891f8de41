"""The rendered street with a calibrated ground, and road users on it: its own camera is known to the centimetre."""

from collections.abc import Callable, Iterator, Sequence

from agent.base.model import BoundingBox, FrameResult, Label, Track
from agent.detection.ground_marks import GroundMarks, GroundPoint, MarkedPoint
from drivers.media import NS_PER_S, Plane, Point
from simulation.street.fixed_view import FixedView
from tests.pure.rules.scripted_tracks import BUSY_PICTURES

Place = tuple[float, float]
"""In metres: x across, y along the street."""
Trajectory = Callable[[float], Place | None]
"""From a time in s to the place of a foot, or None if the road user is absent."""
SIZES_M: dict[Label, Place] = {"car": (1.8, 1.5), "motorcycle": (0.8, 1.6), "person": (0.6, 1.7)}
VIEW = FixedView(1280, 720)
MARKED_M = (
    *((-5.6, 10.0), (5.6, 10.0), (-1.9, 18.0), (1.9, 18.0)),
    *((-5.6, 30.0), (5.6, 30.0), (-5.6, 60.0), (5.6, 60.0)),
)
"""Kerbs and middles of lanes, across and along the street from the foot of the pole."""


def point_at(x_m: float, y_m: float) -> Point:
    """The point that shows a place, unrounded: marks are set to a tenth of a pixel here."""
    x_px, y_px = VIEW.pixel(x_m, 0.0, y_m)
    return Point(x_px / VIEW.width_px, y_px / VIEW.height_px)


STREET_MARKS = GroundMarks(
    point=tuple(
        MarkedPoint(at=point_at(x_m, y_m), metres=GroundPoint(x_m, y_m)) for x_m, y_m in MARKED_M
    )
)


def street_ground_toml() -> str:
    """The marks as a scene has them."""
    marks = ",\n".join(
        f"  {{ at = [{mark.at.x:.6f}, {mark.at.y:.6f}], metres = [{mark.metres.x_m}, {mark.metres.y_m}] }}"
        for mark in STREET_MARKS.point
        if mark.metres is not None
    )
    return f"\n[ground]\npoint = [\n{marks}\n]\n"


def along(
    y_m: float, speed_m_s: float, x_m: float = 1.9, *, begin_s: float = 0.0, end_s: float = 99.0
) -> Trajectory:
    """A way along the street, seen from `begin_s` until `end_s`."""
    return lambda t_s: (x_m, y_m + speed_m_s * t_s) if begin_s <= t_s <= end_s else None


def track_at(place: Place, t_ns: int, number: int, label: Label) -> Track:
    """A road user whose foot is at a place, seen from behind."""
    foot, scale = point_at(*place), VIEW.scale_px(*place)
    width, height = SIZES_M[label]
    w, h = width * scale / VIEW.width_px, height * scale / VIEW.height_px
    return Track(
        id=number,
        label=label,
        score=0.8,
        box=BoundingBox(foot.x - w / 2, foot.y - h, w, h),
        vx=0.0,
        vy=0.0,
        begin_ns=0,
        seen_ns=t_ns,
    )


def street_results(
    road_users: Sequence[tuple[Trajectory, Label]],
    seconds: float,
    size_px: tuple[int, int] = (VIEW.width_px, VIEW.height_px),
    pictures: Sequence[Plane] = BUSY_PICTURES,
) -> Iterator[FrameResult]:
    """Ten results a second with the road users that have a place, numbered from 1."""
    for seq in range(round(seconds * 10) + 1):
        t_ns = seq * NS_PER_S // 10
        places = [
            (number, label, place)
            for number, (trajectory, label) in enumerate(road_users, 1)
            if (place := trajectory(t_ns / NS_PER_S)) is not None
        ]
        yield FrameResult(
            seq=seq,
            t_ns=t_ns,
            width_px=size_px[0],
            height_px=size_px[1],
            gate_luma=pictures[seq % len(pictures)],
            moving_ratio=0.0,
            tracks=tuple(track_at(place, t_ns, *one) for *one, place in places),
            inference_count=1,
        )
