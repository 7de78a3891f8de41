"""What somebody at the other end knows of each box, from the messages so far. Pure."""

from collections import deque

from agent.base.health_model import Fault, HealthReport
from agent.reporting.payloads import (
    EventData,
    EventMessage,
    HealthMessage,
    LostStatus,
    Message,
    OnlineStatus,
    StatusMessage,
    StoppedStatus,
)

MAX_EVENTS = 3


class BoxView:
    """One box, as it stands."""

    def __init__(self, box: str) -> None:
        self.box = box
        self.state = "unknown"
        """`online`, `lost`, `stopped`, or `unknown` where no birth was heard yet."""
        self.site = ""
        self.since = ""
        """When the state came about, RFC 3339, by the clock of the box."""
        self.health: HealthReport | None = None
        self.faults: tuple[Fault, ...] = ()
        self.events: deque[EventData] = deque(maxlen=MAX_EVENTS)
        self._session: tuple[str, int] | None = None

    def update(self, message: Message) -> None:
        """Learn from a message of this box."""
        match message:
            case StatusMessage():
                self._update_status(message)
            case HealthMessage():
                self.health = message.data
                self.faults = message.data.faults
            case EventMessage():
                self._update_event(message.data)
            case _:
                return

    def _update_status(self, message: StatusMessage) -> None:
        session = (message.epoch, message.data.session)
        match message.data:
            case OnlineStatus():
                self.state, self._session = "online", session
                self.site = message.data.site
                self.faults = message.data.faults
            case LostStatus():
                if self._session is not None and session != self._session:
                    # The will of a connection before the present one: the box is there.
                    return
                self.state = "lost"
            case StoppedStatus():
                self.state = "stopped"
        self.since = message.time

    def _update_event(self, data: EventData) -> None:
        """A newer revision takes the place of the older one, and never the other way."""
        for index, known in enumerate(self.events):
            if known.event == data.event:
                if data.rev > known.rev:
                    self.events[index] = data
                return
        self.events.append(data)


class FleetView:
    """All boxes that were heard of."""

    def __init__(self) -> None:
        self._views: dict[str, BoxView] = {}

    def update(self, message: Message) -> None:
        """Learn from a message."""
        self._views.setdefault(message.box, BoxView(message.box)).update(message)

    def views(self) -> tuple[BoxView, ...]:
        """The boxes, by name."""
        return tuple(self._views[box] for box in sorted(self._views))
