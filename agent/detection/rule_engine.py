"""The judge of one camera: what the eyes saw against what the centre drew."""

from collections.abc import Iterable
from typing import Protocol

from agent.base.model import Event, FrameResult, TrafficCounts
from agent.detection.geometry import round_box
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

DEFAULT_QUEUE_MIN_COUNT = 3
PERSON_ON_CARRIAGEWAY_AFTER_S = 1.0


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
        self._road_users = TrackMemory()
        self._line_rules = [LineRule(line, self._road_users) for line in scene.line]
        self._occupancies = {
            zone.name: ZoneOccupancy(zone, self._road_users) for zone in scene.zone
        }
        self._zone_rules: list[Rule] = [
            rule for zone in scene.zone for rule in self._make_rules(zone)
        ]
        self._tamper_rule = TamperRule(camera, new_id)
        self._traffic_counter = TrafficCounter(camera, scene)

    def evaluate(self, result: FrameResult) -> tuple[Event, ...]:
        """The events of one sight. Ask `flow` for the minute that is over before this."""
        t_ns = result.t_ns
        self._road_users.step(result)
        for occupancy in self._occupancies.values():
            occupancy.step(t_ns)
        self._traffic_counter.observe(t_ns, self._occupancies)
        events: list[Event] = []
        for line_rule in self._line_rules:
            for crossing in line_rule.step():
                self._traffic_counter.count_crossing(crossing)
                if crossing.line.each:
                    events.append(self._crossing_event(crossing))
        for rule in self._zone_rules:
            events.extend(rule.step(t_ns))
        events.extend(self._tamper_rule.step(result))
        return tuple(events)

    def completed_counts(self, t_ns: int) -> tuple[TrafficCounts, ...]:
        """The minute that is over at `t_ns`, if one is."""
        return self._traffic_counter.close_before(t_ns)

    def flush(self, t_ns: int) -> tuple[Event, ...]:
        """End every event that is open: the clip is over, or the agent stops."""
        events = [event for rule in self._zone_rules for event in rule.flush(t_ns)]
        return (*events, *self._tamper_rule.flush(t_ns))

    def flush_counts(self, t_ns: int) -> tuple[TrafficCounts, ...]:
        """The minute that is cut short at `t_ns`."""
        return self._traffic_counter.flush(t_ns)

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
            box=round_box(track.box),
            direction=crossing.direction,
            position=round(crossing.position, 4),
        )

    def _make_rules(self, zone: Zone) -> Iterable[Rule]:
        """What a zone's keys ask for; `docs/scene.md` says it in words."""
        occupancy = self._occupancies[zone.name]
        context = (self._camera, zone, occupancy, self._new_id)
        if zone.each:
            yield ZoneRule(EventTiming(kind="zone", after_s=0, grace_s=0), *context, always)
        if zone.dwell_after_s is not None:
            timing = EventTiming(kind="dwell", after_s=zone.dwell_after_s, grace_s=0)
            yield ZoneRule(timing, *context, always)
        if zone.stopped_after_s is not None:
            timing = EventTiming(kind="stopped", after_s=zone.stopped_after_s, grace_s=5)
            yield ZoneRule(timing, *context, is_stopped)
        if zone.direction_deg is not None:
            timing = EventTiming(kind="wrong_way", after_s=1, grace_s=3)
            yield ZoneRule(timing, *context, WrongWay(zone.direction_deg, self._road_users))
        if zone.kind == "carriageway" and "person" in zone.labels:
            timing = EventTiming(
                kind="person_on_carriageway", after_s=PERSON_ON_CARRIAGEWAY_AFTER_S, grace_s=2
            )
            yield ZoneRule(timing, *context, PersonOnCarriageway(self._road_users))
        if zone.kind == "queue":
            min_count = zone.queue_from or DEFAULT_QUEUE_MIN_COUNT
            yield CountRule(
                CountThreshold(kind="queue", matches=is_queueing, min_count=min_count), *context
            )
        if zone.crowd_from is not None:
            crowd_threshold = CountThreshold(
                kind="crowd", matches=is_person, min_count=zone.crowd_from
            )
            yield CountRule(crowd_threshold, *context)
