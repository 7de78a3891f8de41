"""`vigie validate CLIPS`: counts of labelled films against their labels; `vigie validate count CLIP` makes the labels."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import cast, get_args

from rich.console import Console
from rich.table import Table

from agent.base import checked_convert
from agent.base.clock import rfc3339
from agent.base.count_proof import ProofLine
from agent.base.errors import UserError
from agent.cli.output import progress_bar
from agent.config.names import Name
from agent.detection.model_card import ModelRefused
from agent.detection.scene import Scene, load_scene
from centre.cli import validate_count
from centre.cli.detect import add_model_argument
from centre.proof_file import write_proof
from centre.validate.pages import interval, percent
from centre.validate.proof import make_proof
from centre.validate.report import LimitName, ValidationReport
from centre.validate.validation import (
    LabelledClips,
    find_clips,
    make_report,
    measure_model,
    most_fps,
    read_report,
    write_pages,
)

MAX_LIMIT = 1000.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Counts the crossings of labelled films as a box does, compares them with the labels, and writes one page. "
        "Returns 1 if a limit is not kept. `vigie validate count CLIP` makes the labels: a person counts a film by keys. "
        "See docs/validate.md."
    )
    parser.usage = (
        "vigie validate CLIPS --truth TRUTH.json --out DIR [OPTIONS]\n"
        "       vigie validate count CLIP --scene SCENE.toml [--line NAME] (--by PERSON | --compare PERSON PERSON)"
    )
    parser.add_argument("clips", metavar="CLIPS", type=Path, help="the folder of the films")
    parser.add_argument("clip", metavar="CLIP", type=Path, nargs="?", help=argparse.SUPPRESS)
    parser.add_argument(
        "--truth",
        metavar="TRUTH.json",
        type=Path,
        nargs="+",
        help="the labels of all films, in one file or several",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="the folder of the page")
    parser.add_argument(
        "--against",
        metavar="MODEL",
        help="compare with another model, or with an earlier validation of the same labels, such as old/validation.json",
    )
    parser.add_argument(
        "--limit",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        type=_parse_limit,
        help=f"a limit of the figures of all crossings: {', '.join(get_args(LimitName))}; may be repeated. "
        "cpu is the CPU time of a second of film, at most; the others are at least",
    )
    proof = parser.add_argument_group(
        "proof", "write proof.toml, which vigie configure sends to the box: all three"
    )
    proof.add_argument("--camera", metavar="NAME", help="the camera of the box")
    proof.add_argument(
        "--scene", metavar="SCENE.toml", type=Path, help="the scene in force there, or of the count"
    )
    proof.add_argument(
        "--by", metavar="PERSON", help="the person who vouches for the labels, or counts"
    )
    validate_count.add_arguments(parser)
    add_model_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Validate, and print the figures. Return 1 if a limit is not kept, or a model is refused."""
    if args.clip is not None:
        return validate_count.run(args)
    for option in ("line", "compare"):
        if getattr(args, option):
            raise UserError(f"validate: --{option}: allowed: with {validate_count.WORD} CLIP")
    for option, value in (("--truth", args.truth), ("--out", args.out)):
        if value is None:
            raise UserError(f"validate: {option}: missing; it has to be given")
    scene = _read_scene(args)
    labelled = find_clips(args.clips, args.truth, scene)
    try:
        report = _validate(args, labelled)
    except ModelRefused as error:
        print(f"vigie: {error}", file=sys.stderr)
        return 1
    proof = None if scene is None else make_proof(report, scene, most_fps(labelled), args.by)
    paths = [*write_pages(args.out, report, labelled)]
    if proof is not None:
        paths.append(write_proof(args.out, args.camera, proof))
    _print_report(report)
    for path in paths:
        print(f"wrote {path}")
    failed = [one for one in report.limits if not one.is_met]
    for one in failed:
        sign = "at most" if one.name == "cpu" else "at least"
        print(
            f"vigie: {one.name} = {one.measured:.3f}: limit: {sign} {one.limit:g}", file=sys.stderr
        )
    return 1 if failed else 0


def _read_scene(args: argparse.Namespace) -> Scene | None:
    """Return the scene of the camera whose counts are to be proved, None if no proof is wanted. Raises: UserError."""
    is_given = [value is not None for value in (args.camera, args.scene, args.by)]
    if not any(is_given):
        return None
    if not all(is_given):
        raise UserError(
            "validate: a part of a proof; allowed: --camera, --scene and --by, or none of them"
        )
    checked_convert.convert(args.camera, Name, "validate", "--camera")
    checked_convert.convert(args.by, ProofLine, "validate", "--by")
    return load_scene(args.scene)


def _validate(args: argparse.Namespace, labelled: LabelledClips) -> ValidationReport:
    against = None
    with progress_bar("counting") as on_clip:
        if args.against is not None and args.against.endswith(".json"):
            against = read_report(Path(args.against), labelled.truth_sha256)
        elif args.against is not None:
            against = measure_model(args.against, labelled, on_clip)
        model = measure_model(args.model, labelled, on_clip)
    return make_report(labelled, model, against, dict(args.limit), rfc3339(datetime.now(UTC)))


def _parse_limit(text: str) -> tuple[LimitName, float]:
    name, _, value = text.partition("=")
    names = get_args(LimitName)
    try:
        limit = float(value)
    except ValueError:
        limit = -1.0
    if name not in names or not 0 <= limit <= (MAX_LIMIT if name == "cpu" else 1):
        raise UserError(
            f"--limit {text!r}: allowed: {', '.join(names)} with a number, such as f1=0.9 or cpu=0.2"
        )
    return cast("LimitName", name), limit


def _print_report(report: ValidationReport) -> None:
    table = Table()
    table.add_column("of", overflow="fold")
    for column in ("found", "missed", "extra", "F1", "95 %", "strict"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in report.model.rows:
        one = row.loose
        table.add_row(
            row.grouping if row.grouping == "all" else f"{row.grouping} {row.name}",
            str(one.hits),
            str(one.misses),
            str(one.extras),
            percent(one.f1),
            interval(one.f1_interval),
            percent(row.strict.f1),
        )
    Console().print(table)
    print(f"CPU time of a second of film: {report.model.cpu_s:.3f} s")
    if report.against is not None:
        difference = report.model.all.loose.f1 - report.against.all.loose.f1
        print(f"against {report.against.model}: F1 {100 * difference:+.1f} points")
