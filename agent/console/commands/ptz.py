"""`ptz`: move a head with the keys, to degrees or to a preset, through the running agent and under its rules."""

from collections.abc import Mapping, Sequence

import msgspec

from agent.base.json_decode import JsonDecoder
from agent.base.message import Message, join_phrases, message_of
from agent.console.arguments import choose_arg, parse_decimal, usage_error
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.console.session import ConsoleCommand, always
from agent.console.terminal import Terminal
from agent.ptz.motion.forbidden_sectors import UNKNOWN_POSITION_DEG
from agent.ptz.preset_store import Preset
from agent.ptz.ptz_args import (
    HeadInfo,
    HeadPosition,
    PtzGotoArgs,
    PtzGotoPresetArgs,
    PtzListPresetsArgs,
    PtzMoveArgs,
    PtzResult,
    PtzSetPresetArgs,
    PtzStatusArgs,
    PtzStopArgs,
)
from drivers.contracts import FRACTION, Pose, Range

JOG_S = 0.5
PAN_RANGE_DEG = Range(low=-180, high=180)
"""Of a head that pans without end."""
_JOG_KEYS: Mapping[str, tuple[str, int]] = {
    "left": ("pan", -1),
    "right": ("pan", 1),
    "up": ("tilt", 1),
    "down": ("tilt", -1),
    "a": ("pan", -1),
    "d": ("pan", 1),
    "w": ("tilt", 1),
    "s": ("tilt", -1),
    "+": ("zoom", 1),
    "-": ("zoom", -1),
    "f": ("focus", 1),
    "n": ("focus", -1),
}
_SUBCOMMANDS = ("status", "presets", "set", "goto", "stop")
_USAGE = (
    ("ptz [HEAD]", Message("move it with the keys")),
    ("ptz [HEAD] status", Message("its position, and who controls it")),
    ("ptz [HEAD] presets", Message("its presets")),
    ("ptz [HEAD] set PRESET", Message("store its position as a preset")),
    ("ptz [HEAD] goto PRESET", Message("move it to a preset")),
    (
        "ptz [HEAD] goto PAN TILT [ZOOM]",
        Message("move it to degrees, such as 120 -10; zoom is 0 (wide) to 1"),
    ),
    ("ptz [HEAD] stop", Message("stop it at once")),
)
_HELP = Message(
    "Arrows or w a s d turn, + - zoom, f n focus far and near, 1 to 9 speed, space stops, ? shows the "
    "position, q ends."
)
_RESULT_DECODER = JsonDecoder(PtzResult)


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Move a head, store a preset, or print the head's state."""
    head_name = argv[0] if argv and argv[0] not in _SUBCOMMANDS else None
    rest = argv[1:] if head_name is not None else argv
    head = choose_arg(Message("head"), head_name, context.head_names)
    match list(rest):
        case []:
            _jog(terminal, context, head)
        case ["status"]:
            terminal.print(_format_status(_read_head(context, head)))
        case ["stop"]:
            _send(context, PtzStopArgs(head=head))
            terminal.print(Message("{head} is stopped.", head=head))
        case ["presets"]:
            _print_presets(terminal, context, head)
        case ["set", preset]:
            _set_preset(terminal, context, head, preset)
        case ["goto", preset]:
            _send(context, PtzGotoPresetArgs(head=head, preset=preset))
            terminal.print(Message("{head} moves to {target}.", head=head, target=preset))
        case ["goto", pan, tilt, *zoom] if len(zoom) <= 1:
            goto = _parse_goto(_read_head(context, head), pan, tilt, *zoom)
            _send(context, goto)
            terminal.print(
                Message("{head} moves to {target}.", head=head, target=_format_pose(goto.pose))
            )
        case _:
            raise usage_error(("ptz", *argv), *(form for form, _ in _USAGE))


def _print_presets(terminal: Terminal, context: ConsoleContext, head: str) -> None:
    presets = _read_presets(context, head)
    terminal.table(
        [
            (
                preset.name,
                _format_pose(preset.pose),
                Message("stored by {name}", name=preset.stored_by),
            )
            for preset in presets
        ]
    )
    if not presets:
        terminal.print(Message("No presets yet."))


def _set_preset(terminal: Terminal, context: ConsoleContext, head: str, name: str) -> None:
    _send(context, PtzSetPresetArgs(head=head, preset=name))
    for preset in _read_presets(context, head):
        if preset.name == name:
            terminal.print(
                Message(
                    "{head}: {preset} is stored at {target}.",
                    head=head,
                    preset=name,
                    target=_format_pose(preset.pose),
                )
            )


