"""How a head gets to a pose past what may not be in the picture. Pure.

A head turns its axes at once, each at its own speed, so its way between two poses is only known to
stay between them. Where that whole rectangle is free it goes straight; otherwise one axis after
the other, over or under what is in the way, or round by the back.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from agent.config.heads import FieldOfView, Sector
from agent.ptz.motion.forbidden_sectors import NOBODY_KNOWS_DEG, SphereArea, in_picture, reach
from agent.ptz.motion.overshoot import Overshoot
from drivers.angles import wrap_deg
from drivers.contracts import Pose, Range, Velocity

LONGEST_LEG_DEG = 120.0
"""A head that turns without end is never left to choose the way round."""
STEP_DEG = 1.0
TILT_STEP_DEG = 5.0
BESIDE_DEG = 0.5
"""Kept beside a sector's edge, so that arriving there is not being inside."""
SLOWER = (1.0, 0.5, 0.25, 0.1)


class PathBlocked(Exception):
    """There is no way; `sector` is what is in it."""

    def __init__(self, sector: Sector) -> None:
        super().__init__(sector.name)
        self.sector = sector


class MotionBounds(msgspec.Struct, frozen=True, kw_only=True):
    """Where a head may look and go now. `error_deg` is how well its place is known, `at_rest_deg` how
    well it was when it rested last, where the head tells it; `ahead` is how it goes on from there.
    `pan_deg` and `tilt_deg` are its ends, as in its abilities.
    """

    sectors: tuple[Sector, ...]
    fov: FieldOfView | None
    error_deg: float
    at_rest_deg: float
    ahead: Overshoot
    pan_deg: Range | None
    tilt_deg: Range

    def hits(self, area: SphereArea, *, passing: bool) -> Sector | None:
        """The sector that may be seen from these places; `passing`: those that may be crossed do
        not count.
        """
        sectors = [s for s in self.sectors if not (passing and s.cross)]
        return in_picture(area, sectors, self.fov, self.error_deg) if sectors else None

    @property
    def lost(self) -> bool:
        """There is something to hide and nobody knows where the head looks."""
        return bool(self.sectors) and self.error_deg >= NOBODY_KNOWS_DEG

    @property
    def steered(self) -> "MotionBounds":
        """The same for whoever holds all that lies `ahead` against the sectors. What a head that tells
        its place is wrong by while it moves is how old its word is, and that lies ahead already.
        """
        return msgspec.structs.replace(self, error_deg=min(self.error_deg, self.at_rest_deg))

    def within(self, pose: Pose) -> Pose:
        """The pose, or the nearest that the head can reach."""
        tilt = min(max(pose.tilt_deg, self.tilt_deg.low), self.tilt_deg.high)
        pan = pose.pan_deg
        if self.pan_deg is not None:
            pan = min(max(pan, self.pan_deg.low), self.pan_deg.high)
        return msgspec.structs.replace(pose, pan_deg=wrap_deg(pan), tilt_deg=tilt)


def straight(start: Pose, target: Pose, bounds: MotionBounds) -> bool:
    """Whether a head may go there in whichever way it likes."""
    return _hit([_between(start, target, way) for way in _ways(start, target, bounds)], bounds) is (
        None
    )


def route(start: Pose, target: Pose, bounds: MotionBounds) -> tuple[Pose, ...]:
    """The poses to go to, one after the other, the last one `target`. Raises Blocked.

    From within a sector the first is the nearest place outside.
    """
    resting = bounds.hits(reach(target), passing=False)
    if resting is not None:
        raise PathBlocked(resting)
    inside = bounds.hits(reach(start), passing=True)
    if inside is not None:
        out = way_out(start, bounds)
        if out is None:
            raise PathBlocked(inside)
        return (out, *route(out, target, bounds))
    direct = _legs(start, target, _ways(start, target, bounds)[0])
    in_the_way = _hit(_areas((start, *direct)), bounds)
    if in_the_way is None:
        return direct
    ways = [
        legs
        for legs in _around(start, target, bounds)
        if _hit(_areas((start, *legs)), bounds) is None
    ]
    if not ways:
        raise PathBlocked(in_the_way)
    return min(ways, key=lambda legs: _length(start, legs))


