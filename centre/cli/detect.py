"""`vigie detect IMAGE...`: detections in still images."""

import argparse
import sys
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from agent.base.errors import UserError
from agent.config.configuration import DetectConfig
from agent.detection import model_card
from agent.detection.still_image import StillResult, detect_in_file
from agent.detection.tflite import open_detector
from centre.runtime_notices import hidden_notices


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = "Lists the road users that the detector finds in still images."
    parser.add_argument("images", metavar="IMAGE", nargs="+", type=Path, help="a JPEG, PNG, ...")
    add_model_argument(parser)
    parser.add_argument("--json", action="store_true", help="one line of JSON for each image")
    parser.set_defaults(run=run)


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option `--model`."""
    known = ", ".join(model_card.list_model_names())
    parser.add_argument(
        "--model",
        metavar="NAME",
        default=DetectConfig().model,
        help=f"the model: {known}, or the path of a card (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Detect in every image. Return 1 if one of them could not be read."""
    try:
        with hidden_notices():
            detector = open_detector(args.model)
    except model_card.ModelRefused as error:
        print(f"vigie: {error}", file=sys.stderr)
        return 1
    failed = False
    for path in args.images:
        try:
            result = detect_in_file(path, detector)
        except UserError as error:
            print(f"vigie: {error}", file=sys.stderr)
            failed = True
            continue
        if args.json:
            print(msgspec.json.encode(result).decode())
        else:
            _print_table(result)
    return 1 if failed else 0


def _print_table(result: StillResult) -> None:
    print(f"{result.path}: {result.width_px} x {result.height_px}, ", end="")
    if not result.detections:
        print("no road users")
        return
    print(f"{len(result.detections)} road users")
    table = Table()
    table.add_column("label")
    for name in ("score", "x", "y", "w", "h"):
        table.add_column(name, justify="right")
    for detection in result.detections:
        box = detection.box
        table.add_row(
            detection.label,
            f"{detection.score:.2f}",
            *(f"{side:.3f}" for side in (box.x, box.y, box.w, box.h)),
        )
    Console().print(table)
