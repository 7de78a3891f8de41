"""The stage `incidents`: takes orders, keeps their states, and has the box do what they say."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection
from datetime import datetime

import msgspec

from agent.base.clock import Clock, rfc3339
from agent.base.event_type import EventType
from agent.base.model import BOX_EVENT_SOURCE, Event, IncidentOutcome, IncidentReport
from agent.config.configuration import BoxConfig
from agent.incident.incident_heads import IncidentHeads
from agent.incident.incident_holds import IncidentHolds
from agent.incident.incident_pictures import IncidentPictures
from agent.incident.incident_rates import IncidentRates
from agent.incident.order import (
    IncidentOrder,
    MalformedOrder,
    OrderReader,
    SignedOrder,
    held_from_as_early,
)
from agent.incident.record import (
    MAX_LATER_BOOTS,
    MAX_PENDING,
    MAX_RUNNING,
    IncidentRecord,
    IncidentStore,
)
from agent.incident.state_machine import (
    ON_ORDER,
    ON_TICK,
    Effect,
    Moment,
    Phase,
    find_deadline_ns,
    judge,
    shift_deadline_ns,
)
from agent.recording.custody.receipts import IncidentChanged
from agent.reporting.mqtt.packets import ReceivedPublish
from agent.runtime.pause import Pause
from agent.runtime.stage import IDLE_WAIT_S

log = logging.getLogger(__name__)

INCIDENT = EventType(
    kind="incident",
    title="an incident",
    begin="an incident runs:{zone}",
    end="an incident is over:{zone}",
    severity="alarm",
    has_thumbnail=False,
)
TURN_S = 0.5
MAX_QUEUED_ORDERS = 64
REPORT_INTERVAL_S = 5.0
"""Between reports of changed outcomes."""
HOLD_CHECK_INTERVAL_S = 5.0
COUNT_SAVE_INTERVAL_S = 60.0
"""Of the number of pictures, which a power cut may lower by as much."""
NO_CLOCK_REASON = (
    "the clock of the box is not trusted: it cannot know whether the incident still runs"
)
NO_PLACE_REASON = f"{MAX_RUNNING} incidents run already: it waits until one has ended"
SURPLUS_REASON = "more incidents wait than the box keeps, and it ends first"
TIME_OVER_REASON = "its time is over"


class JobQueue:
    """Functions that wait for the stage's thread. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: deque[Callable[[], None]] = deque()

    def post(self, job: Callable[[], None]) -> None:
        """Run a function on the stage's thread."""
        with self._changed:
            self._jobs.append(job)
            self._changed.notify()

    def take(self, timeout_s: float, stopping: threading.Event) -> Collection[Callable[[], None]]:
        """Wait for functions, at most until the stage is to stop, and return them."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or stopping.is_set(), timeout_s)
            jobs, self._jobs = self._jobs, deque()
        return jobs

    def wake(self) -> None:
        """End the wait of `take` if the stage is to stop. Never blocks."""
        with self._changed:
            self._changed.notify()


class IncidentEffects(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a box that an incident acts on."""

    holds: IncidentHolds
    heads: IncidentHeads
    pictures: IncidentPictures
    rates: IncidentRates


class IncidentReporter(msgspec.Struct, frozen=True, kw_only=True):
    """The ways to report an incident: events with an id of their own, and receipts."""

    new_event_id: Callable[[int], str]
    publish_event: Callable[[Event], None]
    append_receipt: Callable[[IncidentChanged, int], object]


