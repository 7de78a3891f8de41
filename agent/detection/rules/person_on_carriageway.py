"""People on foot where vehicles drive."""

from agent.base.model import BoundingBox
from agent.detection.geometry import bottom_centre, intersection_area
from agent.detection.rules.road_users import RoadUser, TrackMemory
from agent.detection.rules.stopped_wrong_way import VEHICLES
from agent.detection.rules.zone_occupancy import ZoneVisit

RIDER_MIN_OVERLAP = 0.3
"""Of a person's box: who shares this much with a two-wheeler rides it."""
OCCUPANT_MIN_OVERLAP = 0.6
"""Of a person's box: who is so far within a vehicle, feet included, sits in it."""


class PersonOnCarriageway:
    """The condition of `person_on_carriageway`: a person, and not one who rides or drives.

    A detector finds riders and drivers as people of their own.
    """

    def __init__(self, road_users: TrackMemory) -> None:
        self._road_users = road_users
        self._walking_since_ns: dict[int, int] = {}

    def __call__(self, visit: ZoneVisit, t_ns: int) -> int | None:
        """Since when a person has been walking in the zone."""
        if visit.user.label != "person":
            return None
        for forgotten in self._road_users.forgotten:
            self._walking_since_ns.pop(forgotten.id, None)
        box = visit.user.track.box
        if any(_is_occupant(other, box) for other in self._road_users if other.label in VEHICLES):
            self._walking_since_ns.pop(visit.user.id, None)
            return None
        since_ns = self._walking_since_ns.setdefault(visit.user.id, t_ns)
        return max(since_ns, visit.since_ns)


def _is_occupant(vehicle: RoadUser, person: BoundingBox) -> bool:
    box = vehicle.track.box
    overlap_ratio = intersection_area(box, person) / max(person.w * person.h, 1e-9)
    if vehicle.label in ("bicycle", "motorcycle"):
        return overlap_ratio >= RIDER_MIN_OVERLAP
    feet = bottom_centre(person)
    feet_inside = box.x <= feet.x <= box.x + box.w and feet.y < box.y + box.h
    return feet_inside and overlap_ratio >= OCCUPANT_MIN_OVERLAP
