"""Plan the path of a head to a pose, around its forbidden sectors. Pure.

A head turns its axes at once, each at its own speed, so its path between two poses is only known to
stay between them. If that whole rectangle is free the head goes straight; otherwise one axis after
the other, over or under the sector, or round by the back.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from agent.config.heads import FieldOfView, ForbiddenSector
from agent.ptz.motion.forbidden_sectors import (
    UNKNOWN_POSITION_DEG,
    SphereArea,
    first_visible_sector,
    swept_area,
)
from agent.ptz.motion.overshoot import Overshoot
from agent.ptz.motion.position_servo import pan_delta_deg
from drivers.angles import wrap_deg
from drivers.contracts import Pose, Range, Velocity
from drivers.pan_range import nearest_pan_deg, unwrap_pan_deg

MAX_LEG_DEG = 120.0
"""No leg is longer, so that an endless head cannot choose the other way round."""
SEARCH_STEP_DEG = 1.0
AREA_TILT_STEP_DEG = 5.0
EDGE_MARGIN_DEG = 0.5
"""Kept from a sector's edge, so that a head that arrives there is not inside."""
SPEED_FACTORS = (1.0, 0.5, 0.25, 0.1)


class PathBlocked(Exception):
    """There is no path; `sector` blocks it."""

    def __init__(self, sector: ForbiddenSector) -> None:
        super().__init__(sector.name)
        self.sector = sector


