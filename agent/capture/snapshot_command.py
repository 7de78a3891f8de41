"""The command `snapshot`: sends the next frame of a camera; the reply has its hash.

The frame is the one that detection gets, with the masks painted.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Protocol

import msgspec

from agent.base.sha256 import sha256_hex
from agent.capture.next_frame import NextFrame
from agent.capture.packet_tap import PacketTap
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
from agent.config.names import Name
from drivers.media import Frame, Polygon

MIN_JPEG_BYTES = 4000
SNAPSHOT_MAX_BYTES = 200_000
"""Delays other messages by less than two seconds at 1 Mbit/s, by sixteen at 100 kbit/s."""
FRAME_TIMEOUT_S = 5.0
"""Timeout for a camera's next frame."""
MAX_WAITING = 8


class SnapshotArgs(CommandArgs, frozen=True, kw_only=True):
    """The camera, and the limit of the picture, whose quality is reduced until it fits."""

    camera: Name
    max_bytes: Annotated[int, msgspec.Meta(ge=MIN_JPEG_BYTES, le=SNAPSHOT_MAX_BYTES)] = 60_000


class SnapshotResult(msgspec.Struct, frozen=True, kw_only=True):
    """The picture that is sent on `up/snapshot/<camera>`, by its SHA-256."""

    camera: str
    sha256: str
    size_bytes: int


class CameraAccess(msgspec.Struct, frozen=True, kw_only=True):
    """The access to a camera's pictures.

    `viewers` are the requesters that may see it, or None if each of them may. `has_frames`: the
    camera delivers frames, which only detection requests. `is_suspended`: it delivers none now,
    because the box is degraded. `next_frame` takes requests for its next frame. `packet_tap` has its packets, None if
    it is not recorded; `masks` returns those of its pictures, which its packets may lack.
    """

    viewers: tuple[str, ...] | None = None
    has_frames: bool = True
    is_suspended: Callable[[], bool] = lambda: False
    next_frame: NextFrame = msgspec.field(default_factory=NextFrame)
    packet_tap: PacketTap | None = None
    masks: Callable[[], tuple[Polygon, ...]] = tuple

    def check(self, camera: str, requester: Requester) -> None:
        """Check a request. Raises: CommandRejected if the requester may not see it, or if there is no picture."""
        self.check_viewer(camera, requester)
        if not self.has_frames:
            raise CommandRejected(
                "unsupported", f"camera {camera!r} is only recorded: detection is off"
            )

    def check_viewer(self, camera: str, requester: Requester) -> None:
        """Raise CommandRejected if the requester may not see the camera, or if it has no pictures now."""
        if self.viewers is not None and requester.id not in self.viewers:
            raise CommandRejected(
                "forbidden",
                f"camera {camera!r} is another institution's, and {requester.id!r} is not among its "
                "viewers",
            )
        if self.is_suspended():
            raise CommandRejected(
                "failed", f"camera {camera!r} sends no pictures now: the box is degraded (SYS-07)"
            )


class SnapshotSink(Protocol):
    """Receives requested pictures."""

    def record_snapshot_view(self, camera: str, by: str, t_ns: int) -> None:
        """Write the receipt of a view. Raises: OSError; the picture is not sent then."""
        ...

    def publish_snapshot(self, camera: str, jpeg: bytes, t_ns: int) -> None:
        """Send the picture."""
        ...


COMMAND = CommandType(
    verb="snapshot",
    args=SnapshotArgs,
    result=SnapshotResult,
    summary="a picture",
    actions=("see",),
    cameras=lambda args: (args.camera,),
    describe=lambda args: args.camera,
    is_idempotent=always,
    examples=(SnapshotArgs(camera="north"), SnapshotArgs(camera="north", max_bytes=40000)),
    result_examples=(
        SnapshotResult(
            camera="north",
            sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            size_bytes=41230,
        ),
    ),
)


class SnapshotCommandHandler(CommandHandler):
    """Answers with the next frame of a camera.

    `encode` returns a JPEG of a frame within a limit of bytes. `publish` gets the camera, the JPEG
    and the frame's time. `on_view` gets the camera, the requester and the frame's time before; if
    it raises OSError, the picture is not sent.
    """

    command = COMMAND

    def __init__(
        self,
        cameras: Mapping[str, CameraAccess],
        encode: Callable[[Frame, int], bytes],
        publish: Callable[[str, bytes, int], None],
        on_view: Callable[[str, str, int], None],
        clock_ns: Callable[[], int],
    ) -> None:
        self._cameras = dict(cameras)
        self._encode = encode
        self._publish = publish
        self._on_view = on_view
        self._clock_ns = clock_ns

    def run(self, command: ValidCommand, progress_sink: CommandProgressSink) -> Deferred:
        """Register for the camera's next frame. The reply is deferred."""
        args: SnapshotArgs = command.args
        camera = self._cameras.get(args.camera)
        if camera is None:
            known = ", ".join(sorted(self._cameras)) or "none"
            raise CommandRejected(
                "unknown", f"camera {args.camera!r}: none of that name; there are: {known}"
            )
        camera.check(args.camera, command.requester)

        def on_frame(frame: Frame) -> None:
            progress_sink.finish(lambda: self._take_snapshot(command, args, frame))

        now_ns = self._clock_ns()
        # After the timeout the dispatcher has answered the command.
        if camera.next_frame.count_waiting(now_ns) >= MAX_WAITING:
            raise CommandRejected(
                "busy",
                f"camera {args.camera!r}: {MAX_WAITING} wait for its next frame already",
            )
        camera.next_frame.request(on_frame, now_ns=now_ns, timeout_s=FRAME_TIMEOUT_S)
        return Deferred(timeout_s=FRAME_TIMEOUT_S)

    def _take_snapshot(
        self, command: ValidCommand, args: SnapshotArgs, frame: Frame
    ) -> SnapshotResult:
        jpeg = encode_within(self._encode, frame, args.max_bytes)
        try:
            self._on_view(args.camera, command.requester.by, frame.t_ns)
        except OSError as error:
            raise CommandRejected(
                "failed", f"no picture without its receipt, which cannot be written: {error}"
            ) from error
        self._publish(args.camera, jpeg, frame.t_ns)
        digest = sha256_hex(jpeg)
        return SnapshotResult(camera=args.camera, sha256=digest, size_bytes=len(jpeg))


def encode_within(encode: Callable[[Frame, int], bytes], frame: Frame, max_bytes: int) -> bytes:
    """Return a JPEG of at most `max_bytes`. Raises: CommandRejected if the picture has more at the least."""
    jpeg = encode(frame, max_bytes)
    if len(jpeg) > max_bytes:
        raise CommandRejected("unsupported", f"the picture has {len(jpeg)} bytes at the least")
    return jpeg
