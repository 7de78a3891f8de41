"""Replies of uploads to their commands, also to those that an earlier run of the agent has accepted."""

import contextlib
import threading

import msgspec

from agent.clips.clip_result import BundleResult, ClipResult, result_of
from agent.clips.upload_queue import LIFETIME_S, UploadQueue, UploadRecord
from agent.commands.command import CommandProgressSink, Deferred
from agent.commands.pending_commands import ResumeCommand

DEFERRED = Deferred(timeout_s=LIFETIME_S + 3600, outlives_agent=True)
"""The stage ends an upload before that."""


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
