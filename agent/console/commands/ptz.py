"""`ptz`: move a head with the keys, to degrees or to a preset, through the running agent and under its rules."""

from collections.abc import Mapping, Sequence

import msgspec

from agent.base.message import Message, message_of
from agent.console.acts import heads
from agent.console.acts.act import ActCall, call_at_console
from agent.console.acts.heads import GotoArgs, JogArgs, format_pose, format_status, read_head
from agent.console.arguments import choose_arg, usage_error
from agent.console.console_command import ConsoleCommand, always
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.console.terminal import Terminal
from agent.ptz.ptz_args import (
    PtzDeletePresetArgs,
    PtzSetPresetArgs,
    PtzStartTourArgs,
    PtzStopArgs,
    PtzStopTourArgs,
)

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
_SUBCOMMANDS = ("status", "presets", "set", "delete", "goto", "tour", "stop")
_USAGE = (
    ("ptz [HEAD]", Message("move it with the keys")),
    ("ptz [HEAD] status", Message("its position, and who controls it")),
    ("ptz [HEAD] presets", Message("its presets")),
    ("ptz [HEAD] set PRESET", Message("store its position as a preset")),
    ("ptz [HEAD] delete PRESET", Message("delete a preset")),
    ("ptz [HEAD] goto PRESET", Message("move it to a preset")),
    (
        "ptz [HEAD] goto PAN TILT [ZOOM]",
        Message("move it to degrees, such as 120 -10; zoom is 0 (wide) to 1"),
    ),
    ("ptz [HEAD] tour TOUR", Message("start a tour")),
    ("ptz [HEAD] tour", Message("stop the tour")),
    ("ptz [HEAD] stop", Message("stop it at once")),
)
_HELP = Message(
    "Arrows or w a s d turn, + - zoom, f n focus far and near, 1 to 9 speed, space stops, ? shows the "
    "position, q ends."
)


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Move a head, store a preset, or print the head's state."""
    head_name = argv[0] if argv and argv[0] not in _SUBCOMMANDS else None
    rest = argv[1:] if head_name is not None else argv
    head = choose_arg(Message("head"), head_name, context.head_names)
    call = call_at_console(context)
    match list(rest):
        case []:
            _jog(terminal, call, head)
        case ["status"]:
            terminal.print(format_status(read_head(context, head)))
        case ["stop"]:
            heads.head_stop(call, PtzStopArgs(head=head))
            terminal.print(Message("{head} is stopped.", head=head))
        case ["presets"]:
            _print_presets(terminal, call, head)
        case ["set", preset]:
            _set_preset(terminal, call, head, preset)
        case ["delete", preset]:
            heads.preset_delete(call, PtzDeletePresetArgs(head=head, preset=preset))
            terminal.print(Message("{head}: {preset} is deleted.", head=head, preset=preset))
        case ["goto", preset]:
            _go_to(terminal, call, GotoArgs(head=head, preset=preset))
        case ["goto", pan, tilt, *zoom] if len(zoom) <= 1:
            pose = GotoArgs(head=head, pan_deg=pan, tilt_deg=tilt, zoom=zoom[0] if zoom else None)
            _go_to(terminal, call, pose)
        case ["tour", *tour] if len(tour) <= 1:
            _set_tour(terminal, call, head, *tour)
        case _:
            raise usage_error(("ptz", *argv), *(form for form, _ in _USAGE))


def _go_to(terminal: Terminal, call: ActCall, args: GotoArgs) -> None:
    target = heads.goto(call, args).target
    terminal.print(Message("{head} moves to {target}.", head=args.head, target=target))


def _set_tour(terminal: Terminal, call: ActCall, head: str, tour: str | None = None) -> None:
    if tour is None:
        heads.tour_stop(call, PtzStopTourArgs(head=head))
        terminal.print(Message("{head}: the tour is stopped.", head=head))
    else:
        heads.tour_start(call, PtzStartTourArgs(head=head, tour=tour))
        terminal.print(Message("{head}: the tour {tour} is started.", head=head, tour=tour))


def _print_presets(terminal: Terminal, call: ActCall, head: str) -> None:
    presets = heads.list_presets(call.context, head).presets
    terminal.table(
        [
            (
                preset.name,
                format_pose(preset.pose),
                Message("stored by {name}", name=preset.stored_by),
            )
            for preset in presets
        ]
    )
    if not presets:
        terminal.print(Message("No presets yet."))


def _set_preset(terminal: Terminal, call: ActCall, head: str, name: str) -> None:
    for preset in heads.preset_set(call, PtzSetPresetArgs(head=head, preset=name)).presets:
        if preset.name == name:
            terminal.print(
                Message(
                    "{head}: {preset} is stored at {target}.",
                    head=head,
                    preset=name,
                    target=format_pose(preset.pose),
                )
            )


def _jog(terminal: Terminal, call: ActCall, head: str) -> None:
    terminal.print(format_status(read_head(call.context, head)), _HELP)
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
                    move = JogArgs(head=head)
                    heads.jog(call, msgspec.structs.replace(move, **{axis: velocity}))
                    terminal.overwrite_line(
                        Message("{axis} {velocity:+.1f}", axis=axis, velocity=velocity)
                    )
                elif key == " ":
                    heads.head_stop(call, PtzStopArgs(head=head))
                    terminal.overwrite_line(Message("stopped"))
                elif key == "?":
                    terminal.overwrite_line(format_status(read_head(call.context, head)))
            except ConsoleError as error:
                terminal.overwrite_line(message_of(error))
    finally:
        # Also after a hang-up: a head that is moved by hand must not keep moving.
        heads.head_stop(call, PtzStopArgs(head=head))
        terminal.print("", Message("{head} is stopped.", head=head))


PTZ = ConsoleCommand(
    name="ptz",
    help=Message("move a head with the keys, to degrees or to a preset; set presets"),
    usage=_USAGE,
    run=run,
    needs_receipt=always,
)
