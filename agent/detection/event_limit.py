"""Limit of the events that one camera sends in a minute, by their kind. Pure."""

import logging
from collections import Counter

from agent.base.model import Event
from drivers.media import NS_PER_S

log = logging.getLogger(__name__)

MAX_EVENTS_PER_MINUTE = 600
"""Of a camera and a kind: ten road users a second. A scene of crossing lines would send thousands."""
_MINUTE_NS = 60 * NS_PER_S


class EventLimit:
    """Leaves out events of a camera, and updates of open ones, beyond MAX_EVENTS_PER_MINUTE revisions of their kind.

    An event is left out as a whole, and the end of one that has begun is sent. The limit outlives the scenes of the camera:
    a scene that is replaced begins no other minute.
    """

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self._minute = 0
        self._counts: Counter[str] = Counter()
        self._open_left_out: set[str] = set()
        self.left_out = 0
        """Events and updates since the agent started."""

    def admits(self, event: Event, t_ns: int) -> bool:
        """Return whether a revision is sent. `t_ns` is the time of its frame, which never decreases."""
        if t_ns // _MINUTE_NS != self._minute:
            self._minute = t_ns // _MINUTE_NS
            self._counts.clear()
        if event.event in self._open_left_out:
            if event.phase == "end":
                self._open_left_out.discard(event.event)
            return False
        self._counts[event.kind] += 1
        count = self._counts[event.kind]
        if event.phase == "end" or count <= MAX_EVENTS_PER_MINUTE:
            return True
        if count == MAX_EVENTS_PER_MINUTE + 1:
            log.warning(
                "camera %s: more than %d events %r in a minute; the others are left out",
                self._camera,
                MAX_EVENTS_PER_MINUTE,
                event.kind,
            )
        self.left_out += 1
        if event.phase == "begin":
            self._open_left_out.add(event.event)
        return False
