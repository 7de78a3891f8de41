"""The demo's live screen: picture and status above, the log below. Pure."""

from collections.abc import Callable
from functools import lru_cache
from itertools import groupby

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
from rich.color import Color
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.panel import Panel
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from agent.app.event_types import EVENT_TYPES
from agent.base.event_type import Severity
from agent.base.model import Track
from centre.annotator import LABEL_COLOURS
from centre.demo.stats import LogLine, StatsView
from centre.draw import Colour
from drivers.media import Plane

MIN_PICTURE_COLUMNS = 80
_PICTURE_WIDTH_RATIO = 0.5
_MIN_LOG_ROWS = 4
_STATUS_ROWS = 9
"""Rows that a status table takes."""
_FRAME_ROWS = 8
"""Rows that are neither picture nor log: borders, delivery, hint, and two spare ones."""
_COMPASS_ROWS = 4

PLURALS = {
    "person": "people",
    "bicycle": "bicycles",
    "motorcycle": "motorcycles",
    "car": "cars",
    "bus": "buses",
    "truck": "trucks",
}
_SEVERITY_STYLES: dict[Severity, str] = {
    "routine": "cyan",
    "notice": "yellow",
    "fault": "magenta",
    "alarm": "bold red",
}
_LOG_STYLES = {
    "head": "white",
    "tour": "green",
    "asks": "bold yellow",
    "done": "dim",
    "refused": "bold red",
    "lease": "bold magenta",
    "event": "cyan",
    "picture": "bold blue",
}
_PALETTE: tuple[Colour, ...] = (
    *((g * 17, g * 17, g * 17) for g in range(16)),
    *LABEL_COLOURS.values(),
)
"""Sixteen greys, then the labels' colours: so few that a row has few changes of colour."""
_LABEL_INDEX = {label: 16 + index for index, label in enumerate(LABEL_COLOURS)}
_UPPER_HALF = "\u2580"


class ScreenContent(msgspec.Struct, frozen=True, kw_only=True):
    """One moment of a demo, as a screen and as lines of text."""

    t_s: float
    title: str
    stats: StatsView
    status: Table
    status_line: str
    """The status in one line, for an output that is no terminal."""
    compass: Callable[[int], Text] | None = None
    """Renders two rows of so many columns, if a head is shown."""
    log_title: str
    log: tuple[LogLine, ...]
    """The newest of the `log_total` lines."""
    log_total: int


def render_screen(content: ScreenContent, columns: int, rows: int) -> RenderableType:
    """Render the whole screen for a terminal of this size."""
    frame_rows = _FRAME_ROWS if content.compass is None else _FRAME_ROWS + _COMPASS_ROWS
    picture_rows = _STATUS_ROWS
    top: Table = content.status
    stats = content.stats
    if columns >= MIN_PICTURE_COLUMNS and stats.gate_image is not None:
        max_width = _fit_columns(stats.gate_image, rows - frame_rows - _MIN_LOG_ROWS)
        width = min(int(columns * _PICTURE_WIDTH_RATIO), max_width)
        picture = AsciiPicture(stats.gate_image, stats.tracks, width)
        picture_rows = max(picture.rows, _STATUS_ROWS)
        top = Table.grid(padding=(0, 2))
        top.add_column(width=width, no_wrap=True)
        top.add_column()
        top.add_row(picture, content.status)
    log_rows = max(_MIN_LOG_ROWS, rows - picture_rows - frame_rows)
    panels: list[RenderableType] = [_panel(content.title, top)]
    if content.compass is not None:
        title = "Pan -180 to 180 degrees: view, presets, forbidden sectors"
        panels.append(_panel(title, content.compass(columns - 4)))
    panels.append(_panel(content.log_title, _render_log(content.log[-log_rows:], log_rows)))
    return Group(*panels, _render_delivery(stats), Text("Ctrl-C stops.", style="dim"))


class NewLines:
    """Formats the log lines since the last call, and the status line every `STATUS_EVERY_S`."""

    STATUS_EVERY_S = 10.0

    def __init__(self) -> None:
        self._shown_count = 0
        self._last_status_s = 0.0

    def __call__(self, content: ScreenContent) -> list[str]:
        """Return the lines that have not been returned before."""
        new_count = content.log_total - self._shown_count
        self._shown_count = content.log_total
        new_lines = content.log[-new_count:] if new_count else ()
        lines = [f"{line.t_s:7.1f} s  {line.text}" for line in new_lines]
        if content.t_s - self._last_status_s >= self.STATUS_EVERY_S:
            self._last_status_s = content.t_s
            lines.append(f"{content.t_s:7.1f} s  -- {content.status_line}")
        return lines


def status_table() -> Table:
    """Return an empty table of names and values."""
    table = Table.grid(padding=(0, 1))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    return table


