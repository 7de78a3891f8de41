"""Rule plug-in: the protocol of a rule, its context, and its entry in the registry."""

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, Protocol, TypeVar

import msgspec

from agent.base.event_lifecycle import NewId
from agent.base.event_type import EventType
from agent.base.model import Event, FrameResult
from agent.detection.rules.line_crossing import LineCrossingDetector
from agent.detection.rules.road_users import TrackMemory
from agent.detection.rules.scene_ground import SceneGround
from agent.detection.rules.static_foreground import StaticForeground
from agent.detection.rules.view_needs import ViewNeeds
from agent.detection.rules.zone_occupancy import ZoneOccupancy

AreaT = TypeVar("AreaT")


class Rule(Protocol):
    """An object with state that turns frame results into events, without I/O and without a clock."""

    def step(self, result: FrameResult) -> Iterable[Event]:
        """Return the events of a frame. The shared state of the context is up to date."""
        ...

    def flush(self, t_ns: int) -> Iterable[Event]:
        """End every open event: the stream is over, or the camera turns."""
        ...


class RuleContext(msgspec.Struct, frozen=True, kw_only=True):
    """State that the rules of one camera share. The engine updates it before each step.

    `crossing_detectors` are by the line's name, `occupancies` by the zone's; `static_foreground` is
    None if no zone looks for objects. Time before `hours_begin_ns`, the begin of
    the hours of a zone, does not count for its rules.
    """

    camera: str
    new_id: NewId
    ground: SceneGround
    road_users: TrackMemory
    crossing_detectors: Mapping[str, LineCrossingDetector]
    occupancies: Mapping[str, ZoneOccupancy]
    static_foreground: StaticForeground | None
    hours_begin_ns: int = 0


class RuleType(msgspec.Struct, Generic[AreaT], frozen=True, kw_only=True):
    """A rule as the registry lists it.

    `make` is called once for each line, each zone or each scene, depending on the list that the
    rule is in. It returns None if the scene's keys do not ask for the rule. `needs` is what it needs of the view, None for
    a rule on the view itself.
    """

    events: tuple[EventType, ...]
    make: Callable[[AreaT, RuleContext], Rule | None]
    needs: ViewNeeds | None = ViewNeeds()
