"""`vigie count FILMS`: counts the crossings of films, and writes tables and a report."""

import argparse
import os
import sys
from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

from agent.base.errors import UserError
from agent.base.weekly_hours import is_time_zone
from agent.detection.model_card import ModelRefused
from agent.faults.texts import LANGUAGES
from centre.cli.detect import add_model_argument
from centre.cli.replay import FilmBar, parse_start
from centre.count import parquet, plots
from centre.count.clock_interval import parse_interval
from centre.count.film_list import ListedFilm, StartRules
from centre.count.jobs import FilmProgress
from centre.count.results import CountResult, crossing_speeds
from centre.count.run import CountPlan, CountRequest, FilmsFailed, plan_count, run_count
from centre.counts_text import describe_counts, describe_validation
from drivers.local_wire import printable_line

MAX_JOBS = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Counts road users in films, as fast as possible, and writes tables and a report: crossings, counts by line, "
        "direction, class and interval, turning flows, tracks and speeds. A run that was stopped is continued with the films that are left."
    )
    parser.add_argument(
        "films", metavar="FILM|FOLDER", type=Path, nargs="+", help="films, or folders of films"
    )
    parser.add_argument(
        "--scene", metavar="SCENE.toml", type=Path, required=True, help="see docs/scene.md"
    )
    parser.add_argument(
        "--out", metavar="FOLDER", type=Path, required=True, help="the folder of the result"
    )
    starts = parser.add_mutually_exclusive_group()
    starts.add_argument(
        "--start",
        metavar="TIME",
        help="the time of the first picture of the first film, such as 2026-05-12T08:00+01:00; each further film "
        "begins when the one before it ends (default: the creation times in the films)",
    )
    starts.add_argument(
        "--name-pattern",
        metavar="PATTERN",
        help="the form of the films' names without suffix that has their starts, such as cam1_%%Y%%m%%d_%%H%%M%%S",
    )
    parser.add_argument(
        "--time-zone",
        metavar="ZONE",
        help="the zone of the times in names, and of those in the result, such as Europe/London (default: the "
        "offset of the first film)",
    )
    parser.add_argument(
        "--proof",
        metavar="PROOF.toml",
        type=Path,
        help="the proof of the counts of this view, by vigie validate (default: counts are not validated)",
    )
    parser.add_argument(
        "--every",
        metavar="INTERVAL",
        default="15m",
        help="the interval of the counts (default: 15m)",
    )
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=int,
        default=1,
        help="films that are counted at the same time, one core each (default: 1)",
    )
    parser.add_argument(
        "--language",
        choices=LANGUAGES,
        default="en",
        help="the language in which the report opens; the page has all three (default: en)",
    )
    add_model_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Count, and print a summary. Return 1 if a film could not be counted."""
    try:
        plan = plan_count(_request(args))
        _print_plan(plan)
        progress = _Progress(plan)
        with progress.bar:
            result = run_count(plan, progress)
    except ModelRefused as error:
        _say(f"vigie: {error}")
        return 1
    except FilmsFailed as error:
        for message in error.messages:
            _say(f"vigie: {message}")
        _say(
            f"vigie: {len(error.messages)} of {len(plan.films)} films could not be counted, and no table was written; "
            "allowed: the same command again, once they are mended or left out"
        )
        return 1
    _print_summary(result, plan)
    return 0


def _request(args: argparse.Namespace) -> CountRequest:
    if args.time_zone is not None and not is_time_zone(args.time_zone):
        raise UserError(f"--time-zone {args.time_zone!r}: unknown; allowed: such as Europe/London")
    if not 1 <= args.jobs <= MAX_JOBS:
        raise UserError(
            f"--jobs {args.jobs}: allowed: 1 to {MAX_JOBS}; this machine has {os.cpu_count()} cores"
        )
    return CountRequest(
        films=tuple(args.films),
        scene=args.scene,
        starts=StartRules(
            start=None if args.start is None else parse_start(args.start),
            name_pattern=args.name_pattern,
            time_zone=None if args.time_zone is None else ZoneInfo(args.time_zone),
        ),
        interval_s=parse_interval(args.every),
        out=args.out,
        jobs=args.jobs,
        model=args.model,
        proof=args.proof,
        language=args.language,
    )


def _print_plan(plan: CountPlan) -> None:
    """Print the films with their starts, and everything that is known to be wrong before they are counted."""
    for film in plan.films:
        _say(
            f"{film.path}: {film.start.isoformat(timespec='seconds')} (by {film.start_source}), "
            f"{film.header.duration_s:.0f} s"
        )
    for warning in (*plan.warnings, *(one for film in plan.films for one in film.warnings)):
        _say(f"warning: {warning}")
    if not parquet.is_installed():
        _say(parquet.HOW_TO_INSTALL)
    if not plots.is_installed():
        _say(plots.HOW_TO_INSTALL)


def _say(line: str) -> None:
    """Print a line on standard error. Names of films are those of a card or a folder: none steers the terminal."""
    print(printable_line(line), file=sys.stderr)


class _Progress:
    """The bar over all films, and a warning as soon as a view has a limit."""

    def __init__(self, plan: CountPlan) -> None:
        number = len(plan.films)
        self.bar = FilmBar(f"{number} film{'s' if number > 1 else ''}", plan.duration_s)
        self._played_s: dict[str, float] = {}
        self._limits: set[tuple[str, str]] = set()

    def __call__(self, film: ListedFilm, progress: FilmProgress) -> None:
        self._played_s[film.name] = progress.played_s
        self.bar(sum(self._played_s.values()))
        for limit in progress.limits:
            if (film.name, limit) not in self._limits:
                self._limits.add((film.name, limit))
                _say(
                    f"warning: {film.path}: counts are not to be trusted from {progress.played_s:.0f} s on: {limit}"
                )


def _print_summary(result: CountResult, plan: CountPlan) -> None:
    first, last = result.films[0], result.films[-1]
    print(
        f"{len(result.films)} film{'s' if len(result.films) > 1 else ''}, "
        f"{sum(film.played_s for film in result.films):.1f} s, "
        f"{first.start.isoformat(timespec='seconds')} to {last.end.isoformat(timespec='seconds')}"
    )
    for line in result.scene.line:
        for direction in (line.forward_name, line.backward_name):
            found = [
                one
                for one in result.crossings
                if (one.line, one.direction) == (line.name, direction)
            ]
            counts = Counter(one.label for one in found)
            speeds = crossing_speeds(found) if result.is_measured else None
            print(f"  line {line.name!r}, {direction}: {describe_counts(counts, speeds)}")
    for flow in result.scene.flow:
        counts = Counter(one.label for one in result.passages if one.flow == flow.name)
        print(f"  flow {flow.name!r}: {describe_counts(counts)}")
    if result.untrusted_shares:
        reasons = ", ".join(f"{one.reason} {one.share:.0%}" for one in result.untrusted_shares)
        print(
            f"  counts are not to be trusted in {result.untrusted_share:.0%} of the time: {reasons}"
        )
    for share in result.validations:
        print(f"  {share.crossings} crossings: {describe_validation(share.validation)}")
    if result.scene.flow:
        print("  turning flows: not validated")
    print(f"  wrote {plan.request.out}")
