"""The live screen: the box on the left and above, what reached the centre below. Pure."""

import msgspec
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from centre.demo.ascii_picture import COLOURS, AsciiPicture
from centre.demo.stats import Arrived, View
from drivers.media import Plane

LEAST_COLUMNS_FOR_PICTURE = 90
_PICTURE_SHARE = 0.52
_BAR_CELLS = 12
_LEAST_EVENTS, _ROWS_AROUND = 4, 15

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


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What the screen shows: the tally, the film's name and length, where the broker is."""

    view: View
    film: str
    length_s: float
    broker: str


def screen(moment: Moment, columns: int, rows: int) -> RenderableType:
    """The whole screen, to fit a terminal of this size."""
    events = max(_LEAST_EVENTS, rows - _ROWS_AROUND)
    top: RenderableType = _facts(moment)
    if columns >= LEAST_COLUMNS_FOR_PICTURE and moment.view.gate is not None:
        width = min(
            int(columns * _PICTURE_SHARE), columns_that_fit(moment.view.gate, rows, _ROWS_AROUND)
        )
        picture = AsciiPicture(moment.view.gate, moment.view.tracks, width)
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=width, no_wrap=True)
        grid.add_column()
        grid.add_row(picture, top)
        top = grid
        events = max(_LEAST_EVENTS, rows - picture.rows - 8)
    title = f"Vigie demo: {moment.film}, {clock_text(moment.view.film_s)} of {clock_text(moment.length_s)}"
    return Group(
        Panel(top, title=Text(title), title_align="left", border_style="blue"),
        Panel(
            _events(moment.view.events[-events:], events),
            title=f"Events, as they reach the centre over MQTT ({moment.broker})",
            title_align="left",
            border_style="blue",
        ),
        delivery(moment.view),
        Text("Ctrl-C stops.", style="dim"),
    )


def amount(label: str, count: int) -> str:
    """Such as `1 person` or `7 people`."""
    return f"{count} {label if count == 1 else PLURALS.get(label, label)}"


def megabytes(size_bytes: int) -> str:
    """Such as `12.3 MB`."""
    return f"{size_bytes / 1e6:.1f} MB"


def delivery(view: View) -> Text:
    """Outbox, footage and faults, as the box has last told them."""
    health = view.health
    if health is None:
        return Text(" The box has not said yet how it is.", style="dim")
    segments = sum(footage.segments for footage in health.footage)
    size_bytes = sum(footage.bytes for footage in health.footage)
    text = Text()
    text.append(" Messages ", "bold")
    text.append(f"{view.messages} arrived, {health.outbox.depth} wait in the outbox   ")
    text.append("Footage ", "bold")
    text.append(f"{segments} closed files, {megabytes(size_bytes)}   ")
    text.append("Faults ", "bold")
    if health.faults:
        text.append("; ".join(f"{fault.code} {fault.title}" for fault in health.faults), "red")
    else:
        text.append("none", "green")
    return text


def _facts(moment: Moment) -> RenderableType:
    view = moment.view
    table = Table.grid(padding=(0, 1))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    table.add_row("In sight now", in_sight(view))
    table.add_row("Followed so far", _amounts(view.found) or Text("nobody yet", style="dim"))
    for line in view.lines:
        said = f"{amount(line.label, line.count)} {line.direction}"
        table.add_row(Text(f"Line {line.line}"), Text(said))
    filled = round(min(1.0, view.moving * 4) * _BAR_CELLS)
    bar = Text("█" * filled, "green") + Text("░" * (_BAR_CELLS - filled), "dim")
    table.add_row("Motion", bar + Text(f" {100 * view.moving:.0f} % of the picture"))
    for camera in view.health.cameras if view.health else ():
        table.add_row("Camera", f"{camera.fps:.1f} pictures a second")
    for detector in view.health.detectors if view.health else ():
        speed = f"{detector.passes_per_s:.1f} looks a second"
        cost = "" if detector.pass_ms is None else f", {detector.pass_ms:.0f} ms each"
        table.add_row("Detector", speed + cost)
    return table


def in_sight(view: View) -> Text:
    """Who is in the picture now, each label in its own colour."""
    now: dict[str, int] = {}
    for track in view.tracks:
        now[track.label] = now.get(track.label, 0) + 1
    return _amounts(now) or Text("nobody", style="dim")


def _amounts(counts: dict[str, int]) -> Text:
    text = Text()
    for label, count in counts.items():
        if text:
            text.append(", ")
        red, green, blue = next(c for name, c in COLOURS.items() if name == label)
        text.append(amount(label, count), f"rgb({red},{green},{blue})")
    return text


def _events(events: tuple[Arrived, ...], rows: int) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    for event in events:
        style = EVENT_COLOURS.get(event.kind, "magenta")
        text.append(f"{event.t_s:6.1f} s  ", "dim")
        text.append(event.text + "\n", style)
    text.append("\n" * max(0, rows - len(events) - 1))
    return text


def columns_that_fit(gate: Plane, rows: int, rows_around: int) -> int:
    """How wide the picture may be, so that what is around it has its rows."""
    height_px, width_px = gate.shape
    tall = max(8, rows - rows_around)
    return int(tall * 2 * width_px / height_px)


def clock_text(seconds: float) -> str:
    """Such as `1:05`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
