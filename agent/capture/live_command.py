"""The command `live`: a look at a camera now, for a limited time, with a receipt of its begin and its end."""

from collections.abc import Callable, Mapping
from typing import Annotated, TypeAlias

import msgspec

from agent.capture.live_keyframes import LiveKeyframes
from agent.capture.live_looks import (
    MAX_LOOK_S,
    EndedLook,
    LiveLooks,
    LiveResult,
    Look,
    PictureLimits,
)
from agent.capture.live_video import MAX_VIDEO_LOOKS, LiveVideo
from agent.capture.snapshot_command import CameraAccess
from agent.capture.video_target import parse_target
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
from agent.config.names import Name
from agent.reporting.mqtt.unstored import MAX_PICTURE_BYTES, MIN_PICTURE_BYTES
from drivers.media import NS_PER_S

MIN_LOOK_S = 5.0
REPLY_MARGIN_S = 30.0
"""The stage `live` ends a look in time; the dispatcher waits longer for it."""

LookTime = Annotated[float, msgspec.Meta(ge=MIN_LOOK_S, le=MAX_LOOK_S)]


class LivePictures(CommandArgs, frozen=True, kw_only=True, tag_field="do", tag="pictures"):
    """Send pictures on `up/live/<camera>` for a time, or for longer if they are sent already.

    `max_bytes` limits each picture; on a slow link it is smaller.
    """

    camera: Name
    for_s: LookTime = 60.0
    per_s: Annotated[float, msgspec.Meta(ge=0.1, le=2.0)] = 1.0
    max_bytes: Annotated[int, msgspec.Meta(ge=MIN_PICTURE_BYTES, le=MAX_PICTURE_BYTES)] = 30_000


class LiveVideoStream(CommandArgs, frozen=True, kw_only=True, tag_field="do", tag="video"):
    """Push the camera's video to the RTSP server `to` for a time, or for longer if it is pushed there already.

    `to` is `rtsps://[USER:PASSWORD@]HOST[:322]/PATH`, of a host that `[link] upload_hosts` names.
    """

    camera: Name
    # No pattern: a refusal would quote the password.
    to: str
    for_s: LookTime = 60.0

    def __repr__(self) -> str:
        return f"LiveVideoStream(camera={self.camera!r})"


class StopLive(CommandArgs, frozen=True, kw_only=True, tag_field="do", tag="stop"):
    """End the requester's own looks at a camera."""

    camera: Name


Args: TypeAlias = LivePictures | LiveVideoStream | StopLive

# Video goes to hosts of the configuration only. A second look has its own receipts and its own end.
COMMAND = CommandType(
    verb="live",
    args=Args,
    result=LiveResult,
    summary="a live look",
    actions=("see",),
    cameras=lambda args: (args.camera,),
    describe=lambda args: f"{args.__struct_config__.tag} {args.camera}",
    is_idempotent=always,
    examples=(
        LivePictures(camera="north"),
        LivePictures(camera="north", for_s=120, per_s=2.0, max_bytes=20000),
        LiveVideoStream(
            camera="north",
            to="rtsps://pole-17:secret@media.city.example:8322/pole-17/north",
            for_s=120,
        ),
        StopLive(camera="north"),
    ),
    result_examples=(
        LiveResult(
            camera="north",
            ended=(
                EndedLook(
                    form="pictures",
                    reason="expired",
                    detail="",
                    duration_s=60.1,
                    sent=118,
                    size_bytes=2124000,
                ),
            ),
        ),
    ),
)


