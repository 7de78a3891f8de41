"""The live screen of the demo with a head: where it looks, who has it, and what happened. Pure."""

import msgspec
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agent.base.health_model import HeadHealth
from agent.config.heads import FieldOfView, Sector
from agent.ptz.motion.field_of_view import width_deg
from centre.demo.ascii_picture import AsciiPicture
from centre.demo.ptz_log import Held, Line, LineKind
from centre.demo.screen import (
    LEAST_COLUMNS_FOR_PICTURE,
    clock_text,
    columns_that_fit,
    delivery,
    in_sight,
)
from centre.demo.stats import View
from drivers.angles import wrap_deg

STYLES: dict[LineKind, str] = {
    "head": "white",
    "tour": "green",
    "asks": "bold yellow",
    "done": "dim",
    "refused": "bold red",
    "lease": "bold magenta",
    "event": "cyan",
    "picture": "bold blue",
}
_PICTURE_SHARE = 0.45
_LEAST_LINES, _ROWS_AROUND, _ROWS_BELOW = 4, 20, 12
_LEASE_CELLS = 16
_LATE_S = 1.0
"""A look and a reply later than this a lease that should be over is somebody else's."""
_ROUND_DEG = 360.0


class PtzMoment(msgspec.Struct, frozen=True, kw_only=True):
    """What the screen shows. `watching` is the preset whose scene holds, and `judged` whether any
    rules do; `held` is the lease that a person has.
    """

    t_s: float
    view: View
    head: HeadHealth
    held: Held | None
    judged: bool
    watching: str | None
    lines: tuple[Line, ...]
    presets: dict[str, float]
    """The pan of each preset that is stored."""
    forbidden: tuple[Sector, ...]
    fov: FieldOfView
    line: str
    """What the head is and what it hangs on."""
    broker: str


def ptz_screen(moment: PtzMoment, columns: int, rows: int) -> RenderableType:
    """The whole screen, to fit a terminal of this size."""
    top: RenderableType = _facts(moment)
    lines = max(_LEAST_LINES, rows - _ROWS_AROUND)
    gate = moment.view.gate
    if columns >= LEAST_COLUMNS_FOR_PICTURE and gate is not None:
        width = min(int(columns * _PICTURE_SHARE), columns_that_fit(gate, rows, _ROWS_AROUND))
        picture = AsciiPicture(gate, moment.view.tracks, width)
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=width, no_wrap=True)
        grid.add_column()
        grid.add_row(picture, top)
        top = grid
        lines = max(_LEAST_LINES, rows - max(picture.rows, 9) - _ROWS_BELOW)
    return Group(
        Panel(
            top,
            title=f"Vigie demo: a head on a pole, {clock_text(moment.t_s)}",
            title_align="left",
            border_style="blue",
        ),
        Panel(
            compass(moment, columns - 4),
            title="All around the pole, from behind over the left, ahead and the right",
            title_align="left",
            border_style="blue",
        ),
        Panel(
            _happened(moment.lines[-lines:], lines),
            title=f"What happens, as MQTT and the head tell it ({moment.broker})",
            title_align="left",
            border_style="blue",
        ),
        delivery(moment.view),
        Text("Ctrl-C stops.", style="dim"),
    )


