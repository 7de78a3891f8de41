"""Dispatch commands: each is carried out once, and answered.

Two kinds of threads. `dispatcher` carries out one command after the other and alone uses the
idempotency store. An urgent command, a stop, runs on a worker of its head's own: it waits neither
for the disk nor for a command that another device holds up. The submitter of a command never waits.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

import msgspec

from agent.base.clock import Clock
from agent.base.health_model import CommandHealth
from agent.base.model import (
    CommandAccepted,
    CommandDone,
    CommandProgress,
    CommandRefused,
    IncomingCommand,
    RefusalCode,
    Reply,
)
from agent.commands.command import (
    COMMAND_LIFETIME_S,
    CommandHandler,
    CommandProgressSink,
    Deferred,
    UnacceptableCommand,
    ValidCommand,
    check_expiry,
    command_digest,
    truncate,
)
from agent.commands.command_reader import CommandReader
from agent.commands.idempotency_store import (
    FinalReply,
    IdempotencyStore,
    IdempotencyStoreError,
    IdempotencyStoreFull,
)
from agent.commands.requester import CommandRejected, Requester
from agent.commands.signed_command import CommandAuthenticator
from agent.runtime.stage import IDLE_WAIT_S, Stage
from agent.runtime.worker import Worker
from drivers.errors import DriverError

log = logging.getLogger(__name__)

POLL_TIMEOUT_S = 1.0
MAX_QUEUED_COMMANDS = 64
"""Commands that have not begun. A new one beyond them is dropped without a reply."""
MAX_QUEUED_TASKS = 128
"""Commands, and progress and replies to persist. Beyond it the latter are dropped."""
PROGRESS_DECIMALS = 3
MAX_QUEUED_STOPS = 16
"""For one head. One more would do what those that wait do already."""
ANSWER_INTERVAL_S = 60.0
MAX_ANSWERS = 60
"""In an interval, to commands that are not carried out. A person with a wrong certificate sends a few."""
MAX_STOP_ANSWERS = 240
"""In an interval, to stops, which are carried out however often they come."""


class CommandStats:
    """Counts of commands for health since the agent started, and a line in the journal for each. Thread-safe.

    Text of a requester is logged by its `repr`, so that it stays on one line.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done_count = self._refused_count = self._dropped_count = 0

    def count_reply(
        self, command: ValidCommand, description: str, via: str, reply: FinalReply, age_ms: float
    ) -> None:
        """Count a command's last reply, `age_ms` after the command came in."""
        is_refused = isinstance(reply, CommandRefused)
        with self._lock:
            self._refused_count += is_refused
            self._done_count += not is_refused
        log.log(
            logging.WARNING if is_refused else logging.INFO,
            "command %s: %s %s, by %s over %s: %s after %.1f ms",
            command.id,
            command.verb,
            description,
            " and ".join(
                f"{signer.id!r} ({signer.certificate_role or signer.role})"
                for signer in command.signers
            ),
            via,
            f"refused, {reply.code}: {reply.message!r}"
            if isinstance(reply, CommandRefused)
            else "done",
            age_ms,
        )

    def count_refused_at_arrival(self, via: str, refusal: CommandRefused) -> None:
        """Count a command that was not queued."""
        with self._lock:
            self._refused_count += 1
        log.warning(
            "command %r over %s: refused, %s: %r",
            refusal.verb,
            via,
            refusal.code,
            refusal.message,
        )

    def count_dropped(self, description: str) -> None:
        """Count a command, or its progress, that a full queue has dropped."""
        with self._lock:
            self._dropped_count += 1
        log.error("a command or its progress is dropped: %s", description)

    def health(self, *, waiting: int, running: int) -> CommandHealth:
        """Return the counts, with what the dispatcher has now."""
        with self._lock:
            return CommandHealth(
                waiting=waiting,
                running=running,
                done=self._done_count,
                refused=self._refused_count,
                dropped=self._dropped_count,
            )


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A command, its handler and its requester. `via` names its source; the rest: see IncomingCommand."""

    command: ValidCommand
    handler: CommandHandler
    via: str
    send_reply: Callable[[Reply], None]
    received_ns: int
    has_waited: bool = False
    session: int | None = None
    is_local: bool = False


class RunningJob(msgspec.Struct, frozen=True, kw_only=True):
    """A command that was accepted and has not ended."""

    job: Job
    deferred: Deferred
    deadline_ns: int


_FinishCallback = Callable[[Job, FinalReply], object]

_CODE_OF_DRIVER_ERROR: dict[str, RefusalCode] = {
    "absent": "unavailable",
    "closed": "unavailable",
    "timeout": "unavailable",
    "stuck": "unavailable",
    "busy": "busy",
    "unsupported": "unsupported",
}


def refuse(command: ValidCommand, code: RefusalCode, message: str) -> CommandRefused:
    """Return the refusal of a command."""
    return CommandRefused(command=command.id, verb=command.verb, code=code, message=message)


def refuse_at_arrival(incoming: IncomingCommand, error: UnacceptableCommand) -> CommandRefused:
    """Return the refusal of a command that is not queued."""
    return CommandRefused(
        command=error.command_id,
        verb=truncate(incoming.verb),
        code=error.code,
        message=str(error),
    )


def refuse_reused_id(command: ValidCommand) -> CommandRefused:
    """Return the refusal of a command with another command's id."""
    message = f"the id {command.id!r} was that of another command; allowed: an id of its own"
    return refuse(command, "malformed", message)


