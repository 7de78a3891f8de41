"""Counts must not depend on where exactly a line is drawn: a metamorphic test on films, with and without labels.

The line of each film is moved along its normal and turned about its middle. Traffic that crosses the line of the film
crosses each of these too, as long as the whole passage is in the film and in the picture. Left out are road users that are in
the picture in the film's first or last moment, and those that come into the picture or leave it between the lines:
some of the lines are before or after their way. Each variant is a line of one scene, so that all see the same road users.
"""

import math
from collections.abc import Iterable, Mapping

import msgspec

from agent.base.model import BoundingBox, FrameResult
from agent.detection.geometry import box_centre, interpolate, signed_line_distance
from agent.detection.rules.line_crossing import LineCrossingDetector
from agent.detection.rules.road_users import VEHICLES, TrackMemory
from agent.detection.rules.scene_ground import SceneGround
from agent.detection.scene import Scene, SceneLine
from bench.accuracy import labelled_clips
from bench.street_cases import FILMS, NIGHT_FILM
from drivers.media import NS_PER_S, Point

MOVED, TURNED_DEG = 0.05, 10.0
"""Of a line: in picture heights, and in degrees."""
DRAWN = "drawn"
VEHICLE_LABELS = tuple(sorted(VEHICLES))
EDGE_S = 0.3
"""A road user that is in the picture so shortly after the film's begin or before its end is left out."""
PICTURE_EDGE = 0.02
"""By the picture's width or height: a box that ends nearer to its edge is cut off."""
LENGTHENED = 0.05
"""Of a line, at both ends: turned, it would end before the edge of the road."""


class PlaceScore(msgspec.Struct, frozen=True):
    """The crossings of one film by variant, then by direction. The line as it was drawn is DRAWN.

    `counts` has the road users whose whole way is in film and picture. Of these, `different` are not counted alike by all
    lines, and of those `between` have a track that begins or ends between the lines.
    """

    film: str
    counts: Mapping[str, Mapping[str, int]]
    different: int
    between: int


class _Way(msgspec.Struct, frozen=True):
    """The first and the last time of a road user, with its boxes."""

    first: tuple[int, BoundingBox]
    last: tuple[int, BoundingBox]


def counted_lines() -> dict[str, tuple[float, float, float, float]]:
    """Return the films of roads that are counted, each with its line: the labelled one, or one across the road."""
    lines = {film: one.line for film, one in labelled_clips().items()}
    across_a13 = lines[NIGHT_FILM]
    return {
        **{film: across_a13 for film in FILMS if film.startswith("tfl_625")},
        "ahmetozlu_input_video": lines["ahmetozlu_vehicle_surveillance"],
        "bgs_video02": (0.45, 0.55, 0.95, 0.55),
        "jamcamdet_raw4": (0.0, 0.6, 0.95, 0.6),
        **lines,
    }


def variants(start: Point, to: Point, aspect: float) -> dict[str, tuple[Point, Point]]:
    """Return the line as drawn but longer, moved to both sides, and turned both ways, by name."""
    start, to = interpolate(start, to, -LENGTHENED), interpolate(start, to, 1 + LENGTHENED)
    ax, ay, bx, by = start.x * aspect, start.y, to.x * aspect, to.y
    length = math.hypot(bx - ax, by - ay)
    normal_x, normal_y = -(by - ay) / length * MOVED, (bx - ax) / length * MOVED
    middle_x, middle_y = (ax + bx) / 2, (ay + by) / 2
    made = {DRAWN: (start, to)}
    for name, sign in (("moved forth", 1), ("moved back", -1)):
        moved = [(x + sign * normal_x, y + sign * normal_y) for x, y in ((ax, ay), (bx, by))]
        made[name] = _points(moved, aspect)
    for name, sign in (("turned left", 1), ("turned right", -1)):
        cos, sin = (f(math.radians(sign * TURNED_DEG)) for f in (math.cos, math.sin))
        turned = [
            (
                middle_x + (x - middle_x) * cos - (y - middle_y) * sin,
                middle_y + (x - middle_x) * sin + (y - middle_y) * cos,
            )
            for x, y in ((ax, ay), (bx, by))
        ]
        made[name] = _points(turned, aspect)
    return made


