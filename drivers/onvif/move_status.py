"""Detect whether a head that reports its position has arrived. Pure.

Cameras report that they are idle before they have begun, and some never report that they move. So a
head has arrived when it is at its target; if the target is unknown, when it was idle twice in a row
at one position.
"""

import threading
from typing import Any

import msgspec

from drivers.angles import wrap_deg
from drivers.contracts import Pose

ZOOM_TOLERANCE = 0.03


class _Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order to rest, to drive, or to go to `target`, None if that is unknown.

    `last_pose` is the last reported pose.
    """

    is_drive: bool = False
    is_goto: bool = False
    target: Pose | None = None
    last_pose: Pose | None = None


class ArrivalDetector:
    """The last order of a head, and whether its positions show that it is done. Thread-safe."""

    def __init__(self, tolerance_deg: float) -> None:
        """Two poses within `tolerance_deg` in pan and in tilt are the same."""
        self._tolerance_deg = tolerance_deg
        self._lock = threading.Lock()
        self._order = _Order()

    def on_drive(self) -> None:
        """Note an order to move until the next order."""
        self._set_order(_Order(is_drive=True))

    def on_stop(self) -> None:
        """Note an order to stop."""
        self._set_order(_Order())

    def on_goto(self, target: Pose | None) -> None:
        """Note an order to go to a target, None if it is unknown."""
        self._set_order(_Order(is_goto=True, target=target))

    def is_moving(self, pose: Pose, *, busy: bool | None) -> bool:
        """Return whether the head, which reports `pose`, is not known to have arrived.

        `busy` is its own report, None if it has none.
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
    """Return whether a `tt:PTZStatus` reports motion; None if it reports no status."""
    move_status = getattr(status, "MoveStatus", None)
    states = {
        str(word)
        for word in (move_status and move_status.PanTilt, move_status and move_status.Zoom)
        if word
    }
    if "MOVING" in states:
        return True
    return False if states == {"IDLE"} else None
