"""`vigie replay CLIP`: a clip against a scene, as fast as it goes."""

import argparse
import sys
from pathlib import Path

from agent.cli.commands import Commands
from agent.detection.model_card import ModelRefused
from centre import replay
from centre.cli.detect import add_model_argument


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "replay",
        help="judge a film against a scene, to tune the scene",
        description="Plays a film through the detection, as fast as it goes and in the film's own "
        "time. Two runs give the same.",
    )
    parser.add_argument("clip", metavar="CLIP", type=Path, help="the film")
    parser.add_argument(
        "--scene", metavar="SCENE.toml", type=Path, required=True, help="see docs/scene.md"
    )
    parser.add_argument(
        "--events",
        metavar="OUT.jsonl",
        type=Path,
        required=True,
        help="where the events go: a line for each message that would go over MQTT",
    )
    parser.add_argument(
        "--tracks", metavar="OUT.jsonl", type=Path, help="a line for each road user in each frame"
    )
    parser.add_argument(
        "--annotate", metavar="OUT.mp4", type=Path, help="the film with everything drawn on it"
    )
    parser.add_argument(
        "--every-frame",
        action="store_true",
        help=f"look at every frame (default: {replay.DETECT_FPS:g} a second, as a box does)",
    )
    add_model_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Replay, and print what came of it."""
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
        f"{summary.inferences} detector passes, {speed:.1f} times its own pace"
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
