"""`vigie demo`: a video, or a pan-tilt head, through the complete agent, live in the terminal."""

import argparse
import sys
from functools import partial
from pathlib import Path

from rich.console import Console

from agent.base.errors import UserError
from centre.demo.demo import run_demo
from centre.demo.ptz_scenario import PtzOptions, PtzScenario
from centre.demo.summary import print_summary, program_name
from centre.demo.video_scenario import VideoOptions, VideoScenario

PIPE_COLUMNS = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Plays a video of a street through the complete agent: road users are detected, "
        "tracked and counted, and events are reported over MQTT to a centre on this machine. Nothing "
        "leaves this machine. The first run downloads a video of 98 MB; without a network a rendered "
        "street is played. With --ptz: a camera on a pan-tilt head in a rendered street, with a guard "
        "tour, operators who take over the head over MQTT, and a panorama."
    )
    parser.add_argument("--video", metavar="FILE", type=Path, help="play this video")
    parser.add_argument(
        "--ptz",
        action="store_true",
        help="show a pan-tilt head on a serial line, in a rendered street (about a minute)",
    )
    parser.add_argument(
        "--fast",
        action="store_true",
        help="as fast as every frame can be processed, instead of at the video's own frame rate",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="the folder to write into (default: demo-out, and demo-ptz with --ptz)",
    )
    parser.add_argument("--seconds", metavar="N", type=_parse_seconds, help="stop after N seconds")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo and print its summary."""
    # Lines are not wrapped for a pipe: its reader wraps them.
    console = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    if args.ptz:
        _reject_video_options(args)
        ptz = PtzOptions(duration_s=args.seconds)
        summary = run_demo(partial(PtzScenario, ptz), args.out or Path("demo-ptz"), console)
    else:
        video = VideoOptions(video=args.video, fast=args.fast, duration_s=args.seconds)
        summary = run_demo(partial(VideoScenario, video), args.out or Path("demo-out"), console)
    print_summary(summary, console, program_name(sys.argv[0], Path.cwd()))
    return 0


def _reject_video_options(args: argparse.Namespace) -> None:
    if args.fast:
        raise UserError("--fast: not with --ptz, a head moves in real time; allowed: --seconds")
    if args.video is not None:
        raise UserError("--video: not with --ptz, which renders its street; allowed: --seconds")


def _parse_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 86_400:  # noqa: PLR2004 - a day
        raise argparse.ArgumentTypeError(f"{text!r}: allowed: more than 0, at most 86400")
    return seconds
