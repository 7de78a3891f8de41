"""What an adopted camera reports itself becomes events here, as far as the configuration wants it."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from agent.base.model import Event, EventPhase
from agent.config.configuration import is_identifying_topic
from drivers.errors import DriverError

log = logging.getLogger(__name__)

PULL_TIMEOUT_S = 1.0
SILENT_AFTER_S = 60.0
"""A camera that has said nothing for so long, not even that there is nothing to say, is taken to
report nothing any more: what is not known is not claimed.
"""
MINUTE_NS = 60_000_000_000
MAX_EVENTS_PER_MINUTE = 60
"""Events that may begin in a minute. A camera that is set too fine would fill the outbox, from which
events never go; the rest is dropped, counted and logged.
"""
MAX_OPEN_EVENTS = 64
_MAX_NAME_CHARS = 64


class OnvifNotification(Protocol):
    """One word of a camera, such as `drivers.onvif.events.Notification`."""

    @property
    def topic(self) -> str:
        """Its path, without prefixes."""
        ...

    @property
    def state(self) -> bool | None:
        """Whether it is so now; None where the topic has no state."""
        ...

    @property
    def source(self) -> str:
        """What it is about."""
        ...

    @property
    def t_ns(self) -> int:
        """When it came."""
        ...


class OnvifEventFeed(Protocol):
    """A camera that reports, open. It tells at once how everything with a state stands."""

    def pull(self, timeout_s: float, t_ns: int) -> Sequence[OnvifNotification]:
        """What has come within `timeout_s` seconds. Raises DriverError, and is over then."""
        ...

    def close(self) -> None:
        """Listen no more."""
        ...


def is_wanted(topic: str, wanted: Sequence[str]) -> bool:
    """Whether a topic is one of those, or ends as one of them does, part by part. What tells who
    somebody is is never wanted. Pure.
    """
    parts = topic.split("/")
    return not is_identifying_topic(topic) and any(
        parts[-len(suffix) :] == suffix for suffix in (pattern.split("/") for pattern in wanted)
    )


class OnvifEventTracker:
    """The events of one camera's reports. Time comes in with each; nothing is read or written."""

    def __init__(self, camera: str, wanted: Sequence[str], new_id: Callable[[int], str]) -> None:
        self._camera = camera
        self._wanted = tuple(wanted)
        self._new_id = new_id
        self._open_events: dict[tuple[str, str], Event] = {}
        self._minute_ns = 0
        self._begun_in_minute = 0
        self.dropped = 0
        """Events that were too many in their minute."""

    def step(self, notification: OnvifNotification) -> Event | None:
        """The event that a report makes: a begin, an end or a moment. None where it is not wanted,
        says what is known, or is one too many.
        """
        if not is_wanted(notification.topic, self._wanted):
            return None
        key = (notification.topic, notification.source)
        open_event = self._open_events.get(key)
        if notification.state is None:
            return self._begin(notification, key)
        if notification.state:
            return None if open_event else self._begin(notification, key)
        return None if open_event is None else self._end(key, notification.t_ns)

    def due_updates(self, t_ns: int) -> list[Event]:
        """What goes on is told again every minute, so that the centre knows that it does."""
        due_keys = [key for key, last in self._open_events.items() if t_ns - last.t_ns >= MINUTE_NS]
        for key in due_keys:
            self._open_events[key] = _next_revision(self._open_events[key], "update", t_ns)
        return [self._open_events[key] for key in due_keys]

    def end_all(self, t_ns: int) -> list[Event]:
        """Nobody knows any more: all that was going on is over."""
        return [self._end(key, t_ns) for key in list(self._open_events)]

    def _begin(self, notification: OnvifNotification, key: tuple[str, str]) -> Event | None:
        if notification.t_ns - self._minute_ns >= MINUTE_NS:
            self._minute_ns, self._begun_in_minute = notification.t_ns, 0
        if (
            self._begun_in_minute >= MAX_EVENTS_PER_MINUTE
            or len(self._open_events) >= MAX_OPEN_EVENTS
        ):
            self.dropped += 1
            return None
        self._begun_in_minute += 1
        has_state = notification.state is not None
        event = Event(
            event=self._new_id(notification.t_ns),
            rev=1,
            kind="reported",
            phase="begin" if has_state else "moment",
            camera=self._camera,
            t_ns=notification.t_ns,
            begin_ns=notification.t_ns,
            name=notification.topic.rpartition("/")[2][:_MAX_NAME_CHARS],
        )
        if has_state:
            self._open_events[key] = event
        return event

    def _end(self, key: tuple[str, str], t_ns: int) -> Event:
        return _next_revision(self._open_events.pop(key), "end", t_ns)


def _next_revision(event: Event, phase: EventPhase, t_ns: int) -> Event:
    """The next revision, which never lies before the one that was told last."""
    t_ns = max(t_ns, event.t_ns)
    return msgspec.structs.replace(
        event,
        rev=event.rev + 1,
        phase=phase,
        t_ns=t_ns,
        duration_s=round((t_ns - event.begin_ns) / 1e9, 3),
    )


class OnvifEventStage:
    """A stage: pulls one camera's reports, and subscribes again after each failure."""

    def __init__(
        self,
        camera: str,
        wanted: Sequence[str],
        open_feed: Callable[[], OnvifEventFeed],
        clock_ns: Callable[[], int],
        new_id: Callable[[int], str],
        on_event: Callable[[Event], None],
    ) -> None:
        """`open_feed` subscribes, or raises DriverError; it is called in the stage's thread."""
        self.name = f"events {camera}"
        self._open_feed = open_feed
        self._clock_ns = clock_ns
        self._on_event = on_event
        self._tracker = OnvifEventTracker(camera, wanted, new_id)
        self._feed: OnvifEventFeed | None = None
        self._last_pull_ns = clock_ns()
        self._logged_dropped = 0

    def run_once(self, stopping: threading.Event) -> None:
        """Pull once, for a second at the most. Raises DriverError where the camera is away."""
        try:
            if self._feed is None:
                self._feed = self._open_feed()
            notifications = self._feed.pull(PULL_TIMEOUT_S, self._clock_ns())
        except DriverError:
            self._close_feed()
            if (self._clock_ns() - self._last_pull_ns) / 1e9 >= SILENT_AFTER_S:
                self._emit(self._tracker.end_all(self._last_pull_ns))
            raise
        self._last_pull_ns = self._clock_ns()
        events = [self._tracker.step(notification) for notification in notifications]
        self._emit([event for event in events if event is not None])
        self._emit(self._tracker.due_updates(self._last_pull_ns))
        if self._tracker.dropped != self._logged_dropped:
            log.warning("%s: %d too many so far", self.name, self._tracker.dropped)
            self._logged_dropped = self._tracker.dropped

    def close(self) -> None:
        """Nobody listens any more, so nothing is known to go on."""
        self._close_feed()
        self._emit(self._tracker.end_all(self._clock_ns()))

    def _close_feed(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.close()

    def _emit(self, events: Sequence[Event]) -> None:
        for event in events:
            self._on_event(event)
