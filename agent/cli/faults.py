"""`vigie faults [CODE]`: what a fault code means, and what to do about it."""

import argparse
import textwrap
from typing import get_args

import msgspec

from agent.base.errors import UserError
from agent.cli.commands import Commands
from agent.cli.footage_output import print_json
from agent.faults.registry import FAULTS, FaultCode, Severity
from agent.faults.texts import FaultTexts, Language, texts
from agent.gpio import status_led

WIDTH = 78
"""A serial terminal has 80 columns, and some of them wrap at the last."""


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """One code for machines. `blinks_long` and `blinks_short` are what the status LED shows."""

    code: FaultCode
    severity: Severity
    title: str
    blinks_long: int
    blinks_short: int
    means: str
    at_box: str
    at_centre: str


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "faults",
        help="explain a fault code",
        description="Lists the fault codes with their blinks of the status LED, or explains one: "
        "what it means, what to do at the box and at the centre.",
    )
    parser.add_argument("code", metavar="CODE", nargs="?", help="such as CAM-02")
    parser.add_argument(
        "--lang", choices=get_args(Language), default="en", help="English if not given"
    )
    parser.add_argument("--json", action="store_true", help="for machines: one JSON document")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print one code, or all. Raises BadInput."""
    said = texts(args.lang)
    code = None if args.code is None else _known(args.code)
    if args.json:
        every = [_explained(each, said) for each in sorted(FAULTS)]
        print_json(every if code is None else _explained(code, said))
    elif code is None:
        for each in sorted(FAULTS):
            blinks = said.words.blinks.format(**_blinks(each))
            print(f"{each}  {blinks:20}  {said.faults[each].title}")
    else:
        print("\n".join(_page(code, said)))
    return 0


def _known(given: str) -> FaultCode:
    found = next((code for code in FAULTS if code == given.upper()), None)
    if found is None:
        raise UserError(f"fault code {given!r}: unknown; allowed: {', '.join(sorted(FAULTS))}")
    return found


def _blinks(code: FaultCode) -> dict[str, int]:
    return dict(zip(("long", "short"), status_led.counts(code), strict=True))


def _explained(code: FaultCode, said: FaultTexts) -> Explained:
    text, (long, short) = said.faults[code], status_led.counts(code)
    return Explained(
        code=code,
        severity=FAULTS[code].severity,
        title=text.title,
        blinks_long=long,
        blinks_short=short,
        means=text.means,
        at_box=text.at_box,
        at_centre=text.at_centre,
    )


def _page(code: FaultCode, said: FaultTexts) -> list[str]:
    words, text = said.words, said.faults[code]
    severity, blinks = (
        words.of_severity(FAULTS[code].severity),
        words.blinks.format(**_blinks(code)),
    )
    lines = [f"{code}  {text.title}", f"{severity} · {words.led} {blinks}"]
    for heading, what in (
        (words.means, text.means),
        (words.at_box, text.at_box),
        (words.at_centre, text.at_centre),
    ):
        lines += [
            "",
            heading,
            *textwrap.wrap(
                what, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
            ),
        ]
    return lines