class MotionBounds(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of a head's view and motion at one moment.

    `error_deg` is the error of its position; `at_rest_error_deg` that of an absolute head when it was
    last at rest. `overshoot` is how far it keeps moving. `pan_deg` and `tilt_deg` are its mechanical limits.
    """

    sectors: tuple[ForbiddenSector, ...]
    fov: FieldOfView | None
    error_deg: float
    at_rest_error_deg: float
    overshoot: Overshoot
    pan_deg: Range | None
    tilt_deg: Range

    def visible_sector(self, area: SphereArea, *, passing: bool) -> ForbiddenSector | None:
        """Return the first sector that may be seen from the area, or None.

        With `passing` those that may be crossed do not count.
        """
        sectors = [s for s in self.sectors if not (passing and s.may_cross)]
        return first_visible_sector(area, sectors, self.fov, self.error_deg) if sectors else None

    @property
    def is_position_unknown(self) -> bool:
        """True if there are sectors and the position is unknown."""
        return bool(self.sectors) and self.error_deg >= UNKNOWN_POSITION_DEG

    @property
    def for_steering(self) -> "MotionBounds":
        """The bounds for checks of the whole `overshoot` against the sectors.

        While an absolute head moves, its error is the age of its answer, which the overshoot
        contains already.
        """
        return msgspec.structs.replace(self, error_deg=min(self.error_deg, self.at_rest_error_deg))

    def clamp(self, pose: Pose) -> Pose:
        """Return the pose, or the nearest that the head can reach."""
        pan = nearest_pan_deg(pose.pan_deg, self.pan_deg)
        tilt = self.tilt_deg.clamp(pose.tilt_deg)
        return msgspec.structs.replace(pose, pan_deg=pan, tilt_deg=tilt)


def is_direct_path_clear(start: Pose, target: Pose, bounds: MotionBounds) -> bool:
    """Return whether every path that the head may choose is free."""
    areas = [_direct_area(start, target, travel) for travel in _pan_travels(start, target, bounds)]
    return _first_blocking_sector(areas, bounds) is None


def plan_path(start: Pose, target: Pose, bounds: MotionBounds) -> tuple[Pose, ...]:
    """Return the poses to visit in order, the last one `target`.

    From within a sector the first is the nearest pose outside. Raises: PathBlocked.
    """
    target_sector = bounds.visible_sector(swept_area(target), passing=False)
    if target_sector is not None:
        raise PathBlocked(target_sector)
    start_sector = bounds.visible_sector(swept_area(start), passing=True)
    if start_sector is not None:
        exit_pose = find_exit(start, bounds)
        if exit_pose is None:
            raise PathBlocked(start_sector)
        return (exit_pose, *plan_path(exit_pose, target, bounds))
    direct_legs = _split_leg(start, target, _pan_travels(start, target, bounds)[0])
    blocking_sector = _first_blocking_sector(_path_areas((start, *direct_legs)), bounds)
    if blocking_sector is None:
        return direct_legs
    detours = [
        legs
        for legs in _detours(start, target, bounds)
        if _first_blocking_sector(_path_areas((start, *legs)), bounds) is None
    ]
    if not detours:
        raise PathBlocked(blocking_sector)
    return min(detours, key=lambda legs: _path_length_deg(start, legs))


def find_exit(start: Pose, bounds: MotionBounds) -> Pose | None:
    """Return the nearest pose straight left, right, up or down from which no sector is seen.

    On the way no further sector comes into the picture. None if there is no such pose.
    """
    if bounds.is_position_unknown:
        return None
    visible = [s for s in bounds.sectors if _is_visible(swept_area(start), s, bounds)]
    others = [s for s in bounds.sectors if s not in visible]
    directions = {(1, 0), (-1, 0), (0, 1), (0, -1)}
    # Continuous across the back, as the range is: no step leads from one end stop to the other.
    start_pan_deg = (
        start.pan_deg if bounds.pan_deg is None else unwrap_pan_deg(start.pan_deg, bounds.pan_deg)
    )
    for step in range(1, int(180 / SEARCH_STEP_DEG) + 1):
        for pan, tilt in sorted(directions, reverse=True):
            distance_deg = step * SEARCH_STEP_DEG + EDGE_MARGIN_DEG
            pose = Pose(
                pan_deg=start_pan_deg + pan * distance_deg,
                tilt_deg=start.tilt_deg + tilt * distance_deg,
                zoom=start.zoom,
            )
            passed_area = swept_area(
                pose,
                -pan * (SEARCH_STEP_DEG + EDGE_MARGIN_DEG),
                -tilt * (SEARCH_STEP_DEG + EDGE_MARGIN_DEG),
            )
            if not _is_reachable(pose, bounds) or any(
                _is_visible(passed_area, s, bounds) for s in others
            ):
                directions.discard((pan, tilt))
            elif not any(_is_visible(swept_area(pose), s, bounds) for s in visible):
                return bounds.clamp(pose)
    return None


def clip_velocity(
    velocity: Velocity, pose: Pose, bounds: MotionBounds
) -> Velocity | ForbiddenSector:
    """Return as much of a velocity as brings no sector into the picture: slower, or along the edge.

    The next order may only take effect after the overshoot. Returns the sector if nothing of the
    velocity is left. From within a sector only the part that leads straight out is left, and into
    no other sector.
    """
    start_sector = bounds.visible_sector(swept_area(pose), passing=True)
    if start_sector is not None:
        outward = _outward_velocity(velocity, pose, bounds)
        if outward is None:
            return start_sector
        others = tuple(s for s in bounds.sectors if not _is_visible(swept_area(pose), s, bounds))
        velocity, bounds = outward, msgspec.structs.replace(bounds, sectors=others)
    first_hit: ForbiddenSector | None = None
    for candidate in _reduced_velocities(velocity):
        hit = bounds.visible_sector(bounds.overshoot.reachable_area(pose, candidate), passing=True)
        if hit is None:
            return candidate
        first_hit = first_hit or hit
    return first_hit or velocity


def _outward_velocity(velocity: Velocity, pose: Pose, bounds: MotionBounds) -> Velocity | None:
    exit_pose = find_exit(pose, bounds)
    if exit_pose is None:
        return None
    pan = pan_delta_deg(pose.pan_deg, exit_pose.pan_deg, bounds.pan_deg)
    tilt = exit_pose.tilt_deg - pose.tilt_deg
    outward = Velocity(
        pan_deg_s=velocity.pan_deg_s if pan * velocity.pan_deg_s > 0 else 0.0,
        tilt_deg_s=velocity.tilt_deg_s if tilt * velocity.tilt_deg_s > 0 else 0.0,
        zoom=max(velocity.zoom, 0.0),
        focus=velocity.focus,
    )
    return outward if outward.pan_deg_s or outward.tilt_deg_s or outward.zoom else None


def _reduced_velocities(velocity: Velocity) -> Iterator[Velocity]:
    """Yield the velocity, then slower ones, the last along one axis alone."""
    axes = ((1, 1, 1), (1, 1, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
    yielded: set[Velocity] = set()
    for (pan, tilt, zoom), factor in itertools.product(axes, SPEED_FACTORS):
        reduced = Velocity(
            pan_deg_s=velocity.pan_deg_s * factor * pan,
            tilt_deg_s=velocity.tilt_deg_s * factor * tilt,
            zoom=velocity.zoom * zoom,
            focus=velocity.focus,
        )
        is_moving = reduced.pan_deg_s or reduced.tilt_deg_s or reduced.zoom or reduced.focus
        if is_moving and reduced not in yielded:
            yielded.add(reduced)
            yield reduced


def _is_visible(area: SphereArea, sector: ForbiddenSector, bounds: MotionBounds) -> bool:
    return first_visible_sector(area, (sector,), bounds.fov, bounds.error_deg) is not None


def _is_reachable(pose: Pose, bounds: MotionBounds) -> bool:
    """Return whether a pose, whose pan is in the turn of the range, is between the end stops."""
    pan, tilt = bounds.pan_deg, bounds.tilt_deg
    in_pan = pan is None or pan.low <= pose.pan_deg <= pan.high
    return in_pan and tilt.low <= pose.tilt_deg <= tilt.high


def _pan_travels(start: Pose, target: Pose, bounds: MotionBounds) -> tuple[float, ...]:
    """Return how far to turn to the right. An endless head has two ways."""
    if bounds.pan_deg is not None:
        return (pan_delta_deg(start.pan_deg, target.pan_deg, bounds.pan_deg),)
    shortest = wrap_deg(target.pan_deg - start.pan_deg)
    # Both are checked: the head may choose only if both are free.
    return (
        (shortest,)
        if shortest == 0
        else (shortest, shortest - 360 if shortest > 0 else shortest + 360)
    )


def _detours(start: Pose, target: Pose, bounds: MotionBounds) -> Iterator[tuple[Pose, ...]]:
    zoom = max(start.zoom, target.zoom)
    zoom_leg = (msgspec.structs.replace(start, zoom=zoom),) if zoom > start.zoom else ()
    for pan_travel_deg in _pan_travels(start, target, bounds):
        yield _split_leg(start, target, pan_travel_deg)
        for tilt_deg in (start.tilt_deg, target.tilt_deg, *_clear_tilts(bounds)):
            # The lens is narrow on the way, and widens when the head has arrived.
            up = Pose(pan_deg=start.pan_deg, tilt_deg=tilt_deg, zoom=zoom)
            over = Pose(pan_deg=target.pan_deg, tilt_deg=tilt_deg, zoom=zoom)
            down = msgspec.structs.replace(target, zoom=zoom)
            legs = (*zoom_leg, up, *_split_leg(up, over, pan_travel_deg), down, target)
            yield _drop_empty_legs(start, legs)


def _drop_empty_legs(start: Pose, legs: Sequence[Pose]) -> tuple[Pose, ...]:
    """Return the legs without those that end where they begin."""
    nonempty_legs = [
        pose for previous, pose in itertools.pairwise((start, *legs)) if pose != previous
    ]
    return tuple(nonempty_legs) or (legs[-1],)


def _split_leg(start: Pose, target: Pose, pan_travel_deg: float) -> tuple[Pose, ...]:
    """Return the way in legs, each so short that the shorter way round is the intended one."""
    leg_count = int(abs(pan_travel_deg) // MAX_LEG_DEG) + 1
    intermediate = [
        Pose(
            pan_deg=wrap_deg(start.pan_deg + pan_travel_deg * index / leg_count),
            tilt_deg=start.tilt_deg + (target.tilt_deg - start.tilt_deg) * index / leg_count,
            zoom=target.zoom,
        )
        for index in range(1, leg_count)
    ]
    return (*intermediate, target)


def _clear_tilts(bounds: MotionBounds) -> list[float]:
    """Return the tilts from which a sector is just not seen, over and under each."""
    found: list[float] = []
    for sector in bounds.sectors:
        low, high = sector.tilt_deg
        for edge, direction in ((high, 1.0), (low, -1.0)):
            for step in range(int(180 / SEARCH_STEP_DEG)):
                tilt_deg = edge + direction * (step * SEARCH_STEP_DEG + EDGE_MARGIN_DEG)
                if not bounds.tilt_deg.low <= tilt_deg <= bounds.tilt_deg.high:
                    break
                edge_pose = Pose(pan_deg=sector.pan_deg[0], tilt_deg=tilt_deg)
                if not _is_visible(swept_area(edge_pose), sector, bounds):
                    found.append(tilt_deg)
                    break
    return found


def _path_areas(poses: Sequence[Pose]) -> Iterator[SphereArea]:
    for start, target in itertools.pairwise(poses):
        yield from _leg_areas(start, target)


def _leg_areas(start: Pose, target: Pose) -> Iterator[SphereArea]:
    """Split a tilt into small steps: near the zenith a picture covers far more pans."""
    pan_travel_deg = wrap_deg(target.pan_deg - start.pan_deg)
    tilt = target.tilt_deg - start.tilt_deg
    part_count = int(abs(tilt) // AREA_TILT_STEP_DEG) + 1 if pan_travel_deg == 0 else 1
    zoom = min(start.zoom, target.zoom)
    for index in range(part_count):
        begin = Pose(
            pan_deg=start.pan_deg, tilt_deg=start.tilt_deg + tilt * index / part_count, zoom=zoom
        )
        yield swept_area(begin, pan_travel_deg, tilt / part_count)


def _direct_area(start: Pose, target: Pose, pan_travel_deg: float) -> SphereArea:
    pose = msgspec.structs.replace(start, zoom=min(start.zoom, target.zoom))
    return swept_area(pose, pan_travel_deg, target.tilt_deg - start.tilt_deg)


def _first_blocking_sector(
    areas: Iterable[SphereArea], bounds: MotionBounds
) -> ForbiddenSector | None:
    if all(sector.may_cross for sector in bounds.sectors):
        return None
    hits = (bounds.visible_sector(area, passing=True) for area in areas)
    return next((hit for hit in hits if hit is not None), None)


def _path_length_deg(start: Pose, legs: Sequence[Pose]) -> float:
    return sum(
        max(abs(wrap_deg(pose.pan_deg - previous.pan_deg)), abs(pose.tilt_deg - previous.tilt_deg))
        for previous, pose in itertools.pairwise((start, *legs))
    )