class IncidentStage:
    """The incidents of one box. `receive` is thread-safe; the rest is the stage's own thread."""

    name = "incidents"

    def __init__(
        self,
        box: BoxConfig,
        clock: Clock,
        boot: str,
        store: IncidentStore,
        jobs: JobQueue,
        orders: OrderReader,
        effects: IncidentEffects,
        reporter: IncidentReporter,
    ) -> None:
        self._box = box
        self._clock = clock
        self._boot = boot
        self._store = store
        self._jobs = jobs
        self._orders = orders
        self._effects = effects
        self._reporter = reporter
        self._orders_lock = threading.Lock()
        self._queued_orders = 0
        self._reported: dict[str, tuple[IncidentOutcome, ...]] = {}
        self._report_pause, self._hold_pause, self._count_pause = Pause(), Pause(), Pause()
        self._is_resumed = False
        self._resumed: frozenset[str] = frozenset()
        """The events of the incidents that an earlier agent has begun."""

    def receive(self, incident_id: str, received: ReceivedPublish) -> None:
        """Queue a message of the topic of an incident. Thread-safe; never blocks or raises."""
        with self._orders_lock:
            has_capacity = self._queued_orders < MAX_QUEUED_ORDERS
            self._queued_orders += has_capacity
        if not has_capacity:
            log.warning("incident %s: left out, %d wait already", incident_id, MAX_QUEUED_ORDERS)
            return
        self._jobs.post(lambda: self._take_order(incident_id, received))

    def run_once(self, stopping: threading.Event) -> None:
        """Run what was queued, or wait for it; then check all incidents."""
        if not self._is_resumed:
            self._is_resumed = True
            self._resume()
        wait_s = TURN_S if self._store.open else IDLE_WAIT_S
        for job in self._jobs.take(wait_s, stopping):
            job()
        self._tick()

    def wake(self) -> None:
        """End the wait of `run_once` if it is to stop. Thread-safe; never blocks."""
        self._jobs.wake()

    def close(self) -> None:
        """Save the number of pictures. Leases end with the agent."""
        self._save_counts()

    def _resume(self) -> None:
        """Continue the incidents of the previous agent."""
        now = self._now()
        self._resumed = frozenset(
            record.event for record in self._store.open if record.phase == "running"
        )
        for record in self._store.open:
            if record.deadline_boot != self._boot:
                # How long the box was off is unknown without a clock: the incident gets its whole time again.
                is_running = record.phase == "running"
                deadline_ns = find_deadline_ns(record.order, now, is_fresh=is_running)
                record = msgspec.structs.replace(  # noqa: PLW2901 - the same one, in this boot
                    record,
                    deadline_boot=self._boot,
                    deadline_ns=deadline_ns,
                    later_boots=(*record.later_boots, self._boot)[-MAX_LATER_BOOTS:],
                )
            if record.phase == "running":
                record = self._effects.holds.begin(record)  # noqa: PLW2901 - as above
            self._store.save(record)

    def _take_order(self, incident_id: str, received: ReceivedPublish) -> None:
        with self._orders_lock:
            self._queued_orders -= 1
        if not received.payload:
            return  # the topic was emptied, which ends nothing: the broker itself can do that
        try:
            signed = self._orders.read(received.payload)
        except MalformedOrder as error:
            log.warning("incident %s: left out: %s", incident_id, error)
            return
        order, box = signed.order, self._box
        if order.id != incident_id:
            log.warning("incident %s: left out: its id is %r", incident_id, order.id)
            return
        record = self._store.find(incident_id)
        ended_revision = self._store.ended_revision(incident_id)
        known = ended_revision if record is None else record.order.revision
        is_addressed = order.to.include(box.id, box.site, box.groups)
        if (known is not None and order.revision <= known) or not (is_addressed or record):
            return
        now = self._now()
        deadline_ns = find_deadline_ns(
            order, now, is_fresh=not (received.retained or self._orders.is_signed)
        )
        if deadline_ns is None and record is not None:
            deadline_ns = shift_deadline_ns(record.deadline_ns, record.order, order, now)
        phase: Phase | None = None if ended_revision is None else "ended"
        if record is not None:
            phase = record.phase
        verdict = judge(order, now, deadline_ns) if is_addressed else "over"
        reason = _end_reason(order, is_addressed=is_addressed)
        if verdict == "unclear":
            reason = NO_CLOCK_REASON
        elif verdict == "runs" and phase != "running" and not self._has_place():
            verdict, reason = "unclear", NO_PLACE_REASON
        transition = ON_ORDER[phase, verdict]
        revised = self._revised(record, signed, now, deadline_ns)
        self._execute(
            msgspec.structs.replace(revised, phase=transition.phase),
            transition.effect,
            by=order_by(revised),
            reason=reason,
        )
        self._end_surplus()

    def _has_place(self) -> bool:
        """Return whether one more incident may run."""
        return sum(record.phase == "running" for record in self._store.open) < MAX_RUNNING

    def _end_surplus(self) -> None:
        """End the pending incident that ends first if there are too many. None is left out without a report."""
        pending = [record for record in self._store.open if record.phase == "pending"]
        if len(pending) > MAX_PENDING:
            first = min(pending, key=lambda record: record.order.ends)
            ended = msgspec.structs.replace(first, phase="ended")
            self._execute(ended, "drop", by="vigie", reason=SURPLUS_REASON)

    def _revised(
        self,
        record: IncidentRecord | None,
        signed: SignedOrder,
        now: Moment,
        deadline_ns: int | None,
    ) -> IncidentRecord:
        """Return the record with a newer revision, or a new record."""
        if record is not None:
            order = signed.order
            if record.phase == "running":
                order = held_from_as_early(order, record.order)
            is_same_heads = record.order.heads == order.heads
            return msgspec.structs.replace(
                record,
                order=order,
                signers=signed.signers,
                deadline_boot=self._boot,
                deadline_ns=deadline_ns,
                sent_heads=record.sent_heads if is_same_heads else (),
            )
        return IncidentRecord(
            order=signed.order,
            signers=signed.signers,
            phase="pending",
            event=self._reporter.new_event_id(now.t_ns),
            begun_boot=self._boot,
            begun_ns=now.t_ns,
            begun_time=rfc3339(now.utc),
            deadline_boot=self._boot,
            deadline_ns=deadline_ns,
        )

    def _tick(self) -> None:
        self._store.write_unwritten()
        now = self._now()
        for record in self._store.open:
            verdict = judge(record.order, now, record.deadline_ns)
            if verdict == "runs" and record.phase == "pending" and not self._has_place():
                verdict = "unclear"
            transition = ON_TICK[record.phase, verdict]
            deadline_ns = record.deadline_ns
            if transition.effect == "begin" and now.synced:
                deadline_ns = find_deadline_ns(record.order, now, is_fresh=False)
            changed = msgspec.structs.replace(
                record, phase=transition.phase, deadline_ns=deadline_ns
            )
            if transition.effect != "none":
                self._execute(changed, transition.effect, by="vigie", reason=TIME_OVER_REASON)
        running = [record for record in self._store.open if record.phase == "running"]
        self._effects.heads.sync(running)
        self._effects.pictures.sync(running)
        self._effects.rates.sync(running)
        if self._hold_pause.is_over(now.t_ns):
            self._hold_pause.begin(now.t_ns, HOLD_CHECK_INTERVAL_S)
            for record in running:
                self._effects.holds.keep_open(record)
        self._report_changes(running, now.t_ns)
        if self._count_pause.is_over(now.t_ns):
            self._count_pause.begin(now.t_ns, COUNT_SAVE_INTERVAL_S)
            self._save_counts()

    def _save_counts(self) -> None:
        for record in self._store.open:
            counted = self._counted(record)
            if counted != record:
                self._store.save(counted)

    def _counted(self, record: IncidentRecord) -> IncidentRecord:
        """Return the record with the pictures that were sent since its newest save."""
        count = record.sent_pictures + self._effects.pictures.pop_sent_count(record)
        return msgspec.structs.replace(record, sent_pictures=count)

    def _execute(self, record: IncidentRecord, effect: Effect, *, by: str, reason: str) -> None:
        """Execute the effect of a transition. A receipt comes before the action, and the state before the report."""
        match effect:
            case "none":
                self._store.save(record)
            case "wait":
                self._report(record, reason)
            case "begin":
                self._write_receipt(record, "begun", order_by(record), describe(record.order))
                self._store.save(record)
                self._report(self._effects.holds.begin(record), None)
            case "revise":
                self._write_receipt(record, "extended", order_by(record), describe(record.order))
                self._store.save(record)
                if record.order.footage is None:
                    self._effects.holds.end(record)
                    record = msgspec.structs.replace(record, holds=())
                record = self._effects.holds.begin(record)
                self._effects.holds.keep_open(record)
                self._report(record, None)
            case "end":
                self._write_receipt(record, "ended", by, reason + self._describe_pictures(record))
                self._effects.holds.end(record)
                self._report(record, reason)
            case "drop":
                self._report(record, reason)

    def _describe_pictures(self, record: IncidentRecord) -> str:
        count = self._counted(record).sent_pictures
        at_least = "at least " if record.event in self._resumed else ""
        return f"; {at_least}{count} pictures were sent" if count else ""

    def _write_receipt(self, record: IncidentRecord, change: str, by: str, detail: str) -> None:
        self._reporter.append_receipt(
            IncidentChanged(
                incident=record.id,
                change=change,  # type: ignore[arg-type] # one of three
                revision=record.order.revision,
                by=by,
                role=record.signer.certificate_role or record.signer.role,
                case=record.order.case,
                ends=rfc3339(record.order.ends),
                detail=detail,
            ),
            self._clock.boottime_ns(),
        )

    def _report_changes(self, running: Collection[IncidentRecord], now_ns: int) -> None:
        changed = [
            record
            for record in running
            if self._reported.get(record.id) != _without_details(self._outcomes(record))
        ]
        if changed and self._report_pause.is_over(now_ns):
            self._report_pause.begin(now_ns, REPORT_INTERVAL_S)
            for record in changed:
                self._report(record, None)

    def _report(self, record: IncidentRecord, reason: str | None) -> None:
        """Save the record, and send its state as the next revision of its event."""
        rev = record.event_rev + 1
        record = msgspec.structs.replace(record, event_rev=rev)
        self._store.save(record)
        outcomes = self._outcomes(record) if record.phase == "running" else ()
        self._reported[record.id] = _without_details(outcomes)
        if record.phase == "ended":
            del self._reported[record.id]
        now = self._now()
        begin_ns = self._begin_ns(record, now)
        report = IncidentReport(
            incident=record.id,
            state=record.phase,
            revision=record.order.revision,
            by=record.signer.id,
            role=record.signer.certificate_role or record.signer.role,
            case=record.order.case,
            ends=rfc3339(record.order.ends),
            reason=reason,
            outcomes=outcomes,
        )
        phase = "end" if record.phase == "ended" else "begin" if rev == 1 else "update"
        self._reporter.publish_event(
            Event(
                event=record.event,
                rev=rev,
                kind=INCIDENT.kind,
                phase=phase,  # type: ignore[arg-type] # one of three
                camera=BOX_EVENT_SOURCE,
                t_ns=now.t_ns,
                begin_ns=begin_ns,
                name=record.id,
                duration_s=None if rev == 1 else max(0.0, (now.t_ns - begin_ns) / 1e9),
                incident=report,
            )
        )

    def _begin_ns(self, record: IncidentRecord, now: Moment) -> int:
        """Return the begin in time of this boot: below zero if it was before the boot."""
        if record.begun_boot == self._boot:
            return record.begun_ns
        age = now.utc - datetime.fromisoformat(record.begun_time)
        return now.t_ns - int(age.total_seconds() * 1e9)

    def _outcomes(self, record: IncidentRecord) -> tuple[IncidentOutcome, ...]:
        return (
            *self._effects.holds.outcomes(record),
            *self._effects.heads.outcomes(record),
            *self._effects.pictures.outcomes(record),
            *self._effects.rates.outcomes(record),
        )

    def _now(self) -> Moment:
        t_ns = self._clock.boottime_ns()
        return Moment(t_ns=t_ns, utc=self._clock.utc(t_ns), synced=self._clock.trust().synced)


