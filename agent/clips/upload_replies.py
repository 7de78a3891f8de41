"""Results of uploads, of a clip or of a support bundle, and the replies to their commands, also to those that an earlier run of
the agent has accepted.
"""

import contextlib
import threading

import msgspec

from agent.clips.clip_task import ClipForm
from agent.clips.upload_queue import LIFETIME_S, UploadQueue, UploadRecord
from agent.commands.command import CommandProgressSink, Deferred
from agent.commands.pending_commands import ResumeCommand
from agent.commands.requester import CommandRejected

DEFERRED = Deferred(timeout_s=LIFETIME_S + 3600, outlives_agent=True)
"""The stage ends an upload before that."""


class ClipResult(msgspec.Struct, frozen=True, kw_only=True):
    """The file that `host` has now, by its SHA-256.

    `begin` and `end` are what it covers, from keyframe to keyframe. `times` are those of the thumbnails.
    `left_out` names segments of the span that are not in it, with the reason, at most 20.
    """

    camera: str
    form: ClipForm
    begin: str
    end: str
    sha256: str
    size_bytes: int
    media_type: str
    host: str
    times: tuple[str, ...] = ()
    left_out: dict[str, str] = {}


class BundleResult(msgspec.Struct, frozen=True, kw_only=True):
    """The support bundle that `host` has now, by its SHA-256."""

    sha256: str
    size_bytes: int
    media_type: str
    host: str


def result_of(record: UploadRecord) -> ClipResult | BundleResult:
    """Return the result of an upload that has ended. Raises: CommandRejected if it failed."""
    made, outcome = record.made, record.outcome
    if outcome is None or made is None or outcome.code is not None:
        outcome_code = "failed" if outcome is None or outcome.code is None else outcome.code
        raise CommandRejected(outcome_code, "" if outcome is None else outcome.message)
    if record.form == "bundle":
        return BundleResult(
            sha256=made.sha256,
            size_bytes=made.size_bytes,
            media_type=made.media_type,
            host=record.host,
        )
    return ClipResult(
        camera=record.camera,
        form=record.form,
        begin=made.begin,
        end=made.end,
        sha256=made.sha256,
        size_bytes=made.size_bytes,
        media_type=made.media_type,
        host=record.host,
        times=made.times,
        left_out=made.left_out,
    )


class UploadReplies:
    """Reports and answers the commands of uploads. Thread-safe."""

    def __init__(self, queue: UploadQueue) -> None:
        self._queue = queue
        self._sinks: dict[str, CommandProgressSink] = {}
        self._lock = threading.Lock()

    def resume(self, resume_command: ResumeCommand) -> None:
        """Continue the commands of an earlier run that were not answered."""
        for record in (*self._queue.pending(), *self._queue.unanswered()):
            self.attach(record.id, resume_command(record.command, DEFERRED))

    def attach(self, upload_id: str, sink: CommandProgressSink) -> None:
        """Have an upload reported and answered by a command's sink."""
        with self._lock:
            self._sinks[upload_id] = sink

    def detach(self, upload_id: str) -> None:
        """Undo `attach`."""
        with self._lock:
            self._sinks.pop(upload_id, None)

    def report(self, upload_id: str, ratio: float, detail: str) -> None:
        """Report the progress of an upload, 0..1."""
        with self._lock:
            sink = self._sinks.get(upload_id)
        if sink is not None:
            sink.report_progress(ratio, detail)

    def answer(self, record: UploadRecord) -> None:
        """Answer the command of an upload that has ended."""
        with self._lock:
            sink = self._sinks.pop(record.id, None)
        if sink is not None:
            sink.finish(lambda: self._hand_over(record))

    def answer_earlier(self) -> None:
        """Answer the commands of uploads that ended just before the agent did."""
        for record in self._queue.unanswered():
            self.answer(record)

    def _hand_over(self, record: UploadRecord) -> ClipResult | BundleResult:
        """Return the result to the dispatcher. Raises: CommandRejected."""
        # A second answer at the next start does no harm.
        with contextlib.suppress(OSError):
            self._queue.update(
                record.id, lambda old: msgspec.structs.replace(old, is_answered=True)
            )
        return result_of(record)