def _parse_goto(head: HeadInfo, pan: str, tilt: str, zoom: str | None = None) -> PtzGotoArgs:
    """Parse a pose within the head's range. Without a zoom the head keeps its own.

    Raises ConsoleError, which names what is allowed. The agent would clamp the pose to the range
    instead, and the head would rest elsewhere than was typed.
    """
    capabilities, position = head.capabilities, _known_position(head)
    if head.position is None and head.error is not None:
        raise ConsoleError(Message("{head}: {status}", head=head.name, status=head.error))
    if capabilities is None or position is None:
        raise ConsoleError(
            Message(
                "{head} does not know its position; allowed: ptz {head} goto PRESET", head=head.name
            )
        )
    if zoom is not None and capabilities.zoom_ratio <= 1:
        raise ConsoleError(
            Message("{head} has no zoom; allowed: ptz {head} goto PAN TILT", head=head.name)
        )
    return PtzGotoArgs(
        head=head.name,
        pan_deg=_parse_axis("pan", pan, capabilities.pan_deg or PAN_RANGE_DEG),
        tilt_deg=_parse_axis("tilt", tilt, capabilities.tilt_deg),
        zoom=position.zoom if zoom is None else _parse_axis("zoom", zoom, FRACTION),
    )


def _parse_axis(axis: str, typed: str, allowed: Range) -> float:
    value = parse_decimal(typed, allowed.low, allowed.high)
    if value is None:
        raise ConsoleError(
            Message(
                "{axis} {typed}: allowed: {low} to {high}",
                axis=axis,
                typed=typed,
                low=f"{allowed.low:g}",
                high=f"{allowed.high:g}",
            )
        )
    return value


def _jog(terminal: Terminal, context: ConsoleContext, head: str) -> None:
    terminal.print(_format_status(_read_head(context, head)), _HELP)
    speed = 3
    try:
        while True:
            key = terminal.read_key(1.0)
            if key in ("q", "Q", "cancel", "eof", "enter"):
                return
            try:
                if key is not None and key in "123456789":
                    speed = int(key)
                    terminal.overwrite_line(Message("speed {speed} of 9", speed=speed))
                elif key is not None and key in _JOG_KEYS:
                    axis, sign = _JOG_KEYS[key]
                    velocity = sign * speed / 9
                    move = PtzMoveArgs(head=head, for_s=JOG_S)
                    _send(context, msgspec.structs.replace(move, **{axis: velocity}))
                    terminal.overwrite_line(
                        Message("{axis} {velocity:+.1f}", axis=axis, velocity=velocity)
                    )
                elif key == " ":
                    _send(context, PtzStopArgs(head=head))
                    terminal.overwrite_line(Message("stopped"))
                elif key == "?":
                    terminal.overwrite_line(_format_status(_read_head(context, head)))
            except ConsoleError as error:
                terminal.overwrite_line(message_of(error))
    finally:
        # Also after a hang-up: a head that is moved by hand must not keep moving.
        _send(context, PtzStopArgs(head=head))
        terminal.print("", Message("{head} is stopped.", head=head))


def _send(context: ConsoleContext, args: msgspec.Struct) -> PtzResult:
    try:
        return _RESULT_DECODER.decode(context.run_agent_command("ptz", args))
    except msgspec.MsgspecError as error:
        raise ConsoleError(
            Message("the agent's answer cannot be read: {error}", error=str(error))
        ) from error


def _read_head(context: ConsoleContext, head: str) -> HeadInfo:
    heads = _send(context, PtzStatusArgs(head=head)).heads
    if not heads:
        raise ConsoleError(Message("{head}: no status", head=head))
    return heads[0]


def _read_presets(context: ConsoleContext, head: str) -> tuple[Preset, ...]:
    return _send(context, PtzListPresetsArgs(head=head)).presets or ()


def _known_position(head: HeadInfo) -> HeadPosition | None:
    position = head.position
    return None if position is None or position.error_deg >= UNKNOWN_POSITION_DEG else position


def _format_pose(pose: Pose | HeadPosition) -> Message:
    return Message(
        "pan {pan_deg:.1f} tilt {tilt_deg:.1f} zoom {zoom:.2f}",
        pan_deg=pose.pan_deg,
        tilt_deg=pose.tilt_deg,
        zoom=pose.zoom,
    )


def _format_status(head: HeadInfo) -> Message:
    position = _known_position(head)
    status = join_phrases(
        Message("position unknown") if position is None else _format_pose(position),
        Message("moving") if head.moving else None,
        Message("at {preset}", preset=head.preset) if head.preset else None,
        Message("tour {tour}", tour=head.tour) if head.tour else None,
        Message("controlled by {name} ({role})", name=head.lease.by, role=head.lease.role)
        if head.lease
        else None,
        head.error,
    )
    return Message("{head}: {status}", head=head.name, status=status)


PTZ = ConsoleCommand(
    name="ptz",
    help=Message("move a head with the keys, to degrees or to a preset; set presets"),
    usage=_USAGE,
    run=run,
    needs_receipt=always,
)
