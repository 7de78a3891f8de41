"""Takes commands, has each of them done once, and says what became of it.

Two kinds of threads. `commands` does one after the other and alone uses the ledger. What cannot
wait, a stop, is done in a thread of its head's own (`agent.commands.express`): it waits neither for
the disk nor for another command that its device holds up. Who brings a command never waits.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from agent.base.clock import Clock
from agent.base.health_model import CommandHealth
from agent.base.model import (
    CommandAccepted,
    CommandDone,
    CommandProgress,
    CommandRefused,
    RefusalKind,
    Reply,
)
from agent.commands.command import (
    CommandHandler,
    Deferred,
    Malformed,
    ValidCommand,
    check_expiry,
    command_type,
    parse,
)
from agent.commands.express import PriorityWorker
from agent.commands.idempotency_store import Final, IdempotencyStore, LedgerError, LedgerFull
from agent.commands.requester import CommandRejected
from agent.commands.tally import CommandStats
from agent.runtime.stage import Stage
from drivers.errors import DriverError

log = logging.getLogger(__name__)

TURN_S = 1.0
WAITING_MOST = 64
"""Commands that are not begun. Beyond them a new one is dropped, and its sender hears nothing."""
NEWS_MOST = 128
"""With what is only to be said or written down. Beyond it that is left out."""

_DRIVER_KINDS: dict[str, RefusalKind] = {
    "absent": "absent",
    "timeout": "absent",
    "stuck": "absent",
    "busy": "busy",
    "unsupported": "unsupported",
}


class IncomingCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command as it came in at one of the doors: `via` names the door. `answer` takes each reply,
    from any thread; it does not raise.
    """

    verb: str
    payload: bytes
    via: str
    answer: Callable[[Reply], None]
    retained: bool = False


class _Ticket(msgspec.Struct, frozen=True, kw_only=True):
    order: ValidCommand
    verb: CommandHandler
    via: str
    answer: Callable[[Reply], None]
    came_ns: int


_Conclude = Callable[[_Ticket, Final], None]


class _Running(msgspec.Struct, frozen=True, kw_only=True):
    ticket: _Ticket
    late_ns: int


class _Course:
    """See `agent.commands.command.Course`."""

    def __init__(self, desk: "CommandDispatcher", ticket: _Ticket) -> None:
        self._desk = desk
        self._ticket = ticket

    def progress(self, share: float, detail: str) -> None:
        order = self._ticket.order
        news = CommandProgress(command=order.id, verb=order.verb, share=share, detail=detail)
        self._desk.report_progress(order.id, news)

    def finish(self, work: Callable[[], msgspec.Struct]) -> None:
        self._desk.finish(self._ticket.order.id, work)


