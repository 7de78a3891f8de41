"""`vigie validate count CLIP`: a person counts the crossings of a film by keys, and the counts of two are compared."""

import argparse
import contextlib
import shlex
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.base.errors import UserError
from agent.detection.scene import Scene, SceneLine, load_scene
from centre.cli.browser import open_in_browser
from centre.loopback_page import serve_page
from centre.validate.agreement import Agreement
from centre.validate.count_page import CountRoutes, assemble_page
from centre.validate.crossing_truth import TrueCrossing
from centre.validate.manual_count import (
    AGREED,
    CountedFilm,
    CountFile,
    choose_line,
    compare_counts,
    open_count,
    read_film,
)
from centre.validate.pages import interval, percent
from centre.validate.scoring import wilson_interval

WORD = "count"
"""First word of the command, in place of the folder."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `vigie validate CLIPS` has not."""
    count = parser.add_argument_group(
        "count", "vigie validate count CLIP: make the labels, with --scene and --by or --compare"
    )
    count.add_argument("--line", metavar="NAME", help="the line, if the scene has several")
    count.add_argument(
        "--compare",
        metavar="PERSON",
        nargs=2,
        help="compare the counts of two people, and write the agreed one",
    )


def run(args: argparse.Namespace) -> int:
    """Compare two counts, or serve the page on which one person counts."""
    if args.clips != Path(WORD):
        raise UserError(f"validate: {args.clips} {args.clip}: allowed: CLIPS, or {WORD} CLIP")
    for option in ("truth", "out", "against", "limit", "camera"):
        if getattr(args, option):
            raise UserError(f"validate {WORD}: --{option}: allowed: without {WORD}")
    if args.scene is None:
        raise UserError(f"validate {WORD}: --scene: missing; it has to be given")
    if (args.by is None) == (args.compare is None):
        raise UserError(f"validate {WORD}: allowed: one of --by and --compare")
    scene = load_scene(args.scene)
    line = choose_line(scene, args.line, args.scene)
    if args.compare is not None:
        _compare(args.clip, args.scene, line, *args.compare)
        return 0
    film = read_film(args.clip)
    _serve(film, scene, line, open_count(film, args.scene.stem, line, args.by))
    return 0


def _serve(film: CountedFilm, scene: Scene, line: SceneLine, count: CountFile) -> None:
    routes = CountRoutes(film, scene, line, count).routes
    with contextlib.suppress(KeyboardInterrupt):
        serve_page(assemble_page(), routes, _announce)
    truth = count.truth
    state = (
        "counted to the end"
        if truth.is_whole
        else f"counted up to {truth.counted_s:.1f} s of {truth.duration_s:.1f}"
    )
    print(f"{count.path}: {len(truth.crossings)} crossings, {state}")


def _announce(address: str) -> None:
    print(f"{address} {open_in_browser(address)}; Ctrl-C ends it", flush=True)


def _compare(film: Path, scene: Path, line: SceneLine, first: str, second: str) -> None:
    compared = compare_counts(film, line, first, second)
    _print_agreement(compared.agreement, line, first, second)
    if compared.is_kept:
        print(f"{compared.agreed}: kept as it is; to merge both again, remove it")
    else:
        print(f"wrote {compared.agreed}")
    if compared.agreement.disagreements:
        words = (str(film), "--scene", str(scene), "--line", line.name, "--by", AGREED)
        print(f"settle the differences: {shlex.join(('vigie', 'validate', WORD, *words))}")


def _print_agreement(agreement: Agreement, line: SceneLine, first: str, second: str) -> None:
    names = {"A->B": line.forward_name, "B->A": line.backward_name}
    table = Table()
    for column in ("direction", "class"):
        table.add_column(column, overflow="fold")
    for column in (first, second, "both", "agreement"):
        table.add_column(column, justify="right", overflow="fold")
    for row in agreement.rows:
        counts = (str(row.first), str(row.second), str(row.both))
        table.add_row(Text(names[row.direction]), row.label, *counts, percent(row.agreement))
    console = Console()
    console.print(table)
    bounds = wilson_interval(agreement.both, (agreement.first + agreement.second) / 2)
    print(
        f"crossings: {first} {agreement.first}, {second} {agreement.second}, both {agreement.both}: "
        f"agreement {percent(agreement.share_of_both)} (95 %: {interval(bounds)})"
    )
    kappa = "not defined" if agreement.kappa is None else f"{agreement.kappa:.3f}"
    print(f"Cohen's kappa of direction and class, of the {agreement.both} of both: {kappa}")
    for pair in agreement.disagreements:
        said = [
            f"{name}: {_describe(one, names)}"
            for name, one in zip((first, second), pair, strict=True)
        ]
        minutes, seconds = divmod(pair.t_s, 60)
        print(f"{int(minutes)}:{seconds:05.2f}  {'; '.join(said)}")


def _describe(one: TrueCrossing | None, names: dict[str, str]) -> str:
    return "none" if one is None else f"{one.label}, {names[one.direction]}"
