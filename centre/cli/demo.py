"""`vigie demo`: a clip through the complete agent, live in the terminal."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from agent.base.errors import UserError
from agent.cli.commands import Commands
from centre.demo.demo import DemoRequest, run_demo
from centre.demo.ptz_demo import PtzDemoRequest, run_ptz_demo
from centre.demo.ptz_summary import print_ptz_summary
from centre.demo.summary import print_summary, program_name

PIPE_COLUMNS = 200


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "demo",
        help="play a street clip through the whole agent, and watch",
        description="Plays a film of a street through the complete agent: people and vehicles are "
        "found, followed and counted, and what happens is reported over MQTT to a centre on this "
        "machine. Nothing leaves this machine. The first run fetches a film of 98 MB; without a "
        "network a street is drawn instead. With --ptz it is a camera on a pan-tilt head in a drawn "
        "street all around: a tour, operators who take the head over MQTT, and a panorama.",
    )
    parser.add_argument("--video", metavar="FILE", type=Path, help="a film of your own")
    parser.add_argument(
        "--ptz",
        action="store_true",
        help="a pan-tilt head on a serial line, in a rendered street (about a minute)",
    )
    parser.add_argument(
        "--fast",
        action="store_true",
        help="as fast as every picture can be looked at, instead of at the film's own pace",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="the folder to write into (default: demo-out, and demo-ptz with --ptz)",
    )
    parser.add_argument(
        "--seconds", metavar="N", type=_parse_seconds, help="stop after so many seconds"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo and tell what came of it."""
    # Into a pipe no line is broken: who reads it breaks them as he likes.
    console = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    program = program_name(sys.argv[0], Path.cwd())
    if args.ptz:
        _reject_video_options(args)
        print_ptz_summary(
            run_ptz_demo(
                PtzDemoRequest(out=args.out or Path("demo-ptz"), duration_s=args.seconds), console
            ),
            console,
            program,
        )
        return 0
    request = DemoRequest(
        video=args.video,
        fast=args.fast,
        out=args.out or Path("demo-out"),
        duration_s=args.seconds,
    )
    summary = run_demo(request, console)
    print_summary(summary, console, program)
    return 0


def _reject_video_options(args: argparse.Namespace) -> None:
    if args.fast:
        raise UserError(
            "--fast does not go with --ptz: a head moves in real time; allowed: --seconds"
        )
    if args.video is not None:
        raise UserError("--video does not go with --ptz: a film does not turn; allowed: --seconds")


def _parse_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 86_400:  # noqa: PLR2004 - a day
        raise argparse.ArgumentTypeError(f"{text!r}: allowed: more than 0, at most 86400")
    return seconds
