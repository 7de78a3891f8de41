"""The live screen of the video demo: counts, motion and detector next to the picture. Pure."""

from rich.table import Table
from rich.text import Text

from centre.demo.screen import (
    ScreenContent,
    format_clock,
    format_count,
    format_counts,
    render_counts,
    render_in_sight,
    status_table,
)
from centre.demo.stats import StatsView

_BAR_CELLS = 12


def video_screen(
    stats: StatsView, video_title: str, duration_s: float, broker_url: str
) -> ScreenContent:
    """Return the screen's content. `duration_s` is how much of the video is played."""
    played, total = format_clock(stats.video_s), format_clock(duration_s)
    return ScreenContent(
        t_s=stats.video_s,
        title=f"Vigie demo: {video_title}, {played} of {total}",
        stats=stats,
        status=_status(stats),
        status_line=f"tracked so far: {format_counts(stats.track_counts)}",
        log_title=f"Events, as they reach the centre over MQTT ({broker_url})",
        log=stats.recent_events,
        log_total=stats.event_total,
    )


def _status(stats: StatsView) -> Table:
    table = status_table()
    table.add_row("In sight", render_in_sight(stats))
    table.add_row("Tracked so far", render_counts(stats.track_counts))
    for line in stats.line_counts:
        crossings = f"{format_count(line.label, line.count)} {line.direction}"
        table.add_row(Text(f"Line {line.line}"), Text(crossings))
    filled_cells = round(min(1.0, stats.motion_ratio * 4) * _BAR_CELLS)
    bar = Text("█" * filled_cells, "green") + Text("░" * (_BAR_CELLS - filled_cells), "dim")
    table.add_row("Motion", bar + Text(f" {100 * stats.motion_ratio:.0f} % of the picture"))
    for camera in stats.health.cameras if stats.health else ():
        table.add_row("Camera", f"{camera.stream_fps:.1f} frames/s captured")
    for detector in stats.health.detectors if stats.health else ():
        cost = "" if detector.inference_ms is None else f", {detector.inference_ms:.0f} ms each"
        table.add_row("Detector", f"{detector.inferences_per_s:.1f} inferences/s{cost}")
    return table
