"""Admission of clips: what a requester may have of a camera's footage, and the record with which a clip waits for its upload."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from agent.base.clock import Clock, rfc3339
from agent.clips.clip_task import ClipForm
from agent.clips.upload_queue import UploadRecord
from agent.clips.upload_target import PresignedPut, UploadTarget, check_target, target_host
from agent.commands.command import CommandArgs, ValidCommand
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


class ClipAdmission:
    """Admits clips. `list_cameras` returns the cameras that have footage, `policies` are those of owners. Thread-safe."""

    def __init__(
        self,
        link: LinkConfig,
        list_cameras: Callable[[], list[str]],
        policies: Mapping[str, InstitutionConfig],
        clock: Clock,
    ) -> None:
        self._link = link
        self._list_cameras = list_cameras
        self._policies = policies
        self._clock = clock

    def check(self, args: ClipArgs, requester: Requester) -> None:
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

    def make_record(self, upload_id: str, command: ValidCommand, clip: ClipArgs) -> UploadRecord:
        """Return the record of a clip that `check` has admitted. `command` is without addresses."""
        now = self._clock.utc(self._clock.boottime_ns())
        return UploadRecord(
            id=upload_id,
            number=0,
            command=command,
            accepted_unix_s=now.timestamp() if self._clock.trust().synced else None,
            camera=clip.camera,
            begin=clip.begin.isoformat(),
            end=clip.end.isoformat(),
            form=clip.form,
            by=command.requester.by,
            viewer=command.requester.id,
            is_emergency=command.requester.coordinates_incident,
            purpose=clip.purpose,
            host=target_host(clip.upload),
            target=clip.upload,
        )


def without_address(target: UploadTarget) -> PresignedPut:
    """Return a target with the host alone, for the queue."""
    return PresignedPut(url=f"https://{target_host(target)}")
