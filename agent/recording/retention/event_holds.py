"""Holds of events: the footage of an event is protected from its begin on."""

import logging
import threading
from collections.abc import Sequence
from datetime import timedelta

import msgspec

from agent.base.clock import Clock, rfc3339
from agent.base.message import Message
from agent.base.model import Event
from agent.config.recording import HoldConfig
from agent.faults.registry import FaultRegistry
from agent.recording.retention.hold import Hold
from agent.recording.retention.hold_store import HoldStore, with_event_end

log = logging.getLogger(__name__)

EVENT_HOLD_OWNER = "event"
MAX_HOLDS_OF_A_SPAN = 8
MAX_EVENT_HOLDS = 4096
"""Of one camera: 585 a day if they last a week. Each is a file that is looked at each second."""


class EventFootageSpan(msgspec.Struct, frozen=True, kw_only=True):
    """Held span of an event as known now, in RFC 3339.

    The same milliseconds as the hold's: a clock that is being set returns other times a moment later.
    """

    begin_time: str
    end_time: str


class EventHolds:
    """Places a hold when an event begins, and ends its span when the event ends.

    Thread-safe. The hold has the event's id. While the event is ongoing its file is marked so and
    is not rewritten. A file that cannot be written raises the fault STO-04; the hold is valid in
    memory and is written when the disk accepts it.

    Footage that MAX_HOLDS_OF_A_SPAN events hold gets no further hold as long as they hold it. With MAX_EVENT_HOLDS of a
    camera the footage of its further events is not held, which raises STO-04 too.
    """

    def __init__(
        self,
        hold_store: HoldStore,
        settings: HoldConfig,
        clock: Clock,
        faults: FaultRegistry,
        trial_settings: HoldConfig | None = None,
    ) -> None:
        """While the `settings` are on trial, `trial_settings` count until `end_trial`."""
        self._hold_store = hold_store
        self._confirmed = settings
        self._settings = trial_settings or settings
        self._clock = clock
        self._faults = faults
        self._lock = threading.Lock()
        self._ongoing: dict[str, Hold] = {}

    def on_event(self, event: Event) -> EventFootageSpan | None:
        """Hold the event's footage and return the span, or None for other kinds."""
        with self._lock:
            previous = self._ongoing.get(event.event)
            if previous is None and event.kind not in self._settings.kinds:
                return None
            end_ns = event.t_ns + int(self._settings.post_s * 1e9)
            hold = previous or self._new_hold(event, end_ns)
            if previous is None:
                others = self._other_holds(event.camera)
                if _is_covered(hold, others):
                    return EventFootageSpan(begin_time=hold.begin_time, end_time=hold.end_time)
                if self._is_full(event.camera, len(others)):
                    return None
            is_over = event.phase in ("end", "moment")
            if is_over:
                self._ongoing.pop(event.event, None)
                hold = with_event_end(hold, end_ns, self._clock)
            else:
                self._ongoing[event.event] = hold
            if not self._store(hold, previous, is_over=is_over):
                return None
            end_time = hold.end_time if is_over else rfc3339(self._clock.utc(end_ns))
            return EventFootageSpan(begin_time=hold.begin_time, end_time=end_time)

    def end_trial(self) -> None:
        """Apply the settings that were on trial. Thread-safe."""
        with self._lock:
            self._settings = self._confirmed

    def _other_holds(self, camera: str) -> list[Hold]:
        """Return the holds of a camera's events, those of the last read if the folder cannot be read now."""
        try:
            holds = self._hold_store.active()
        except OSError:
            holds = self._hold_store.all()
        return [hold for hold in holds if hold.camera == camera and hold.kind == "event"]

    def _is_full(self, camera: str, count: int) -> bool:
        if count < MAX_EVENT_HOLDS:
            self._faults.clear("STO-04", camera)
            return False
        self._faults.raise_fault(
            "STO-04",
            camera,
            Message("{count} holds of events; footage of further ones is not held", count=count),
        )
        return True

    def _store(self, hold: Hold, previous: Hold | None, *, is_over: bool) -> bool:
        """Return True if the hold is active; a release or a full disk may have ended it."""
        try:
            if previous is None:
                self._hold_store.save(hold)
            elif is_over:
                return self._hold_store.update(hold)
            else:
                return self._hold_store.exists(hold.id)
        except OSError as error:
            log.error("hold %s cannot be written: %s", hold.id, error)
            self._faults.raise_fault("STO-04", "holds", error)
        return True

    def _new_hold(self, event: Event, end_ns: int) -> Hold:
        begin_ns = max(0, event.begin_ns - int(self._settings.pre_s * 1e9))
        reason = event.kind if event.name is None else f"{event.kind} {event.name}"
        hold = self._hold_store.build(
            event.event,
            event.camera,
            self._clock.utc(begin_ns),
            self._clock.utc(end_ns),
            owner=EVENT_HOLD_OWNER,
            reason=reason,
            term=timedelta(days=self._settings.event_days),
        )
        return msgspec.structs.replace(
            hold,
            kind="event",
            boot=hold.created_boot,
            begin_ns=begin_ns,
            end_ns=end_ns,
            ongoing=True,
        )


def _is_covered(hold: Hold, others: Sequence[Hold]) -> bool:
    """Return whether enough other holds of the same run have the whole span."""
    covering = [
        other
        for other in others
        if other.boot == hold.boot
        and (other.begin_ns or 0) <= (hold.begin_ns or 0)
        and (other.ongoing or (other.end_ns or 0) >= (hold.end_ns or 0))
    ]
    return len(covering) >= MAX_HOLDS_OF_A_SPAN
