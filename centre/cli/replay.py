"""`vigie replay VIDEO`: evaluates a video against a scene, as fast as possible."""

import argparse
import sys
from datetime import datetime
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from agent.base.clock import rfc3339
from agent.base.errors import UserError
from agent.detection.model_card import ModelRefused
from centre import replay
from centre.cli.detect import add_model_argument
from centre.count.film_list import END_OF_STARTS, FIRST_START
from centre.counts_text import describe_counts
from centre.film_messages import FILM_START
from centre.film_player import DETECT_FPS
from centre.line_file import STANDARD_OUTPUT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Plays a video through detection and rules, as fast as possible and in the video's "
        "own time. Two runs produce the same output."
    )
    parser.add_argument("clip", metavar="VIDEO", type=Path, help="the video")
    parser.add_argument(
        "--scene", metavar="SCENE.toml", type=Path, required=True, help="see docs/scene.md"
    )
    parser.add_argument(
        "--events",
        metavar="OUT.jsonl",
        type=Path,
        required=True,
        help="write the events: a line for each message as it is sent over MQTT; - is standard output",
    )
    parser.add_argument(
        "--tracks", metavar="OUT.jsonl", type=Path, help="write a line for each track in each frame"
    )
    parser.add_argument(
        "--annotate",
        metavar="OUT.mp4",
        type=Path,
        help="write the video with tracks, lines and events drawn on it",
    )
    parser.add_argument(
        "--every-frame",
        action="store_true",
        help=f"process every frame (default: {DETECT_FPS:g} per second, as a box does)",
    )
    parser.add_argument(
        "--start",
        metavar="TIME",
        help="the time of the first picture, from which times in the results and the hours of zones count, such as "
        f"2026-05-12T08:00+01:00 (default: {rfc3339(FILM_START)}, and rules run at all hours)",
    )
    add_model_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Replay, and print the results."""
    request = replay.ReplayRequest(
        clip=args.clip,
        scene=args.scene,
        events=args.events,
        tracks=args.tracks,
        annotate=args.annotate,
        every_frame=args.every_frame,
        model=args.model,
        start=None if args.start is None else parse_start(args.start),
    )
    outlook = replay.inspect(request)
    for warning in outlook.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    try:
        with FilmBar(request.clip.name, outlook.duration_s) as progress:
            summary = replay.replay(request, progress)
    except ModelRefused as error:
        print(f"vigie: {error}", file=sys.stderr)
        return 1
    _print_summary(summary, request)
    return 0


def parse_start(text: str) -> datetime:
    """Return the time of --start. Raises: UserError if it is none, or has no offset."""
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        start = None
    if start is None or start.tzinfo is None or not FIRST_START <= start < END_OF_STARTS:
        raise UserError(
            f"--start {text!r}: allowed: a date from 2000 to 2099 and a time with its offset from UTC, such as "
            "2026-05-12T08:00+01:00"
        )
    return start


class FilmBar:
    """A bar with the time left on standard error if that is a terminal; a context manager."""

    def __init__(self, title: str, duration_s: float) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task(title, total=duration_s or None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, played_s: float) -> None:
        """Show the seconds of the film that are played."""
        self._progress.update(self._task, completed=played_s)


def _print_summary(summary: replay.ReplaySummary, request: replay.ReplayRequest) -> None:
    paths = [
        path for path in (request.events, request.tracks, request.annotate) if path is not None
    ]
    file = sys.stderr if STANDARD_OUTPUT in paths else sys.stdout
    speed = summary.played_s / max(summary.elapsed_s, 1e-9)
    print(
        f"{request.clip.name}: {summary.played_s:.1f} s, {summary.frames} frames, "
        f"{summary.inferences} inferences, {speed:.1f} times real time",
        file=file,
    )
    for line in summary.line_counts:
        counts = describe_counts(line.counts, line.speeds)
        print(f"  line {line.line!r}, {line.direction}: {counts}", file=file)
    for flow in summary.flow_counts:
        print(f"  flow {flow.flow!r}: {describe_counts(flow.counts)}", file=file)
    if summary.untrusted_minutes:
        print(
            f"  counts are not to be trusted in {summary.untrusted_minutes} of {summary.minutes} minutes: "
            f"{', '.join(summary.untrusted_reasons)}",
            file=file,
        )
    for kind, number in summary.event_counts.items():
        print(f"  event {kind}: {number}", file=file)
    for path in paths:
        if path != STANDARD_OUTPUT:
            print(f"  wrote {path}", file=file)
