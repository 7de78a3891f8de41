"""People on foot where vehicles drive."""

from agent.base.model import BoundingBox
from agent.detection.geometry import foot, overlap
from agent.detection.rules.road_users import RoadUser, TrackMemory
from agent.detection.rules.stopped_wrong_way import VEHICLES
from agent.detection.rules.zone_occupancy import ZoneVisit

RIDES = 0.3
"""Of a person's box: who shares this much with a two-wheeler rides it."""
SITS_IN = 0.6
"""Of a person's box: who is so far within a vehicle, feet included, sits in it."""


class PersonOnCarriageway:
    """The condition of `person_on_carriageway`: a person, and not one who rides or drives.

    A detector finds riders and drivers as people of their own.
    """

    def __init__(self, users: TrackMemory) -> None:
        self._users = users
        self._since_ns: dict[int, int] = {}

    def __call__(self, stay: ZoneVisit, t_ns: int) -> int | None:
        """Since when a person has been walking in the zone."""
        if stay.user.label != "person":
            return None
        for gone in self._users.gone:
            self._since_ns.pop(gone.id, None)
        box = stay.user.track.box
        if any(_carries(other, box) for other in self._users if other.label in VEHICLES):
            self._since_ns.pop(stay.user.id, None)
            return None
        since_ns = self._since_ns.setdefault(stay.user.id, t_ns)
        return max(since_ns, stay.since_ns)


def _carries(vehicle: RoadUser, person: BoundingBox) -> bool:
    box = vehicle.track.box
    share = overlap(box, person) / max(person.w * person.h, 1e-9)
    if vehicle.label in ("bicycle", "motorcycle"):
        return share >= RIDES
    place = foot(person)
    feet_within = box.x <= place.x <= box.x + box.w and place.y < box.y + box.h
    return feet_within and share >= SITS_IN
