"""Results of uploads, of a clip or of a support bundle, and the replies to their commands, also to those that an earlier run of
the agent has accepted.
"""

import contextlib
import threading
from collections.abc import Sequence
from functools import partial
from typing import TypeAlias

import msgspec

from agent.base.view_condition import Light
from agent.clips.clip_task import ClipForm
from agent.clips.upload_queue import LIFETIME_S, ClipDraw, UploadQueue, UploadRecord
from agent.commands.command import CommandProgressSink, Deferred, ValidCommand
from agent.commands.pending_commands import ResumeCommand
from agent.commands.requester import CommandRejected

TIMEOUT_S = LIFETIME_S + 3600
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


class ValidationClip(msgspec.Struct, frozen=True, kw_only=True):
    """One clip that was drawn. `address` is the number of its address in the command, from 0.

    `begin` and `end` are what it covers, or if there is no file the span that was drawn. `sha256` and `size_bytes` are those
    of the file that the host has now, null if the upload has failed; `failure` says why.
    """

    id: str
    address: int
    light: Light
    begin: str
    end: str
    sha256: str | None = None
    size_bytes: int | None = None
    failure: str | None = None


class ValidationClipsResult(msgspec.Struct, frozen=True, kw_only=True):
    """The clips that were drawn by chance, in the order of their addresses.

    `seed` is that of the draw, and `footage_s` the seconds of footage of each light that it had to draw from: with both and
    the list of the footage the draw can be done again.
    """

    camera: str
    seed: int
    footage_s: dict[Light, int]
    clips: tuple[ValidationClip, ...]


UploadResult: TypeAlias = ClipResult | BundleResult | ValidationClipsResult


def result_of(records: Sequence[UploadRecord]) -> UploadResult:
    """Return the result of a command whose uploads have ended. Raises: CommandRejected if all have failed."""
    failed = [one.outcome for one in records if one.outcome is not None and one.outcome.code]
    first = records[0]
    if first.draw is None or len(failed) == len(records):
        return _result_of_one(first)
    return ValidationClipsResult(
        camera=first.camera,
        seed=first.draw.seed,
        footage_s=first.draw.footage_s,
        clips=tuple(_validation_clip(one, one.draw) for one in records if one.draw is not None),
    )


def _validation_clip(record: UploadRecord, draw: ClipDraw) -> ValidationClip:
    made, outcome = record.made, record.outcome
    is_sent = made is not None and outcome is not None and outcome.code is None
    return ValidationClip(
        id=record.id,
        address=draw.address,
        light=draw.light,
        begin=record.begin if made is None else made.begin,
        end=record.end if made is None else made.end,
        sha256=made.sha256 if made is not None and is_sent else None,
        size_bytes=made.size_bytes if made is not None and is_sent else None,
        failure=None if is_sent or outcome is None else outcome.message,
    )


def _result_of_one(record: UploadRecord) -> ClipResult | BundleResult:
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


def _refuse_as_not_queued() -> UploadResult:
    raise CommandRejected(
        "failed", "the agent ended before it was done: nothing was queued for upload"
    )


class UploadReplies:
    """Reports and answers the commands of uploads. Thread-safe."""

    def __init__(self, queue: UploadQueue) -> None:
        self._queue = queue
        self._sinks: dict[str, CommandProgressSink] = {}
        self._lock = threading.Lock()

    def resume(self, resume_command: ResumeCommand) -> None:
        """Continue the commands of an earlier run that were not answered; those whose uploads it did not queue are refused."""
        records = (*self._queue.pending(), *self._queue.unanswered())
        for command in {record.command.id: record.command for record in records}.values():
            self.attach(command.id, resume_command(command, self.deferred(command.id)))
        for command in self._queue.accepted():
            resume_command(command, self.deferred(command.id)).finish(_refuse_as_not_queued)

    def deferred(self, command_id: str) -> Deferred:
        """Return the result of a command of uploads, which is forgotten at its last reply, and not before."""
        return Deferred(timeout_s=TIMEOUT_S, forget=partial(self._forget, command_id))

    def accept(self, command: ValidCommand) -> None:
        """Store a command, without its addresses, whose uploads are queued after it was accepted.

        If the agent ends before they are queued, the next run refuses the command. Raises: CommandRejected.
        """
        try:
            self._queue.note_accepted(command)
        except OSError as error:
            raise CommandRejected("failed", f"the command cannot be stored: {error}") from error

    def attach(self, command_id: str, sink: CommandProgressSink) -> None:
        """Have the uploads of a command reported and answered by its sink."""
        with self._lock:
            self._sinks[command_id] = sink

    def detach(self, command_id: str) -> None:
        """Undo `attach`."""
        with self._lock:
            self._sinks.pop(command_id, None)

    def report(self, record: UploadRecord, ratio: float, detail: str) -> None:
        """Report the progress of an upload, 0..1."""
        with self._lock:
            sink = self._sinks.get(record.command.id)
        if sink is None:
            return
        uploads = self._queue.of_command(record.command.id)
        if len(uploads) > 1:
            ended = sum(one.outcome is not None for one in uploads)
            ratio = (ended + ratio) / len(uploads)
            detail = f"clip {ended + 1} of {len(uploads)}: {detail}"
        sink.report_progress(ratio, detail)

    def answer(self, record: UploadRecord) -> None:
        """Answer the command of an upload that has ended, if it was the last one."""
        uploads = self._queue.of_command(record.command.id)
        if any(one.outcome is None for one in uploads):
            return
        with self._lock:
            sink = self._sinks.pop(record.command.id, None)
        if sink is not None:
            sink.finish(lambda: result_of(uploads))

    def answer_earlier(self) -> None:
        """Answer the commands of uploads that ended just before the agent did."""
        for record in self._queue.unanswered():
            self.answer(record)

    def _forget(self, command_id: str) -> None:
        """Note that a command was answered. A second answer at the next start does no harm."""
        self._queue.forget_accepted(command_id)
        for record in self._queue.of_command(command_id):
            if record.outcome is not None:
                with contextlib.suppress(OSError):
                    self._queue.update(
                        record.id, lambda old: msgspec.structs.replace(old, is_answered=True)
                    )
