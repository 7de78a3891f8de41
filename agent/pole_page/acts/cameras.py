"""Acts on cameras: the live picture with its readings, and the aim since the newest certificate."""

from typing import Annotated, Literal

import msgspec

from agent.base.message import Message, Text
from agent.capture.jpeg import brighten_jpeg, encode_jpeg
from agent.capture.snapshot_command import MIN_JPEG_BYTES, SNAPSHOT_MAX_BYTES
from agent.config.names import Name
from agent.console.acts import day_night
from agent.console.acts.aim_comparison import AimComparison, compare_aim, read_reference
from agent.console.acts.aiming import (
    CameraReading,
    FocusReading,
    Horizon,
    LevelReading,
    LightReading,
)
from agent.console.arguments import choose_arg
from agent.console.errors import ConsoleError
from agent.pole_page.act import VIEW_PURPOSE, Act, ActCall, Done, Lines, Picture
from agent.pole_page.acts.box import to_line

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


class GlassReading(msgspec.Struct, frozen=True):
    """The state of the camera's glass."""

    text: Text


class PictureValue(msgspec.Struct, frozen=True, kw_only=True):
    """The readings of a picture."""

    camera: str
    width_px: int
    height_px: int
    source: Text
    view: str
    focus: FocusReading
    level: LevelReading
    horizon: Horizon
    light: LightReading
    glass: GlassReading
    preset: str | None


class ReferenceValue(msgspec.Struct, frozen=True, kw_only=True):
    """The camera's picture in the newest certificate."""

    camera: str
    time: str
    technician: str
    width_px: int
    height_px: int


def read_picture(call: ActCall, args: PictureArgs) -> Picture:
    """Return the next picture of a camera."""
    live = call.state.live.read(call.context, args.camera, PICTURE_TIMEOUT_S, args.max_bytes)
    if live is None:
        raise ConsoleError(
            Message("no picture came within {timeout_s:.0f} s", timeout_s=PICTURE_TIMEOUT_S),
            code="CAM-02",
        )
    jpeg = live.jpeg if args.view == "plain" else brighten_jpeg(live.jpeg, args.max_bytes)
    return Picture(jpeg, _to_value(live.reading, args.view))


def restart_focus(call: ActCall, args: CameraArgs) -> Done:
    """Forget the sharpest picture seen."""
    call.state.live.restart_search(args.camera)
    return Done()


def compare(call: ActCall, args: CameraArgs) -> AimComparison:
    """Compare the view with the newest certificate."""
    preview = call.state.live.open(call.context, args.camera)
    return compare_aim(call.context, args.camera, preview)


def read_reference_picture(call: ActCall, args: CameraArgs) -> Picture:
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


def run_day_night(call: ActCall, args: CameraArgs) -> Lines:
    """Test day and night, finding after finding."""
    choose_arg(Message("camera"), args.camera, call.context.camera_names)
    preview = call.context.open_preview(args.camera, VIEW_PURPOSE)
    return Lines(map(to_line, day_night.run_day_night(call.context, args.camera, preview)))


def _to_value(reading: CameraReading, view: str) -> PictureValue:
    return PictureValue(
        camera=reading.camera,
        width_px=reading.width_px,
        height_px=reading.height_px,
        source=reading.source,
        view=view,
        focus=reading.focus,
        level=reading.level,
        horizon=reading.horizon,
        light=reading.light,
        glass=GlassReading(reading.glass),
        preset=reading.preset,
    )


ACTS = {
    "picture": Act(run=read_picture, lane="picture", args_type=PictureArgs),
    "focus_reset": Act(run=restart_focus, lane="picture", args_type=CameraArgs),
    "aim": Act(
        run=compare,
        lane="picture",
        args_type=CameraArgs,
    ),
    "day_night": Act(
        run=run_day_night,
        lane="work",
        args_type=CameraArgs,
        receipt=lambda _call, args: f"day and night test of {args.camera}",
    ),
    "aim_reference": Act(run=read_reference_picture, lane="picture", args_type=CameraArgs),
}
