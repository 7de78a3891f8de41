"""`vigie ptz`: the heads of the box on which it is run, through the agent that runs there."""

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.base.errors import UserError
from agent.base.model import CommandAccepted, CommandDone, CommandProgress, CommandRefused
from agent.cli.commands import Commands
from agent.cli.footage_output import print_json
from agent.commands import socket_server
from agent.config import configuration
from agent.ptz.messages import HeadInfo, LeaseInfo, PtzResult

WAIT_S = 30.0
SWEEP_WAIT_S = 600.0
_WAYS: dict[str, tuple[str, float]] = {
    "left": ("pan", -1.0),
    "right": ("pan", 1.0),
    "up": ("tilt", 1.0),
    "down": ("tilt", -1.0),
    "in": ("zoom", 1.0),
    "out": ("zoom", -1.0),
    "far": ("focus", 1.0),
    "near": ("focus", -1.0),
}


def add_parser(commands: Commands) -> None:
    """Add the command and its own commands."""
    parser = commands.add_parser(
        "ptz",
        help="where the box's heads look, and move them",
        description="Asks the agent that runs on this box, as an operator by the name of this user. "
        "What is moved is kept for a while, and then goes back to whom it belongs.",
    )
    _add_common(parser, default=None)
    kinds = parser.add_subparsers(metavar="WHAT", required=True)
    _kind(kinds, "list", "which heads there are, and what they can do", _list)
    _kind(kinds, "where", "where a head is, and who has it", _where)
    move = _kind(kinds, "move", "move for a while: vigie ptz move left up", _move)
    move.add_argument("way", nargs="+", choices=tuple(_WAYS), help=", ".join(_WAYS))
    move.add_argument(
        "--speed", type=float, default=0.5, metavar="S", help="share of the top speed (0.5)"
    )
    move.add_argument(
        "--for", dest="for_s", type=float, default=1.0, metavar="SECONDS", help="how long (1)"
    )
    goto = _kind(kinds, "goto", "go to a preset, or to PAN TILT [ZOOM] in degrees and 0..1", _goto)
    goto.add_argument("place", nargs="+", metavar="PLACE", help="a preset, or two or three numbers")
    goto.add_argument(
        "--speed", type=float, default=1.0, metavar="S", help="share of the top speed"
    )
    _add_presets(kinds)
    _add_tours(kinds)
    _kind(kinds, "sweep", "look all around; the panorama goes to the centre", _sweep)
    _kind(kinds, "stop", "stop at once, whoever has the head", _stop)


def _add_presets(kinds: Commands) -> None:
    preset = kinds.add_parser("preset", help="the places that a head remembers")
    which = preset.add_subparsers(metavar="WHAT", required=True)
    _kind(which, "list", "what it remembers", _preset_list)
    for name, help_, run in (
        ("set", "remember where it stands, under this name", _preset_set),
        ("delete", "forget one", _preset_delete),
    ):
        _kind(which, name, help_, run).add_argument("name", metavar="NAME")


def _add_tours(kinds: Commands) -> None:
    tour = kinds.add_parser("tour", help="from preset to preset")
    which = tour.add_subparsers(metavar="WHAT", required=True)
    _kind(which, "start", "begin one of the configuration", _tour_start).add_argument(
        "name", metavar="NAME"
    )
    _kind(which, "stop", "end the one that runs", _tour_stop)


def _kind(kinds: Commands, name: str, help_: str, run: Any) -> argparse.ArgumentParser:
    parser = kinds.add_parser(name, help=help_, description=f"{help_[0].upper()}{help_[1:]}.")
    _add_common(parser, default=argparse.SUPPRESS)
    parser.set_defaults(run=run)
    return parser


def _add_common(parser: argparse.ArgumentParser, default: Any) -> None:
    """Before or after the word that says what: both are what a person tries."""
    parser.add_argument(
        "--config", metavar="FILE", type=Path, default=default, help="the box's configuration"
    )
    parser.add_argument(
        "--head", metavar="NAME", default=default, help="which head (default: the only one)"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        default=default or False,
        help="each reply as a line of JSON, as over MQTT",
    )


def _list(args: argparse.Namespace) -> int:
    if not _config(args).head:
        _show_heads(())
        return 0
    return _ask(args, {"do": "list"})


def _where(args: argparse.Namespace) -> int:
    return _ask(args, _of(args, "where"))


def _move(args: argparse.Namespace) -> int:
    wanted: dict[str, Any] = {}
    for way in args.way:
        axis, sign = _WAYS[way]
        if axis in wanted:
            raise UserError(f"move {' '.join(args.way)}: two ways at once on one axis ({axis})")
        wanted[axis] = sign * args.speed
    return _ask(args, {**_of(args, "move"), **wanted, "for_s": args.for_s})


def _goto(args: argparse.Namespace) -> int:
    place: list[str] = args.place
    if len(place) == 1:
        return _ask(args, {**_of(args, "recall"), "preset": place[0], "speed": args.speed})
    try:
        numbers = [float(number) for number in place]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3):
        raise UserError(
            f"goto {' '.join(place)}: allowed: a preset's name, or PAN TILT [ZOOM] as numbers"
        )
    pose = dict(zip(("pan_deg", "tilt_deg", "zoom"), numbers, strict=False))
    return _ask(args, {**_of(args, "goto"), **pose, "speed": args.speed})


def _preset_list(args: argparse.Namespace) -> int:
    return _ask(args, _of(args, "presets"))


