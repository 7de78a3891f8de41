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

ZOOM_TOLERANCE = 0.03


class _Order(msgspec.Struct, frozen=True, kw_only=True):
    """To rest, to drive, or to go somewhere, to `target` where that is known. `seen` is where it
    was when it was looked at last.
    """

    is_drive: bool = False
    is_goto: bool = False
    target: Pose | None = None
    last_pose: Pose | None = None


class ArrivalDetector:
    """What a head was told last, and what its positions say of that. Any thread may call."""

    def __init__(self, tolerance_deg: float) -> None:
        """Two poses within `near_deg` in pan and in tilt are the same."""
        self._tolerance_deg = tolerance_deg
        self._lock = threading.Lock()
        self._order = _Order()

    def on_drive(self) -> None:
        """It was told to move until it is told otherwise."""
        self._set_order(_Order(is_drive=True))

    def on_stop(self) -> None:
        """It was told to stop."""
        self._set_order(_Order())

    def on_goto(self, target: Pose | None) -> None:
        """It was told to go somewhere, None where nobody knows."""
        self._set_order(_Order(is_goto=True, target=target))

    def is_moving(self, pose: Pose, *, busy: bool | None) -> bool:
        """Whether it has been told to move and is not known to have arrived. It says that it is at
        `pose`, and that it is `busy`, None where it does not say.
        """
        with self._lock:
            order = self._order
            if order.is_drive:
                return True
            if not order.is_goto:
                return bool(busy)
            destination = order.last_pose if order.target is None else order.target
            if not busy and destination is not None and self._is_near(pose, destination):
                self._order = _Order()
                return False
            self._order = msgspec.structs.replace(order, last_pose=pose)
            return True

    def _set_order(self, order: _Order) -> None:
        with self._lock:
            self._order = order

    def _is_near(self, one: Pose, other: Pose) -> bool:
        return (
            abs(wrap_deg(one.pan_deg - other.pan_deg)) <= self._tolerance_deg
            and abs(one.tilt_deg - other.tilt_deg) <= self._tolerance_deg
            and abs(one.zoom - other.zoom) <= ZOOM_TOLERANCE
        )


def is_busy(status: Any) -> bool | None:
    """Whether a `tt:PTZStatus` says that the camera moves; None where it does not say."""
    move_status = getattr(status, "MoveStatus", None)
    states = {
        str(word)
        for word in (move_status and move_status.PanTilt, move_status and move_status.Zoom)
        if word
    }
    if "MOVING" in states:
        return True
    return False if states == {"IDLE"} else None
