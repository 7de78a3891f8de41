"""The stage `uploads`: one clip at a time is made and uploaded by a child, within the link's budget.

The stage waits for nothing but the child's next message. What a restart of the agent or a cut of the link
needs is in the queue before the child continues. The requester gets its reply in any case: a command that was
accepted before a restart is answered by a message of the stage's own.
"""

import contextlib
import logging
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

import msgspec

from agent.base.clock import Clock
from agent.base.device_identity import IDENTITY_DIR, DeviceIdentity
from agent.base.health_model import DegradationLevel
from agent.base.state_file import StateFile
from agent.clips.clip_task import (
    ClipMessage,
    Made,
    MadeFile,
    MakeTask,
    Making,
    Rejected,
    Retry,
    Sending,
    Sent,
    Uploaded,
    UploadTask,
)
from agent.clips.upload_queue import LIFETIME_S, Outcome, UploadQueue, UploadRecord
from agent.clips.upload_replies import UploadReplies
from agent.recording.retention.free_space import reserve_bytes
from agent.runtime.answered_child import AnsweredChild
from agent.runtime.backoff import Backoff
from agent.runtime.link_budget import (
    DAY_RETRY_S,
    DAY_USED_UP,
    DayUsage,
    LinkBudget,
    SendPriority,
)
from agent.runtime.pause import Pause
from agent.runtime.stage import IDLE_WAIT_S
from drivers.child.messages import Failed
from drivers.child.process import new_interpreter
from drivers.errors import DriverError

log = logging.getLogger(__name__)

POLL_S = 1.0
CHILD_TIMEOUT_S = 120.0
"""Without a message. A hostile server may send a byte of its answer now and then, for ever."""
MAX_CRASHES = 5
MAX_FILE_BYTES = 4_000_000_000
"""Of all files that wait, and of what is made."""
MAX_SENT_RATIO, MAX_SENT_EXTRA_BYTES = 20, 64_000_000
"""A server that forgets what it got does not use up the link for ever."""
PROGRESS_INTERVAL_S = 10.0
OUTBOX_CHECK_S = 1.0
USAGE_INTERVAL_S = 60.0
USAGE_FILE = "link_usage.json"
_MAKING_RATIO = 0.2
"""The share of the making in the progress."""

START_PROCESS = new_interpreter("agent.clips.clip_child")
_decoder: msgspec.msgpack.Decoder[ClipMessage | Failed] = msgspec.msgpack.Decoder(
    ClipMessage | Failed
)

FIRST_RETRY_S, MAX_RETRY_S = 1.0, 300.0


class _Tries(msgspec.Struct):
    """The tries of one upload in this run of the agent."""

    pause: Pause = msgspec.field(default_factory=Pause)
    backoff: Backoff = msgspec.field(default_factory=lambda: Backoff(FIRST_RETRY_S, MAX_RETRY_S))
    crashes: int = 0
    last_reason: str = "it was not tried"


class UploadSchedule:
    """Schedule of the tries of each upload. Pure: randomness comes from the caller, time is an argument."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._tries: dict[str, _Tries] = {}

    def is_due(self, upload_id: str, now_ns: int) -> bool:
        """Return whether an upload may be tried now."""
        return self._of(upload_id).pause.is_over(now_ns)

    def postpone(
        self, upload_id: str, now_ns: int, reason: str, *, has_sent: bool, after_s: float | None
    ) -> None:
        """Pause an upload: shortly if the last try has sent something, and at least for `after_s`."""
        tries = self._of(upload_id)
        tries.last_reason = reason
        if has_sent:
            tries.backoff.reset()
        wait_s = tries.backoff.next_s() * self._rng.uniform(0.5, 1.0)
        tries.pause.begin(now_ns, max(wait_s, after_s or 0.0))

    def count_crash(self, upload_id: str) -> int:
        """Count a try whose child has died, and return how many there were."""
        tries = self._of(upload_id)
        tries.crashes += 1
        return tries.crashes

    def last_reason(self, upload_id: str) -> str:
        """Return why the last try has failed."""
        return self._of(upload_id).last_reason

    def forget(self, upload_id: str) -> None:
        """Forget an upload that has ended."""
        self._tries.pop(upload_id, None)

    def _of(self, upload_id: str) -> _Tries:
        return self._tries.setdefault(upload_id, _Tries())


class UploadSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Constants of the box. `configured_reserve_bytes` are those of `[record]`."""

    state_dir: Path
    box: str
    ca: str | None
    configured_reserve_bytes: int