def _preset_set(args: argparse.Namespace) -> int:
    return _ask(args, {**_of(args, "preset_set"), "preset": args.name})


def _preset_delete(args: argparse.Namespace) -> int:
    return _ask(args, {**_of(args, "preset_delete"), "preset": args.name})


def _tour_start(args: argparse.Namespace) -> int:
    return _ask(args, {**_of(args, "tour_start"), "tour": args.name})


def _tour_stop(args: argparse.Namespace) -> int:
    return _ask(args, _of(args, "tour_stop"))


def _sweep(args: argparse.Namespace) -> int:
    return _ask(args, _of(args, "sweep"), SWEEP_WAIT_S)


def _stop(args: argparse.Namespace) -> int:
    return _ask(args, _of(args, "stop"))


def _of(args: argparse.Namespace, do: str) -> dict[str, Any]:
    """The word, and the head: the one that is named, or the only one."""
    if args.head is not None:
        return {"do": do, "head": args.head}
    names = [head.name for head in _config(args).head]
    if len(names) != 1:
        said = f"the box has {', '.join(names)}: say which with --head" if names else "no [[head]]"
        raise UserError(f"{args.config}: {said}")
    return {"do": do, "head": names[0]}


def _config(args: argparse.Namespace) -> configuration.Config:
    if args.config is None:
        raise UserError("vigie ptz needs --config FILE")
    return configuration.load(args.config)


def _ask(args: argparse.Namespace, words: dict[str, Any], wait_s: float = WAIT_S) -> int:
    """0 where it was done, 1 where it was refused."""
    state = Path(_config(args).box.state)
    try:
        replies = socket_server.ask(state, "ptz", words, wait_s)
    except PermissionError as error:
        raise UserError(
            f"{state}: only the user whom the agent runs as may ask it, and root: try with sudo"
        ) from error
    if replies is None:
        raise UserError(
            f"{state}: no agent runs there: start it with `vigie run --config {args.config}`; "
            "`vigie probe` finds heads without one"
        )
    for reply in replies:
        if args.json:
            print_json(reply)
        match reply:
            case CommandRefused():
                if not args.json:
                    print(f"vigie: {reply.kind}: {reply.why}", file=sys.stderr)
                return 1
            case CommandDone() if not args.json:
                _show(words, msgspec.json.decode(reply.result, type=PtzResult))
            case CommandAccepted() if not args.json:
                print("begun", file=sys.stderr)
            case CommandProgress() if not args.json:
                print(f"{reply.share:4.0%} {reply.detail}", file=sys.stderr)
            case _:
                pass
    return 0


def _show(words: dict[str, Any], result: PtzResult) -> None:
    """For a person."""
    if result.heads is not None:
        _show_heads(result.heads)
    elif result.presets is not None:
        table = Table()
        for heading in ("preset", "pan", "tilt", "zoom", "stored", "by"):
            table.add_column(heading)
        for preset in result.presets:
            pose = preset.pose
            table.add_row(
                preset.name,
                f"{pose.pan_deg:.1f}°",
                f"{pose.tilt_deg:.1f}°",
                f"{pose.zoom:.2f}",
                preset.stored_time,
                Text(preset.stored_by),
            )
        Console().print(table if result.presets else "no presets yet")
    elif result.panorama is not None:
        made = result.panorama
        print(
            f"a panorama of {made.pictures} pictures, {made.size_bytes} bytes, is on its way to the "
            f"centre: {made.sha256}"
        )
    else:
        lease = "" if result.lease is None else f"; {_lease(result.lease)}"
        print(f"{words['head']}: {words['do'].replace('_', ' ')}: done{lease}")


def _show_heads(heads: tuple[HeadInfo, ...]) -> None:
    table = Table()
    for heading in ("head", "camera", "where", "state", "who has it", "can"):
        table.add_column(heading, overflow="fold")
    for head in heads:
        table.add_row(
            head.name,
            head.camera or "",
            _place(head),
            Text(_state(head)),
            Text(_holder(head)),
            _can(head),
        )
    Console().print(table if heads else "no heads")


def _place(head: HeadInfo) -> str:
    place = head.place
    if place is None:
        return "?"
    within = "nobody knows" if place.error_deg >= 180 else f"±{place.error_deg:.1f}°"  # noqa: PLR2004 - see PtzPosition
    return f"pan {place.pan_deg:.1f}° tilt {place.tilt_deg:.1f}° zoom {place.zoom:.2f}\n{within}"


def _state(head: HeadInfo) -> str:
    parts = [
        "moving" if head.moving else "settled" if head.settled else "settling",
        f"at {head.preset}" if head.preset else "",
        head.error or "",
    ]
    return "\n".join(part for part in parts if part)


def _holder(head: HeadInfo) -> str:
    if head.lease is not None:
        return _lease(head.lease)
    return f"tour {head.tour}" if head.tour else ""


def _lease(lease: LeaseInfo) -> str:
    return f"{lease.by} ({lease.role}) has it for {lease.left_s:.0f} s"


def _can(head: HeadInfo) -> str:
    able = head.abilities
    if able is None:
        return "not open"
    parts = [
        "absolute" if able.absolute else "reckoned",
        f"{able.pan_max_deg_s:.0f}°/s",
        f"zoom x{able.zoom_ratio:g}" if able.zoom_ratio > 1 else "",
        "focus" if able.focus else "",
        *able.aux,
    ]
    return " ".join(part for part in parts if part)