class LiveCommandHandler(CommandHandler):
    """Begins and ends live looks. The reply to a look comes at its end.

    `wake` makes the stage `live` request the first picture, and watch for the look's end. `online_session` returns the
    number of the connection to the broker, or None without one. `link` names the hosts that video may be sent to.
    """

    command = COMMAND

    def __init__(
        self,
        cameras: Mapping[str, CameraAccess],
        looks: LiveLooks,
        video: LiveVideo,
        keyframes: LiveKeyframes,
        link: LinkConfig,
        wake: Callable[[], None],
        online_session: Callable[[], int | None],
        clock_ns: Callable[[], int],
    ) -> None:
        self._cameras = dict(cameras)
        self._looks = looks
        self._video = video
        self._keyframes = keyframes
        self._link = link
        self._wake = wake
        self._online_session = online_session
        self._clock_ns = clock_ns

    def run(
        self, command: ValidCommand, progress_sink: CommandProgressSink
    ) -> LiveResult | Deferred:
        """Begin, extend or end a look. Raises: CommandRejected."""
        args: Args = command.args
        access = self._cameras.get(args.camera)
        if access is None:
            known = ", ".join(sorted(self._cameras)) or "none"
            raise CommandRejected(
                "unknown", f"camera {args.camera!r}: none of that name; there are: {known}"
            )
        if isinstance(args, StopLive):
            return self._stop(command, args)
        session = self._online_session()
        if session is None:
            raise CommandRejected(
                "unavailable", "the box is not connected: no command could end the look"
            )
        access.check_viewer(args.camera, command.requester)
        if isinstance(args, LivePictures):
            self._begin_pictures(command, args, session, progress_sink)
        else:
            self._begin_video(command, args, session, progress_sink)
        return Deferred(timeout_s=args.for_s + REPLY_MARGIN_S)

    def _stop(self, command: ValidCommand, args: StopLive) -> LiveResult:
        def is_own(look: Look) -> bool:
            return (look.camera, look.requester.id) == (args.camera, command.requester.id)

        ended = self._looks.end(is_own, "stopped", "by the requester")
        return LiveResult(camera=args.camera, ended=ended)

    def _begin_pictures(
        self,
        command: ValidCommand,
        args: LivePictures,
        session: int,
        progress_sink: CommandProgressSink,
    ) -> None:
        needs_decoder = not self._cameras[args.camera].has_frames
        tap = self._keyframes.find_tap(args.camera) if needs_decoder else None
        now_ns = self._clock_ns()
        self._looks.begin(
            Look(
                args.camera,
                command.requester,
                PictureLimits(interval_ns=int(NS_PER_S / args.per_s), max_bytes=args.max_bytes),
                begin_ns=now_ns,
                until_ns=now_ns + int(args.for_s * NS_PER_S),
                session=session,
                progress_sink=progress_sink,
            )
        )
        if tap is not None:
            self._keyframes.start(args.camera, tap)
        self._wake()

    def _begin_video(
        self,
        command: ValidCommand,
        args: LiveVideoStream,
        session: int,
        progress_sink: CommandProgressSink,
    ) -> None:
        target = parse_target(args.to, self._link.upload_hosts)
        tap = self._video.find_tap(args.camera)
        now_ns = self._clock_ns()
        look = Look(
            args.camera,
            command.requester,
            target,
            begin_ns=now_ns,
            until_ns=now_ns + int(args.for_s * NS_PER_S),
            session=session,
            progress_sink=progress_sink,
        )
        if self._link.metered and look.priority != "emergency":
            raise CommandRejected(
                "forbidden", "the link is metered; allowed: pictures, or the role incident"
            )
        earlier = self._looks.find(lambda one: one.key == look.key)
        if earlier is not None and earlier.target != target:
            raise CommandRejected(
                "busy", f"camera {args.camera!r}: its video is sent elsewhere; stop that first"
            )
        if earlier is None and len(self._looks.running("video")) >= MAX_VIDEO_LOOKS:
            raise CommandRejected("busy", f"{MAX_VIDEO_LOOKS} videos are sent already")
        if earlier is not None:
            # The push continues with this look.
            look.push = earlier.push
        if self._looks.begin(look) is None:
            look.push = object()
            self._video.start(look, target, tap)
            self._wake()
