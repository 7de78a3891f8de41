"""State of one box, built from its messages. Pure.

Every text is cleaned and bounded before it is kept: a message may have 16 MB, and lists without end.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

import msgspec

from agent.base.health_model import Fault, HealthReport
from agent.faults import diagnosis
from agent.reporting.mqtt.connection import WILL_DELAY_S
from agent.reporting.payloads import (
    DeclarationMessage,
    Envelope,
    EventData,
    EventMessage,
    HealthMessage,
    LostStatus,
    Message,
    OnlineStatus,
    StatusMessage,
    StoppedStatus,
    TrafficCountsMessage,
)
from agent.reporting.topics import WILL_EXPIRY_S
from centre.fleet.hour_counts import HourCounts
from centre.fleet.newest_heads import NewestHeads
from centre.fleet.wire_text import clean_text

MAX_EVENTS = 3
MAX_FAULTS = 20
MAX_CAMERAS = 16
MAX_REASONS = 4
MAX_TIME_CHARS = 24
"""Of RFC 3339 with milliseconds: such times sort as texts."""

State = Literal["online", "lost", "stopped", "unknown"]
Condition = Literal["lost", "critical", "stopped", "error", "warning", "unknown", "good"]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)
"""From the worst to the best. A box that is online has the severity of its worst fault, `critical` with an alarm."""


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """When a message arrived, by this machine's clock. `expiry_s` is what is left of its MQTT expiry."""

    time: datetime
    retained: bool = False
    expiry_s: int | None = None


class FaultView(msgspec.Struct, frozen=True, kw_only=True):
    """An active fault."""

    code: str
    severity: Literal["warning", "error", "critical"]
    title: str
    subject: str
    detail: str

    @property
    def text(self) -> str:
        """The fault in one line, without its detail."""
        return f"{self.code} {self.title}: {self.subject}"


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """The newest revision of an event. `time` is of the day, by the box's clock."""

    event: str
    rev: int
    time: str
    text: str


class CameraView(msgspec.Struct, frozen=True, kw_only=True):
    """A camera: its stream rate, and its state in the words of the box's own console."""

    name: str
    stream_fps: float
    words: str


class HealthView(msgspec.Struct, frozen=True, kw_only=True):
    """A health report, as far as it is shown. `time` is of the day, by the box's clock."""

    time: str
    uptime_s: float
    shed_reason: str
    """Why the box sheds load; empty if it does not."""
    cameras: tuple[CameraView, ...]
    soc_celsius: float | None
    footage_free_bytes: int | None
    state_free_bytes: int | None
    """None if footage has no file system of its own."""
    queued: int
    lost: int


class BoxView:
    """Newest known state of one box. Attributes are replaced, never changed in place."""

    def __init__(self, box: str, heads: NewestHeads | None = None) -> None:
        """`heads` are those that a centre has stored."""
        self.box = clean_text(box)
        self.alarm = ""
        """What has gone back of its key, custody log or state inventory, the newest; it stays."""
        self._heads = heads or NewestHeads()
        self.state: State = "unknown"
        """`unknown` before the first birth message."""
        self.site = ""
        self.since: datetime | None = None
        """When the state began; of a lost box when it was lost, not when it had connected."""
        self.is_since_bound = False
        """True if the state began before `since`, at an unknown time."""
        self.connected: datetime | None = None
        """Begin of the newest connection, by the clock of the box."""
        self.reason = ""
        """Why it has stopped."""
        self.health: HealthView | None = None
        self.faults: tuple[FaultView, ...] = ()
        self._faults_time = ""
        self.events: tuple[EventView, ...] = ()
        """The newest first."""
        self.hour_counts = HourCounts()
        self._heard: datetime | None = None
        """When its newest message came, a will or a retained one excepted."""
        self._session: tuple[str, int] | None = None
        self._status: tuple[State, tuple[str, int]] | None = None

    @property
    def condition(self) -> Condition:
        """The state, or the severity of the worst fault of a box that is online."""
        if self.state != "online":
            return self.state
        if self.alarm:
            return "critical"
        severities = {fault.severity for fault in self.faults}
        for severity in ("critical", "error", "warning"):
            if severity in severities:
                return severity
        return "good"

    @property
    def rank(self) -> tuple[int, str]:
        """Sort key: the worst first, then by id."""
        return CONDITIONS.index(self.condition), self.box

    def matches(self, words: list[str]) -> bool:
        """Return whether each of the words, in lower case, is in a text of the box."""
        texts = [self.box, self.site, self.state, self.condition, self.alarm]
        texts += [fault.text for fault in self.faults]
        texts += [event.text for event in self.events[:1]]
        text = "\n".join(texts).casefold()
        return all(word in text for word in words)

    def update(self, message: Message, arrival: Arrival) -> list[str]:
        """Update the state from a message of this box. Return a line for each change."""
        if not arrival.retained and not _is_will(message):
            self._heard = arrival.time
        alarm = None if arrival.retained else self._heads.update(message)
        self.alarm = alarm or self.alarm
        changes = self._update_state(message, arrival)
        return changes if alarm is None else [f"ALARM {alarm}", *changes]

    def _update_state(self, message: Message, arrival: Arrival) -> list[str]:
        match message:
            case StatusMessage():
                return self._update_status(message, arrival)
            case HealthMessage():
                self.health = _to_health_view(message)
                return self._update_faults(message.data.faults, message, arrival)
            case EventMessage():
                return self._update_event(message.data)
            case TrafficCountsMessage():
                # No change of the box's state: it comes every minute.
                self.hour_counts = self.hour_counts.add(message)
                return []
            case DeclarationMessage():
                # Retained, as is the will, which has no site.
                self.site = clean_text(message.data.site)
                return []
            case _:
                return []

    def _update_status(self, message: StatusMessage, arrival: Arrival) -> list[str]:
        session = (message.epoch, message.data.session)
        sent = _parse_time(message.time) if message.clock.synced else None
        changes: list[str] = []
        connected: datetime | None
        match message.data:
            case OnlineStatus():
                status: tuple[State, tuple[str, int]] = "online", session
                self.site = clean_text(message.data.site)
                self._session = session
                since, is_bound = sent or arrival.time, sent is None and arrival.retained
                connected, change = since, f"online: {self.site}"
                changes = self._update_faults(message.data.faults, message, arrival)
            case LostStatus():
                if self._session is not None and session != self._session:
                    # The will of an earlier connection: the box is online again.
                    return []
                status = "lost", session
                since, is_bound = _lost_time(arrival)
                # A broker without Will Delay publishes it at once.
                since = max(since, self._heard) if self._heard is not None else since
                connected, change = sent, "lost"
            case StoppedStatus():
                status = "stopped", session
                since, is_bound = sent or arrival.time, sent is None and arrival.retained
                self.reason = clean_text(message.data.reason)
                connected, change = self.connected, f"stopped: {self.reason}"
        if status == self._status:
            # Births are repeated when a centre starts, and retained ones after each connection.
            return changes
        self._status = status
        self.state, self.since, self.is_since_bound = status[0], since, is_bound
        self.connected = connected
        return [self._with_begin(change), *changes]

    def _with_begin(self, change: str) -> str:
        """Add the time to the change of a box that was lost, as its line may be printed much later."""
        if self.state != "lost" or self.since is None:
            return change
        return f"{change} {'before' if self.is_since_bound else 'at'} {format_time(self.since)}"

    def _update_faults(
        self, faults: tuple[Fault, ...], message: Envelope, arrival: Arrival
    ) -> list[str]:
        """Take the faults of a birth or a health report. Both are retained, and come in any order."""
        time = message.time[:MAX_TIME_CHARS]
        if arrival.retained and time < self._faults_time:
            return []
        self._faults_time = time
        before = {fault.text: fault for fault in self.faults}
        self.faults = tuple(_to_fault_view(fault) for fault in faults[:MAX_FAULTS])
        now = {fault.text: fault for fault in self.faults}
        return [
            *(f"fault {text}: {fault.detail}" for text, fault in now.items() if text not in before),
            *(f"fault over: {text}" for text in before if text not in now),
        ]

    def _update_event(self, data: EventData) -> list[str]:
        """Add the event, or replace an older revision of it. A newer one is kept."""
        event = _to_event_view(data)
        known = next((each for each in self.events if each.event == event.event), None)
        if known is not None and known.rev >= event.rev:
            return []
        others = (each for each in self.events if each is not known)
        self.events = (event, *others)[:MAX_EVENTS]
        return [f"event {event.text}"]


