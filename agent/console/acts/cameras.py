"""Acts on cameras: the live picture with its readings, and the aim since the newest certificate."""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from agent.base.message import Message
from agent.capture.jpeg import brighten_jpeg, encode_jpeg
from agent.capture.snapshot_command import MIN_JPEG_BYTES, SNAPSHOT_MAX_BYTES
from agent.config.names import Name
from agent.console.acts import day_night as day_night_test
from agent.console.acts.act import CHECK_S, ActCall, Done, Lines, Picture, act
from agent.console.acts.aim_comparison import AimComparison, compare_aim, read_reference
from agent.console.acts.aiming import CameraReading
from agent.console.arguments import choose_arg
from agent.console.camera_preview import CameraPreview
from agent.console.check_result import CheckResult
from agent.console.errors import ConsoleError

PICTURE_TIMEOUT_S = 10.0
DEFAULT_JPEG_BYTES = 60_000


class CameraArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A camera."""

    camera: Name


class PictureArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A camera, the size of its picture, and whether its dark parts are brightened."""

    camera: Name
    max_bytes: Annotated[int, msgspec.Meta(ge=MIN_JPEG_BYTES, le=SNAPSHOT_MAX_BYTES)] = (
        DEFAULT_JPEG_BYTES
    )
    view: Literal["plain", "night"] = "plain"


class ReferenceValue(msgspec.Struct, frozen=True, kw_only=True):
    """The camera's picture in the newest certificate."""

    camera: str
    time: str
    technician: str
    width_px: int
    height_px: int


@act(lane="picture", typed="camera NAME, camera NAME focus, camera NAME level")
def picture(call: ActCall, args: PictureArgs) -> Picture[CameraReading]:
    """Return the next picture of a camera, with its focus, level, horizon, light and glass."""
    live = call.state.live.read(call.context, args.camera, PICTURE_TIMEOUT_S, args.max_bytes)
    if live is None:
        raise ConsoleError(
            Message("no picture came within {timeout_s:.0f} s", timeout_s=PICTURE_TIMEOUT_S),
            code="CAM-02",
        )
    jpeg = live.jpeg if args.view == "plain" else brighten_jpeg(live.jpeg, args.max_bytes)
    return Picture(jpeg, live.reading)


@act(lane="picture")
def focus_reset(call: ActCall, args: CameraArgs) -> Done:
    """Forget the sharpest picture seen."""
    call.state.live.restart_search(args.camera)
    return Done()


@act(lane="picture", typed="camera NAME aim")
def aim(call: ActCall, args: CameraArgs) -> AimComparison:
    """Compare the view with the newest certificate."""
    preview = call.state.live.open(call.context, args.camera)
    return compare_aim(call.context, args.camera, preview)


@act(lane="picture")
def aim_reference(call: ActCall, args: CameraArgs) -> Picture[ReferenceValue]:
    """Return the camera's picture in the newest certificate."""
    # The same viewers as for the live picture, and the same receipt.
    call.state.live.open(call.context, args.camera)
    reference = read_reference(call.context, args.camera)
    height_px, width_px = reference.plane.shape
    return Picture(
        encode_jpeg(reference.plane, SNAPSHOT_MAX_BYTES),
        ReferenceValue(
            camera=args.camera,
            time=reference.certificate.created_time,
            technician=reference.certificate.technician,
            width_px=width_px,
            height_px=height_px,
        ),
    )


@act(
    lane="work",
    needs="agent",
    typed="camera NAME daynight",
    timeout_s=CHECK_S,
    receipt="day and night test of {args.camera}",
)
def day_night(call: ActCall, args: CameraArgs) -> Lines[CheckResult]:
    """Test day and night, finding after finding."""
    choose_arg(Message("camera"), args.camera, call.context.camera_names)
    preview = call.context.open_preview(args.camera, call.state.view_purpose)
    return Lines(_test_day_night(call, args.camera, preview))


def _test_day_night(call: ActCall, camera: str, preview: CameraPreview) -> Iterator[CheckResult]:
    try:
        yield from day_night_test.run_day_night(call.context, camera, preview)
    finally:
        preview.close()
