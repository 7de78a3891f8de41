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
from centre.demo.screen import format_count, format_megabytes
from centre.demo.stats import StatsView
from centre.demo.video_source import DemoVideo

_EVENT_MEANINGS = {
    "line": "somebody crossed a line",
    "zone": "somebody entered a zone",
    "dwell": "somebody lingered in a zone",
    "stopped": "a vehicle stood still",
    "wrong_way": "a vehicle went the wrong way",
    "person_on_carriageway": "a person on the carriageway",
    "queue": "a queue",
    "crowd": "a crowd",
}


MESSAGES_TEXT = "every message that the centre got, one on a line"
FOOTAGE_TEXT = "what the box recorded, playable files"
LOG_TEXT = "what the agent had to say to its technician"


class DemoSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run. `skipped` frames came too fast to be looked at, `waiting` messages were
    not acknowledged, `stopped` is whether a signal ended it; `not_drawn` says why there is
    no annotated film, where there is none.
    """

    stats: StatsView
    footage: FootageHealth | None
    export_check: ExportCheck | None
    faults: tuple[Fault, ...]
    skipped_frames: int
    unacked_messages: int
    video_error: str | None
    interrupted: bool
    video: DemoVideo
    files: DemoFiles


def print_summary(summary: DemoSummary, console: Console, program: str) -> None:
    """Print it. `program` is how `vigie` is called here."""
    stats, files = summary.stats, summary.files
    ended = "stopped by you" if summary.interrupted else "played"
    title = Text.assemble("\n", (summary.video.title, "bold"), f", {stats.video_s:.0f} s {ended}")
    console.print(title)
    console.print(plain_table(_rows(summary)))
    print_files(
        console,
        (
            (
                files.annotated_video,
                "the film with all that was seen drawn on it: open it in any player",
            ),
            (files.snapshots, f"{stats.snapshots} pictures of events, as the centre got them"),
            (files.messages, MESSAGES_TEXT),
            (files.footage, FOOTAGE_TEXT),
            (
                files.export,
                "the first events as evidence: open verify.html in it, choose the folder",
            ),
            (files.log, LOG_TEXT),
        ),
    )
    if summary.video_error is not None:
        console.print(Text(f"The annotated film failed: {summary.video_error}"))
    console.print("\nTry next:", highlight=False)
    console.print(Text(f"  {next_command(summary, program)}"), soft_wrap=True)


def _rows(summary: DemoSummary) -> Iterator[tuple[str, str]]:
    stats = summary.stats
    yield "Followed", _format_tracks(stats)
    for line in stats.line_counts:
        yield f"Line {line.line!r}", f"{format_count(line.label, line.count)} {line.direction}"
    for kind, count in stats.event_counts.items():
        meaning = _EVENT_MEANINGS.get(kind, kind.replace("_", " "))
        yield "Event", f"{count} x {kind}: {meaning}"
    yield "Messages", _format_messages(summary)
    yield "Pictures", _format_frames(summary)
    yield "Footage", _format_footage(summary)
    yield "Export", _format_export(summary.export_check)
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


def print_files(console: Console, files: Iterable[tuple[Path, str]]) -> None:
    """What there is to look at, and what each of it is; what was not written is left out."""
    console.print("\nWritten:", highlight=False)
    table = Table.grid(padding=(0, 2))
    for path, description in files:
        if path.exists():
            table.add_row(Text(f"  {path}"), description)
    console.print(table, highlight=False)


def next_command(summary: DemoSummary, program: str) -> str:
    """The same film against a scene that can be changed, or the help where there is no film."""
    video, folder = summary.video, summary.files.folder
    if video.path is None:
        return f"{program} demo --video YOUR-FILM.mp4"
    scene = summary.files.scene
    arguments = ["replay", str(video.path), "--scene", str(scene)]
    arguments += ["--events", str(folder / "again.jsonl"), "--annotate", str(folder / "again.mp4")]
    return f"{program} {shlex.join(arguments)}\n  (after you have moved a line in {scene})"


def _format_tracks(stats: StatsView) -> str:
    tracks_text = ", ".join(
        format_count(label, count) for label, count in stats.track_counts.items()
    )
    if not tracks_text:
        return "nobody"
    return f"{tracks_text}; {stats.max_concurrent_tracks} at once at the most (who was hidden a while counts anew)"


def _format_messages(summary: DemoSummary) -> str:
    unacked_text = (
        f", {summary.unacked_messages} not acknowledged"
        if summary.unacked_messages
        else ", all acknowledged"
    )
    return f"{summary.stats.messages} delivered to the centre over MQTT{unacked_text}"


def _format_frames(summary: DemoSummary) -> str:
    stats = summary.stats
    skipped = summary.skipped_frames
    skipped_text = (
        f"; {skipped} came too fast and were skipped" if skipped else "; none was skipped"
    )
    return f"{stats.frames} looked at, the detector ran {stats.inferences} times{skipped_text}"


def _format_footage(summary: DemoSummary) -> str:
    footage = summary.footage
    if footage is None:
        return "none"
    files = "1 file" if footage.segments == 1 else f"{footage.segments} files"
    return f"{files}, {format_megabytes(footage.bytes)}"


def _format_export(export_check: ExportCheck | None) -> str:
    if export_check is None:
        return "none: nothing happened"
    if not export_check.ok:
        return f"FAILED: {export_check.error}"
    return (
        f"{export_check.clip_duration_s:.0f} s around the first events, {_format_signed_files(export_check.segments)} and "
        f"{export_check.receipts} receipts; verified with the key that the centre knows"
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


def _format_signed_files(count: int) -> str:
    return f"{count} signed file{'' if count == 1 else 's'}"
