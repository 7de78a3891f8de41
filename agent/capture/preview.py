"""The method `preview` of the control socket: one picture of a camera that the agent has open.

Masks are in the picture already; a camera that is only recorded shows its keyframes. The console writes a receipt of the
view before its request.
"""

import queue
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np

from agent.base.errors import UserError
from agent.capture.lens_aim import LensAim, downscale_within, measure_aim
from agent.capture.snapshot_command import (
    FRAME_TIMEOUT_S,
    MIN_JPEG_BYTES,
    SNAPSHOT_MAX_BYTES,
    CameraAccess,
    encode_within,
)
from agent.commands.requester import CommandRejected, Requester
from agent.runtime import control_client
from agent.runtime.local_server import LocalRequest
from drivers.media import Frame, Plane

if TYPE_CHECKING:
    from agent.capture.live_keyframes import LiveKeyframes

KEYFRAME_TIMEOUT_S = 12.0
"""Timeout for the next keyframe of a camera that is only recorded: some send one in ten seconds."""
REPLY_TIMEOUT_S = 15.0
DEFAULT_COLUMNS, DEFAULT_ROWS = 160, 90
MAX_COLUMNS, MAX_ROWS = 640, 480


class PreviewRequest(msgspec.Struct, frozen=True, kw_only=True, tag_field="method", tag="preview"):
    """A request for a picture of `camera` by the technician `by`, within `columns` x `rows` pixels.

    With `jpeg_max_bytes` the reply has the picture itself too, as a JPEG of at most that size.
    """

    camera: str
    by: str
    columns: Annotated[int, msgspec.Meta(ge=1, le=MAX_COLUMNS)] = DEFAULT_COLUMNS
    rows: Annotated[int, msgspec.Meta(ge=1, le=MAX_ROWS)] = DEFAULT_ROWS
    jpeg_max_bytes: (
        Annotated[int, msgspec.Meta(ge=MIN_JPEG_BYTES, le=SNAPSHOT_MAX_BYTES)] | None
    ) = None


class PreviewFrame(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="done"):
    """The luma of the picture, downscaled to `columns` x `rows`, and the lens aim of the full one.

    `jpeg` is empty if none was requested.
    """

    width_px: int
    height_px: int
    columns: int
    rows: int
    luma: bytes
    aim: LensAim
    jpeg: bytes = b""

    @property
    def plane(self) -> Plane:
        """The downscaled luma as an array of `rows` x `columns`."""
        return np.frombuffer(self.luma, np.uint8).reshape(self.rows, self.columns)


class PreviewUnavailable(Exception):
    """The agent refused a preview. `str(error)` has the reason in one sentence."""


class PreviewHandler:
    """Handler of preview requests: replies with the camera's next frame, or keyframe without detection.

    `encode` returns a JPEG of a frame within a limit of bytes.
    """

    def __init__(
        self,
        cameras: Mapping[str, CameraAccess],
        keyframes: "LiveKeyframes",
        encode: Callable[[Frame, int], bytes],
        clock_ns: Callable[[], int],
    ) -> None:
        self._cameras = dict(cameras)
        self._keyframes = keyframes
        self._encode = encode
        self._clock_ns = clock_ns

    def handle(self, preview: PreviewRequest, request: LocalRequest) -> None:
        """Answer one request. Blocks until the camera's next frame, up to KEYFRAME_TIMEOUT_S."""
        try:
            request.reply(self._capture(preview))
        except CommandRejected as error:
            request.refuse(error.code, str(error))

    def _capture(self, preview: PreviewRequest) -> PreviewFrame:
        access = self._cameras.get(preview.camera)
        if access is None:
            raise CommandRejected("unknown", f"camera {preview.camera!r}: none of that name")
        access.check_viewer(preview.camera, Requester(id=preview.by, role="operator"))
        timeout_s = FRAME_TIMEOUT_S if access.has_frames else KEYFRAME_TIMEOUT_S
        frames: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        access.next_frame.request(frames.put, now_ns=self._clock_ns(), timeout_s=timeout_s)
        if not access.has_frames:
            self._keyframes.start_preview(preview.camera)
        try:
            frame = frames.get(timeout=timeout_s)
        except queue.Empty as error:
            raise CommandRejected(
                "unavailable",
                f"camera {preview.camera!r}: no picture came within {timeout_s:g} s",
            ) from error
        luma = downscale_within(frame.y, preview.columns, preview.rows)
        return PreviewFrame(
            width_px=frame.width_px,
            height_px=frame.height_px,
            columns=luma.shape[1],
            rows=luma.shape[0],
            luma=luma.tobytes(),
            aim=measure_aim(frame.y),
            jpeg=b""
            if preview.jpeg_max_bytes is None
            else encode_within(self._encode, frame, preview.jpeg_max_bytes),
        )


def request_preview(
    state_dir: Path,
    camera: str,
    by: str,
    columns: int = DEFAULT_COLUMNS,
    rows: int = DEFAULT_ROWS,
    jpeg_max_bytes: int | None = None,
) -> PreviewFrame | None:
    """Request a picture from the agent of a state folder. Return None if no agent answers.

    Raises PreviewUnavailable if the agent refuses.
    """
    request = PreviewRequest(
        camera=camera, by=by, columns=columns, rows=rows, jpeg_max_bytes=jpeg_max_bytes
    )
    try:
        return control_client.request_one(state_dir, request, PreviewFrame, REPLY_TIMEOUT_S)
    except OSError:
        return None
    except UserError as error:
        raise PreviewUnavailable(str(error)) from error
