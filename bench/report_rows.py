"""Rows of the accuracy report: a measured quantity next to its published figure, with its interval, goal and verdict."""

from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from centre.validate import scoring

ENOUGH_CASES = 200
"""Of a row: with fewer a goal is not met yet."""


class Goal(msgspec.Struct, frozen=True):
    """The least or the most that a row may measure."""

    limit: float
    is_least: bool
    text: str

    def is_met_by(self, value: float) -> bool:
        """Whether a measured value reaches it."""
        return value >= self.limit if self.is_least else value <= self.limit


class ReportRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the page. `cause` says why a goal is missed, or what limits the row."""

    rule: str
    quantity: str
    published: str
    measured: str
    cases: int
    interval: str
    goal: str
    verdict: str
    cause: str = ""


def at_least(limit: float) -> Goal:
    """Return the goal of a share."""
    return Goal(limit, is_least=True, text=f"{limit:.0%}")


def at_most(limit: float) -> Goal:
    """Return the goal of a share of errors."""
    return Goal(limit, is_least=False, text=f"at most {limit:.0%}" if limit else "none")


def share_row(
    rule: str,
    quantity: str,
    hits: int,
    cases: int,
    goal: Goal | None,
    *,
    published: str = "-",
    cause: str = "",
) -> ReportRow:
    """Return the row of a share of cases, with its interval."""
    low, high = scoring.wilson_interval(hits, cases)
    share = hits / cases if cases else 0.0
    return ReportRow(
        rule=rule,
        quantity=quantity,
        published=published,
        measured=f"{hits} of {cases}" + (f" = {share:.1%}" if cases else ""),
        cases=cases,
        interval=f"{low:.1%} to {high:.1%}" if cases else "-",
        goal="-" if goal is None else goal.text,
        verdict=verdict(share, cases, goal),
        cause=cause,
    )


def number_row(
    rule: str,
    quantity: str,
    value: float,
    measured: str,
    cases: int,
    goal: Goal | None,
    *,
    published: str = "-",
    cause: str = "",
) -> ReportRow:
    """Return the row of a number that is no share of cases."""
    return ReportRow(
        rule=rule,
        quantity=quantity,
        published=published,
        measured=measured,
        cases=cases,
        interval="-",
        goal="-" if goal is None else goal.text,
        verdict=verdict(value, cases, goal),
        cause=cause,
    )


def verdict(value: float, cases: int, goal: Goal | None) -> str:
    """Compare a value with its goal. A goal is met with enough cases alone."""
    if goal is None:
        return "no goal"
    if not cases:
        return "no case"
    if not goal.is_met_by(value):
        return "missed"
    return "met" if cases >= ENOUGH_CASES else f"not reached yet: {cases} cases of {ENOUGH_CASES}"


def to_markdown(rows: Sequence[ReportRow], source: str) -> str:
    """Format the rows of a section for the page. `source` is a line that says of what they are."""
    lines = [
        source,
        "",
        "| Rule | Quantity | Published | Measured | 95 % interval | Goal | Verdict | Cause, or limit |",
        "|---|---|---|---:|---|---|---|---|",
    ]
    for row in rows:
        cells = (
            f"`{row.rule}`" if " " not in row.rule else row.rule,
            row.quantity,
            row.published,
            row.measured,
            row.interval,
            row.goal,
            row.verdict,
            row.cause or "-",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def print_rows(rows: Sequence[ReportRow]) -> None:
    """Print the table."""
    table = Table()
    for name in (
        "rule",
        "quantity",
        "measured",
        "95 % interval",
        "goal",
        "verdict",
        "cause, or limit",
    ):
        table.add_column(name)
    for row in rows:
        cells = (
            row.rule,
            row.quantity,
            row.measured,
            row.interval,
            row.goal,
            row.verdict,
            row.cause,
        )
        table.add_row(*map(escape, cells))
    Console().print(table)
