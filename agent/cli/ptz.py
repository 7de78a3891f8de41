"""`vigie ptz`: moves the pan-tilt heads of this box, through its running agent."""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from agent.base.errors import UserError
from agent.base.json_decode import decode_json
from agent.cli.arguments import number_parser, sudo_user
from agent.cli.commands import Commands
from agent.cli.output import escape_unprintable, print_reply
from agent.commands.local_command import send_command
from agent.config import configuration
from agent.ptz import ptz_args
from agent.ptz.preset_store import Preset
from agent.ptz.ptz_args import (
    HeadInfo,
    PtzDeletePresetArgs,
    PtzGotoArgs,
    PtzGotoPresetArgs,
    PtzListArgs,
    PtzListPresetsArgs,
    PtzMoveArgs,
    PtzResult,
    PtzSetPresetArgs,
    PtzStartTourArgs,
    PtzStatusArgs,
    PtzStopArgs,
    PtzStopTourArgs,
    PtzSweepArgs,
)
from agent.ptz.requests import MAX_MOVE_S

REPLY_TIMEOUT_S = 30.0
SWEEP_TIMEOUT_S = 600.0
_DIRECTIONS: dict[str, tuple[str, float]] = {
    "left": ("pan", -1.0),
    "right": ("pan", 1.0),
    "up": ("tilt", 1.0),
    "down": ("tilt", -1.0),
    "in": ("zoom", 1.0),
    "out": ("zoom", -1.0),
    "far": ("focus", 1.0),
    "near": ("focus", -1.0),
}
_MakeArgs: TypeAlias = Callable[[str, argparse.Namespace], ptz_args.Args]
"""Makes the arguments of the command `ptz` from the head and the words that were typed. Raises: UserError."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments and subcommands."""
    parser.description = (
        "Commands the agent of this box, as an operator with the name of this user. A head "
        "that was moved is leased for a while; then its tour or home position resumes."
    )
    _add_common(parser, default=None)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_parser(commands, "list", _help_of(PtzListArgs)).set_defaults(run=_list_heads)
    _add_command(commands, "status", PtzStatusArgs)
    move = _add_parser(commands, "move", "move for a while: vigie ptz move left up", _make_move)
    move.add_argument(
        "direction", nargs="+", choices=tuple(_DIRECTIONS), help=", ".join(_DIRECTIONS)
    )
    _add_speed(move, 0.5)
    move.add_argument(
        "--for",
        dest="for_s",
        type=number_parser("--for", MAX_MOVE_S),
        default=1.0,
        metavar="SECONDS",
        help="the duration (default: %(default)g)",
    )
    goto = _add_parser(
        commands,
        "goto",
        "move to a preset, or to PAN TILT [ZOOM] in degrees and 0..1",
        _make_goto,
    )
    goto.add_argument(
        "target", nargs="+", metavar="TARGET", help="a preset, or two or three numbers"
    )
    _add_speed(goto, 1.0)
    presets = _add_group(commands, "preset", "list, store and delete presets")
    _add_command(presets, "list", PtzListPresetsArgs)
    _add_command(presets, "set", PtzSetPresetArgs)
    _add_command(presets, "delete", PtzDeletePresetArgs)
    tours = _add_group(commands, "tour", "start and stop guard tours")
    _add_command(tours, "start", PtzStartTourArgs)
    _add_command(tours, "stop", PtzStopTourArgs)
    _add_command(commands, "sweep", PtzSweepArgs)
    _add_command(commands, "stop", PtzStopArgs)


def _add_group(commands: Commands, name: str, help_text: str) -> Commands:
    return commands.add_parser(name, help=help_text).add_subparsers(
        metavar="COMMAND", required=True
    )


def _add_command(commands: Commands, name: str, args_type: type[msgspec.Struct]) -> None:
    """Add a command that needs what its arguments require: a head, and the name of a preset or tour."""
    fields = msgspec.structs.fields(args_type)
    words = [field.name for field in fields if field.required and field.name != "head"]

    def make(head: str, args: argparse.Namespace) -> Any:
        return args_type(head=head, **{word: getattr(args, word) for word in words})

    parser = _add_parser(commands, name, _help_of(args_type), make)
    for word in words:
        parser.add_argument(word, metavar="NAME")


def _help_of(args_type: type[msgspec.Struct]) -> str:
    """Return the first sentence of the docstring of arguments, as a help text begins and ends."""
    sentence = " ".join((args_type.__doc__ or "").partition(".")[0].split())
    return f"{sentence[0].lower()}{sentence[1:]}"


def _add_parser(
    commands: Commands, name: str, help_text: str, make: _MakeArgs | None = None
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}."
    )
    _add_common(parser, default=argparse.SUPPRESS)
    parser.set_defaults(run=_command_head, make=make)
    return parser