def _points(places: list[tuple[float, float]], aspect: float) -> tuple[Point, Point]:
    start, to = (Point(x / aspect, y) for x, y in places)
    return start, to


def score_place(film: str, start: Point, to: Point, results: Iterable[FrameResult]) -> PlaceScore:
    """Count the crossings of each variant by road users whose whole way is in the film."""
    results = tuple(results)
    height_px, width_px = results[0].gate_luma.shape
    lines = variants(start, to, width_px / height_px)
    scene = Scene(
        line=tuple(
            SceneLine(name=name, start=a, to=b, labels=VEHICLE_LABELS)
            for name, (a, b) in lines.items()
        )
    )
    memory = TrackMemory(SceneGround(scene))
    detectors = [LineCrossingDetector(line, memory) for line in scene.line]
    ways: dict[int, _Way] = {}
    crossings: list[tuple[str, str, int]] = []
    for result in results:
        memory.step(result)
        for user in memory:
            if user.is_visible:
                way = ways.get(user.id)
                first = (user.track.begin_ns, user.track.box) if way is None else way.first
                ways[user.id] = _Way(first, (result.t_ns, user.track.box))
        for detector in detectors:
            detector.step()
            for crossing in detector.crossings:
                user = next(one for one in memory if one.track.id == crossing.track.id)
                crossings.append((crossing.line.name, crossing.direction, user.id))
    first_ns, last_ns = results[0].t_ns + EDGE_S * NS_PER_S, results[-1].t_ns - EDGE_S * NS_PER_S
    whole = {
        user_id
        for user_id, way in ways.items()
        if way.first[0] > first_ns
        and way.last[0] < last_ns
        and not any(
            _is_cut(box) and _is_between(box, lines.values(), memory.aspect)
            for _, box in (way.first, way.last)
        )
    }
    by_whole = _by_variant(lines, [one for one in crossings if one[2] in whole])
    different = [
        user_id
        for user_id in whole
        if len(
            {
                tuple(d for v, d, own in crossings if (v, own) == (variant, user_id))
                for variant in lines
            }
        )
        > 1
    ]
    between = [
        user_id
        for user_id in different
        if any(
            _is_between(box, lines.values(), memory.aspect)
            for _, box in (ways[user_id].first, ways[user_id].last)
        )
    ]
    return PlaceScore(film, by_whole, len(different), len(between))


def _is_cut(box: BoundingBox) -> bool:
    """Whether a box ends at the picture's edge."""
    return min(box.x, box.y) < PICTURE_EDGE or max(box.x + box.w, box.y + box.h) > 1 - PICTURE_EDGE


def _is_between(box: BoundingBox, lines: Iterable[tuple[Point, Point]], aspect: float) -> bool:
    """Whether the centre of a box is on one side of some of the lines and on the other side of others."""
    centre = box_centre(box)
    return len({signed_line_distance(*one, centre, aspect) > 0 for one in lines}) > 1


def _by_variant(
    names: Iterable[str], crossings: Iterable[tuple[str, str, int]]
) -> dict[str, dict[str, int]]:
    """Count the crossings of each variant in each direction."""
    counts = {name: dict.fromkeys(("forward", "backward"), 0) for name in names}
    for name, direction, _ in crossings:
        counts[name][direction] += 1
    return counts


def difference(scores: Iterable[PlaceScore], variant: str) -> tuple[int, int, int]:
    """Return the crossings of the lines as drawn, how far the total of a variant is off, and the sum by film and direction."""
    drawn = total = apart = 0
    for score in scores:
        for direction, count in score.counts[DRAWN].items():
            other = score.counts[variant][direction]
            drawn, total, apart = drawn + count, total + other, apart + abs(other - count)
    return drawn, abs(total - drawn), apart