def refuse_driver_error(command: ValidCommand, error: DriverError) -> CommandRefused:
    """Return the refusal of a command that a device did not do."""
    return refuse(command, _CODE_OF_DRIVER_ERROR.get(error.kind, "failed"), str(error))


def describe_store_error(error: IdempotencyStoreError) -> str:
    """Return why a command that must not be done twice is not begun."""
    return f"it must not be done twice, and its begin cannot be stored: {error}"


class AnswerLimit:
    """Allows the first `max_answers` of each interval. Thread-safe.

    A broker could provoke answers to refused, repeated and stale commands, and to stops, without end. Each is written to
    the disk and kept until a centre has it. A flood must not wear out a card or fill the outbox, whose replies are never
    shed.
    """

    def __init__(self, clock_ns: Callable[[], int], max_answers: int) -> None:
        self._clock_ns = clock_ns
        self._max_answers = max_answers
        self._lock = threading.Lock()
        self._begin_ns = clock_ns()
        self._count = 0

    def allow(self) -> bool:
        """Count one more, and return whether it is answered."""
        with self._lock:
            now_ns = self._clock_ns()
            if now_ns - self._begin_ns >= ANSWER_INTERVAL_S * 1e9:
                self._begin_ns, self._count = now_ns, 0
            self._count += 1
            return self._count <= self._max_answers