class _Run(msgspec.Struct):
    """The child that runs now."""

    record: UploadRecord
    process: AnsweredChild[ClipMessage]
    heard_ns: int
    pending_send: Sending | None = None
    sent_bytes: int = 0
    progress_pause: Pause = msgspec.field(default_factory=Pause)


class _Result(msgspec.Struct):
    """The bytes that a child has sent, and the outcome if its upload has ended, until both are stored."""

    upload_id: str
    sent_bytes: int
    outcome: Outcome | None


def usage_file(state_dir: Path) -> StateFile[DayUsage]:
    """Return the file of the bytes that were sent today."""
    return StateFile(state_dir / USAGE_FILE, DayUsage)


class UploadStage:
    """Runs the queue.

    `record_sending` writes the receipt of a clip before its first byte is sent, and raises OSError if it
    cannot. `is_outbox_behind` returns True while messages wait for the link.
    """

    name = "uploads"

    def __init__(
        self,
        settings: UploadSettings,
        queue: UploadQueue,
        budget: LinkBudget,
        clock: Clock,
        rng: random.Random,
        record_sending: Callable[[UploadRecord, MadeFile], None],
        replies: UploadReplies,
        is_outbox_behind: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._queue = queue
        self._budget = budget
        self._clock = clock
        self._schedule = UploadSchedule(rng)
        self._record_sending = record_sending
        self._replies = replies
        self._is_outbox_behind = is_outbox_behind
        self._run: _Run | None = None
        self._unstored: _Result | None = None
        self._level: DegradationLevel = "full"
        self._has_answered_earlier = False
        self._outbox_pause, self._has_outbox_priority = Pause(), False
        self._usage_file = usage_file(settings.state_dir)
        self._usage_pause, self._stored_usage = Pause(), budget.usage()

    def set_level(self, level: DegradationLevel) -> None:
        """Suspend uploads from `record_only` on. Thread-safe."""
        self._level = level

    def run_once(self, stopping: threading.Event) -> None:
        """Start the next upload, or do a step of the one that runs. Raises: OSError of the state folder."""
        if not self._has_answered_earlier:
            self._has_answered_earlier = True
            self._replies.answer_earlier()
        # Without it the next turn would send the same file again.
        self._store_result()
        self._store_usage()
        try:
            if self._run is not None:
                self._step(self._run, stopping)
            elif not self._start_next():
                if self._queue.pending():
                    stopping.wait(POLL_S)
                else:
                    self._queue.wait_for_upload(IDLE_WAIT_S, stopping)
        except BaseException:
            self._end_run()
            raise

    def wake(self) -> None:
        """End the wait of `run_once` if it is to stop. Thread-safe; never blocks."""
        self._queue.wake()

    def close(self) -> None:
        """End the child. The next run of the agent resumes the upload."""
        self._end_run()
        with contextlib.suppress(OSError):
            self._usage_file.write(self._budget.usage())

    def _start_next(self) -> bool:
        """Start the first upload that is due. Return False if there is none."""
        now_ns = self._clock.boottime_ns()
        for record in self._queue.pending():
            if self._has_expired(record, now_ns):
                reason = self._schedule.last_reason(record.id)
                reason = f"not uploaded in {LIFETIME_S / 3600:.0f} h: {reason}"
                self._end(record.id, Outcome(code="failed", message=reason))
            elif not self._is_suspended(record) and self._schedule.is_due(record.id, now_ns):
                self._start(record)
                return True
        return False

    def _has_expired(self, record: UploadRecord, now_ns: int) -> bool:
        """Return True if an upload has been pending for LIFETIME_S, of which a clock that was set says nothing."""
        if not self._clock.trust().synced:
            return False
        now_s = self._clock.utc(now_ns).timestamp()
        if record.accepted_unix_s is None:
            self._queue.update(
                record.id, lambda old: msgspec.structs.replace(old, accepted_unix_s=now_s)
            )
            return False
        return now_s - record.accepted_unix_s > LIFETIME_S

    def _is_suspended(self, record: UploadRecord) -> bool:
        return self._level == "heartbeat" or (
            self._level == "record_only" and not record.is_emergency
        )

    def _start(self, record: UploadRecord) -> None:
        """Start the child that makes the file, or the one that uploads it."""
        now_ns, made = self._clock.boottime_ns(), record.made
        try:
            task = self._make_task(record) if made is None else self._upload_task(record, made)
        except OSError as error:
            log.warning("clip %s: cannot be started: %s", record.id, error)
            self._schedule.postpone(record.id, now_ns, str(error), has_sent=False, after_s=None)
            return
        process: AnsweredChild[ClipMessage] = AnsweredChild(
            f"clip {record.id}", task, START_PROCESS, _decoder
        )
        self._run = _Run(record=record, process=process, heard_ns=now_ns)

    def _make_task(self, record: UploadRecord) -> MakeTask:
        if record.form == "bundle":
            raise ValueError(f"upload {record.id}: a support bundle is made before it is queued")
        identity = DeviceIdentity.load(self._settings.state_dir / IDENTITY_DIR)
        if identity is None:
            raise OSError("the box's key cannot be read")
        return MakeTask(
            state_dir=str(self._settings.state_dir),
            box=self._settings.box,
            public_key=identity.public_key_raw,
            camera=record.camera,
            begin=record.begin,
            end=record.end,
            form=record.form,
            by=record.by,
            viewer=record.viewer,
            purpose=record.purpose,
            folder=str(self._queue.empty_making_folder(record.id)),
            max_file_bytes=self._max_file_bytes(),
        )

    def _upload_task(self, record: UploadRecord, made: MadeFile) -> UploadTask:
        if record.target is None:
            raise ValueError(f"upload {record.id}: has ended")
        return UploadTask(
            file=str(self._queue.file_of(record.id)),
            made=made,
            target=record.target,
            ca=self._settings.ca,
            chunk_bytes=self._budget.piece_bytes,
            progress=record.progress,
        )

    def _max_file_bytes(self) -> int:
        """Return the room for a new file: half of the footage's reserve stays free in any case."""
        disk = shutil.disk_usage(self._settings.state_dir)
        kept_bytes = reserve_bytes(self._settings.configured_reserve_bytes, disk.total) // 2
        return max(0, min(MAX_FILE_BYTES - self._queue.file_bytes(), disk.free - kept_bytes))

    def _step(self, run: _Run, stopping: threading.Event) -> None:
        if self._is_preempted(run) or self._is_suspended(run.record):
            self._end_run()
            return
        if run.pending_send is not None:
            self._try_send(run, run.pending_send, stopping)
            return
        try:
            message = run.process.read(POLL_S)
        except DriverError as error:
            self._on_crash(run, str(error))
            return
        now_ns = self._clock.boottime_ns()
        if message is not None:
            run.heard_ns = now_ns
            self._handle(run, message)
        elif now_ns - run.heard_ns > CHILD_TIMEOUT_S * 1e9:
            host = run.record.host
            self._retry(run, f"{host}: no progress for {CHILD_TIMEOUT_S:.0f} s", None)

    def _is_preempted(self, run: _Run) -> bool:
        """Return True if a clip of an emergency is due, and another one runs."""
        first = next(iter(self._queue.pending()), None)
        return (
            first is not None
            and first.is_emergency > run.record.is_emergency
            and self._schedule.is_due(first.id, self._clock.boottime_ns())
        )

    def _handle(self, run: _Run, message: ClipMessage) -> None:
        match message:
            case Making():
                self._report(run, _MAKING_RATIO * message.ratio, "making the file")
                run.process.let_continue()
            case Made():
                self._on_made(run, message.file)
            case Sending():
                run.pending_send = message
            case Sent():
                progress = message.progress
                run.record = self._queue.update(
                    run.record.id, lambda old: msgspec.structs.replace(old, progress=progress)
                )
                run.process.let_continue()
            case Retry():
                self._retry(run, message.reason, message.after_s)
            case Rejected():
                self._end_run(Outcome(code=message.code, message=message.reason))
            case Uploaded():
                self._end_run(Outcome())
            case _:
                assert_never(message)

    def _on_made(self, run: _Run, made: MadeFile) -> None:
        """Write the receipt of a clip, and store that it was made: the next child sends it."""
        self._end_run()
        try:
            self._record_sending(run.record, made)
            self._queue.take_made(run.record.id, made)
        except OSError as error:
            self._retry(run, f"no clip without its file and its receipt: {error}", None)

    def _try_send(self, run: _Run, message: Sending, stopping: threading.Event) -> None:
        """Let the child send if the budget has room. Waits for up to POLL_S."""
        record, now_ns = run.record, self._clock.boottime_ns()
        if not record.is_emergency and self._must_yield_to_outbox(now_ns):
            stopping.wait(POLL_S)
            return
        priority: SendPriority = "emergency" if record.is_emergency else "transfer"
        day = self._clock.utc(now_ns).toordinal()
        wait_s = self._budget.take(message.size_bytes, priority, now_ns, day)
        if wait_s is None:
            self._retry(run, DAY_USED_UP, DAY_RETRY_S)
        elif wait_s > 0:
            stopping.wait(min(wait_s, POLL_S))
        else:
            run.pending_send = None
            run.sent_bytes += message.size_bytes
            run.heard_ns = now_ns
            run.process.let_continue()
            if record.made is not None:
                self._report_sent(run, message, record.made.size_bytes)

    def _must_yield_to_outbox(self, now_ns: int) -> bool:
        if self._outbox_pause.is_over(now_ns):
            self._outbox_pause.begin(now_ns, OUTBOX_CHECK_S)
            self._has_outbox_priority = self._is_outbox_behind()
        return self._has_outbox_priority

    def _report_sent(self, run: _Run, message: Sending, total_bytes: int) -> None:
        sent_ratio = message.sent_bytes / max(1, total_bytes)
        detail = f"{message.sent_bytes / 1e6:.1f} of {total_bytes / 1e6:.1f} MB sent"
        self._report(run, _MAKING_RATIO + (1 - _MAKING_RATIO) * sent_ratio, detail)

    def _report(self, run: _Run, ratio: float, detail: str) -> None:
        now_ns = self._clock.boottime_ns()
        if not run.progress_pause.is_over(now_ns):
            return
        run.progress_pause.begin(now_ns, PROGRESS_INTERVAL_S)
        self._replies.report(run.record, ratio, detail)

    def _on_crash(self, run: _Run, reason: str) -> None:
        if self._schedule.count_crash(run.record.id) < MAX_CRASHES:
            self._retry(run, reason, None)
        else:
            self._end_run(Outcome(code="failed", message=reason))

    def _retry(self, run: _Run, reason: str, after_s: float | None) -> None:
        """End the child, and pause the upload."""
        record_id, now_ns = run.record.id, self._clock.boottime_ns()
        log.warning("clip %s: %s", record_id, reason)
        has_sent = run.sent_bytes > 0
        self._schedule.postpone(record_id, now_ns, reason, has_sent=has_sent, after_s=after_s)
        self._end_run()
        record = self._queue.find(record_id) or run.record
        made_bytes = 0 if record.made is None else record.made.size_bytes
        if record.sent_bytes > MAX_SENT_RATIO * made_bytes + MAX_SENT_EXTRA_BYTES:
            reason = f"{record.sent_bytes} bytes were sent in vain: {reason}"
            self._end(record_id, Outcome(code="failed", message=reason))

    def _end_run(self, outcome: Outcome | None = None) -> None:
        """End the child, count what it has sent, and end its upload if it has an outcome."""
        run, self._run = self._run, None
        if run is not None:
            run.process.end()
            self._unstored = _Result(run.record.id, run.sent_bytes, outcome)
            self._store_result()

    def _store_result(self) -> None:
        """Store what the last child has left. Raises: OSError; the next turn stores it, before it starts another child."""
        result = self._unstored
        if result is None:
            return
        if result.sent_bytes:
            self._queue.update(
                result.upload_id,
                lambda old: msgspec.structs.replace(
                    old, sent_bytes=old.sent_bytes + result.sent_bytes
                ),
            )
            result.sent_bytes = 0
        if result.outcome is not None:
            self._end(result.upload_id, result.outcome)
        self._unstored = None

    def _end(self, upload_id: str, outcome: Outcome) -> None:
        """Store the outcome, and answer the command."""
        self._schedule.forget(upload_id)
        ended = self._queue.end(upload_id, outcome)
        if outcome.code is None and ended.made is not None:
            log.info(
                "upload %s: %s of %s sent to %s, %d bytes, SHA-256 %s",
                *(ended.id, ended.form, ended.camera or "the box", ended.host),
                *(ended.made.size_bytes, ended.made.sha256),
            )
        self._replies.answer(ended)

    def _store_usage(self) -> None:
        now_ns, usage = self._clock.boottime_ns(), self._budget.usage()
        if usage != self._stored_usage and self._usage_pause.is_over(now_ns):
            self._usage_pause.begin(now_ns, USAGE_INTERVAL_S)
            self._usage_file.write(usage)
            self._stored_usage = usage
