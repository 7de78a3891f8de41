"""Events of an adopted camera over ONVIF, as far as the configuration wants them."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from agent.base.event_lifecycle import EventLifecycle, NewId, momentary_event
from agent.base.event_type import EventType
from agent.base.model import Event
from agent.capture.reader_fault import ReaderFault
from agent.config.names import is_identifying
from drivers.errors import DriverError

log = logging.getLogger(__name__)

REPORTED = EventType(
    kind="reported",
    title="report by the camera itself, over ONVIF",
    begin="the camera reports {name}",
    end="the camera reports {name}: over",
)
PULL_TIMEOUT_S = 1.0
SILENT_AFTER_S = 60.0
"""Time without any answer after which the camera's open events are ended: their state is unknown."""
MINUTE_NS = 60_000_000_000
MAX_EVENTS_PER_MINUTE = 60
"""Events that may begin in a minute. A camera that is set too sensitive would fill the outbox, which
never drops events; the rest is dropped here, counted and logged.
"""
MAX_OPEN_EVENTS = 64
_MAX_NAME_CHARS = 64


class OnvifNotification(Protocol):
    """A notification of a camera, such as `drivers.onvif.events.CameraNotification`."""

    @property
    def topic(self) -> str:
        """The topic's path, without prefixes."""
        ...

    @property
    def state(self) -> bool | None:
        """Whether the state holds now; None if the topic has no state."""
        ...

    @property
    def source(self) -> str:
        """The source of the notification, such as a rule or an input of the camera."""
        ...

    @property
    def t_ns(self) -> int:
        """The time at which it arrived."""
        ...


class OnvifEventFeed(Protocol):
    """An open subscription. The camera first sends the state of each topic that has one."""

    def pull(self, timeout_s: float, t_ns: int) -> Sequence[OnvifNotification]:
        """Return the notifications that arrive within `timeout_s`.

        Raises: DriverError; the subscription is over then.
        """
        ...

    def close(self) -> None:
        """End the subscription."""
        ...


def is_wanted(topic: str, wanted: Sequence[str]) -> bool:
    """Whether a topic is one of `wanted`, or ends with one of them, level by level. Pure.

    A topic that identifies a person is never wanted.
    """
    parts = topic.split("/")
    return not is_identifying(topic) and any(
        parts[-len(suffix) :] == suffix for suffix in (pattern.split("/") for pattern in wanted)
    )


class OnvifEventTracker:
    """Makes events of one camera's notifications. Pure: times come with the notifications."""

    def __init__(self, camera: str, wanted: Sequence[str], new_id: NewId) -> None:
        self._camera = camera
        self._wanted = tuple(wanted)
        self._new_id = new_id
        self._open_events: dict[tuple[str, str], EventLifecycle] = {}
        self._minute_ns = 0
        self._begun_in_minute = 0
        self.dropped = 0
        """Number of events over the limits."""

    def step(self, notification: OnvifNotification) -> Event | None:
        """Return the event that a notification makes: a begin, an end or a moment.

        None if the topic is not wanted, the state is known already, or the limit is reached.
        """
        if not is_wanted(notification.topic, self._wanted):
            return None
        key = (notification.topic, notification.source)
        is_open = key in self._open_events
        if notification.state is None or (notification.state and not is_open):
            return self._begin(notification, key)
        if notification.state or not is_open:
            return None
        return self._open_events.pop(key).end(notification.t_ns)

    def due_updates(self, t_ns: int) -> list[Event]:
        """Return an update of each open event whose last revision is a minute old."""
        return [event.update(t_ns) for event in self._open_events.values() if event.is_due(t_ns)]

    def end_all(self, t_ns: int) -> list[Event]:
        """End every open event: its state is not known any more."""
        ended = [event.end(t_ns) for event in self._open_events.values()]
        self._open_events.clear()
        return ended

    def _begin(self, notification: OnvifNotification, key: tuple[str, str]) -> Event | None:
        t_ns = notification.t_ns
        if t_ns - self._minute_ns >= MINUTE_NS:
            self._minute_ns, self._begun_in_minute = t_ns, 0
        if (
            self._begun_in_minute >= MAX_EVENTS_PER_MINUTE
            or len(self._open_events) >= MAX_OPEN_EVENTS
        ):
            self.dropped += 1
            return None
        self._begun_in_minute += 1
        name = notification.topic.rpartition("/")[2][:_MAX_NAME_CHARS]
        if notification.state is None:
            return momentary_event(self._new_id, REPORTED, self._camera, t_ns, name=name)
        event = EventLifecycle.begin(self._new_id, REPORTED, self._camera, t_ns, name=name)
        self._open_events[key] = event
        return event.last_revision


class OnvifEventStage:
    """Pulls one camera's notifications, and subscribes again after each failure."""

    def __init__(
        self,
        camera: str,
        wanted: Sequence[str],
        open_feed: Callable[[], OnvifEventFeed],
        clock_ns: Callable[[], int],
        new_id: NewId,
        on_event: Callable[[Event], None],
        reader_fault: ReaderFault,
    ) -> None:
        """`open_feed` subscribes or raises DriverError. Called on the stage's thread."""
        self.name = f"events {camera}"
        self._open_feed = open_feed
        self._clock_ns = clock_ns
        self._on_event = on_event
        self._reader_fault = reader_fault
        self._tracker = OnvifEventTracker(camera, wanted, new_id)
        self._feed: OnvifEventFeed | None = None
        self._last_pull_ns = clock_ns()
        self._logged_dropped = 0

    def run_once(self, stopping: threading.Event) -> None:
        """Pull once, for at most a second. Raises: DriverError if the camera does not answer."""
        try:
            if self._feed is None:
                self._feed = self._open_feed()
            notifications = self._feed.pull(PULL_TIMEOUT_S, self._clock_ns())
        except DriverError as error:
            self._reader_fault.on_error(error)
            self._close_feed()
            if (self._clock_ns() - self._last_pull_ns) / 1e9 >= SILENT_AFTER_S:
                self._emit(self._tracker.end_all(self._last_pull_ns))
            raise
        self._reader_fault.on_success()
        self._last_pull_ns = self._clock_ns()
        events = [self._tracker.step(notification) for notification in notifications]
        self._emit([event for event in events if event is not None])
        self._emit(self._tracker.due_updates(self._last_pull_ns))
        if self._tracker.dropped != self._logged_dropped:
            log.warning("%s: %d too many so far", self.name, self._tracker.dropped)
            self._logged_dropped = self._tracker.dropped

    def close(self) -> None:
        """End the subscription and every open event."""
        self._close_feed()
        self._emit(self._tracker.end_all(self._clock_ns()))

    def _close_feed(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.close()

    def _emit(self, events: Sequence[Event]) -> None:
        for event in events:
            self._on_event(event)
