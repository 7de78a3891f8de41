"""Readings of a camera that a technician aims: focus, level, horizon, light and glass, each with its words."""

import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from agent.base.errors import UserError
from agent.base.file_read import read_stamp
from agent.base.message import Message, Text, join_phrases
from agent.capture import focus_search
from agent.capture.focus_search import FocusSearch
from agent.capture.lens_aim import LensAim
from agent.config.heads import HeadConfig
from agent.console.camera_preview import PreviewPicture
from agent.console.context import ConsoleContext
from agent.ptz.motion.field_of_view import Direction, direction_to_point
from agent.ptz.motion.forbidden_sectors import UNKNOWN_POSITION_DEG
from drivers.contracts import CameraReadings, Pose

LEVEL_TOLERANCE_DEG = 1.0
NOTHING_TO_FOCUS_ON = Message("nothing in the middle to focus on")
_FOCUS_VERDICTS = {
    True: Message("pass"),
    False: Message("FAIL: below the mark"),
    None: Message("turn on past the sharpest"),
}
_PLACES = {
    str(place): place
    for place in (
        Message("top left"),
        Message("top centre left"),
        Message("top centre right"),
        Message("top right"),
        Message("middle left"),
        Message("middle centre left"),
        Message("middle centre right"),
        Message("middle right"),
        Message("bottom left"),
        Message("bottom centre left"),
        Message("bottom centre right"),
        Message("bottom right"),
    )
}


class FocusReading(msgspec.Struct, frozen=True, kw_only=True):
    """The focus by the sharpest picture seen, see `FocusSearch`. `score` is that of the picture alone, 0 to about 70."""

    score: float | None
    percent: int | None
    is_in_focus: bool | None
    pass_percent: int = focus_search.PASS_PERCENT
    text: Text


class LevelReading(msgspec.Struct, frozen=True, kw_only=True):
    """The lean of upright lines to the right, measured in the picture; None if it has too few of them."""

    lean_deg: float | None
    basis: Literal["picture"] | None
    is_level: bool | None
    text: Text


class Horizon(msgspec.Struct, frozen=True, kw_only=True):
    """The horizon at the left and the right edge, in shares of the picture's height from its top.

    It is never measured: `basis` is the source of the estimate, and it may be outside the picture.
    """

    left_y: float | None
    right_y: float | None
    basis: Literal["ground", "head"] | None
    text: Text


class LightReading(msgspec.Struct, frozen=True, kw_only=True):
    """The light in the picture, and the camera's own readings as far as it reports them."""

    text: Text
    mean: float
    night: bool | None
    exposure_ms: float | None
    gain: float | None


class GlassReading(msgspec.Struct, frozen=True):
    """The state of the camera's glass."""

    text: Text


class CameraReading(msgspec.Struct, frozen=True, kw_only=True):
    """All readings of one picture. `preset` is the one that the camera's head rests at."""

    camera: str
    width_px: int
    height_px: int
    source: Text
    focus: FocusReading
    level: LevelReading
    horizon: Horizon
    light: LightReading
    glass: GlassReading
    preset: str | None


def read_camera(
    context: ConsoleContext,
    camera: str,
    source: Text,
    picture: PreviewPicture,
    search: FocusSearch,
) -> CameraReading:
    """Return the readings of the next picture, which `search` takes."""
    aim = picture.aim
    search.add(aim.focus_blocks)
    if search.has_passed_peak:
        context.best_focus[camera] = search.best
    level = read_level(aim.lean_deg)
    preset = preset_of(context, camera)
    return CameraReading(
        camera=camera,
        width_px=picture.width_px,
        height_px=picture.height_px,
        source=source,
        focus=FocusReading(
            score=aim.focus,
            percent=search.percent,
            is_in_focus=search.is_in_focus,
            text=NOTHING_TO_FOCUS_ON if search.percent is None else focus_verdict(search),
        ),
        level=level,
        horizon=read_horizon(context, camera, level, picture.width_px / picture.height_px),
        light=read_light(aim, picture.readings),
        glass=GlassReading(glass_text(aim)),
        preset=preset,
    )


def preset_of(context: ConsoleContext, camera: str) -> str | None:
    """Return the preset at which a camera's head rests, or None."""
    report = context.live_report()
    heads = () if report is None else report.heads
    config = head_of(context, camera)
    head_name = None if config is None else config.name
    return next((head.preset for head in heads if head.name == head_name), None)


def head_of(context: ConsoleContext, camera: str) -> HeadConfig | None:
    """Return the head that a camera is mounted on, or None."""
    heads = () if context.config is None else context.config.head
    return next((head for head in heads if head.camera == camera), None)


def focus_verdict(search: FocusSearch) -> Message:
    """Return the verdict of a search in words."""
    return _FOCUS_VERDICTS[search.is_in_focus]


def read_level(lean_deg: float | None) -> LevelReading:
    """Return the level of a lean, with the turn that corrects it."""
    return LevelReading(
        lean_deg=lean_deg,
        basis=None if lean_deg is None else "picture",
        is_level=None if lean_deg is None else abs(lean_deg) < LEVEL_TOLERANCE_DEG,
        text=_level_text(lean_deg),
    )