def compass(moment: PtzMoment, columns: int) -> Text:
    """Two rows, from pan -180 to 180: what the picture shows now, the presets, and no-go sectors."""
    ground, names = ["·"] * columns, [" "] * columns
    styles = ["dim"] * columns
    for column in range(columns):
        pan_deg = (column + 0.5) / columns * _ROUND_DEG - 180
        if any(_within(pan_deg, *sector.pan_deg) for sector in moment.forbidden):
            ground[column], styles[column] = "▒", "red"
        if _is_shown(moment, pan_deg):
            ground[column], styles[column] = "█", "yellow" if moment.head.moving else "green"
    for name, pan_deg in moment.presets.items():
        at = min(columns - len(name), max(0, _column(pan_deg, columns) - len(name) // 2))
        names[at : at + len(name)] = name
        ground[_column(pan_deg, columns)] = "▼"
    for sector in moment.forbidden:
        at = _column(sum(sector.pan_deg) / 2, columns) - len(sector.name) // 2
        if at >= 0 and not "".join(names[at : at + len(sector.name)]).strip():
            names[at : at + len(sector.name)] = sector.name
    text = Text(no_wrap=True)
    for character, style in zip(ground, styles, strict=True):
        text.append(character, style)
    return text.append("\n" + "".join(names)[:columns], "dim")


def whose(moment: PtzMoment) -> str:
    """Who has the head, in words."""
    held = moment.held
    if _is_held(moment) and held is not None:
        left_s = max(0.0, held.ends_s - moment.t_s)
        return f"{held.who.title}, for {left_s:.1f} s more"
    if moment.head.holder == "tour":
        return f"the tour '{moment.head.tour}'"
    if moment.head.holder is not None:
        return f"an {moment.head.holder}"
    return f"nobody now (the tour '{moment.head.tour}' runs)" if moment.head.tour else "nobody"


def _facts(moment: PtzMoment) -> RenderableType:
    head, view = moment.head, moment.view
    table = Table.grid(padding=(0, 1))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    table.add_row("Head", moment.line)
    if head.pan_deg is None or head.tilt_deg is None:
        table.add_row("Looks", Text("it has not answered yet", style="dim"))
    else:
        zoom = f", zoom {head.zoom:.2f}" if head.zoom else ""
        moves = Text(", moving", "yellow") if head.moving else Text(", at rest", "green")
        place = f"pan {head.pan_deg:+7.1f}°, tilt {head.tilt_deg:+6.1f}°{zoom}"
        table.add_row("Looks", Text(place).append_text(moves))
    table.add_row("Preset", head.preset or Text("none here", style="dim"))
    table.add_row("Who has it", _whose(moment))
    table.add_row("Rules", _rules(moment))
    table.add_row("In sight now", in_sight(view))
    for camera in view.health.cameras if view.health else ():
        table.add_row("Camera", f"{camera.fps:.1f} pictures a second")
    return table


def _whose(moment: PtzMoment) -> Text:
    by_person = moment.head.holder in ("operator", "incident")
    text = Text(whose(moment), "bold yellow" if by_person else "green")
    held = moment.held
    if _is_held(moment) and held is not None:
        share = max(0.0, min(1.0, (held.ends_s - moment.t_s) / (held.ends_s - held.told_s)))
        filled = round(share * _LEASE_CELLS)
        text.append("\n" + "█" * filled, "yellow").append("░" * (_LEASE_CELLS - filled), "dim")
    return text


def _is_held(moment: PtzMoment) -> bool:
    """Whether a person has the head by the lease that is known; anybody else may have joined in."""
    held, by_person = moment.held, moment.head.holder in ("operator", "incident")
    return by_person and held is not None and moment.t_s < held.ends_s + _LATE_S


def _rules(moment: PtzMoment) -> Text:
    if not moment.judged:
        return Text("pause: the picture is not at rest", "yellow")
    if moment.watching is None:
        return Text("none drawn for this place", "dim")
    return Text(f"those of the scene '{moment.watching}'", "green")


def _happened(lines: tuple[Line, ...], rows: int) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    for line in lines:
        text.append(f"{line.t_s:6.1f} s  ", "dim")
        text.append(line.text + "\n", STYLES[line.kind])
    text.append("\n" * max(0, rows - len(lines) - 1))
    return text


def _is_shown(moment: PtzMoment, pan_deg: float) -> bool:
    head = moment.head
    if head.pan_deg is None:
        return False
    half_deg = width_deg(moment.fov, head.zoom or 0.0) / 2
    return abs(wrap_deg(pan_deg - head.pan_deg)) <= half_deg


def _within(pan_deg: float, first_deg: float, last_deg: float) -> bool:
    return (pan_deg - first_deg) % _ROUND_DEG <= (last_deg - first_deg) % _ROUND_DEG


def _column(pan_deg: float, columns: int) -> int:
    return min(columns - 1, int((pan_deg + 180) / _ROUND_DEG * columns))
