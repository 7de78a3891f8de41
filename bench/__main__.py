"""`python -m bench [NAME...]`: run benches and print one table."""

import argparse
import contextlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import films
from bench.table import Row

BENCHES = (
    "decode",
    "detect",
    "mask",
    "head",
    "csi",
    "panorama",
    "record",
    "ring",
    "clip",
    "outbox",
    "agent",
    "latency",
    "start",
    "memory",
    "health",
    "accuracy",
    "street",
)
"""In the order in which they run: those that need a quiet machine before those that do not."""
ASKED_FOR = ("image_build", "image")
"""Only by name: as root, and after `make image`."""
KNOWN = (*BENCHES, *ASKED_FOR)

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
STYLES = {"met": "green", "missed": "bold red", "no target": "dim"}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one bench gave: its rows, or the line that says why it has none."""

    bench: str
    rows: tuple[Row, ...] = ()
    failed: str | None = None
    took_s: float = 0.0


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where and when it was measured."""

    cpu: str
    cores: int
    system: str
    python: str
    date: str
    street: str


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for. 0, and with `--strict` 1 where a target is missed or a bench failed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(KNOWN)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to a file too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the table into a page")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a target is missed")
    args = parser.parse_args(argv)
    unknown = [name for name in args.names if name not in KNOWN]
    if unknown:
        parser.error(f"{unknown[0]!r}: no such bench; there are: {', '.join(KNOWN)}")
    console = Console(stderr=True)
    outcomes = []
    for name in args.names or BENCHES:
        with console.status(f"{name} ..."):
            outcomes.append(measure(name))
    show(outcomes)
    if args.json:
        args.json.write_bytes(msgspec.json.format(msgspec.json.encode([machine(), *outcomes])))
    if args.markdown:
        place(args.markdown, markdown(outcomes))
    bad = any(o.failed or any(row.verdict() == "missed" for row in o.rows) for o in outcomes)
    return 1 if args.strict and bad else 0


def measure(name: str) -> Outcome:
    """Run one bench in a process of its own, so that none leaves anything to the next.

    What fails in it is told in one line; the others go on.
    """
    began_s = time.monotonic()
    code = (
        "import sys, msgspec\n"
        f"from bench.{name} import rows\n"
        "made = msgspec.json.encode(rows())\n"
        "sys.stdout.buffer.write(b'\\n' + made)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=films.ROOT, capture_output=True, text=True, check=False
    )
    took_s = time.monotonic() - began_s
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return Outcome(bench=name, failed=said[-1], took_s=took_s)
    made = msgspec.json.decode(done.stdout.rpartition("\n")[2], type=tuple[Row, ...])
    return Outcome(bench=name, rows=made, took_s=took_s)


def show(outcomes: Sequence[Outcome]) -> None:
    """Print the table, and under it what failed and what is missed."""
    table = Table(title=f"{machine().cpu}, {machine().cores} cores", title_justify="left")
    for heading, how in (("what", "left"), ("value", "right"), ("target", "left")):
        table.add_column(heading, justify="right" if how == "right" else "left")
    table.add_column("verdict")
    table.add_column("note", style="dim", ratio=1)
    for outcome in outcomes:
        for row in outcome.rows:
            verdict = row.verdict()
            words = f"[{STYLES[verdict]}]{verdict}"
            table.add_row(row.name, row.shown(), row.target, words, escape(row.note))
        table.add_section()
    console = Console()
    console.print(table)
    for outcome in outcomes:
        if outcome.failed:
            console.print(f"[bold red]{outcome.bench}: failed:[/] {escape(outcome.failed)}")
    if not films.has_clip():
        console.print(films.LEFT_OUT)


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The table as a page holds it."""
    where = machine()
    lines = [
        f"Measured on {where.date}: {where.cpu}, {where.cores} cores, {where.system}.",
        f"Python {where.python}; the street is {where.street}.",
        "",
        "| What | Value | Target | Verdict | Note |",
        "|---|---:|---|---|---|",
    ]
    for outcome in outcomes:
        for row in outcome.rows:
            cells = (row.name, row.shown(), row.target, row.verdict(), row.note)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += [f"\n{o.bench}: failed: {o.failed}" for o in outcomes if o.failed]
    return "\n".join(lines)


def place(page: Path, table: str) -> None:
    """Put the table between the page's two markers. Raises ValueError where they are not there."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page}: has no {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")


def machine() -> Machine:
    """This one."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
    return Machine(
        cpu=cpu,
        cores=len(os.sched_getaffinity(0)),
        system="Linux " + ".".join(platform.release().split(".")[:2]),
        python=platform.python_version(),
        date=datetime.now(UTC).date().isoformat(),
        street=films.source(),
    )


if __name__ == "__main__":
    sys.exit(main())