def read_light(aim: LensAim, readings: CameraReadings | None) -> LightReading:
    """Return the light in a picture."""
    light = Message(
        "{exposure}; mean {mean:.0f} of 255", exposure=aim.exposure, mean=aim.view.light.mean
    )
    exposure_us = None if readings is None else readings.exposure_us
    return LightReading(
        text=join_phrases(light, *_readings_texts(readings)),
        mean=aim.view.light.mean,
        night=None if readings is None else readings.night,
        exposure_ms=None if exposure_us is None else exposure_us / 1000,
        gain=None if readings is None else readings.analogue_gain,
    )


def glass_text(aim: LensAim) -> Message:
    """Return the state of the camera's glass in words."""
    if aim.hazy:
        return Message("hazy, as through fog or dirt: wipe the glass")
    if aim.soft_spots:
        return Message(
            "no detail at {places}: sky, wall, or dirt on the glass",
            places=join_phrases(*(_PLACES.get(place, place) for place in aim.soft_spots)),
        )
    return Message("clear")


def _readings_texts(readings: CameraReadings | None) -> Iterator[Message]:
    if readings is None:
        return
    if readings.exposure_us is not None:
        yield Message("{exposure_ms:.1f} ms", exposure_ms=readings.exposure_us / 1000)
    if readings.analogue_gain is not None:
        yield Message("gain {gain:.1f}", gain=readings.analogue_gain)
    if readings.night:
        yield Message("night")


def _level_text(lean_deg: float | None) -> Message:
    if lean_deg is None:
        return Message("unknown: too few upright lines")
    if abs(lean_deg) < LEVEL_TOLERANCE_DEG:
        return Message("good: upright lines are upright")
    if lean_deg > 0:
        return Message(
            "upright lines lean {lean_deg:.1f} degrees to the right: turn the camera clockwise, seen "
            "from behind it",
            lean_deg=lean_deg,
        )
    return Message(
        "upright lines lean {lean_deg:.1f} degrees to the left: turn the camera counter-clockwise, "
        "seen from behind it",
        lean_deg=-lean_deg,
    )


def read_horizon(
    context: ConsoleContext, camera: str, level: LevelReading, aspect: float
) -> Horizon:
    """Estimate the horizon from the ground calibration, or from the tilt that the camera's head reports.

    A picture alone does not show it.
    """
    ground = _ground_horizon(context, camera)
    return _head_horizon(context, camera, level, aspect) if ground is None else ground


def _ground_horizon(context: ConsoleContext, camera: str) -> Horizon | None:
    """Return the horizon of the scene in force, or None if its ground is not calibrated."""
    cameras = () if context.config is None else context.config.camera
    detect = next((one.detect for one in cameras if one.name == camera), None)
    if detect is None:
        return None
    path = detect.scene or detect.scenes.get(preset_of(context, camera) or "")
    edges = None if path is None else _horizon_of_scene(Path(path), read_stamp(Path(path)))
    if edges is None:
        return None
    return Horizon(
        left_y=round(edges[0], 4),
        right_y=round(edges[1], 4),
        basis="ground",
        text=Message("estimated from the ground calibration, not measured in the picture"),
    )


@functools.lru_cache(maxsize=8)
def _horizon_of_scene(path: Path, _stamp: object) -> tuple[float, float] | None:
    """Return the horizon of a scene's ground at both edges, or None. `_stamp` changes with the file.

    Five pictures a second would each read the scene, 0.33 ms of a core of an AMD EPYC.
    """
    # Imported here: OpenCV comes with it, and an idle console is small.
    from agent.detection.scene import load_scene  # noqa: PLC0415

    try:
        plane = load_scene(path).ground_plane
    except UserError:
        return None
    return None if plane is None else plane.horizon()


def _head_horizon(
    context: ConsoleContext, camera: str, level: LevelReading, aspect: float
) -> Horizon:
    config = head_of(context, camera)
    if config is None:
        return _unknown_horizon(Message("unknown: the camera has no head that reports its tilt"))
    if config.fov_deg is None:
        return _unknown_horizon(
            Message("unknown: {key} is not configured", key=f"head.{config.name}.fov_deg")
        )
    report = context.live_report()
    reported = () if report is None else report.heads
    head = next((head for head in reported if head.name == config.name), None)
    if (
        head is None
        or head.tilt_deg is None
        or head.pan_deg is None
        or (head.error_deg or 0.0) >= UNKNOWN_POSITION_DEG
    ):
        return _unknown_horizon(Message("unknown: the head does not know its tilt"))
    pose = Pose(pan_deg=head.pan_deg, tilt_deg=head.tilt_deg, zoom=head.zoom or 0.0)
    point = direction_to_point(config.fov_deg, pose, Direction(pan_deg=head.pan_deg, tilt_deg=0.0))
    text = Message(
        "estimated from the head's tilt of {tilt_deg:.1f} degrees, not measured in the picture",
        tilt_deg=head.tilt_deg,
    )
    if point is None:
        return Horizon(left_y=None, right_y=None, basis="head", text=text)
    # A picture whose upright lines lean to the right is turned clockwise, and so is its horizon.
    half_rise = math.tan(math.radians(level.lean_deg or 0.0)) * aspect / 2
    return Horizon(
        left_y=round(point.y - half_rise, 4),
        right_y=round(point.y + half_rise, 4),
        basis="head",
        text=text,
    )


def _unknown_horizon(text: Message) -> Horizon:
    return Horizon(left_y=None, right_y=None, basis=None, text=text)
