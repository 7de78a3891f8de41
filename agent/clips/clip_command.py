"""The command `clip`: a span of a camera's footage, uploaded to an address of the centre.

The command is stored before it is accepted. It continues after a restart of the agent, and a repeat of it
gets its outcome.
"""

from datetime import UTC, datetime

import msgspec

from agent.clips.clip_admission import ClipAdmission, ClipArgs, without_address
from agent.clips.upload_queue import UploadQueue, UploadRecord
from agent.clips.upload_replies import (
    ClipResult,
    UploadReplies,
    UploadResult,
    result_of,
)
from agent.clips.upload_target import PresignedPut, S3Multipart, Tus, target_host
from agent.commands.command import (
    CommandHandler,
    CommandProgressSink,
    CommandType,
    Deferred,
    ValidCommand,
    always,
)
from agent.commands.requester import CommandRejected

_BEGIN, _END = (datetime(2026, 11, 3, 7, minute, tzinfo=UTC) for minute in (40, 41))
_CASE, _SERVER = "case 2026/118", "https://media.centre.example"
# The address itself is a secret. The queue knows the id of a command, and uploads it once.
COMMAND = CommandType(
    verb="clip",
    args=ClipArgs,
    result=ClipResult,
    summary="a clip, sent to a host of the configuration",
    actions=("export",),
    cameras=lambda args: (args.camera,),
    describe=lambda args: f"{args.form} of {args.camera} to {target_host(args.upload)}",
    is_idempotent=always,
    examples=(
        ClipArgs(
            camera="north",
            begin=_BEGIN,
            end=_END,
            form="thumbs",
            purpose=_CASE,
            upload=PresignedPut(url=f"{_SERVER}/clips/1.jpg?X-Amz-Signature=0f"),
        ),
        ClipArgs(
            camera="north",
            begin=_BEGIN,
            end=_END,
            form="light",
            purpose=_CASE,
            upload=Tus(url=f"{_SERVER}/files/?ticket=5d"),
        ),
        ClipArgs(
            camera="north",
            begin=_BEGIN,
            end=_END,
            form="export",
            purpose=_CASE,
            upload=S3Multipart(
                part_urls=(f"{_SERVER}/clips/1.zip?partNumber=1&uploadId=7&X-Amz-Signature=a1",),
                part_bytes=67_108_864,
                complete_url=f"{_SERVER}/clips/1.zip?uploadId=7&X-Amz-Signature=b2",
            ),
        ),
    ),
    result_examples=(
        ClipResult(
            camera="north",
            form="light",
            begin="2026-11-03T07:39:58.400Z",
            end="2026-11-03T07:41:00.400Z",
            sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            size_bytes=912334,
            media_type="video/mp4",
            host="media.centre.example",
        ),
    ),
)


class ClipCommandHandler(CommandHandler):
    """Accepts clips."""

    command = COMMAND

    def __init__(
        self, admission: ClipAdmission, queue: UploadQueue, replies: UploadReplies
    ) -> None:
        self._admission = admission
        self._queue = queue
        self._replies = replies

    def run(
        self, command: ValidCommand, progress_sink: CommandProgressSink
    ) -> UploadResult | Deferred:
        """Queue the clip, or return the outcome of the same command before. Raises: CommandRejected."""
        # Attached first: an upload that ends meanwhile is answered by the one or the other.
        self._replies.attach(command.id, progress_sink)
        try:
            outcome = self._queue_or_find(command)
        except CommandRejected:
            self._replies.detach(command.id)
            raise
        if outcome is not None:
            self._replies.detach(command.id)
            return result_of((outcome,))
        return self._replies.deferred(command.id)

    def _queue_or_find(self, command: ValidCommand) -> UploadRecord | None:
        """Queue a new clip; return the record of one that has ended, None of one that has not."""
        earlier = self._queue.find(command.id)
        if earlier is None:
            args: ClipArgs = command.args
            self._admission.check(args, command.requester)
            public_args = msgspec.structs.replace(args, upload=without_address(args.upload))
            public = msgspec.structs.replace(command, args=public_args)
            try:
                self._queue.add(self._admission.make_record(command.id, public, args))
            except OSError as error:
                raise CommandRejected("failed", f"the clip cannot be queued: {error}") from error
            return None
        if earlier.command.digest != command.digest:
            raise CommandRejected(
                "malformed", f"the id {command.id!r} was that of another clip; allowed: its own"
            )
        return None if earlier.outcome is None else earlier
