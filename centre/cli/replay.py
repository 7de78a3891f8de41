"""`vigie replay VIDEO`: evaluates a video against a scene, as fast as possible."""

import argparse
import sys
from pathlib import Path

from agent.detection.model_card import ModelRefused
from centre import replay
from centre.cli.detect import add_model_argument


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
        help="write the events: a line for each message as it is sent over MQTT",
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
        help=f"process every frame (default: {replay.DETECT_FPS:g} per second, as a box does)",
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
    )
    try:
        summary = replay.replay(request)
    except ModelRefused as error:
        print(f"vigie: {error}", file=sys.stderr)
        return 1
    _print_summary(summary, request)
    return 0


def _print_summary(summary: replay.ReplaySummary, request: replay.ReplayRequest) -> None:
    speed = summary.played_s / max(summary.elapsed_s, 1e-9)
    print(
        f"{request.clip.name}: {summary.played_s:.1f} s, {summary.frames} frames, "
        f"{summary.inferences} inferences, {speed:.1f} times real time"
    )
    for line in summary.line_counts:
        counts = ", ".join(f"{label} {number}" for label, number in sorted(line.counts.items()))
        print(f"  line {line.line!r}, {line.direction}: {sum(line.counts.values())}", end="")
        print(f" ({counts})" if counts else "")
    for kind, number in summary.event_counts.items():
        print(f"  event {kind}: {number}")
    for path in (request.events, request.tracks, request.annotate):
        if path is not None:
            print(f"  wrote {path}")
