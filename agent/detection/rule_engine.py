"""The judge of one camera: what the eyes saw against what the centre drew."""

from collections.abc import Iterable
from typing import Protocol

from agent.base.model import Event, Flow, FrameResult
from agent.detection.geometry import rounded
from agent.detection.rules.count_rule import CountRule, CountThreshold, is_person, is_queueing
from agent.detection.rules.event_lifecycle import NewId
from agent.detection.rules.line_crossing import Crossing, LineRule
from agent.detection.rules.person_on_carriageway import PersonOnCarriageway
from agent.detection.rules.road_users import TrackMemory
from agent.detection.rules.stopped_wrong_way import WrongWay, is_stopped
from agent.detection.rules.tamper import TamperRule
from agent.detection.rules.zone_occupancy import ZoneOccupancy
from agent.detection.rules.zone_rule import EventTiming, ZoneRule, always
from agent.detection.scene import Scene, Zone
from agent.detection.traffic_counter import TrafficCounter

QUEUE_FROM = 3
PERSON_AFTER_S = 1.0


class Rule(Protocol):
    """A rule that stands on who is in one zone."""

    def step(self, t_ns: int) -> Iterable[Event]:
        """What the last sight changed."""
        ...

    def flush(self, t_ns: int) -> Iterable[Event]:
        """End what is open."""
        ...


class RuleEngine:
    """Takes sights in the order of their time, and gives events and flow.

    The same sights and the same `new_id` give the same events: there is no clock and no chance
    in here.
    """

    def __init__(self, camera: str, scene: Scene, new_id: NewId) -> None:
        self._camera = camera
        self._new_id = new_id
        self._users = TrackMemory()
        self._lines = [LineRule(line, self._users) for line in scene.line]
        self._presences = {zone.name: ZoneOccupancy(zone, self._users) for zone in scene.zone}
        self._zone_rules: list[Rule] = [
            rule for zone in scene.zone for rule in self._rules_of(zone)
        ]
        self._view = TamperRule(camera, new_id)
        self._flow = TrafficCounter(camera, scene)

    def evaluate(self, sight: FrameResult) -> tuple[Event, ...]:
        """The events of one sight. Ask `flow` for the minute that is over before this."""
        t_ns = sight.t_ns
        self._users.step(sight)
        for presence in self._presences.values():
            presence.step(t_ns)
        self._flow.watch(t_ns, self._presences)
        events: list[Event] = []
        for line in self._lines:
            for crossing in line.step():
                self._flow.count(crossing)
                if crossing.line.each:
                    events.append(self._crossing_event(crossing))
        for rule in self._zone_rules:
            events.extend(rule.step(t_ns))
        events.extend(self._view.step(sight))
        return tuple(events)

    def flow(self, t_ns: int) -> tuple[Flow, ...]:
        """The minute that is over at `t_ns`, if one is."""
        return self._flow.close_before(t_ns)

    def flush(self, t_ns: int) -> tuple[Event, ...]:
        """End every event that is open: the clip is over, or the agent stops."""
        events = [event for rule in self._zone_rules for event in rule.flush(t_ns)]
        return (*events, *self._view.flush(t_ns))

    def flush_flow(self, t_ns: int) -> tuple[Flow, ...]:
        """The minute that is cut short at `t_ns`."""
        return self._flow.flush(t_ns)

    def _crossing_event(self, crossing: Crossing) -> Event:
        track = crossing.track
        return Event(
            event=self._new_id(crossing.t_ns),
            rev=1,
            kind="line",
            phase="moment",
            camera=self._camera,
            t_ns=crossing.t_ns,
            begin_ns=crossing.t_ns,
            name=crossing.line.name,
            label=track.label,
            track=track.id,
            score=round(track.score, 4),
            box=rounded(track.box),
            direction=crossing.direction,
            position=round(crossing.position, 4),
        )

    def _rules_of(self, zone: Zone) -> Iterable[Rule]:
        """What a zone's keys ask for; `docs/scene.md` says it in words."""
        presence = self._presences[zone.name]
        where = (self._camera, zone, presence, self._new_id)
        if zone.each:
            yield ZoneRule(EventTiming(kind="zone", after_s=0, grace_s=0), *where, always)
        if zone.dwell_after_s is not None:
            ruling = EventTiming(kind="dwell", after_s=zone.dwell_after_s, grace_s=0)
            yield ZoneRule(ruling, *where, always)
        if zone.stopped_after_s is not None:
            ruling = EventTiming(kind="stopped", after_s=zone.stopped_after_s, grace_s=5)
            yield ZoneRule(ruling, *where, is_stopped)
        if zone.direction_deg is not None:
            ruling = EventTiming(kind="wrong_way", after_s=1, grace_s=3)
            yield ZoneRule(ruling, *where, WrongWay(zone.direction_deg, self._users))
        if zone.kind == "carriageway" and "person" in zone.labels:
            ruling = EventTiming(kind="person_on_carriageway", after_s=PERSON_AFTER_S, grace_s=2)
            yield ZoneRule(ruling, *where, PersonOnCarriageway(self._users))
        if zone.kind == "queue":
            least = zone.queue_from or QUEUE_FROM
            yield CountRule(CountThreshold(kind="queue", counts=is_queueing, least=least), *where)
        if zone.crowd_from is not None:
            crowd = CountThreshold(kind="crowd", counts=is_person, least=zone.crowd_from)
            yield CountRule(crowd, *where)