class CommandDispatcher:
    """The stage `dispatcher`, and the stages of urgent commands.

    `submit` is for the network: with an `authenticator` a command needs a signature. `submit_local` is for the control
    socket, and `submit_own` for the agent itself.
    """

    name = "dispatcher"

    def __init__(
        self,
        handlers: Sequence[CommandHandler],
        idempotency_store: IdempotencyStore,
        clock: Clock,
        authenticator: CommandAuthenticator | None = None,
    ) -> None:
        self._reader = CommandReader(handlers, authenticator)
        self._idempotency_store = idempotency_store
        self._clock = clock
        self._changed = threading.Condition()
        self._tasks: deque[Callable[[], object]] = deque()
        self._queued_count = 0
        self._arrival_number = 0
        self._running: dict[str, RunningJob] = {}
        self._stats = CommandStats()
        self._answer_limit = AnswerLimit(clock.boottime_ns, MAX_ANSWERS)
        self._stop_answer_limit = AnswerLimit(clock.boottime_ns, MAX_STOP_ANSWERS)
        self._is_closing = False
        self._priority_workers = {
            name: Worker(f"stop {name}", self._run_priority, MAX_QUEUED_STOPS)
            for handler in handlers
            for name in handler.priority_lanes
        }

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The dispatcher itself, then a worker for each priority lane."""
        return (self, *self._priority_workers.values())

    def health(self) -> CommandHealth:
        """Return the counts since the start. Thread-safe."""
        return self._stats.health(waiting=self._queued_count, running=len(self._running))

    def submit(self, incoming: IncomingCommand) -> None:
        """Queue a command of the network. Thread-safe; never blocks or raises."""
        self._submit(incoming, is_local=False)

    def submit_local(self, incoming: IncomingCommand) -> None:
        """Queue a command of the control socket. Thread-safe; never blocks or raises."""
        self._submit(incoming, is_local=True)

    def submit_own(
        self,
        verb: str,
        args: msgspec.Struct,
        requester: Requester,
        *,
        command_id: str,
        via: str,
        send_reply: Callable[[Reply], None],
    ) -> None:
        """Queue a command of the agent itself, for a requester, with `args` of the verb's type. Thread-safe; never blocks."""
        now_ns = self._clock.boottime_ns()
        command = ValidCommand(
            arrival_number=self._count_arrival(),
            verb=verb,
            id=command_id,
            requester=requester,
            expires=self._clock.utc(now_ns) + timedelta(seconds=COMMAND_LIFETIME_S),
            args=args,
            digest=command_digest(verb, (requester,), args),
        )
        self._enqueue_job(
            Job(
                command=command,
                handler=self._reader.handlers[verb],
                via=via,
                send_reply=send_reply,
                received_ns=now_ns,
                is_local=True,
            )
        )

    def resume(
        self, command: ValidCommand, send_reply: Callable[[Reply], None], deferred: Deferred
    ) -> CommandProgressSink:
        """Continue a command that an earlier run of the agent has accepted. For the time before the stages start."""
        command, handler = self._reader.read_pending(command)
        job = Job(
            command=command,
            handler=handler,
            via="an earlier run",
            send_reply=send_reply,
            received_ns=self._clock.boottime_ns(),
        )
        self._add_running(job, deferred)
        return self._make_progress_sink(command)

    def run_once(self, stopping: threading.Event) -> None:
        """Run one task, or return after waiting for one, for a second if a command may time out."""
        wait_s = POLL_TIMEOUT_S if self._running else IDLE_WAIT_S
        with self._changed:
            self._changed.wait_for(lambda: self._tasks or stopping.is_set(), wait_s)
            task = self._tasks.popleft() if self._tasks else None
        if task is not None:
            task()
        for running in list(self._running.values()):
            if self._clock.boottime_ns() >= running.deadline_ns:
                self._time_out(running, running.deferred.on_timeout())
        self._idempotency_store.probe_after_failure()

    def wake(self) -> None:
        """End the wait of `run_once` if it is to stop. Thread-safe; never blocks."""
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """Refuse the commands that wait, and fail those that run and that no later run resumes.

        The reply to a stop that a worker still carries out is not persisted: it may be repeated.
        """
        self._is_closing = True
        while self._tasks:
            self._tasks.popleft()()
        for running in list(self._running.values()):
            if running.deferred.forget is None:
                self._time_out(running, "the agent stopped before it was done")
        self._idempotency_store.close()

    def _submit(self, incoming: IncomingCommand, *, is_local: bool) -> None:
        try:
            command, handler = self._reader.read(incoming, self._count_arrival(), is_local=is_local)
        except UnacceptableCommand as error:
            refusal = refuse_at_arrival(incoming, error)
            task = partial(self._refuse_at_arrival, incoming, refusal, is_local=is_local)
            self._enqueue_task(task)
            return
        self._enqueue_job(
            Job(
                command=msgspec.structs.replace(command, reply_address=incoming.reply_address),
                handler=handler,
                via=incoming.via,
                send_reply=incoming.send_reply,
                received_ns=self._clock.boottime_ns(),
                has_waited=incoming.has_waited,
                session=incoming.session,
                is_local=is_local,
            )
        )

    def _count_arrival(self) -> int:
        with self._changed:
            self._arrival_number += 1
            return self._arrival_number

    def _enqueue_job(self, job: Job) -> None:
        command = job.command
        lane_name = job.handler.priority_lane(command.args)
        worker = None if lane_name is None else self._priority_workers.get(lane_name)
        if worker is None:
            self._enqueue_command(job)
        elif not worker.put(job):
            self._stats.count_dropped(f"{command.id}: too many wait for {lane_name!r}")

    def _enqueue_command(self, job: Job) -> None:
        with self._changed:
            has_capacity = self._queued_count < MAX_QUEUED_COMMANDS
            if has_capacity:
                self._queued_count += 1
                self._tasks.append(partial(self._begin, job))
                self._changed.notify()
        if not has_capacity:
            self._stats.count_dropped(f"{job.command.id}: {MAX_QUEUED_COMMANDS} wait already")

    def _enqueue_task(self, task: Callable[[], object]) -> None:
        with self._changed:
            has_capacity = len(self._tasks) < MAX_QUEUED_TASKS
            if has_capacity:
                self._tasks.append(task)
                self._changed.notify()
        if not has_capacity:
            self._stats.count_dropped(f"{MAX_QUEUED_TASKS} things wait already")

    def _run_priority(self, job: Job) -> None:
        """Carry out an urgent command on its worker. Its reply is persisted afterwards."""
        reply = self._run_handler(job, self._reply_final)
        if isinstance(reply, Deferred):
            raise TypeError(f"{job.handler.command.verb}: an urgent command must not be Deferred")
        if self._reply_final(job, reply, self._stop_answer_limit):
            self._enqueue_task(partial(self._persist_reply, job, reply, at_most_once=False))

    def _begin(self, job: Job) -> None:
        with self._changed:
            self._queued_count -= 1
        command = job.command
        at_most_once = not job.handler.command.is_idempotent(command.args)
        if self._reply_if_repeated(job, at_most_once=at_most_once):
            return
        try:
            self._check_acceptable(job)
            if at_most_once:
                self._persist_begin(command)
        except CommandRejected as error:
            # It was not begun, so its id may come again.
            self._reply_final(job, refuse(command, error.code, str(error)), self._answer_limit)
            return
        reply = self._run_handler(job, self._finish)
        if isinstance(reply, Deferred):
            self._add_running(job, reply)
            job.send_reply(CommandAccepted(command=command.id, verb=command.verb))
        else:
            self._finish(job, reply)

    def _add_running(self, job: Job, deferred: Deferred) -> None:
        deadline_ns = self._clock.boottime_ns() + int(deferred.timeout_s * 1e9)
        running = RunningJob(job=job, deferred=deferred, deadline_ns=deadline_ns)
        self._running[job.command.id] = running

    def _reply_if_repeated(self, job: Job, *, at_most_once: bool) -> bool:
        """Answer a repeat as the first command was, and return True; False for a new command."""
        command = job.command
        running = self._running.get(command.id)
        if running is not None:
            if running.job.command.digest != command.digest:
                self._reply_final(job, refuse_reused_id(command), self._answer_limit)
                return True
            # The requester has given up waiting for a reply to the first one.
            self._running[command.id] = msgspec.structs.replace(running, job=job)
            if job.is_local or self._answer_limit.allow():
                job.send_reply(CommandAccepted(command=command.id, verb=command.verb))
            return True
        try:
            record = self._idempotency_store.find(command.id)
        except IdempotencyStoreError as error:
            if at_most_once:
                self._reply_final(job, refuse(command, "failed", describe_store_error(error)))
            return at_most_once
        if record is None:
            return False
        reply: FinalReply
        if record.digest != command.digest:
            reply = refuse_reused_id(command)
        elif record.reply is None:
            message = "the agent ended meanwhile: it is not known whether it was done"
            reply = refuse(command, "failed", message)
            self._persist_reply(job, reply, at_most_once=True)
        else:
            reply = record.reply
        self._reply_final(job, reply, self._answer_limit)
        return True

    def _check_acceptable(self, job: Job) -> None:
        """Raise CommandRejected if the command has waited or expired, or the agent stops.

        A command that waited at the broker is refused whatever its expiry: its requester had no answer meanwhile. So
        none is old, and while the clock is not trusted, no unsigned one counts as expired.
        """
        if self._is_closing:
            raise CommandRejected("failed", "the agent stops: it was not begun")
        if job.has_waited:
            raise CommandRejected("expired", "it came while the box was not connected")
        if job.command.issued is not None:
            self._reader.check_freshness(job.command, job.session)
        elif self._clock.trust().synced:
            check_expiry(job.command, self._clock.utc(self._clock.boottime_ns()))

    def _persist_begin(self, command: ValidCommand) -> None:
        """Raise CommandRejected if the begin cannot be stored: the command must not be done then."""
        try:
            self._idempotency_store.record_begin(command)
        except IdempotencyStoreFull as error:
            raise CommandRejected("busy", str(error)) from error
        except IdempotencyStoreError as error:
            raise CommandRejected("failed", describe_store_error(error)) from error

    def _run_handler(self, job: Job, finish: _FinishCallback) -> FinalReply | Deferred:
        progress_sink = self._make_progress_sink(job.command)
        return self._run_to_reply(job, lambda: job.handler.run(job.command, progress_sink), finish)

    def _make_progress_sink(self, command: ValidCommand) -> CommandProgressSink:
        return CommandProgressSink(
            partial(self._enqueue_progress, command), partial(self._enqueue_finish, command.id)
        )

    def _run_to_reply(
        self,
        job: Job,
        task: Callable[[], msgspec.Struct | Deferred],
        finish: _FinishCallback,
    ) -> FinalReply | Deferred:
        """Run `task` and turn its result into a reply.

        An unexpected exception is answered as `failed` and re-raised.
        """
        command = job.command
        try:
            result = task()
        except CommandRejected as error:
            return refuse(command, error.code, str(error))
        except DriverError as error:
            return refuse_driver_error(command, error)
        except BaseException as error:
            message = f"the agent failed at it: {type(error).__name__}"
            finish(job, refuse(command, "failed", message))
            raise
        if isinstance(result, Deferred):
            return result
        encoded_result = msgspec.Raw(msgspec.json.encode(result))
        return CommandDone(command=command.id, verb=command.verb, result=encoded_result)

    def _enqueue_progress(self, command: ValidCommand, fraction: float, detail: str) -> None:
        progress = CommandProgress(
            command=command.id,
            verb=command.verb,
            progress=round(fraction, PROGRESS_DECIMALS),
            detail=detail,
        )
        self._enqueue_task(partial(self._send_progress, command.id, progress))

    def _enqueue_finish(self, command_id: str, make_result: Callable[[], msgspec.Struct]) -> None:
        with self._changed:
            self._tasks.append(partial(self._finish_deferred, command_id, make_result))
            self._changed.notify()

    def _send_progress(self, command_id: str, progress: CommandProgress) -> None:
        running = self._running.get(command_id)
        if running is not None:
            running.job.send_reply(progress)

    def _finish_deferred(self, command_id: str, make_result: Callable[[], msgspec.Struct]) -> None:
        running = self._running.pop(command_id, None)
        if running is None:
            return
        reply = self._run_to_reply(
            running.job, make_result, lambda _job, failure: self._end(running, failure)
        )
        if isinstance(reply, Deferred):
            raise TypeError(
                f"{running.job.handler.command.verb}: the end of a command must not be Deferred"
            )
        self._end(running, reply)

    def _time_out(self, running: RunningJob, message: str) -> None:
        self._running.pop(running.job.command.id, None)
        self._end(running, refuse(running.job.command, "failed", message))

    def _end(self, running: RunningJob, reply: FinalReply) -> None:
        """Persist and send the last reply of a command that was accepted, and have it forgotten.

        If an earlier run was killed in between, its reply is sent again. One that cannot be persisted is left to the next run.
        """
        job, forget = running.job, running.deferred.forget
        if forget is None:
            self._finish(job, reply)
        elif self._finish(job, self._find_reply(job.command) or reply):
            forget()

    def _find_reply(self, command: ValidCommand) -> FinalReply | None:
        """Return the reply that an earlier run has persisted, or None."""
        try:
            record = self._idempotency_store.find(command.id)
        except IdempotencyStoreError:
            return None
        return None if record is None or record.digest != command.digest else record.reply

    def _finish(self, job: Job, reply: FinalReply) -> bool:
        """Persist the reply, then send it: a reply that was sent is repeated after a crash too. Return False if it was
        not persisted.
        """
        is_persisted = self._persist_reply(
            job, reply, at_most_once=not job.handler.command.is_idempotent(job.command.args)
        )
        self._reply_final(job, reply)
        return is_persisted

    def _persist_reply(self, job: Job, reply: FinalReply, *, at_most_once: bool) -> bool:
        try:
            self._idempotency_store.record_reply(job.command, reply, at_most_once=at_most_once)
        except IdempotencyStoreError as error:
            log.error("command %s: its reply is not persisted: %s", job.command.id, error)
            return False
        return True

    def _reply_final(self, job: Job, reply: FinalReply, limit: AnswerLimit | None = None) -> bool:
        """Send a last reply, and return True, unless a `limit` leaves it out."""
        is_sent = limit is None or job.is_local or limit.allow()
        if is_sent:
            job.send_reply(reply)
        age_ms = (self._clock.boottime_ns() - job.received_ns) / 1e6
        description = job.handler.command.describe(job.command.args)
        self._stats.count_reply(job.command, description, job.via, reply, age_ms)
        return is_sent

    def _refuse_at_arrival(
        self, incoming: IncomingCommand, refusal: CommandRefused, *, is_local: bool
    ) -> None:
        self._stats.count_refused_at_arrival(incoming.via, refusal)
        if is_local or self._answer_limit.allow():
            incoming.send_reply(refusal)