def render_in_sight(stats: StatsView) -> Text:
    """Render the road users of the newest frame, each label in its colour."""
    counts: dict[str, int] = {}
    for track in stats.tracks:
        counts[track.label] = counts.get(track.label, 0) + 1
    return render_counts(counts)


def render_counts(counts: dict[str, int]) -> Text:
    """Render counts by label, each label in its colour."""
    text = Text()
    for label, count in counts.items():
        if text:
            text.append(", ")
        red, green, blue = next(c for name, c in LABEL_COLOURS.items() if name == label)
        text.append(format_count(label, count), f"rgb({red},{green},{blue})")
    return text or Text("no road users", style="dim")


def format_counts(counts: dict[str, int]) -> str:
    """Return counts by label as text, such as `7 people, 1 car`."""
    return ", ".join(format_count(label, n) for label, n in counts.items()) or "no road users"


def format_count(label: str, count: int) -> str:
    """Return a count with its noun, such as `1 person` or `7 people`."""
    return f"{count} {label if count == 1 else PLURALS.get(label, label)}"


def format_megabytes(size_bytes: int) -> str:
    """Return a size such as `12.3 MB`."""
    return f"{size_bytes / 1e6:.1f} MB"


def format_clock(duration_s: float) -> str:
    """Return a duration such as `1:05`."""
    return f"{int(duration_s) // 60}:{int(duration_s) % 60:02d}"


def _panel(title: str, body: RenderableType) -> Panel:
    return Panel(body, title=Text(title), title_align="left", border_style="blue")


def _render_delivery(stats: StatsView) -> Text:
    health = stats.health
    if health is None:
        return Text(" The box has sent no health report yet.", style="dim")
    segments = sum(footage.segments for footage in health.footage)
    size_bytes = sum(footage.bytes for footage in health.footage)
    text = Text()
    text.append(" Messages ", "bold")
    text.append(f"{stats.messages} received, {health.outbox.depth} in the outbox   ")
    text.append("Footage ", "bold")
    text.append(f"{segments} closed files, {format_megabytes(size_bytes)}   ")
    text.append("Faults ", "bold")
    if health.faults:
        text.append("; ".join(f"{fault.code} {fault.title}" for fault in health.faults), "red")
    else:
        text.append("none", "green")
    return text


def _render_log(lines: tuple[LogLine, ...], rows: int) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    for line in lines:
        event_type = EVENT_TYPES.get(line.kind)
        style = _SEVERITY_STYLES[event_type.severity] if event_type else _LOG_STYLES[line.kind]
        text.append(f"{line.t_s:6.1f} s  ", "dim")
        text.append(line.text + "\n", style)
    text.append("\n" * max(0, rows - len(lines) - 1))
    return text


def _fit_columns(gate_image: Plane, rows: int) -> int:
    """Return the picture's largest width, so that it is at most `rows` rows high."""
    height_px, width_px = gate_image.shape
    return int(max(8, rows) * 2 * width_px / height_px)


class AsciiPicture:
    """A rich renderable, `columns` wide, that keeps the image's aspect ratio."""

    def __init__(self, image: Plane, tracks: tuple[Track, ...], columns: int) -> None:
        height_px, width_px = image.shape
        self.columns = columns
        self.rows = max(1, round(columns * height_px / width_px / 2))
        grey = cv2.resize(image, (columns, self.rows * 2), interpolation=cv2.INTER_AREA)
        self._palette_indices: npt.NDArray[np.uint8] = (np.asarray(grey, np.uint8) >> 4).astype(
            np.uint8
        )
        for track in tracks:
            _draw_box(self._palette_indices, track)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render row by row."""
        pairs = zip(
            self._palette_indices[::2].tolist(), self._palette_indices[1::2].tolist(), strict=True
        )
        for upper, lower in pairs:
            for (above, below), run in groupby(zip(upper, lower, strict=True)):
                yield Segment(_UPPER_HALF * len(list(run)), _style(above, below))
            yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return the fixed width."""
        return Measurement(self.columns, self.columns)


@lru_cache(maxsize=len(_PALETTE) ** 2)
def _style(above: int, below: int) -> Style:
    return Style(color=Color.from_rgb(*_PALETTE[above]), bgcolor=Color.from_rgb(*_PALETTE[below]))


def _draw_box(indices: npt.NDArray[np.uint8], track: Track) -> None:
    """Draw a bounding box, one pixel wide."""
    height_px, width_px = indices.shape
    box = track.box
    left = int(np.clip(round(box.x * width_px), 0, width_px - 1))
    top = int(np.clip(round(box.y * height_px), 0, height_px - 1))
    right = int(np.clip(round((box.x + box.w) * width_px), left, width_px - 1))
    bottom = int(np.clip(round((box.y + box.h) * height_px), top, height_px - 1))
    index = _LABEL_INDEX[track.label]
    indices[top : bottom + 1, [left, right]] = index
    indices[[top, bottom], left : right + 1] = index
