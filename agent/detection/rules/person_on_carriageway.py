"""`person_on_carriageway`: a person on foot in a zone of the kind `carriageway`."""

from weakref import WeakKeyDictionary

from agent.base.event_type import EventType
from agent.base.model import BoundingBox
from agent.detection.geometry import bottom_centre, intersection_area
from agent.detection.rules.road_users import VEHICLES, RoadUser, TrackMemory
from agent.detection.rules.rule import RuleContext, RuleType
from agent.detection.rules.view_needs import ViewNeeds
from agent.detection.rules.zone_occupancy import ZoneVisit
from agent.detection.rules.zone_rule import ZoneRule
from agent.detection.scene import Zone

PERSON_ON_CARRIAGEWAY = EventType(
    kind="person_on_carriageway",
    title="person on the carriageway",
    begin="{subject}{still} walks on the carriageway{zone}{direction}",
    end="{subject} leaves the carriageway{zone}{direction}{duration}",
    severity="alarm",
)
BEGIN_AFTER_S, CLEAR_AFTER_S = 1.0, 2.0

RIDER_MIN_OVERLAP = 0.3
"""Overlap of a person's box with a two-wheeler's, by the person's area, from which they ride it."""
OCCUPANT_MIN_OVERLAP = 0.6
"""The same with a vehicle: a person whose feet are in it too sits in it."""


class WalkingCondition:
    """A person is in the zone who neither rides nor drives.

    The detector finds riders and drivers as persons of their own.
    """

    def __init__(self, road_users: TrackMemory) -> None:
        self._road_users = road_users
        self._walking_since_ns: WeakKeyDictionary[RoadUser, int] = WeakKeyDictionary()
        """By road user, as long as it is remembered."""

    def __call__(self, visit: ZoneVisit, t_ns: int) -> int | None:
        """Return since when a person has walked in the zone, or None if they do not."""
        if visit.user.label != "person":
            return None
        box = visit.user.track.box
        if any(_is_occupant(other, box) for other in self._road_users if other.label in VEHICLES):
            self._walking_since_ns.pop(visit.user, None)
            return None
        since_ns = self._walking_since_ns.setdefault(visit.user, t_ns)
        return max(since_ns, visit.since_ns)


def _is_occupant(vehicle: RoadUser, person: BoundingBox) -> bool:
    box = vehicle.box
    overlap_ratio = intersection_area(box, person) / max(person.w * person.h, 1e-9)
    if vehicle.label in ("bicycle", "motorcycle"):
        return overlap_ratio >= RIDER_MIN_OVERLAP
    feet = bottom_centre(person)
    feet_inside = box.x <= feet.x <= box.x + box.w and feet.y < box.y + box.h
    return feet_inside and overlap_ratio >= OCCUPANT_MIN_OVERLAP


def _make(zone: Zone, context: RuleContext) -> ZoneRule | None:
    if zone.kind != "carriageway" or "person" not in zone.labels:
        return None
    return ZoneRule(
        PERSON_ON_CARRIAGEWAY,
        zone,
        context,
        WalkingCondition(context.road_users),
        after_s=BEGIN_AFTER_S,
        clear_s=CLEAR_AFTER_S,
        outlasts_visits=True,
    )


RULE = RuleType(
    events=(PERSON_ON_CARRIAGEWAY,), make=_make, needs=ViewNeeds(labels=frozenset({"person"}))
)