def way_out(start: Pose, bounds: MotionBounds) -> Pose | None:
    """The nearest pose straight left, right, up or down from which no sector is seen; on the way
    none comes into the picture that was not in it. None where there is no such way.
    """
    if bounds.lost:
        return None
    already = [s for s in bounds.sectors if _sees(reach(start), s, bounds)]
    others = [s for s in bounds.sectors if s not in already]
    open_to = {(1, 0), (-1, 0), (0, 1), (0, -1)}
    for step in range(1, int(180 / STEP_DEG) + 1):
        for pan, tilt in sorted(open_to, reverse=True):
            far = step * STEP_DEG + BESIDE_DEG
            pose = Pose(
                pan_deg=start.pan_deg + pan * far,
                tilt_deg=start.tilt_deg + tilt * far,
                zoom=start.zoom,
            )
            passed = reach(pose, -pan * (STEP_DEG + BESIDE_DEG), -tilt * (STEP_DEG + BESIDE_DEG))
            if not _reachable(pose, bounds) or any(_sees(passed, s, bounds) for s in others):
                open_to.discard((pan, tilt))
            elif not any(_sees(reach(pose), s, bounds) for s in already):
                return bounds.within(pose)
    return None


def clip(velocity: Velocity, pose: Pose, bounds: MotionBounds) -> Velocity | Sector:
    """The velocity, or as much of it as brings no sector into the picture before the head can be
    told otherwise and stands: slower, or along the edge. The sector where nothing is left. From
    within a sector only what leads straight out is left, and into no other one.
    """
    inside = bounds.hits(reach(pose), passing=True)
    if inside is not None:
        outwards = _outwards(velocity, pose, bounds)
        if outwards is None:
            return inside
        others = tuple(s for s in bounds.sectors if not _sees(reach(pose), s, bounds))
        velocity, bounds = outwards, msgspec.structs.replace(bounds, sectors=others)
    first: Sector | None = None
    for wanted in _lesser(velocity):
        hit = bounds.hits(bounds.ahead.area(pose, wanted), passing=True)
        if hit is None:
            return wanted
        first = first or hit
    return first or velocity


def _outwards(velocity: Velocity, pose: Pose, bounds: MotionBounds) -> Velocity | None:
    out = way_out(pose, bounds)
    if out is None:
        return None
    pan, tilt = wrap_deg(out.pan_deg - pose.pan_deg), out.tilt_deg - pose.tilt_deg
    leads = Velocity(
        pan_deg_s=velocity.pan_deg_s if pan * velocity.pan_deg_s > 0 else 0.0,
        tilt_deg_s=velocity.tilt_deg_s if tilt * velocity.tilt_deg_s > 0 else 0.0,
        zoom=max(velocity.zoom, 0.0),
        focus=velocity.focus,
    )
    return leads if leads.pan_deg_s or leads.tilt_deg_s or leads.zoom else None


