"""Drift of a head at rest: its reported position moves although no order was sent. Pure.

Each report of a head at rest is compared with the first of the same rest. Any motion of the box ends that rest: a
guard tour, tracking, the way home, leaving a sector. Wind shakes a head about its position and a gust lets it
return: neither is beyond the tolerance for `REPORTS` reports in a row.
"""

from agent.base.message import Message
from agent.ptz.motion.position_servo import is_at_pose
from drivers.contracts import PtzCapabilities, PtzPosition

TOLERANCE_DEG = 2.0
"""In addition to the errors of both positions; twice what counts as arrived."""
ANY_ZOOM = 1.0
"""A lens may zoom by itself while it focuses."""
REPORTS = 3
"""At rest a head reports every ten seconds."""


class RestDriftMonitor:
    """Compares the reports of one head's rest."""

    def __init__(self) -> None:
        self._rest_since_ns: int | None = None
        self._first: PtzPosition | None = None
        self._last: PtzPosition | None = None
        self._moved_count = self._still_count = 0

    def update(
        self,
        position: PtzPosition | None,
        rest_since_ns: int | None,
        capabilities: PtzCapabilities | None,
    ) -> None:
        """Compare a report; None is a head that did not answer, or is not at rest."""
        if position is None or rest_since_ns is None or capabilities is None:
            self._first = None
            return
        if self._first is None or rest_since_ns != self._rest_since_ns:
            self._rest_since_ns, self._first = rest_since_ns, position
            self._moved_count = self._still_count = 0
            return
        tolerance_deg = TOLERANCE_DEG + position.error_deg + self._first.error_deg
        if is_at_pose(position.pose, self._first.pose, capabilities, tolerance_deg, ANY_ZOOM):
            self._moved_count, self._still_count = 0, self._still_count + 1
        else:
            self._moved_count, self._still_count = self._moved_count + 1, 0
        self._last = position

    def drift(self) -> Message | None:
        """Return from where to where the head has moved at rest, or None."""
        if self._first is None or self._last is None or self._moved_count < REPORTS:
            return None
        first, last = self._first.pose, self._last.pose
        return Message(
            "it rested at pan {pan:.1f} tilt {tilt:.1f} and is at pan {found_pan:.1f} tilt {found_tilt:.1f} "
            "without an order",
            pan=first.pan_deg,
            tilt=first.tilt_deg,
            found_pan=last.pan_deg,
            found_tilt=last.tilt_deg,
        )

    def is_still(self) -> bool:
        """Return whether the head has rested for `REPORTS` reports."""
        return self._still_count >= REPORTS