def _without_details(outcomes: tuple[IncidentOutcome, ...]) -> tuple[IncidentOutcome, ...]:
    """Return what decides whether outcomes have changed: a detail may count seconds."""
    return tuple(msgspec.structs.replace(outcome, detail=None) for outcome in outcomes)


def order_by(record: IncidentRecord) -> str:
    """Return the names of the people who signed the order, for receipts."""
    return " and ".join(signer.id for signer in record.signers)


def describe(order: IncidentOrder) -> str:
    """Return what an order has a box do, in words."""
    parts = []
    if order.footage is not None:
        parts.append(f"footage is held from {order.footage.before_min:g} min before")
    if order.heads is not None:
        parts.append(f"heads are leased in the role {order.heads.role}")
    if order.pictures is not None:
        parts.append(f"a picture every {order.pictures.every_s:g} s")
    if order.rates is not None and order.rates.fps is not None:
        parts.append(f"{order.rates.fps:g} frames per second")
    if order.rates is not None and order.rates.bitrate_kbit_s is not None:
        parts.append(f"{order.rates.bitrate_kbit_s} kbit/s")
    return "; ".join(parts) or "it is only reported"


def _end_reason(order: IncidentOrder, *, is_addressed: bool) -> str:
    if not is_addressed:
        return "it is no longer for this box"
    return "it was ended by an order" if order.ended else TIME_OVER_REASON
