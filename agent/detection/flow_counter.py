"""Turning flows: road users that pass one line or zone of the scene and later another."""

from collections.abc import Iterator, Mapping

import msgspec

from agent.base.model import Track
from agent.detection.rules.line_crossing import LineCrossingDetector
from agent.detection.rules.road_users import TrackMemory
from agent.detection.rules.zone_occupancy import ZoneOccupancy
from agent.detection.scene import Scene, SceneFlow
from drivers.media import NS_PER_S

MAX_TRIP_NS = 600 * NS_PER_S
"""Longest time from `from` to `to`. A road user that needs longer has parked: it has made two trips, not one."""


class FlowPassage(msgspec.Struct, frozen=True, kw_only=True):
    """One road user that has made the trip of a turning flow."""

    flow: SceneFlow
    track: Track


class _Trip(msgspec.Struct):
    """Lines and zones that one road user has passed, and its flows, each with the time of the last passage."""

    passed_ns: dict[str, int] = {}
    counted_ns: dict[str, int] = {}


class FlowCounter:
    """Finds the road users of each turning flow.

    A road user counts once for a flow, until it passes `from` again. Passages are ordered by their own times: the
    later of two may become certain first.
    """

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
        self._trips: dict[int, _Trip] = {}

    def step(self) -> tuple[FlowPassage, ...]:
        """Return the road users whose trip became certain at the last step of detectors and occupancies."""
        for user in self._road_users.forgotten:
            self._trips.pop(user.id, None)
        found: list[FlowPassage] = []
        for detector in self._detectors:
            for crossing in detector.crossings:
                name, user_id = crossing.line.name, crossing.road_user
                found += self._pass(user_id, crossing.track, name, crossing.t_ns)
        for name, occupancy in self._occupancies.items():
            for visit in occupancy.begun_visits:
                found += self._pass(visit.user.id, visit.user.track, name, visit.since_ns)
        return tuple(found)

    def _pass(self, user_id: int, track: Track, name: str, t_ns: int) -> Iterator[FlowPassage]:
        trip = self._trips.setdefault(user_id, _Trip())
        trip.passed_ns[name] = t_ns
        for flow in self._flows[name]:
            begin_ns = trip.passed_ns.get(flow.origin)
            end_ns = trip.passed_ns.get(flow.destination)
            if (
                begin_ns is not None
                and end_ns is not None
                and begin_ns < end_ns <= begin_ns + MAX_TRIP_NS
                and begin_ns > trip.counted_ns.get(flow.name, -1)
                and track.label in flow.labels
            ):
                trip.counted_ns[flow.name] = end_ns
                yield FlowPassage(flow=flow, track=track)
