"""An event and its footage belong together: what an event holds, from the moment it begins."""

import logging
import threading
from datetime import timedelta

import msgspec

from agent.base.clock import Clock
from agent.base.model import Event
from agent.config.configuration import HoldConfig
from agent.faults.registry import FaultRegistry
from agent.recording.retention.hold import Hold
from agent.recording.retention.hold_store import HoldStore, ended
from agent.recording.segment_name import rfc3339

log = logging.getLogger(__name__)

OWNER = "event"


class HeldSpan(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of an event, as far as is known now, in RFC 3339: as the hold says it to the
    millisecond, because a clock that is being set gives other times a moment later.
    """

    begin_time: str
    end_time: str


class EventHolds:
    """Makes a hold when an event begins, and ends its span when the event ends. Any thread may call.

    The hold has the event's own id. While the event goes on, its file says so and need not be
    written again. A file that cannot be written raises the fault STO-04; the hold stands in memory
    and is written when the disk allows it.
    """

    def __init__(
        self, holds: HoldStore, settings: HoldConfig, clock: Clock, boot: str, faults: FaultRegistry
    ) -> None:
        self._holds = holds
        self._kinds = frozenset(settings.kinds)
        self._pre_ns = int(settings.pre_s * 1e9)
        self._post_ns = int(settings.post_s * 1e9)
        self._term = timedelta(days=settings.event_days)
        self._clock = clock
        self._boot = boot
        self._faults = faults
        self._lock = threading.Lock()
        self._going_on: dict[str, Hold] = {}

    def on_event(self, event: Event) -> HeldSpan | None:
        """Hold what the event needs, and tell the span; None for a kind that holds nothing."""
        if event.kind not in self._kinds:
            return None
        end_ns = event.t_ns + self._post_ns
        with self._lock:
            before = self._going_on.get(event.event)
            hold = before or self._made(event, end_ns)
            over = event.phase in ("end", "moment")
            if over:
                self._going_on.pop(event.event, None)
                hold = ended(hold, end_ns, self._clock)
            else:
                self._going_on[event.event] = hold
            if not self._keep(hold, before, over=over):
                return None
            end_time = hold.end_time if over else rfc3339(self._clock.utc(end_ns))
            return HeldSpan(begin_time=hold.begin_time, end_time=end_time)

    def _keep(self, hold: Hold, before: Hold | None, *, over: bool) -> bool:
        """Whether the event's hold stands; a person or a full ring may have ended it since."""
        try:
            if before is None:
                self._holds.save(hold)
            elif over:
                return self._holds.update(hold)
            else:
                return self._holds.exists(hold.id)
        except OSError as error:
            log.error("hold %s cannot be written: %s", hold.id, error)
            self._faults.raise_fault("STO-04", "holds", str(error))
        return True

    def _made(self, event: Event, end_ns: int) -> Hold:
        begin_ns = max(0, event.begin_ns - self._pre_ns)
        now_ns = self._clock.boottime_ns()
        made = self._clock.utc(now_ns)
        what = event.kind if event.name is None else f"{event.kind} {event.name}"
        return Hold(
            id=event.event,
            kind="event",
            camera=event.camera,
            boot=self._boot,
            begin_ns=begin_ns,
            end_ns=end_ns,
            begin_time=rfc3339(self._clock.utc(begin_ns)),
            end_time=rfc3339(self._clock.utc(end_ns)),
            going_on=True,
            owner=OWNER,
            reason=what,
            made_boot=self._boot,
            made_ns=now_ns,
            made_time=rfc3339(made),
            made_synced=self._clock.trust().synced,
            expires=rfc3339(made + self._term),
        )
