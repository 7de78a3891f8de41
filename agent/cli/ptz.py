"""`vigie ptz`: moves the pan-tilt heads of this box, through its running agent."""

import argparse
import sys
from pathlib import Path
from typing import Any

from agent.base.errors import UserError
from agent.base.json_decode import decode_json
from agent.base.model import CommandAccepted, CommandDone, CommandProgress, CommandRefused
from agent.cli.arguments import number_parser, sudo_user
from agent.cli.commands import Commands
from agent.cli.output import print_json
from agent.commands.local_command import send_command
from agent.config import configuration
from agent.ptz.ptz_args import PtzResult
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments and subcommands."""
    parser.description = (
        "Commands the agent of this box, as an operator with the name of this user. A head "
        "that was moved is leased for a while; then its tour or home position resumes."
    )
    _add_common(parser, default=None)
    subcommands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_subcommand(subcommands, "list", "list the heads and their capabilities", _list_heads)
    _add_subcommand(subcommands, "status", "show position and holder of a head", _print_status)
    move = _add_subcommand(subcommands, "move", "move for a while: vigie ptz move left up", _move)
    move.add_argument(
        "direction", nargs="+", choices=tuple(_DIRECTIONS), help=", ".join(_DIRECTIONS)
    )
    move.add_argument(
        "--speed",
        type=number_parser("--speed", 1),
        default=0.5,
        metavar="S",
        help="fraction of the top speed (default: %(default)g)",
    )
    move.add_argument(
        "--for",
        dest="for_s",
        type=number_parser("--for", MAX_MOVE_S),
        default=1.0,
        metavar="SECONDS",
        help="the duration (default: %(default)g)",
    )
    goto = _add_subcommand(
        subcommands, "goto", "move to a preset, or to PAN TILT [ZOOM] in degrees and 0..1", _goto
    )
    goto.add_argument(
        "target", nargs="+", metavar="TARGET", help="a preset, or two or three numbers"
    )
    goto.add_argument(
        "--speed",
        type=number_parser("--speed", 1),
        default=1.0,
        metavar="S",
        help="fraction of the top speed (default: %(default)g)",
    )
    _add_presets(subcommands)
    _add_tours(subcommands)
    _add_subcommand(subcommands, "sweep", "make a panorama, which is sent to the centre", _sweep)
    _add_subcommand(subcommands, "stop", "stop at once, regardless of the lease", _stop)


def _add_presets(subcommands: Commands) -> None:
    preset = subcommands.add_parser("preset", help="list, store and delete presets")
    preset_commands = preset.add_subparsers(metavar="COMMAND", required=True)
    _add_subcommand(preset_commands, "list", "list the presets", _preset_list)
    for name, help_text, run in (
        ("set", "store the current position under this name", _preset_set),
        ("delete", "delete a preset", _preset_delete),
    ):
        _add_subcommand(preset_commands, name, help_text, run).add_argument("name", metavar="NAME")


def _add_tours(subcommands: Commands) -> None:
    tour = subcommands.add_parser("tour", help="start and stop guard tours")
    tour_commands = tour.add_subparsers(metavar="COMMAND", required=True)
    _add_subcommand(
        tour_commands, "start", "start a tour of the configuration", _tour_start
    ).add_argument("name", metavar="NAME")
    _add_subcommand(tour_commands, "stop", "stop the running tour", _tour_stop)


def _add_subcommand(
    subcommands: Commands, name: str, help_text: str, run: Any
) -> argparse.ArgumentParser:
    parser = subcommands.add_parser(
        name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}."
    )
    _add_common(parser, default=argparse.SUPPRESS)
    parser.set_defaults(run=run)
    return parser


def _add_common(parser: argparse.ArgumentParser, default: Any) -> None:
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


def _list_heads(args: argparse.Namespace) -> int:
    if not _load_config(args).head:
        print("no heads")
        return 0
    return _send_command(args, {"do": "list"})


def _print_status(args: argparse.Namespace) -> int:
    return _send_command(args, _head_args(args, "status"))


def _move(args: argparse.Namespace) -> int:
    axis_speeds: dict[str, Any] = {}
    for direction in args.direction:
        axis, sign = _DIRECTIONS[direction]
        if axis in axis_speeds:
            raise UserError(
                f"move {' '.join(args.direction)}: two directions on one axis ({axis}); allowed: one"
            )
        axis_speeds[axis] = sign * args.speed
    return _send_command(args, {**_head_args(args, "move"), **axis_speeds, "for_s": args.for_s})


def _goto(args: argparse.Namespace) -> int:
    target: list[str] = args.target
    if len(target) == 1:
        return _send_command(
            args, {**_head_args(args, "goto_preset"), "preset": target[0], "speed": args.speed}
        )
    try:
        numbers = [float(number) for number in target]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3):
        raise UserError(
            f"goto {' '.join(target)}: allowed: a preset's name, or PAN TILT [ZOOM] as numbers"
        )
    pose = dict(zip(("pan_deg", "tilt_deg", "zoom"), numbers, strict=False))
    return _send_command(args, {**_head_args(args, "goto"), **pose, "speed": args.speed})


def _preset_list(args: argparse.Namespace) -> int:
    return _send_command(args, _head_args(args, "presets"))


def _preset_set(args: argparse.Namespace) -> int:
    return _send_command(args, {**_head_args(args, "set_preset"), "preset": args.name})


def _preset_delete(args: argparse.Namespace) -> int:
    return _send_command(args, {**_head_args(args, "delete_preset"), "preset": args.name})


def _tour_start(args: argparse.Namespace) -> int:
    return _send_command(args, {**_head_args(args, "start_tour"), "tour": args.name})


def _tour_stop(args: argparse.Namespace) -> int:
    return _send_command(args, _head_args(args, "stop_tour"))


def _sweep(args: argparse.Namespace) -> int:
    return _send_command(args, _head_args(args, "sweep"), SWEEP_TIMEOUT_S)


def _stop(args: argparse.Namespace) -> int:
    return _send_command(args, _head_args(args, "stop"))


def _head_args(args: argparse.Namespace, do: str) -> dict[str, Any]:
    """Return the action and the head: the named one, or the only one. Raises: UserError."""
    if args.head is not None:
        return {"do": do, "head": args.head}
    names = [head.name for head in _load_config(args).head]
    if len(names) != 1:
        message = (
            f"has the heads {', '.join(names)}; allowed: --head NAME"
            if names
            else "has no [[head]]"
        )
        raise UserError(f"{args.config}: {message}")
    return {"do": do, "head": names[0]}


def _load_config(args: argparse.Namespace) -> configuration.Config:
    if args.config is None:
        raise UserError("ptz: --config is missing; allowed: --config FILE")
    return configuration.load(args.config)


def _send_command(
    args: argparse.Namespace, command_args: dict[str, Any], timeout_s: float = REPLY_TIMEOUT_S
) -> int:
    """Send a command and print its replies. Return 0 if it was done, 1 if it was refused."""
    state = Path(_load_config(args).box.state)
    try:
        replies = send_command(state, "ptz", command_args, timeout_s, sudo_user())
    except PermissionError as error:
        raise UserError(
            f"{state}: no permission to command the agent; allowed: its user, and root (sudo)"
        ) from error
    if replies is None:
        raise UserError(
            f"{state}: no agent is running; allowed: after `vigie run --config {args.config}`, or "
            "`vigie probe`, which finds heads without an agent"
        )
    for reply in replies:
        if args.json:
            print_json(reply)
        match reply:
            case CommandRefused():
                if not args.json:
                    print(f"vigie: {reply.code}: {reply.message}", file=sys.stderr)
                return 1
            case CommandDone() if not args.json:
                _print_result(command_args, decode_json(reply.result, PtzResult))
            case CommandAccepted() if not args.json:
                print("started", file=sys.stderr)
            case CommandProgress() if not args.json:
                print(f"{reply.progress:4.0%} {reply.detail}", file=sys.stderr)
            case _:
                pass
    return 0


def _print_result(command_args: dict[str, Any], result: PtzResult) -> None:
    if result.heads is not None or result.presets is not None:
        # The import of rich takes as long as the rest of the start, and a move needs none of it.
        from agent.cli.ptz_tables import print_heads, print_presets  # noqa: PLC0415

        if result.heads is not None:
            print_heads(result.heads)
        if result.presets is not None:
            print_presets(result.presets)
    elif result.panorama is not None:
        panorama = result.panorama
        print(
            f"panorama of {panorama.frames} frames, {panorama.size_bytes} bytes, sent to the centre: "
            f"{panorama.sha256}"
        )
    else:
        lease = "" if result.lease is None else f"; {result.lease.describe()}"
        print(f"{command_args['head']}: {command_args['do'].replace('_', ' ')}: done{lease}")
