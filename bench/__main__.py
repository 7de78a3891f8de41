"""`python -m bench [NAME...]`: run benches and print one table."""

import argparse
import contextlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import videos
from bench.table import Row

BENCHES = (
    "decode",
    "detect",
    "fisheye",
    "mask",
    "head",
    "csi",
    "panorama",
    "record",
    "ring",
    "clip",
    "ladder",
    "outbox",
    "outage",
    "fleet_drain",
    "traffic",
    "signature",
    "agent",
    "latency",
    "live",
    "page",
    "scene_change",
    "rehearsal",
    "start",
    "memory",
    "health",
    "idle",
    "accuracy",
    "models",
    "track",
    "ground",
    "street",
)
"""In run order: benches that need a quiet machine come first."""
EXPLICIT_BENCHES = ("image_build", "image")
"""Run only if named: they need root and a built image."""
ALL_BENCHES = (*BENCHES, *EXPLICIT_BENCHES)

BENCH_PART = "bench"
"""Name of the part of a page that is the table of the benches."""
VERDICT_STYLES = {"met": "green", "missed": "bold red", "no target": "dim"}


class BenchResult(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one bench, or the line of its failure."""

    bench: str
    rows: tuple[Row, ...] = ()
    beside: tuple[Row, ...] = ()
    """The rows of the other checkout, with `--beside`."""

    failed: str | None = None
    took_s: float = 0.0

    def iter_beside(self) -> Iterator[tuple[Row, str]]:
        """Yield each row and the other checkout's value, `-` if it has none.

        Of rows with one name the first belongs to the first, the second to the second.
        """
        others: dict[str, list[Row]] = {}
        for row in self.beside:
            others.setdefault(row.name, []).append(row)
        for row in self.rows:
            same = others.get(row.name)
            yield row, same.pop(0).format_value() if same else "-"


class MachineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The machine and date of a measurement."""

    cpu: str
    cores: int
    system: str
    python: str
    date: str
    street: str


def main(argv: Sequence[str] | None = None) -> int:
    """Run the named benches. Return 1 with `--strict` if a target is missed or a bench failed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ALL_BENCHES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to a file")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="insert the table into a page"
    )
    parser.add_argument(
        "--beside",
        type=Path,
        metavar="FOLDER",
        help="another checkout, set up by `make setup-bench`: each bench runs in it too, next to its row here",
    )
    parser.add_argument("--strict", action="store_true", help="exit 1 if a target is missed")
    args = parser.parse_args(argv)
    unknown = [name for name in args.names if name not in ALL_BENCHES]
    if unknown:
        parser.error(f"{unknown[0]!r}: no such bench; allowed: {', '.join(ALL_BENCHES)}")
    if args.beside and not python_of(args.beside).exists():
        parser.error(
            f"{args.beside}: no checkout with a .venv; allowed: one after `make setup-bench`"
        )
    console = Console(stderr=True)
    results = []
    for name in args.names or BENCHES:
        with console.status(f"{name} ..."):
            result = run_bench(name, videos.ROOT)
            if args.beside:
                other = run_bench(name, args.beside.resolve())
                if other.failed:
                    console.print(f"{args.beside}: {name}: failed: {escape(other.failed)}")
                result = msgspec.structs.replace(result, beside=other.rows)
            results.append(result)
            if args.json:  # After each bench: a run that is ended loses none that is measured.
                encoded = msgspec.json.encode([read_machine(), *results])
                args.json.write_bytes(msgspec.json.format(encoded))
    print_results(results, beside=args.beside is not None)
    if args.markdown:
        insert_part(args.markdown, BENCH_PART, to_markdown(results, beside=args.beside is not None))
    has_failed = any(o.failed or any(row.verdict() == "missed" for row in o.rows) for o in results)
    return 1 if args.strict and has_failed else 0


def python_of(checkout: Path) -> Path:
    """Return the interpreter of a checkout's environment."""
    return checkout / ".venv" / "bin" / "python"


def run_bench(name: str, checkout: Path) -> BenchResult:
    """Run one bench of a checkout in its own process, so that it leaves nothing behind for the next.

    A failure becomes one line; the other benches still run.
    """
    start_s = time.monotonic()
    script = (
        "import sys, msgspec\n"
        f"from bench.{name} import rows\n"
        "made = msgspec.json.encode(rows())\n"
        "sys.stdout.buffer.write(b'\\n' + made)"
    )
    process = subprocess.run(
        [python_of(checkout), "-c", script],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    duration_s = time.monotonic() - start_s
    if process.returncode:
        error_lines = process.stderr.strip().splitlines() or [f"exit code {process.returncode}"]
        return BenchResult(bench=name, failed=error_lines[-1], took_s=duration_s)
    rows = msgspec.json.decode(process.stdout.rpartition("\n")[2], type=tuple[Row, ...])
    return BenchResult(bench=name, rows=rows, took_s=duration_s)


def print_results(results: Sequence[BenchResult], *, beside: bool) -> None:
    """Print the table, then the failures and the missed targets."""
    table = Table(
        title=f"{read_machine().cpu}, cores: {read_machine().cores}", title_justify="left"
    )
    table.add_column("what")
    if beside:
        table.add_column("before", justify="right")
    table.add_column("value", justify="right")
    table.add_column("target")
    table.add_column("verdict")
    table.add_column("note", style="dim", ratio=1)
    for result in results:
        for row, other_value in result.iter_beside():
            verdict = row.verdict()
            styled_verdict = f"[{VERDICT_STYLES[verdict]}]{verdict}"
            values = [other_value] if beside else []
            values += [row.format_value(), row.target, styled_verdict, escape(row.note)]
            table.add_row(row.name, *values)
        table.add_section()
    console = Console()
    console.print(table)
    for result in results:
        if result.failed:
            console.print(f"[bold red]{result.bench}: failed:[/] {escape(result.failed)}")
    if not videos.has_clip():
        console.print(videos.NO_LABELS_NOTE)


def to_markdown(results: Sequence[BenchResult], *, beside: bool) -> str:
    """Format the table for a page."""
    machine_info = read_machine()
    lines = [
        f"Measured on {machine_info.date}: {machine_info.cpu}, cores: {machine_info.cores}, {machine_info.system}.",
        f"Python {machine_info.python}; the street is {machine_info.street}.",
        "",
        f"| What |{' Before |' if beside else ''} Value | Target | Verdict | Note |",
        f"|---|{'---:|' if beside else ''}---:|---|---|---|",
    ]
    for result in results:
        for row, other_value in result.iter_beside():
            before = [other_value] if beside else []
            cells = (row.name, *before, row.format_value(), row.target, row.verdict(), row.note)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += [f"\n{o.bench}: failed: {o.failed}" for o in results if o.failed]
    return "\n".join(lines)


def part_markers(part: str) -> tuple[str, str]:
    """Return the comments between which a part of a page is written."""
    return f"<!-- {part}: begin -->", f"<!-- {part}: end -->"


def insert_part(page: Path, part: str, text: str) -> None:
    """Write a part of a page between its two markers. Raises: ValueError if they are missing."""
    begin, end = part_markers(part)
    before, found_begin, rest = page.read_text(encoding="utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"{page}: has no {begin} and {end}")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def read_machine() -> MachineInfo:
    """Return the machine that runs the bench."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
    return MachineInfo(
        cpu=cpu,
        cores=len(os.sched_getaffinity(0)),
        system="Linux " + ".".join(platform.release().split(".")[:2]),
        python=platform.python_version(),
        date=datetime.now(UTC).date().isoformat(),
        street=videos.describe_source(),
    )


if __name__ == "__main__":
    sys.exit(main())
