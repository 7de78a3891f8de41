"""The demo's last page: results, files written, and a command to try next."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.app.event_types import EVENT_TYPES
from agent.base.health_model import Fault, FootageHealth
from centre.demo.export_check import ExportCheck
from centre.demo.files import DemoFiles
from centre.demo.ptz_log import Milestones
from centre.demo.screen import format_clock, format_count, format_counts, format_megabytes
from centre.demo.stats import LogLine, StatsView
from centre.demo.video_source import DemoVideo

_MAX_LISTED_STOPS = 12


class VideoDemoResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of the video scenario. `skipped_frames` arrived faster than they were processed."""

    video: DemoVideo
    export_check: ExportCheck | None
    public_key: str | None
    """The box's, as the centre knows it."""
    command: str
    skipped_frames: int
    video_error: str | None

    def played_s(self, stats: StatsView, duration_s: float) -> float:
        """Return how much of the video was played, however long that took."""
        return stats.video_s

    def rows(self, stats: StatsView) -> Iterator[tuple[str, str]]:
        """Yield names and values for the summary."""
        concurrent = f"at most {stats.max_concurrent_tracks} at once"
        yield "Tracked", f"{format_counts(stats.track_counts)}; {concurrent}"
        for line in stats.line_counts:
            yield f"Line {line.line!r}", f"{format_count(line.label, line.count)} {line.direction}"
        for kind, count in stats.event_counts.items():
            yield "Event", f"{count} x {kind}: {EVENT_TYPES[kind].title}"
        skipped = f"{self.skipped_frames} skipped" if self.skipped_frames else "none skipped"
        yield (
            "Frames",
            f"{stats.frames} processed, {skipped}; the detector ran {stats.inferences} times",
        )
        yield "Command", self.command
        yield "Export", _format_export(self.export_check)
        yield "Public key", self.public_key or "none: the box has not reported"
        if self.video_error is not None:
            yield "Annotation", f"FAILED: {self.video_error}"

    def files(self, stats: StatsView, files: DemoFiles) -> Iterator[tuple[Path, str]]:
        """Yield the files of this scenario, and what is in them."""
        yield files.annotated_video, "the video with tracks, lines and events drawn on it"
        yield files.picture, "a picture of the camera, to draw a scene on"
        yield files.snapshots, f"{stats.snapshots} snapshots of events"
        yield (
            files.export,
            "the footage of the first events as evidence: open verify.html in it, choose the folder",
        )

    def next_command(self, files: DemoFiles, program: str) -> str:
        """Return the commands that edit the scene, and that replay the video against it."""
        edit = f"{program} scene edit {shlex.join([str(files.picture), str(files.scene)])}"
        if self.video.path is None:
            return f"{edit}\n  {program} demo --video YOUR-VIDEO.mp4"
        arguments = ["replay", str(self.video.path), "--scene", str(files.scene)]
        arguments += ["--events", str(files.folder / "again.jsonl")]
        arguments += ["--annotate", str(files.folder / "again.mp4")]
        return (
            f"{edit}\n  {program} {shlex.join(arguments)}\n"
            "  (the first draws the scene in a browser, the second evaluates the video against it again)"
        )


def _format_export(export_check: ExportCheck | None) -> str:
    if export_check is None:
        return "none: there was no event"
    if export_check.error is not None:
        return f"FAILED: {export_check.error}"
    segments = export_check.segments
    return (
        f"{export_check.clip_duration_s:.0f} s around the first events, {segments} signed "
        f"file{'' if segments == 1 else 's'} and {export_check.receipts} receipts; verified with "
        "the key that the centre knows"
    )


class PtzDemoResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of the scenario with a head."""

    milestones: Milestones

    def played_s(self, stats: StatsView, duration_s: float) -> float:
        """Return the duration: a head moves in real time."""
        return duration_s

    def rows(self, stats: StatsView) -> Iterator[tuple[str, str]]:
        """Yield names and values for the summary."""
        milestones = self.milestones
        yield "Presets", ", ".join(milestones.stored_presets) or "none stored"
        stops = [
            f"{format_clock(t_s)} {name}" for t_s, name in milestones.tour_stops[:_MAX_LISTED_STOPS]
        ]
        yield "Tour stops", ", ".join(stops) or "none reached"
        yield "Taken over", _format_milestone(milestones.takeover)
        yield "Lease expired", _format_milestone(milestones.lease_expiry)
        yield "Tour resumed", _format_milestone(milestones.tour_resumption)
        sent, done = milestones.commands_sent, milestones.commands_done
        refused = len(milestones.refusals)
        yield (
            "Commands",
            f"{sent} sent, each signed by its operator; {done} done, {refused} refused",
        )
        for line in milestones.refusals:
            yield "", f"{format_clock(line.t_s)} {line.text.strip()}"
        yield "In sight", f"at most {stats.max_concurrent_tracks} road users at once"
        yield "Events", f"{milestones.event_count}, by the scene of the preset in view"

    def files(self, stats: StatsView, files: DemoFiles) -> Iterator[tuple[Path, str]]:
        """Yield the files of this scenario, and what is in them."""
        yield files.panorama, "the panorama, stitched from the frames of the sweep"
        yield files.snapshots, f"{stats.snapshots} snapshots"
        yield files.presets, "a picture and a scene of each preset, and the panorama: draw on them"
        yield files.config, "the configuration of this box, with head and tour"

    def next_command(self, files: DemoFiles, program: str) -> str:
        """Return the commands that draw the scenes of the presets, and that move the demo's head from another terminal."""
        config = shlex.quote(str(files.config))
        return (
            f"{program} scene edit {shlex.quote(str(files.presets))}\n"
            f"  {program} demo --ptz, and while its tour is running, in another terminal:\n"
            f"  {program} ptz --config {config} move left"
        )


def _format_milestone(line: LogLine | None) -> str:
    return "did not happen" if line is None else f"{format_clock(line.t_s)} {line.text.strip()}"


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