def _is_will(message: Message) -> bool:
    return isinstance(message, StatusMessage) and isinstance(message.data, LostStatus)


def format_time(time: datetime) -> str:
    """Return a time in UTC, to the second."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _lost_time(arrival: Arrival) -> tuple[datetime, bool]:
    """Return when a box was lost, and whether it was before that, at an unknown time.

    The broker publishes the will WILL_DELAY_S after the end of the connection, and counts its expiry down
    from then on.
    """
    age_s = 0
    if arrival.retained:
        if arrival.expiry_s is None or arrival.expiry_s >= WILL_EXPIRY_S:
            return arrival.time, True
        age_s = WILL_EXPIRY_S - arrival.expiry_s
    return arrival.time - timedelta(seconds=age_s + WILL_DELAY_S), False


def _parse_time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _to_fault_view(fault: Fault) -> FaultView:
    return FaultView(
        code=clean_text(fault.code),
        severity=fault.severity,
        title=clean_text(fault.title),
        subject=clean_text(fault.subject),
        detail=clean_text(fault.detail),
    )


def _to_event_view(data: EventData) -> EventView:
    phase = None if data.phase == "moment" else data.phase
    reasons = ", ".join((data.untrusted_reasons or ())[:MAX_REASONS])
    parts = (data.kind, reasons, data.label, data.name, data.direction, phase, "at", data.camera)
    return EventView(
        event=clean_text(data.event),
        rev=data.rev,
        time=data.begin_time[11:19],
        text=clean_text(" ".join(part for part in parts if part)),
    )


def _to_health_view(message: HealthMessage) -> HealthView:
    report, vitals = _without_sentences(message.data), message.data.vitals
    return HealthView(
        time=clean_text(message.time[11:19]),
        uptime_s=report.uptime_s,
        shed_reason=clean_text(str(diagnosis.shed_reason(report))),
        cameras=tuple(_iter_cameras(report)),
        soc_celsius=vitals.soc_celsius,
        footage_free_bytes=vitals.footage_free_bytes,
        state_free_bytes=vitals.state_free_bytes if vitals.is_footage_separate else None,
        queued=report.outbox.depth,
        lost=report.outbox.lost,
    )


def _without_sentences(report: HealthReport) -> HealthReport:
    """Return a report with the English details alone: a sentence of a box would be formatted, by what any box writes."""
    faults = (msgspec.structs.replace(fault, detail_message=None) for fault in report.faults)
    return msgspec.structs.replace(report, faults=tuple(faults))


def _iter_cameras(report: HealthReport) -> Iterator[CameraView]:
    for camera in report.cameras[:MAX_CAMERAS]:
        yield CameraView(
            name=clean_text(camera.name),
            stream_fps=camera.stream_fps,
            words=clean_text(str(diagnosis.find_camera(report, camera.name).words)),
        )