class CommandDispatcher:
    """The stage `commands`, and in `stages` those of what cannot wait. `take` is for every door."""

    name = "commands"

    def __init__(
        self, verbs: Sequence[CommandHandler], ledger: IdempotencyStore, clock: Clock
    ) -> None:
        self._verbs = {verb.name: verb for verb in verbs}
        self._types = {verb.name: command_type(verb.name, verb.args) for verb in verbs}
        self._ledger = ledger
        self._clock = clock
        self._changed = threading.Condition()
        self._work: deque[Callable[[], None]] = deque()
        self._waiting = 0
        self._number = 0
        self._running: dict[str, _Running] = {}
        self._tally = CommandStats()
        self._closing = False
        self._express = {
            name: PriorityWorker(f"stop {name}", self._run_priority)
            for verb in verbs
            for name in verb.priority_lanes
        }

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Each wants a thread. This one is the first."""
        return (self, *self._express.values())

    def health(self) -> CommandHealth:
        """Counts since the start. From any thread."""
        return self._tally.health(waiting=self._waiting, running=len(self._running))

    def submit(self, arrival: IncomingCommand) -> None:
        """Take a command. Never blocks and never raises; from any thread."""
        with self._changed:
            self._number += 1
            number = self._number
        try:
            ticket = self._ticket(arrival, number)
        except Malformed as error:
            refusal = CommandRefused(
                command=error.id, verb=arrival.verb, kind="malformed", why=str(error)
            )
            self._put_news(partial(self._reject_malformed, arrival, refusal))
            return
        express = ticket.verb.priority_lane(ticket.order.args)
        lane = None if express is None else self._express.get(express)
        if lane is None:
            self._put_order(ticket)
        elif not lane.put(ticket):
            self._tally.drop(f"{ticket.order.id}: too many wait for {express!r}")

    def report_progress(self, ident: str, news: CommandProgress) -> None:
        """News of a command that takes a while; see `Course`."""
        self._put_news(partial(self._say, ident, news))

    def finish(self, ident: str, work: Callable[[], msgspec.Struct]) -> None:
        """A command that takes a while ends with `work`; see `Course`."""
        with self._changed:
            self._work.append(partial(self._end, ident, work))
            self._changed.notify()

    def run_once(self, stopping: threading.Event) -> None:
        """Do one thing, or wait up to a second for one."""
        with self._changed:
            self._changed.wait_for(lambda: self._work, TURN_S)
            work = self._work.popleft() if self._work else None
        if work is not None:
            work()
        now_ns = self._clock.boottime_ns()
        for running in [r for r in self._running.values() if now_ns >= r.late_ns]:
            self._time_out(running, "it has not ended in time")
        self._ledger.mend()

    def close(self) -> None:
        """What waits is not begun any more, and what runs is over."""
        self._closing = True
        while self._work:
            self._work.popleft()()
        for running in list(self._running.values()):
            self._time_out(running, "the agent stopped before it was done")
        self._ledger.close()

    def _ticket(self, arrival: IncomingCommand, number: int) -> _Ticket:
        """Raises Malformed."""
        verb = self._verbs.get(arrival.verb)
        if verb is None:
            known = ", ".join(sorted(self._verbs)) or "none"
            raise Malformed(f"{arrival.verb!r}: no such command; allowed: {known}", None)
        order = parse(verb, self._types[verb.name], arrival.payload, number)
        if arrival.retained:
            raise Malformed(
                f"command {verb.name}: it was published retained; allowed: only to who is there",
                order.id,
            )
        return _Ticket(
            order=order,
            verb=verb,
            via=arrival.via,
            answer=arrival.answer,
            came_ns=self._clock.boottime_ns(),
        )

    def _put_order(self, ticket: _Ticket) -> None:
        with self._changed:
            room = self._waiting < WAITING_MOST
            if room:
                self._waiting += 1
                self._work.append(partial(self._begin, ticket))
                self._changed.notify()
        if not room:
            self._tally.drop(f"{ticket.order.id}: {WAITING_MOST} wait already")

    def _put_news(self, work: Callable[[], None]) -> None:
        with self._changed:
            room = len(self._work) < NEWS_MOST
            if room:
                self._work.append(work)
                self._changed.notify()
        if not room:
            self._tally.drop(f"{NEWS_MOST} things wait already")

    def _run_priority(self, ticket: _Ticket) -> None:
        """In an express thread. What was done is written down after it."""
        reply = self._run(ticket, self._reply_final)
        if isinstance(reply, Deferred):
            raise TypeError(f"{ticket.verb.name}: what is done at once cannot take a while")
        self._reply_final(ticket, reply)
        self._put_news(partial(self._persist_reply, ticket, reply, once=False))

    def _begin(self, ticket: _Ticket) -> None:
        with self._changed:
            self._waiting -= 1
        order = ticket.order
        once = not ticket.verb.is_idempotent(order.args)
        if self._is_answered(ticket, once=once):
            return
        try:
            self._refuse_now(order)
            if once:
                self._write_begin(order)
        except CommandRejected as error:
            # It was not begun, so its id may come again.
            self._reply_final(ticket, _refusal(order, error.kind, str(error)))
            return
        reply = self._run(ticket, self._finish)
        if isinstance(reply, Deferred):
            late_ns = self._clock.boottime_ns() + int(reply.within_s * 1e9)
            self._running[order.id] = _Running(ticket=ticket, late_ns=late_ns)
            ticket.answer(CommandAccepted(command=order.id, verb=order.verb))
        else:
            self._finish(ticket, reply)

    def _is_answered(self, ticket: _Ticket, *, once: bool) -> bool:
        """Whether this is a repeat, which is answered as the first one was."""
        order = ticket.order
        running = self._running.get(order.id)
        if running is not None and running.ticket.order.digest == order.digest:
            # Who asks again has given up waiting where he asked before.
            self._running[order.id] = msgspec.structs.replace(running, ticket=ticket)
            ticket.answer(CommandAccepted(command=order.id, verb=order.verb))
            return True
        try:
            entry = self._ledger.find(order.id)
        except LedgerError as error:
            if once:
                self._reply_final(ticket, _refusal(order, "failed", _cannot_keep(error)))
            return once
        if entry is None and running is None:
            return False
        reply: Final
        if entry is None or entry.digest != order.digest:
            why = f"the id {order.id!r} was that of another command; allowed: an id of its own"
            reply = _refusal(order, "malformed", why)
        elif entry.reply is None:
            why = "the agent ended while it was at it: whether it was done is not known"
            reply = _refusal(order, "failed", why)
            self._persist_reply(ticket, reply, once=True)
        else:
            reply = entry.reply
        self._reply_final(ticket, reply)
        return True

    def _refuse_now(self, order: ValidCommand) -> None:
        """Raise Refused where this is not the time for an order. While the clock is not trusted
        nobody can tell whether it has expired, and it has not waited at the broker either: what is
        published while the box is not connected never comes.
        """
        if self._closing:
            raise CommandRejected("failed", "the agent stops: it was not begun")
        if self._clock.trust().synced:
            check_expiry(order, self._clock.utc(self._clock.boottime_ns()))

    def _write_begin(self, order: ValidCommand) -> None:
        """Raises Refused where it cannot be written down: then it must not be done."""
        try:
            self._ledger.begin(order)
        except LedgerFull as error:
            raise CommandRejected("busy", str(error)) from error
        except LedgerError as error:
            raise CommandRejected("failed", _cannot_keep(error)) from error

    def _run(self, ticket: _Ticket, conclude: _Conclude) -> Final | Deferred:
        order = ticket.order
        course = _Course(self, ticket)
        return self._run_to_reply(ticket, lambda: ticket.verb.run(order, course), conclude)

    def _run_to_reply(
        self,
        ticket: _Ticket,
        work: Callable[[], msgspec.Struct | Deferred],
        conclude: _Conclude,
    ) -> Final | Deferred:
        """What work gives, as a reply. What nobody foresaw is concluded, and goes on upwards."""
        order = ticket.order
        try:
            result = work()
        except CommandRejected as error:
            return _refusal(order, error.kind, str(error))
        except DriverError as error:
            return _refusal(order, _DRIVER_KINDS.get(error.kind, "failed"), str(error))
        except BaseException as error:
            said = f"the agent failed at it: {type(error).__name__}"
            conclude(ticket, _refusal(order, "failed", said))
            raise
        if isinstance(result, Deferred):
            return result
        encoded = msgspec.Raw(msgspec.json.encode(result))
        return CommandDone(command=order.id, verb=order.verb, result=encoded)

    def _say(self, ident: str, news: CommandProgress) -> None:
        running = self._running.get(ident)
        if running is not None:
            running.ticket.answer(news)

    def _end(self, ident: str, work: Callable[[], msgspec.Struct]) -> None:
        running = self._running.pop(ident, None)
        if running is None:
            return
        reply = self._run_to_reply(running.ticket, work, self._finish)
        if isinstance(reply, Deferred):
            raise TypeError(f"{running.ticket.verb.name}: the end of a command cannot take a while")
        self._finish(running.ticket, reply)

    def _time_out(self, running: _Running, why: str) -> None:
        self._running.pop(running.ticket.order.id, None)
        self._finish(running.ticket, _refusal(running.ticket.order, "failed", why))

    def _finish(self, ticket: _Ticket, reply: Final) -> None:
        """Write down how it ended, then say so: what was said is repeated after a crash too."""
        self._persist_reply(ticket, reply, once=not ticket.verb.is_idempotent(ticket.order.args))
        self._reply_final(ticket, reply)

    def _persist_reply(self, ticket: _Ticket, reply: Final, *, once: bool) -> None:
        try:
            self._ledger.end(ticket.order, reply, once=once)
        except LedgerError as error:
            log.error("command %s: how it ended is not kept: %s", ticket.order.id, error)

    def _reply_final(self, ticket: _Ticket, reply: Final) -> None:
        ticket.answer(reply)
        age_ms = (self._clock.boottime_ns() - ticket.came_ns) / 1e6
        subject = ticket.verb.subject(ticket.order.args)
        self._tally.count(ticket.order, subject, ticket.via, reply, age_ms)

    def _reject_malformed(self, arrival: IncomingCommand, refusal: CommandRefused) -> None:
        self._tally.count_malformed(arrival.via, refusal)
        arrival.answer(refusal)


def _refusal(order: ValidCommand, kind: RefusalKind, why: str) -> CommandRefused:
    return CommandRefused(command=order.id, verb=order.verb, kind=kind, why=why)


def _cannot_keep(error: LedgerError) -> str:
    return f"it must not be done twice, and that it is done cannot be written down: {error}"
