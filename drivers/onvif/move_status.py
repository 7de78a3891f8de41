"""Whether a head that tells where it is has arrived. Pure.

Cameras say that they are idle before they have begun, and some never say that they move. So a head
has arrived when it is where it was sent; where nobody knows that place, when it was found idle twice
in a row at the same one.
"""

import threading
from typing import Any

import msgspec

from drivers.angles import wrap_deg
from drivers.contracts import Pose

NEAR_ZOOM = 0.03


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """To rest, to drive, or to go somewhere, to `target` where that is known. `seen` is where it
    was when it was looked at last.
    """

    drives: bool = False
    goes: bool = False
    target: Pose | None = None
    seen: Pose | None = None


class Arrival:
    """What a head was told last, and what its positions say of that. Any thread may call."""

    def __init__(self, near_deg: float) -> None:
        """Two poses within `near_deg` in pan and in tilt are the same."""
        self._near_deg = near_deg
        self._lock = threading.Lock()
        self._told = _Told()

    def drives(self) -> None:
        """It was told to move until it is told otherwise."""
        self._tell(_Told(drives=True))

    def stops(self) -> None:
        """It was told to stop."""
        self._tell(_Told())

    def goes(self, target: Pose | None) -> None:
        """It was told to go somewhere, None where nobody knows."""
        self._tell(_Told(goes=True, target=target))

    def is_moving(self, pose: Pose, *, busy: bool | None) -> bool:
        """Whether it has been told to move and is not known to have arrived. It says that it is at
        `pose`, and that it is `busy`, None where it does not say.
        """
        with self._lock:
            told = self._told
            if told.drives:
                return True
            if not told.goes:
                return bool(busy)
            where = told.seen if told.target is None else told.target
            if not busy and where is not None and self._is_near(pose, where):
                self._told = _Told()
                return False
            self._told = msgspec.structs.replace(told, seen=pose)
            return True

    def _tell(self, told: _Told) -> None:
        with self._lock:
            self._told = told

    def _is_near(self, one: Pose, other: Pose) -> bool:
        return (
            abs(wrap_deg(one.pan_deg - other.pan_deg)) <= self._near_deg
            and abs(one.tilt_deg - other.tilt_deg) <= self._near_deg
            and abs(one.zoom - other.zoom) <= NEAR_ZOOM
        )


def is_busy(status: Any) -> bool | None:
    """Whether a `tt:PTZStatus` says that the camera moves; None where it does not say."""
    told = getattr(status, "MoveStatus", None)
    words = {str(word) for word in (told and told.PanTilt, told and told.Zoom) if word}
    if "MOVING" in words:
        return True
    return False if words == {"IDLE"} else None
