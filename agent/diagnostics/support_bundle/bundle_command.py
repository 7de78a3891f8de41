"""Command `bundle`: a support bundle, uploaded to an address of the centre by the upload queue of clips."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.base.clock import Clock, rfc3339
from agent.base.errors import UserError
from agent.base.sha256 import sha256_hex
from agent.clips.clip_admission import without_address
from agent.clips.clip_task import MadeFile
from agent.clips.upload_queue import UploadQueue, UploadRecord
from agent.clips.upload_replies import (
    BundleResult,
    UploadReplies,
    UploadResult,
    result_of,
)
from agent.clips.upload_target import PresignedPut, UploadTarget, check_target, target_host
from agent.commands.command import (
    CommandArgs,
    CommandHandler,
    CommandProgressSink,
    CommandType,
    Deferred,
    ValidCommand,
    always,
)
from agent.commands.requester import CommandRejected
from agent.config.link import LinkConfig
from agent.diagnostics.support_bundle.builder import SupportBundleResult
from agent.runtime.worker import Worker

MAX_QUEUED = 1
MEDIA_TYPE = "application/gzip"
PURPOSE = "support"


class BundleArgs(CommandArgs, frozen=True, kw_only=True):
    """The place that the file goes to, as of a clip."""

    upload: UploadTarget


class _BundleRequest(msgspec.Struct, frozen=True):
    command: ValidCommand
    sink: CommandProgressSink


# The address itself is a secret. The queue knows the id of a command, and uploads it once.
COMMAND = CommandType(
    verb="bundle",
    args=BundleArgs,
    result=BundleResult,
    summary="a support bundle",
    actions=("maintain",),
    describe=lambda args: f"to {target_host(args.upload)}",
    is_idempotent=always,
    examples=(
        BundleArgs(
            upload=PresignedPut(url="https://files.example.org/support/casa-0001?Signature=...")
        ),
    ),
    result_examples=(
        BundleResult(
            sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            size_bytes=183211,
            media_type="application/gzip",
            host="files.example.org",
        ),
    ),
)


class BundleCommandHandler(CommandHandler):
    """Handles `bundle`. `stage` makes the bundle in a thread of its own.

    `make` writes a bundle into a folder, and raises UserError. `record_action` takes the requester and the action for
    the custody log.
    """

    command = COMMAND

    def __init__(
        self,
        link: LinkConfig,
        queue: UploadQueue,
        replies: UploadReplies,
        make: Callable[[Path], SupportBundleResult],
        clock: Clock,
        record_action: Callable[[str, str], None],
    ) -> None:
        self._link = link
        self._queue = queue
        self._replies = replies
        self._make = make
        self._clock = clock
        self._record_action = record_action
        self.stage = Worker("bundle", self._handle, MAX_QUEUED, drops_at_close=True)

    def run(
        self, command: ValidCommand, progress_sink: CommandProgressSink
    ) -> UploadResult | Deferred:
        """Queue the bundle, or return the outcome of the same command before. Raises: CommandRejected."""
        earlier = self._queue.find(command.id)
        if earlier is not None and earlier.command.digest != command.digest:
            raise CommandRejected(
                "malformed", f"the id {command.id!r} was that of another upload; allowed: its own"
            )
        if earlier is not None and earlier.outcome is not None:
            return result_of((earlier,))
        check_target(command.args.upload, self._link.upload_hosts)
        if earlier is not None:
            self._replies.attach(command.id, progress_sink)
        else:
            self._put(command, progress_sink)
            host = target_host(command.args.upload)
            self._record_action(command.requester.by, f"a support bundle for {host}")
        return self._replies.deferred(command.id)

    def _put(self, command: ValidCommand, progress_sink: CommandProgressSink) -> None:
        """Store the command, and have the stage make its bundle. Raises: CommandRejected."""
        self._replies.accept(_without_address(command))
        if not self.stage.put(_BundleRequest(command, progress_sink)):
            self._queue.forget_accepted(command.id)
            raise CommandRejected("busy", "another bundle is being made")

    def _handle(self, request: _BundleRequest) -> None:
        command = request.command
        try:
            record = self._make_record(command)
            self._replies.attach(command.id, request.sink)
            self._queue.add(record)
        except (UserError, OSError, CommandRejected) as error:
            self._replies.detach(command.id)
            with contextlib.suppress(OSError):  # the next start deletes it
                self._queue.file_of(command.id).unlink(missing_ok=True)
            reason = f"the bundle cannot be made: {error}"
            request.sink.finish(lambda: _reject(reason))

    def _make_record(self, command: ValidCommand) -> UploadRecord:
        """Make the bundle, and return its record with the file in its place. Raises: UserError, OSError."""
        args: BundleArgs = command.args
        file = self._queue.file_of(command.id)
        bundle = self._make(file.parent).path
        data = bundle.read_bytes()
        bundle.replace(file)
        now = self._clock.utc(self._clock.boottime_ns())
        return UploadRecord(
            id=command.id,
            number=0,
            command=_without_address(command),
            accepted_unix_s=now.timestamp() if self._clock.trust().synced else None,
            camera="",
            begin=rfc3339(now),
            end=rfc3339(now),
            form="bundle",
            by=command.requester.by,
            viewer=command.requester.id,
            is_emergency=False,
            purpose=PURPOSE,
            host=target_host(args.upload),
            target=args.upload,
            made=MadeFile(
                sha256=sha256_hex(data),
                size_bytes=len(data),
                media_type=MEDIA_TYPE,
                begin=rfc3339(now),
                end=rfc3339(now),
            ),
        )


def _without_address(command: ValidCommand) -> ValidCommand:
    args = BundleArgs(upload=without_address(command.args.upload))
    return msgspec.structs.replace(command, args=args)


def _reject(reason: str) -> BundleResult:
    raise CommandRejected("failed", reason)
