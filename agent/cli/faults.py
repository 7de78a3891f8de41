"""`vigie faults [CODE]`: the meaning of a fault code, and what to do about it."""

import argparse
import textwrap
from typing import get_args

import msgspec

from agent.base.errors import UserError
from agent.cli.arguments import add_json
from agent.cli.output import print_json
from agent.faults.registry import FAULTS, FaultCode, Severity
from agent.faults.texts import FaultTexts, Language, load_texts
from agent.gpio import status_led

WIDTH_CHARS = 78
"""A serial terminal has 80 columns, and some wrap at the last one."""


class FaultExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """One code for machines, with the blinks of the status LED."""

    code: FaultCode
    severity: Severity
    title: str
    blinks_long: int
    blinks_short: int
    means: str
    at_box: str
    at_centre: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Lists the fault codes with their blinks of the status LED, or explains one: its "
        "meaning, and what to do at the box and at the centre."
    )
    parser.add_argument("code", metavar="CODE", nargs="?", help="such as CAM-02")
    parser.add_argument(
        "--lang",
        choices=get_args(Language),
        default="en",
        help="the language (default: %(default)s)",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print one code, or all. Raises: UserError."""
    fault_texts = load_texts(args.lang)
    code = None if args.code is None else _parse_code(args.code)
    if args.json:
        explanations = [_explain(fault_code, fault_texts) for fault_code in sorted(FAULTS)]
        print_json(explanations if code is None else _explain(code, fault_texts))
    elif code is None:
        for fault_code in sorted(FAULTS):
            blinks = fault_texts.headings.blinks.format(**_blink_counts(fault_code))
            print(f"{fault_code}  {blinks:20}  {fault_texts.faults[fault_code].title}")
    else:
        print("\n".join(_format_page(code, fault_texts)))
    return 0


def _parse_code(text: str) -> FaultCode:
    found = next((code for code in FAULTS if code == text.upper()), None)
    if found is None:
        raise UserError(f"fault code {text!r}: unknown; allowed: {', '.join(sorted(FAULTS))}")
    return found


def _blink_counts(code: FaultCode) -> dict[str, int]:
    return dict(zip(("long", "short"), status_led.blink_counts(code), strict=True))


def _explain(code: FaultCode, fault_texts: FaultTexts) -> FaultExplanation:
    text, (long, short) = fault_texts.faults[code], status_led.blink_counts(code)
    return FaultExplanation(
        code=code,
        severity=FAULTS[code].severity,
        title=text.title,
        blinks_long=long,
        blinks_short=short,
        means=text.means,
        at_box=text.at_box,
        at_centre=text.at_centre,
    )


def _format_page(code: FaultCode, fault_texts: FaultTexts) -> list[str]:
    labels, text = fault_texts.headings, fault_texts.faults[code]
    severity, blinks = (
        labels.severity_name(FAULTS[code].severity),
        labels.blinks.format(**_blink_counts(code)),
    )
    lines = [f"{code}  {text.title}", f"{severity} · {labels.led} {blinks}"]
    for heading, paragraph in (
        (labels.means, text.means),
        (labels.at_box, text.at_box),
        (labels.at_centre, text.at_centre),
    ):
        lines += [
            "",
            heading,
            *textwrap.wrap(
                paragraph,
                WIDTH_CHARS,
                initial_indent="  ",
                subsequent_indent="  ",
                break_on_hyphens=False,
            ),
        ]
    return lines
