"""Turning flows: road users that pass one line or zone of the scene and later another."""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

import msgspec

from agent.base.model import Track
from agent.detection.rules.line_crossing import LineCrossingDetector
from agent.detection.rules.road_users import TrackMemory
from agent.detection.rules.zone_occupancy import ZoneOccupancy
from agent.detection.scene import Scene, SceneFlow
from drivers.media import NS_PER_S

MAX_TRIP_NS = 600 * NS_PER_S
"""Longest time from `from` to `to`. A road user that needs longer has parked: it has made two trips, not one."""

PlaceT = TypeVar("PlaceT", bound=Hashable)
"""Identifies a line or zone."""


class FlowPassage(msgspec.Struct, frozen=True, kw_only=True):
    """One road user that has made the trip of a turning flow."""

    flow: SceneFlow
    track: Track


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A line that a road user has crossed, or a zone that it has entered, by its name. `user_id` is that of the track memory."""

    user_id: int
    track: Track
    name: str
    t_ns: int


def iter_passages(
    detectors: Iterable[LineCrossingDetector], occupancies: Mapping[str, ZoneOccupancy]
) -> Iterator[Passage]:
    """Yield the passages that became certain at the last step; `occupancies` are by the zone's name."""
    for detector in detectors:
        for crossing in detector.crossings:
            yield Passage(
                user_id=crossing.road_user,
                track=crossing.track,
                name=crossing.line.name,
                t_ns=crossing.t_ns,
            )
    for name, occupancy in occupancies.items():
        for visit in occupancy.begun_visits:
            yield Passage(
                user_id=visit.user.id, track=visit.user.track, name=name, t_ns=visit.since_ns
            )


class Trip(Generic[PlaceT]):
    """Lines and zones that one road user has passed, and its flows, each with the time of the last passage.

    A flow counts once, until its origin is passed again. Passages are ordered by their own times: the later of two may
    become certain first.
    """

    __slots__ = ("_counted_ns", "_passed_ns")

    def __init__(self) -> None:
        self._passed_ns: dict[PlaceT, int] = {}
        self._counted_ns: dict[str, int] = {}

    def note(self, place: PlaceT, t_ns: int) -> None:
        """Note that a line or zone was passed."""
        self._passed_ns[place] = t_ns

    def completes(self, flow: str, origin: PlaceT, destination: PlaceT) -> bool:
        """Return whether a flow, by its name, counts now."""
        begin_ns, end_ns = self._passed_ns.get(origin), self._passed_ns.get(destination)
        if (
            begin_ns is None
            or end_ns is None
            or not begin_ns < end_ns <= begin_ns + MAX_TRIP_NS
            or begin_ns <= self._counted_ns.get(flow, -1)
        ):
            return False
        self._counted_ns[flow] = end_ns
        return True


class FlowCounter:
    """Finds the road users of each turning flow of one scene."""

    def __init__(
        self,
        scene: Scene,
        road_users: TrackMemory,
        crossing_detectors: Mapping[str, LineCrossingDetector],
        occupancies: Mapping[str, ZoneOccupancy],
    ) -> None:
        """Count the flows of `scene`; `crossing_detectors` are by the line's name, `occupancies` by the zone's."""
        self._flows: dict[str, list[SceneFlow]] = {}
        for flow in scene.flow:
            for name in (flow.origin, flow.destination):
                self._flows.setdefault(name, []).append(flow)
        self._road_users = road_users
        self._detectors = [crossing_detectors[n] for n in self._flows if n in crossing_detectors]
        self._occupancies = {n: occupancies[n] for n in self._flows if n in occupancies}
        self._trips: dict[int, Trip[str]] = {}

    def step(self) -> tuple[FlowPassage, ...]:
        """Return the road users whose trip became certain at the last step of detectors and occupancies."""
        for user in self._road_users.forgotten:
            self._trips.pop(user.id, None)
        found: list[FlowPassage] = []
        for passage in iter_passages(self._detectors, self._occupancies):
            trip = self._trips.setdefault(passage.user_id, Trip())
            trip.note(passage.name, passage.t_ns)
            found += (
                FlowPassage(flow=flow, track=passage.track)
                for flow in self._flows[passage.name]
                if passage.track.label in flow.labels
                and trip.completes(flow.name, flow.origin, flow.destination)
            )
        return tuple(found)