def _lesser(velocity: Velocity) -> Iterator[Velocity]:
    """The velocity, then less and less of it, the last ones along one axis alone."""
    axes = ((1, 1, 1), (1, 1, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
    given: set[Velocity] = set()
    for (pan, tilt, zoom), share in itertools.product(axes, SLOWER):
        lesser = Velocity(
            pan_deg_s=velocity.pan_deg_s * share * pan,
            tilt_deg_s=velocity.tilt_deg_s * share * tilt,
            zoom=velocity.zoom * zoom,
            focus=velocity.focus,
        )
        moves = lesser.pan_deg_s or lesser.tilt_deg_s or lesser.zoom or lesser.focus
        if moves and lesser not in given:
            given.add(lesser)
            yield lesser


def _sees(area: SphereArea, sector: Sector, bounds: MotionBounds) -> bool:
    return in_picture(area, (sector,), bounds.fov, bounds.error_deg) is not None


def _reachable(pose: Pose, bounds: MotionBounds) -> bool:
    pan, tilt = bounds.pan_deg, bounds.tilt_deg
    in_pan = pan is None or pan.low <= pose.pan_deg <= pan.high
    return in_pan and tilt.low <= pose.tilt_deg <= tilt.high


def _ways(start: Pose, target: Pose, bounds: MotionBounds) -> tuple[float, ...]:
    """How far to turn, to the right: where it turns without end there are two ways."""
    if bounds.pan_deg is not None:
        return (target.pan_deg - start.pan_deg,)
    near = wrap_deg(target.pan_deg - start.pan_deg)
    # A head is left to itself only where it cannot take the wrong one.
    return (near,) if near == 0 else (near, near - 360 if near > 0 else near + 360)


def _around(start: Pose, target: Pose, bounds: MotionBounds) -> Iterator[tuple[Pose, ...]]:
    zoom = max(start.zoom, target.zoom)
    narrow = (msgspec.structs.replace(start, zoom=zoom),) if zoom > start.zoom else ()
    for way in _ways(start, target, bounds):
        yield _legs(start, target, way)
        for level in (start.tilt_deg, target.tilt_deg, *_levels(bounds)):
            # The lens is narrow on the way, and widens where the head has arrived.
            up = Pose(pan_deg=start.pan_deg, tilt_deg=level, zoom=zoom)
            over = Pose(pan_deg=target.pan_deg, tilt_deg=level, zoom=zoom)
            down = msgspec.structs.replace(target, zoom=zoom)
            legs = (*narrow, up, *_legs(up, over, way), down, target)
            yield _moving(start, legs)


def _moving(start: Pose, legs: Sequence[Pose]) -> tuple[Pose, ...]:
    """The legs without those that lead nowhere."""
    kept = [pose for before, pose in itertools.pairwise((start, *legs)) if pose != before]
    return tuple(kept) or (legs[-1],)


def _legs(start: Pose, target: Pose, way: float) -> tuple[Pose, ...]:
    """The way in pieces, each so short that the nearer way round is the one that is meant."""
    pieces = int(abs(way) // LONGEST_LEG_DEG) + 1
    between = [
        Pose(
            pan_deg=wrap_deg(start.pan_deg + way * piece / pieces),
            tilt_deg=start.tilt_deg + (target.tilt_deg - start.tilt_deg) * piece / pieces,
            zoom=target.zoom,
        )
        for piece in range(1, pieces)
    ]
    return (*between, target)


def _levels(bounds: MotionBounds) -> list[float]:
    """The tilts from which a sector is just not seen any more, over and under it."""
    found: list[float] = []
    for sector in bounds.sectors:
        low, high = sector.tilt_deg
        for edge, outwards in ((high, 1.0), (low, -1.0)):
            for step in range(int(180 / STEP_DEG)):
                tilt = edge + outwards * (step * STEP_DEG + BESIDE_DEG)
                if not bounds.tilt_deg.low <= tilt <= bounds.tilt_deg.high:
                    break
                middle = Pose(pan_deg=sector.pan_deg[0], tilt_deg=tilt)
                if not _sees(reach(middle), sector, bounds):
                    found.append(tilt)
                    break
    return found


def _areas(poses: Sequence[Pose]) -> Iterator[SphereArea]:
    for start, target in itertools.pairwise(poses):
        yield from _between_parts(start, target)


def _between_parts(start: Pose, target: Pose) -> Iterator[SphereArea]:
    """One axis alone is taken in small steps: near the zenith a picture covers far more pans."""
    way = wrap_deg(target.pan_deg - start.pan_deg)
    tilt = target.tilt_deg - start.tilt_deg
    pieces = int(abs(tilt) // TILT_STEP_DEG) + 1 if way == 0 else 1
    zoom = min(start.zoom, target.zoom)
    for piece in range(pieces):
        begin = Pose(
            pan_deg=start.pan_deg, tilt_deg=start.tilt_deg + tilt * piece / pieces, zoom=zoom
        )
        yield reach(begin, way, tilt / pieces)


def _between(start: Pose, target: Pose, way: float) -> SphereArea:
    pose = msgspec.structs.replace(start, zoom=min(start.zoom, target.zoom))
    return reach(pose, way, target.tilt_deg - start.tilt_deg)


def _hit(areas: Iterable[SphereArea], bounds: MotionBounds) -> Sector | None:
    if all(sector.cross for sector in bounds.sectors):
        return None
    hits = (bounds.hits(area, passing=True) for area in areas)
    return next((hit for hit in hits if hit is not None), None)


def _length(start: Pose, legs: Sequence[Pose]) -> float:
    return sum(
        max(abs(wrap_deg(pose.pan_deg - before.pan_deg)), abs(pose.tilt_deg - before.tilt_deg))
        for before, pose in itertools.pairwise((start, *legs))
    )
