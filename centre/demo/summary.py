"""The demo's last page: what was found, what arrived, what was written, and what to try next."""

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.base.health_model import Fault, FootageHealth
from centre.demo.export_check import ExportCheck
from centre.demo.files import DemoFiles
from centre.demo.film import Film
from centre.demo.screen import amount, megabytes
from centre.demo.stats import View

_MEANINGS = {
    "line": "somebody crossed a line",
    "zone": "somebody entered a zone",
    "dwell": "somebody lingered in a zone",
    "stopped": "a vehicle stood still",
    "wrong_way": "a vehicle went the wrong way",
    "person_on_carriageway": "a person on the carriageway",
    "queue": "a queue",
    "crowd": "a crowd",
}


MESSAGES = "every message that the centre got, one on a line"
FOOTAGE = "what the box recorded, playable files"
LOG = "what the agent had to say to its technician"


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run. `skipped` frames came too fast to be looked at, `waiting` messages were
    not acknowledged, `stopped` is whether a signal ended it; `not_drawn` says why there is
    no annotated film, where there is none.
    """

    view: View
    footage: FootageHealth | None
    proof: ExportCheck | None
    faults: tuple[Fault, ...]
    skipped: int
    waiting: int
    not_drawn: str | None
    stopped: bool
    film: Film
    files: DemoFiles


def tell(summary: Summary, console: Console, program: str) -> None:
    """Print it. `program` is how `vigie` is called here."""
    view, files = summary.view, summary.files
    ended = "stopped by you" if summary.stopped else "played"
    title = Text.assemble("\n", (summary.film.title, "bold"), f", {view.film_s:.0f} s {ended}")
    console.print(title)
    console.print(plain_table(_rows(summary)))
    print_written(
        console,
        (
            (files.film, "the film with all that was seen drawn on it: open it in any player"),
            (files.snapshots, f"{view.snapshots} pictures of events, as the centre got them"),
            (files.messages, MESSAGES),
            (files.footage, FOOTAGE),
            (
                files.export,
                "the first events as evidence: open verify.html in it, choose the folder",
            ),
            (files.log, LOG),
        ),
    )
    if summary.not_drawn is not None:
        console.print(Text(f"The annotated film failed: {summary.not_drawn}"))
    console.print("\nTry next:", highlight=False)
    console.print(Text(f"  {next_command(summary, program)}"), soft_wrap=True)


def _rows(summary: Summary) -> Iterator[tuple[str, str]]:
    view = summary.view
    yield "Followed", _followed(view)
    for line in view.lines:
        yield f"Line {line.line!r}", f"{amount(line.label, line.count)} {line.direction}"
    for kind, count in view.kinds.items():
        meaning = _MEANINGS.get(kind, kind.replace("_", " "))
        yield "Event", f"{count} x {kind}: {meaning}"
    yield "Messages", _messages(summary)
    yield "Pictures", _pictures(summary)
    yield "Footage", _footage(summary)
    yield "Export", _export(summary.proof)
    faults = "; ".join(f"{fault.code} {fault.title}" for fault in summary.faults)
    yield "Faults", faults or "none"


def plain_table(rows: Iterable[tuple[str, str]]) -> Table:
    """What something is, bold, and what is said of it; both as they are, without markup."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def print_written(console: Console, files: Iterable[tuple[Path, str]]) -> None:
    """What there is to look at, and what each of it is; what was not written is left out."""
    console.print("\nWritten:", highlight=False)
    written = Table.grid(padding=(0, 2))
    for path, what in files:
        if path.exists():
            written.add_row(Text(f"  {path}"), what)
    console.print(written, highlight=False)


def next_command(summary: Summary, program: str) -> str:
    """The same film against a scene that can be changed, or the help where there is no film."""
    film, folder = summary.film, summary.files.folder
    if film.path is None:
        return f"{program} demo --video YOUR-FILM.mp4"
    scene = summary.files.scene
    words = ["replay", str(film.path), "--scene", str(scene)]
    words += ["--events", str(folder / "again.jsonl"), "--annotate", str(folder / "again.mp4")]
    return f"{program} {shlex.join(words)}\n  (after you have moved a line in {scene})"


def _followed(view: View) -> str:
    found = ", ".join(amount(label, count) for label, count in view.found.items())
    if not found:
        return "nobody"
    return f"{found}; {view.most_at_once} at once at the most (who was hidden a while counts anew)"


def _messages(summary: Summary) -> str:
    waiting = f", {summary.waiting} not acknowledged" if summary.waiting else ", all acknowledged"
    return f"{summary.view.messages} delivered to the centre over MQTT{waiting}"


def _pictures(summary: Summary) -> str:
    view = summary.view
    skipped = summary.skipped
    left = f"; {skipped} came too fast and were skipped" if skipped else "; none was skipped"
    return f"{view.frames} looked at, the detector ran {view.passes} times{left}"


def _footage(summary: Summary) -> str:
    footage = summary.footage
    if footage is None:
        return "none"
    files = "1 file" if footage.segments == 1 else f"{footage.segments} files"
    return f"{files}, {megabytes(footage.bytes)}"


def _export(proof: ExportCheck | None) -> str:
    if proof is None:
        return "none: nothing happened"
    if not proof.ok:
        return f"FAILED: {proof.failed}"
    return (
        f"{proof.clip_s:.0f} s around the first events, {_signed_files(proof.segments)} and "
        f"{proof.receipts} receipts; verified with the key that the centre knows"
    )


def program_name(argv0: str, cwd: Path) -> str:
    """How the command was called, as short as it can be typed again in a shell."""
    path = Path(argv0)
    if path.name != "vigie":
        return "vigie"
    try:
        path = path.resolve().parent.relative_to(cwd.resolve()) / path.name
    except ValueError:
        return shlex.quote(str(path))
    return shlex.quote(str(path))


def _signed_files(count: int) -> str:
    return f"{count} signed file{'' if count == 1 else 's'}"
