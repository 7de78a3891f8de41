"""State of each box of the fleet, built from its messages. Pure."""

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
    """Newest known state of one box."""

    def __init__(self, box: str) -> None:
        self.box = box
        self.state = "unknown"
        """`online`, `lost`, `stopped`, or `unknown` before the first birth message."""
        self.site = ""
        self.since = ""
        """When the state began: RFC 3339, by the clock of the box."""
        self.health: HealthReport | None = None
        self.faults: tuple[Fault, ...] = ()
        self.events: deque[EventData] = deque(maxlen=MAX_EVENTS)
        self._session: tuple[str, int] | None = None

    def update(self, message: Message) -> None:
        """Update the state from a message of this box."""
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
                    # The will of an earlier connection: the box is online again.
                    return
                self.state = "lost"
            case StoppedStatus():
                self.state = "stopped"
        self.since = message.time

    def _update_event(self, data: EventData) -> None:
        """Replace an older revision of the event. A newer one is kept."""
        for index, known in enumerate(self.events):
            if known.event == data.event:
                if data.rev > known.rev:
                    self.events[index] = data
                return
        self.events.append(data)


class FleetView:
    """All boxes that have sent a message."""

    def __init__(self) -> None:
        self._views: dict[str, BoxView] = {}

    def update(self, message: Message) -> None:
        """Update the box that sent the message."""
        self._views.setdefault(message.box, BoxView(message.box)).update(message)

    def views(self) -> tuple[BoxView, ...]:
        """Return the boxes, ordered by id."""
        return tuple(self._views[box] for box in sorted(self._views))
