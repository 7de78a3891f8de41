"""`ptz`: move a head with the keys, through the running agent and under its rules."""

from collections.abc import Mapping, Sequence

import msgspec

from agent.base.json_decode import JsonDecoder
from agent.base.message import Message, join_phrases, message_of
from agent.console.arguments import choose_arg, usage_error
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.console.session import ConsoleCommand, always
from agent.console.terminal import Terminal
from agent.ptz.ptz_args import (
    HeadInfo,
    PtzGotoPresetArgs,
    PtzListPresetsArgs,
    PtzMoveArgs,
    PtzResult,
    PtzStatusArgs,
    PtzStopArgs,
)

JOG_S = 0.5
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
_SUBCOMMANDS = ("status", "presets", "goto", "stop")
_USAGE = (
    ("ptz [HEAD]", Message("move it with the keys")),
    ("ptz [HEAD] status", Message("its position, and who controls it")),
    ("ptz [HEAD] presets", Message("its presets")),
    ("ptz [HEAD] goto PRESET", Message("move it to a preset")),
    ("ptz [HEAD] stop", Message("stop it at once")),
)
_HELP = Message(
    "Arrows or w a s d turn, + - zoom, f n focus far and near, 1 to 9 speed, space stops, ? shows the "
    "position, q ends."
)
_RESULT_DECODER = JsonDecoder(PtzResult)


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Move a head, or print its state."""
    head_name = argv[0] if argv and argv[0] not in _SUBCOMMANDS else None
    rest = argv[1:] if head_name is not None else argv
    head = choose_arg(Message("head"), head_name, context.head_names)
    match list(rest):
        case []:
            _jog(terminal, context, head)
        case ["status"]:
            terminal.print(_read_status(context, head))
        case ["stop"]:
            _send(context, PtzStopArgs(head=head))
            terminal.print(Message("{head} is stopped.", head=head))
        case ["presets"]:
            presets = _send(context, PtzListPresetsArgs(head=head)).presets or ()
            terminal.table(
                [
                    (preset.name, Message("stored by {name}", name=preset.stored_by))
                    for preset in presets
                ]
            )
            if not presets:
                terminal.print(Message("No presets yet."))
        case ["goto", preset]:
            _send(context, PtzGotoPresetArgs(head=head, preset=preset))
            terminal.print(Message("{head} moves to {preset}.", head=head, preset=preset))
        case _:
            raise usage_error(("ptz", *argv), *(form for form, _ in _USAGE))


def _jog(terminal: Terminal, context: ConsoleContext, head: str) -> None:
    terminal.print(_read_status(context, head), _HELP)
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
                    terminal.overwrite_line(_read_status(context, head))
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


def _read_status(context: ConsoleContext, head: str) -> Message:
    heads = _send(context, PtzStatusArgs(head=head)).heads
    return _format_status(heads[0]) if heads else Message("{head}: no status", head=head)


def _format_status(head: HeadInfo) -> Message:
    position = (
        Message("position unknown")
        if head.position is None
        else Message(
            "pan {pan_deg:.1f} tilt {tilt_deg:.1f} zoom {zoom:.2f}",
            pan_deg=head.position.pan_deg,
            tilt_deg=head.position.tilt_deg,
            zoom=head.position.zoom,
        )
    )
    status = join_phrases(
        position,
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
    help=Message("move a head with the keys, or to a preset"),
    usage=_USAGE,
    run=run,
    needs_receipt=always,
)
