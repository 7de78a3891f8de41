"""Test of day and night: a camera takes pictures as by night and by day again, with its filter and its lamp.

The agent ends a chosen mode by itself within half a minute: a test that is cut off leaves the camera as it was.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import msgspec

from agent.base.message import Message
from agent.capture.day_night import (
    DayNightRequest,
    DayNightState,
    DayNightUnavailable,
    Mode,
    request_day_night,
)
from agent.console.camera_preview import DEFAULT_SIZE_PX, CameraPreview
from agent.console.check_result import CheckResult, failed, not_applicable, passed, unknown
from agent.console.context import ConsoleContext
from agent.console.errors import AgentDown, ConsoleError

SWITCH_TIMEOUT_S = 8.0
"""A camera reports its mode once a second, and pins follow within another."""
POLL_S = 0.5
SETTLE_S = 3.0
"""For the exposure, after the filter and the lamp."""
PICTURE_TIMEOUT_S = 10.0
JPEG_BYTES = 60_000
GREY_RATIO = 0.5
"""A picture by night has at most this share of the colour by day."""
RETURN_RATIO = 0.5
"""Share of the colour by day that is there again afterwards. Within 12 s traffic took 0.65 of it at the least in 22 of 23
clips of fixed cameras; in the other one, which shows little else than passing cars, 0.18.
"""
MIN_COLOUR = 1.0
"""With less colour by day, such as in the dark, only the light in the picture can show a change. The 23 clips have 1.0 to 25,
a grey picture less than 0.3.
"""
MIN_LIGHT_RATIO = 1.15


class ModeReading(msgspec.Struct, frozen=True, kw_only=True):
    """A camera in one mode: as it reports it, its filters and lamps by pin, mean luma, and mean distance from grey."""

    state: DayNightState
    luma: float
    colour: float


def run_day_night(
    context: ConsoleContext,
    camera: str,
    preview: CameraPreview,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[CheckResult]:
    """Yield finding after finding. Raises ConsoleError if the camera cannot be switched, or shows no picture.

    Whatever happens, the camera decides by itself again afterwards.
    """
    try:
        before = _read_mode(context, camera, preview, "day", pause)
        by_night = _read_mode(context, camera, preview, "night", pause)
        yield from judge_night(before, by_night)
        after = _read_mode(context, camera, preview, "day", pause)
        yield from judge_day(before, after)
    finally:
        with suppress(ConsoleError):
            _request(context, camera, "auto")


def judge_night(day: ModeReading, night: ModeReading) -> Iterator[CheckResult]:
    """Judge the reading by night: the reported mode, each filter and lamp, and the picture."""
    subject = Message("night")
    yield _judge_mode(subject, night.state, wanted=True)
    if not night.state.outputs:
        yield not_applicable(subject, Message("no pin switches a filter or a lamp of this camera"))
    for pin, is_active in night.state.outputs.items():
        yield _judge_pin(subject, pin, is_active=is_active, wanted=True)
    readings = _format_readings(day, night)
    is_grey = day.colour >= MIN_COLOUR and night.colour <= GREY_RATIO * day.colour
    low, high = sorted((day.luma, night.luma))
    if is_grey or high >= MIN_LIGHT_RATIO * max(low, 1.0):
        yield passed(subject, Message("the picture changes: {readings}", readings=readings))
    elif day.colour < MIN_COLOUR and not night.state.outputs:
        yield unknown(
            subject, Message("too little colour to compare: {readings}", readings=readings)
        )
    else:
        yield failed(
            subject,
            Message("the picture does not change: {readings}", readings=readings),
            advice=Message("Check the cable of the filter and of the lamp, and night.saturation."),
        )


def judge_day(before: ModeReading, after: ModeReading) -> Iterator[CheckResult]:
    """Judge the reading after the night: the reported mode, each filter and lamp, and the picture."""
    subject = Message("day")
    yield _judge_mode(subject, after.state, wanted=False)
    for pin, is_active in after.state.outputs.items():
        yield _judge_pin(subject, pin, is_active=is_active, wanted=False)
    readings = _format_readings(before, after)
    if before.colour < MIN_COLOUR:
        yield unknown(
            subject, Message("too little colour to compare: {readings}", readings=readings)
        )
    elif after.colour >= RETURN_RATIO * before.colour:
        yield passed(subject, Message("the picture is as before: {readings}", readings=readings))
    else:
        yield failed(
            subject,
            Message("the colour has not come back: {readings}", readings=readings),
            advice=Message("The filter may be stuck: restart the camera, and try again."),
        )


def _format_readings(before: ModeReading, after: ModeReading) -> Message:
    return Message(
        "colour {colour_before:.1f}, then {colour:.1f}; mean {luma_before:.0f}, then {luma:.0f} of 255",
        colour_before=before.colour,
        colour=after.colour,
        luma_before=before.luma,
        luma=after.luma,
    )


def _judge_mode(subject: Message, state: DayNightState, *, wanted: bool) -> CheckResult:
    if state.night is None:
        return unknown(subject, Message("the camera does not report its mode"))
    if state.night == wanted:
        return passed(subject, Message("the camera reports this mode"))
    return failed(
        subject,
        Message("the camera stays in the other mode"),
        advice=Message(
            'Its night.mode is "day" in the configuration, or its driver hangs: check 6.'
        ),
    )


def _judge_pin(subject: Message, pin: str, *, is_active: bool, wanted: bool) -> CheckResult:
    found = (
        Message("pin {name}: on", name=pin) if is_active else Message("pin {name}: off", name=pin)
    )
    if is_active == wanted:
        return passed(subject, found)
    return failed(subject, found, advice=Message("See the fault of the pins: check 10."))


def _read_mode(
    context: ConsoleContext,
    camera: str,
    preview: CameraPreview,
    mode: Mode,
    pause: Callable[[float], None],
) -> ModeReading:
    """Choose a mode, wait until the camera and its pins follow or the time is over, and read a picture."""
    wanted = mode == "night"
    state = _request(context, camera, mode)
    for _ in range(round(SWITCH_TIMEOUT_S / POLL_S)):
        if state.night == wanted and all(one == wanted for one in state.outputs.values()):
            break
        pause(POLL_S)
        state = _request(context, camera, None)
    pause(SETTLE_S)
    picture = preview.read(PICTURE_TIMEOUT_S, DEFAULT_SIZE_PX, JPEG_BYTES)
    if picture is None:
        raise ConsoleError(
            Message("no picture came within {timeout_s:.0f} s", timeout_s=PICTURE_TIMEOUT_S),
            code="CAM-02",
        )
    # Imported here: OpenCV is large, an idle console is not.
    from agent.capture.jpeg import measure_colour  # noqa: PLC0415

    return ModeReading(
        state=state, luma=picture.aim.view.light.mean, colour=measure_colour(picture.jpeg)
    )


def _request(context: ConsoleContext, camera: str, mode: Mode | None) -> DayNightState:
    request = DayNightRequest(camera=camera, by=context.technician, mode=mode)
    try:
        state = request_day_night(context.state_dir, request)
    except DayNightUnavailable as error:
        raise ConsoleError(str(error)) from error
    if state is None:
        raise AgentDown(Message("the agent has ended: try again"))
    return state
