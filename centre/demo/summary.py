"""The demo's last page: results, files written, and a command to try next."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.base.health_model import Fault, FootageHealth
from centre.demo.files import DemoFiles
from centre.demo.ptz_summary import PtzDemoResult
from centre.demo.screen import format_megabytes
from centre.demo.stats import StatsView
from centre.demo.video_summary import VideoDemoResult


class DemoSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Results of one run. `result` is the scenario's part."""

    title: str
    duration_s: float
    result: VideoDemoResult | PtzDemoResult
    stats: StatsView
    footage: FootageHealth | None
    faults: tuple[Fault, ...]
    unacked_messages: int
    interrupted: bool
    """Whether a stop signal ended the run."""
    files: DemoFiles


def print_summary(summary: DemoSummary, console: Console, program: str) -> None:
    """Print the page. `program` is the shell's name of `vigie`, see `program_name`."""
    result, files = summary.result, summary.files
    ended = "stopped by you" if summary.interrupted else "played"
    duration = f", {result.played_s(summary.stats, summary.duration_s):.0f} s {ended}"
    console.print(Text.assemble("\n", (summary.title, "bold"), duration))
    console.print(_text_table(_rows(summary)))
    console.print("\nWritten:", highlight=False)
    written = (
        *result.files(summary.stats, files),
        (files.messages, "every message that the centre received, one per line"),
        (files.footage, "the footage that the box recorded, playable files"),
        (files.log, "the agent's log"),
    )
    table = Table.grid(padding=(0, 2))
    for path, description in written:
        if path.exists():
            table.add_row(Text(f"  {path}"), description)
    console.print(table, highlight=False)
    console.print("\nTry next:", highlight=False)
    console.print(Text(f"  {result.next_command(files, program)}"), soft_wrap=True)


def _rows(summary: DemoSummary) -> Iterator[tuple[str, str]]:
    stats = summary.stats
    yield from summary.result.rows(stats)
    unacked = summary.unacked_messages
    acked_text = f"{unacked} not acknowledged" if unacked else "all acknowledged"
    yield "Messages", f"{stats.messages} received by the centre over MQTT, {acked_text}"
    yield "Footage", _format_footage(summary.footage)
    faults = "; ".join(f"{fault.code} {fault.title}" for fault in summary.faults)
    yield "Faults", faults or "none"


def _text_table(rows: Iterator[tuple[str, str]]) -> Table:
    """Return a table of names and values, both without markup."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _format_footage(footage: FootageHealth | None) -> str:
    if footage is None:
        return "none"
    files = "1 file" if footage.segments == 1 else f"{footage.segments} files"
    return f"{files}, {format_megabytes(footage.bytes)}"


def program_name(argv0: str, cwd: Path) -> str:
    """Return the shortest name that runs this program again in a shell."""
    path = Path(argv0)
    if path.name != "vigie":
        return "vigie"
    try:
        path = path.resolve().parent.relative_to(cwd.resolve()) / path.name
    except ValueError:
        return shlex.quote(str(path))
    return shlex.quote(str(path))
