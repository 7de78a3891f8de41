"""The live screen: the box on the left and above, what reached the centre below. Pure."""

import msgspec
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from centre.demo.ascii_picture import LABEL_COLOURS, AsciiPicture
from centre.demo.stats import ArrivedEvent, StatsView
from drivers.media import Plane

MIN_PICTURE_COLUMNS = 90
_PICTURE_WIDTH_RATIO = 0.52
_BAR_CELLS = 12
_MIN_EVENT_ROWS, _ROWS_AROUND = 4, 15

PLURALS = {
    "person": "people",
    "bicycle": "bicycles",
    "motorcycle": "motorcycles",
    "car": "cars",
    "bus": "buses",
    "truck": "trucks",
}
EVENT_COLOURS = {
    "line": "cyan",
    "zone": "white",
    "stopped": "bold red",
    "wrong_way": "bold red",
    "person_on_carriageway": "bold red",
    "crowd": "yellow",
    "queue": "yellow",
    "dwell": "yellow",
}


class DemoState(msgspec.Struct, frozen=True, kw_only=True):
    """What the screen shows: the tally, the film's name and length, where the broker is."""

    stats: StatsView
    video_title: str
    duration_s: float
    broker_url: str


def render_screen(state: DemoState, columns: int, rows: int) -> RenderableType:
    """The whole screen, to fit a terminal of this size."""
    event_rows = max(_MIN_EVENT_ROWS, rows - _ROWS_AROUND)
    top: RenderableType = _render_status(state)
    if columns >= MIN_PICTURE_COLUMNS and state.stats.gate_image is not None:
        width = min(
            int(columns * _PICTURE_WIDTH_RATIO),
            fit_columns(state.stats.gate_image, rows, _ROWS_AROUND),
        )
        picture = AsciiPicture(state.stats.gate_image, state.stats.tracks, width)
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=width, no_wrap=True)
        grid.add_column()
        grid.add_row(picture, top)
        top = grid
        event_rows = max(_MIN_EVENT_ROWS, rows - picture.rows - 8)
    title = f"Vigie demo: {state.video_title}, {format_clock(state.stats.video_s)} of {format_clock(state.duration_s)}"
    return Group(
        Panel(top, title=Text(title), title_align="left", border_style="blue"),
        Panel(
            _render_events(state.stats.recent_events[-event_rows:], event_rows),
            title=f"Events, as they reach the centre over MQTT ({state.broker_url})",
            title_align="left",
            border_style="blue",
        ),
        render_delivery(state.stats),
        Text("Ctrl-C stops.", style="dim"),
    )


def format_count(label: str, count: int) -> str:
    """Such as `1 person` or `7 people`."""
    return f"{count} {label if count == 1 else PLURALS.get(label, label)}"


def format_megabytes(size_bytes: int) -> str:
    """Such as `12.3 MB`."""
    return f"{size_bytes / 1e6:.1f} MB"


def render_delivery(stats: StatsView) -> Text:
    """Outbox, footage and faults, as the box has last told them."""
    health = stats.health
    if health is None:
        return Text(" The box has not said yet how it is.", style="dim")
    segments = sum(footage.segments for footage in health.footage)
    size_bytes = sum(footage.bytes for footage in health.footage)
    text = Text()
    text.append(" Messages ", "bold")
    text.append(f"{stats.messages} arrived, {health.outbox.depth} wait in the outbox   ")
    text.append("Footage ", "bold")
    text.append(f"{segments} closed files, {format_megabytes(size_bytes)}   ")
    text.append("Faults ", "bold")
    if health.faults:
        text.append("; ".join(f"{fault.code} {fault.title}" for fault in health.faults), "red")
    else:
        text.append("none", "green")
    return text


def _render_status(state: DemoState) -> RenderableType:
    stats = state.stats
    table = Table.grid(padding=(0, 1))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    table.add_row("In sight now", render_in_sight(stats))
    table.add_row(
        "Followed so far", _render_counts(stats.track_counts) or Text("nobody yet", style="dim")
    )
    for line in stats.line_counts:
        crossings = f"{format_count(line.label, line.count)} {line.direction}"
        table.add_row(Text(f"Line {line.line}"), Text(crossings))
    filled_cells = round(min(1.0, stats.motion_ratio * 4) * _BAR_CELLS)
    bar = Text("█" * filled_cells, "green") + Text("░" * (_BAR_CELLS - filled_cells), "dim")
    table.add_row("Motion", bar + Text(f" {100 * stats.motion_ratio:.0f} % of the picture"))
    for camera in stats.health.cameras if stats.health else ():
        table.add_row("Camera", f"{camera.fps:.1f} pictures a second")
    for detector in stats.health.detectors if stats.health else ():
        speed = f"{detector.inferences_per_s:.1f} looks a second"
        cost = "" if detector.inference_ms is None else f", {detector.inference_ms:.0f} ms each"
        table.add_row("Detector", speed + cost)
    return table


def render_in_sight(stats: StatsView) -> Text:
    """Who is in the picture now, each label in its own colour."""
    counts: dict[str, int] = {}
    for track in stats.tracks:
        counts[track.label] = counts.get(track.label, 0) + 1
    return _render_counts(counts) or Text("nobody", style="dim")


def _render_counts(counts: dict[str, int]) -> Text:
    text = Text()
    for label, count in counts.items():
        if text:
            text.append(", ")
        red, green, blue = next(c for name, c in LABEL_COLOURS.items() if name == label)
        text.append(format_count(label, count), f"rgb({red},{green},{blue})")
    return text


def _render_events(events: tuple[ArrivedEvent, ...], rows: int) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    for event in events:
        style = EVENT_COLOURS.get(event.kind, "magenta")
        text.append(f"{event.t_s:6.1f} s  ", "dim")
        text.append(event.text + "\n", style)
    text.append("\n" * max(0, rows - len(events) - 1))
    return text


def fit_columns(gate_image: Plane, rows: int, rows_around: int) -> int:
    """How wide the picture may be, so that what is around it has its rows."""
    height_px, width_px = gate_image.shape
    picture_rows = max(8, rows - rows_around)
    return int(picture_rows * 2 * width_px / height_px)


def format_clock(duration_s: float) -> str:
    """Such as `1:05`."""
    return f"{int(duration_s) // 60}:{int(duration_s) % 60:02d}"