def _add_common(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Add options that may be given before or after the subcommand."""
    parser.add_argument(
        "--config", metavar="FILE", type=Path, default=default, help="the box's configuration"
    )
    parser.add_argument(
        "--head", metavar="NAME", default=default, help="the head (default: the only one)"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        default=default or False,
        help="print each reply as a line of JSON, as over MQTT",
    )


def _add_speed(parser: argparse.ArgumentParser, default: float) -> None:
    parser.add_argument(
        "--speed",
        type=number_parser("--speed", 1),
        default=default,
        metavar="S",
        help="fraction of the top speed (default: %(default)g)",
    )


def _make_move(head: str, args: argparse.Namespace) -> PtzMoveArgs:
    axis_speeds: dict[str, Any] = {}
    for direction in args.direction:
        axis, sign = _DIRECTIONS[direction]
        if axis in axis_speeds:
            raise UserError(
                f"move {' '.join(args.direction)}: two directions on one axis ({axis}); allowed: one"
            )
        axis_speeds[axis] = sign * args.speed
    return PtzMoveArgs(head=head, for_s=args.for_s, **axis_speeds)


def _make_goto(head: str, args: argparse.Namespace) -> PtzGotoArgs | PtzGotoPresetArgs:
    target: list[str] = args.target
    if len(target) == 1:
        return PtzGotoPresetArgs(head=head, preset=target[0], speed=args.speed)
    try:
        pan_deg, tilt_deg, *zoom = (float(number) for number in target)
        (zoom_share,) = zoom or (0.0,)
    except ValueError as error:
        raise UserError(
            f"goto {' '.join(target)}: allowed: a preset's name, or PAN TILT [ZOOM] as numbers"
        ) from error
    return PtzGotoArgs(
        head=head, pan_deg=pan_deg, tilt_deg=tilt_deg, zoom=zoom_share, speed=args.speed
    )


def _list_heads(args: argparse.Namespace) -> int:
    config = _load_config(args)
    if not config.head:
        print("no heads")
        return 0
    return _send(args, config, PtzListArgs())


def _command_head(args: argparse.Namespace) -> int:
    """Command the named head, or the only one. Raises: UserError."""
    config = _load_config(args)
    names = [head.name for head in config.head]
    if args.head is None and len(names) != 1:
        message = (
            f"has the heads {', '.join(names)}; allowed: --head NAME"
            if names
            else "has no [[head]]"
        )
        raise UserError(f"{args.config}: {message}")
    make: _MakeArgs = args.make
    return _send(args, config, make(args.head or names[0], args))


def _load_config(args: argparse.Namespace) -> configuration.Config:
    if args.config is None:
        raise UserError("ptz: --config is missing; allowed: --config FILE")
    return configuration.load(args.config)


def _send(args: argparse.Namespace, config: configuration.Config, command: ptz_args.Args) -> int:
    """Send a command and print its replies. Return 0 if it was done, 1 if it was refused."""
    state = Path(config.box.state)
    timeout_s = SWEEP_TIMEOUT_S if isinstance(command, PtzSweepArgs) else REPLY_TIMEOUT_S
    try:
        replies = send_command(state, "ptz", command, timeout_s, sudo_user())
    except PermissionError as error:
        raise UserError(
            f"{state}: no permission to command the agent; allowed: its user, and root (sudo)"
        ) from error
    if replies is None:
        raise UserError(
            f"{state}: no agent is running; allowed: after `vigie run --config {args.config}`, or "
            "`vigie probe`, which finds heads without an agent"
        )

    def print_result(encoded: bytes) -> None:
        _print_result(command, decode_json(encoded, PtzResult))

    exit_code = 1
    for reply in replies:
        exit_code = print_reply(reply, print_result, as_json=args.json, clean=escape_unprintable)
    return exit_code


def _print_result(command: ptz_args.Args, result: PtzResult) -> None:
    if result.heads is not None:
        headings = ("head", "camera", "position", "state", "holder", "capabilities")
        _print_table(headings, map(_head_cells, result.heads), "no heads")
    elif result.presets is not None:
        headings = ("preset", "pan", "tilt", "zoom", "stored", "by")
        _print_table(headings, map(_preset_cells, result.presets), "no presets yet")
    elif result.panorama is not None:
        panorama = result.panorama
        print(
            f"panorama of {panorama.frames} frames, {panorama.size_bytes} bytes, sent to the centre: "
            f"{panorama.sha256}"
        )
    elif not isinstance(command, PtzListArgs):
        lease = "" if result.lease is None else f"; {result.lease.describe()}"
        action = str(command.__struct_config__.tag).replace("_", " ")
        print(f"{command.head}: {action}: done{lease}")


def _print_table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]], empty: str) -> None:
    # The import of rich takes as long as the rest of the start, and a move needs none of it.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table if table.row_count else empty)


def _preset_cells(preset: Preset) -> tuple[str, ...]:
    pose = preset.pose
    return (
        preset.name,
        f"{pose.pan_deg:.1f}°",
        f"{pose.tilt_deg:.1f}°",
        f"{pose.zoom:.2f}",
        preset.stored_time,
        preset.stored_by,
    )


def _head_cells(head: HeadInfo) -> tuple[str, ...]:
    return (
        head.name,
        head.camera or "",
        _format_position(head),
        _format_state(head),
        _format_holder(head),
        _format_capabilities(head),
    )


def _format_position(head: HeadInfo) -> str:
    position = head.position
    if position is None:
        return "?"
    accuracy = "error unknown" if position.error_deg >= 180 else f"±{position.error_deg:.1f}°"  # noqa: PLR2004 - see PtzPosition
    return f"pan {position.pan_deg:.1f}° tilt {position.tilt_deg:.1f}° zoom {position.zoom:.2f}\n{accuracy}"


def _format_state(head: HeadInfo) -> str:
    parts = [
        "moving" if head.moving else "settled" if head.settled else "settling",
        f"at {head.preset}" if head.preset else "",
        head.error or "",
    ]
    return "\n".join(part for part in parts if part)


def _format_holder(head: HeadInfo) -> str:
    if head.lease is not None:
        return head.lease.describe()
    return f"tour {head.tour}" if head.tour else ""


def _format_capabilities(head: HeadInfo) -> str:
    capabilities = head.capabilities
    if capabilities is None:
        return "not open"
    parts = [
        "absolute" if capabilities.absolute else "dead reckoning",
        f"{capabilities.pan_max_deg_s:.0f}°/s",
        f"zoom x{capabilities.zoom_ratio:g}" if capabilities.zoom_ratio > 1 else "",
        "focus" if capabilities.focus else "",
        *capabilities.aux,
    ]
    return " ".join(part for part in parts if part)
