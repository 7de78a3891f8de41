"""The command `clip`: a span of a camera's footage, uploaded to an address of the centre.

The command is stored before it is accepted. It continues after a restart of the agent, and a repeat of it
gets its outcome.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from agent.base.clock import Clock, rfc3339
from agent.clips.clip_task import ClipForm
from agent.clips.upload_queue import UploadQueue, UploadRecord
from agent.clips.upload_replies import DEFERRED, BundleResult, ClipResult, UploadReplies, result_of
from agent.clips.upload_target import (
    PresignedPut,
    S3Multipart,
    Tus,
    UploadTarget,
    check_target,
    target_host,
)
from agent.commands.command import (
    CommandArgs,
    CommandHandler,
    CommandProgressSink,
    CommandType,
    Deferred,
    ValidCommand,
    always,
)
from agent.commands.requester import CommandRejected, Requester
from agent.config.configuration import InstitutionConfig
from agent.config.link import LinkConfig
from agent.config.names import Name

MAX_SPAN = timedelta(hours=6)
_LARGE_FORMS: tuple[ClipForm, ...] = ("original", "export")
Time = Annotated[datetime, msgspec.Meta(tz=True)]
Purpose = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^\x00-\x1f\x7f]{1,200}$(?!\n)",
        extra={"allowed": "one line of 1 to 200 characters"},
    ),
]


class ClipArgs(CommandArgs, frozen=True, kw_only=True):
    """The span, of at most six hours, its form, and where the file goes.

    `purpose` is one line for the custody log, such as the case.
    """

    camera: Name
    begin: Time
    end: Time
    form: ClipForm
    purpose: Purpose
    upload: UploadTarget


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
    """Accepts clips. `list_cameras` returns the cameras that have footage, `policies` are those of owners."""

    command = COMMAND

    def __init__(
        self,
        link: LinkConfig,
        queue: UploadQueue,
        replies: UploadReplies,
        list_cameras: Callable[[], list[str]],
        policies: Mapping[str, InstitutionConfig],
        clock: Clock,
    ) -> None:
        self._link = link
        self._queue = queue
        self._replies = replies
        self._list_cameras = list_cameras
        self._policies = policies
        self._clock = clock

    def run(
        self, command: ValidCommand, progress_sink: CommandProgressSink
    ) -> ClipResult | BundleResult | Deferred:
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
            return result_of(outcome)
        return DEFERRED

    def _queue_or_find(self, command: ValidCommand) -> UploadRecord | None:
        """Queue a new clip; return the record of one that has ended, None of one that has not."""
        earlier = self._queue.find(command.id)
        if earlier is None:
            self._check(command.args, command.requester)
            self._add(command)
            return None
        if earlier.command.digest != command.digest:
            raise CommandRejected(
                "malformed", f"the id {command.id!r} was that of another clip; allowed: its own"
            )
        return None if earlier.outcome is None else earlier

    def _check(self, args: ClipArgs, requester: Requester) -> None:
        """Raise CommandRejected if the clip is not allowed."""
        check_target(args.upload, self._link.upload_hosts)
        if not timedelta() < args.end - args.begin <= MAX_SPAN:
            raise CommandRejected(
                "malformed",
                f"command clip: begin = {rfc3339(args.begin)}, end = {rfc3339(args.end)}; allowed: end after "
                f"begin, by at most {MAX_SPAN // timedelta(hours=1)} h",
            )
        try:
            cameras = self._list_cameras()
        except OSError as error:
            raise CommandRejected("failed", f"the footage cannot be read: {error}") from error
        if args.camera not in cameras:
            known = ", ".join(cameras) or "none"
            raise CommandRejected(
                "unknown", f"camera {args.camera!r}: has no footage; there are: {known}"
            )
        policy = self._policies.get(args.camera)
        if policy is not None and not policy.can_view(requester.id):
            raise CommandRejected(
                "forbidden",
                f"camera {args.camera!r} is another institution's, and {requester.id!r} is not among its "
                "viewers",
            )
        if self._link.metered and args.form in _LARGE_FORMS and not requester.coordinates_incident:
            raise CommandRejected(
                "forbidden",
                f"form = {args.form!r}: the link is metered; allowed: thumbs, light, and for an incident all",
            )

    def _add(self, command: ValidCommand) -> None:
        args: ClipArgs = command.args
        host = target_host(args.upload)
        public_args = msgspec.structs.replace(args, upload=PresignedPut(url=f"https://{host}"))
        now = self._clock.utc(self._clock.boottime_ns())
        record = UploadRecord(
            id=command.id,
            number=0,
            command=msgspec.structs.replace(command, args=public_args),
            accepted_unix_s=now.timestamp() if self._clock.trust().synced else None,
            camera=args.camera,
            begin=args.begin.isoformat(),
            end=args.end.isoformat(),
            form=args.form,
            by=command.requester.by,
            viewer=command.requester.id,
            is_emergency=command.requester.coordinates_incident,
            purpose=args.purpose,
            host=host,
            target=args.upload,
        )
        try:
            self._queue.add(record)
        except OSError as error:
            raise CommandRejected("failed", f"the clip cannot be queued: {error}") from error
