"""The video demo's part of the summary: tracks, events, frames and the verified export."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.app.event_types import EVENT_TYPES
from centre.demo.export_check import ExportCheck
from centre.demo.files import DemoFiles
from centre.demo.screen import format_count, format_counts
from centre.demo.stats import StatsView
from centre.demo.video_source import DemoVideo


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
