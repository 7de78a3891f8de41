"""The live screen of the demo with a head: where it looks, who has it, and what happened. Pure."""

import msgspec
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agent.base.health_model import HeadHealth
from agent.config.heads import FieldOfView, ForbiddenSector
from agent.ptz.motion.field_of_view import horizontal_fov_deg
from centre.demo.ascii_picture import AsciiPicture
from centre.demo.ptz_log import PtzLogKind, PtzLogLine, ReportedLease
from centre.demo.screen import (
    MIN_PICTURE_COLUMNS,
    fit_columns,
    format_clock,
    render_delivery,
    render_in_sight,
)
from centre.demo.stats import StatsView
from drivers.angles import wrap_deg

LOG_STYLES: dict[PtzLogKind, str] = {
    "head": "white",
    "tour": "green",
    "asks": "bold yellow",
    "done": "dim",
    "refused": "bold red",
    "lease": "bold magenta",
    "event": "cyan",
    "picture": "bold blue",
}
_PICTURE_WIDTH_RATIO = 0.45
_MIN_LOG_ROWS, _ROWS_AROUND, _ROWS_BELOW = 4, 20, 12
_LEASE_CELLS = 16
_LEASE_GRACE_S = 1.0
"""A look and a reply later than this a lease that should be over is somebody else's."""
_FULL_TURN_DEG = 360.0


class PtzDemoState(msgspec.Struct, frozen=True, kw_only=True):
    """What the screen shows. `watching` is the preset whose scene holds, and `judged` whether any
    rules do; `held` is the lease that a person has.
    """

    t_s: float
    stats: StatsView
    head: HeadHealth
    lease: ReportedLease | None
    rules_active: bool
    scene_preset: str | None
    log_lines: tuple[PtzLogLine, ...]
    preset_pans_deg: dict[str, float]
    """The pan of each preset that is stored."""
    forbidden: tuple[ForbiddenSector, ...]
    fov: FieldOfView
    head_text: str
    """What the head is and what it hangs on."""
    broker_url: str


def render_ptz_screen(state: PtzDemoState, columns: int, rows: int) -> RenderableType:
    """The whole screen, to fit a terminal of this size."""
    top: RenderableType = _render_status(state)
    log_rows = max(_MIN_LOG_ROWS, rows - _ROWS_AROUND)
    gate_image = state.stats.gate_image
    if columns >= MIN_PICTURE_COLUMNS and gate_image is not None:
        width = min(
            int(columns * _PICTURE_WIDTH_RATIO), fit_columns(gate_image, rows, _ROWS_AROUND)
        )
        picture = AsciiPicture(gate_image, state.stats.tracks, width)
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=width, no_wrap=True)
        grid.add_column()
        grid.add_row(picture, top)
        top = grid
        log_rows = max(_MIN_LOG_ROWS, rows - max(picture.rows, 9) - _ROWS_BELOW)
    return Group(
        Panel(
            top,
            title=f"Vigie demo: a head on a pole, {format_clock(state.t_s)}",
            title_align="left",
            border_style="blue",
        ),
        Panel(
            render_compass(state, columns - 4),
            title="All around the pole, from behind over the left, ahead and the right",
            title_align="left",
            border_style="blue",
        ),
        Panel(
            _render_log(state.log_lines[-log_rows:], log_rows),
            title=f"What happens, as MQTT and the head tell it ({state.broker_url})",
            title_align="left",
            border_style="blue",
        ),
        render_delivery(state.stats),
        Text("Ctrl-C stops.", style="dim"),
    )


def render_compass(state: PtzDemoState, columns: int) -> Text:
    """Two rows, from pan -180 to 180: what the picture shows now, the presets, and no-go sectors."""
    cells, names = ["·"] * columns, [" "] * columns
    styles = ["dim"] * columns
    for column in range(columns):
        pan_deg = (column + 0.5) / columns * _FULL_TURN_DEG - 180
        if any(_is_within(pan_deg, *sector.pan_deg) for sector in state.forbidden):
            cells[column], styles[column] = "▒", "red"
        if _is_in_view(state, pan_deg):
            cells[column], styles[column] = "█", "yellow" if state.head.moving else "green"
    for name, pan_deg in state.preset_pans_deg.items():
        start = min(columns - len(name), max(0, _column_of(pan_deg, columns) - len(name) // 2))
        names[start : start + len(name)] = name
        cells[_column_of(pan_deg, columns)] = "▼"
    for sector in state.forbidden:
        start = _column_of(sum(sector.pan_deg) / 2, columns) - len(sector.name) // 2
        if start >= 0 and not "".join(names[start : start + len(sector.name)]).strip():
            names[start : start + len(sector.name)] = sector.name
    text = Text(no_wrap=True)
    for character, style in zip(cells, styles, strict=True):
        text.append(character, style)
    return text.append("\n" + "".join(names)[:columns], "dim")


def format_holder(state: PtzDemoState) -> str:
    """Who has the head, in words."""
    lease = state.lease
    if _is_lease_in_force(state) and lease is not None:
        remaining_s = max(0.0, lease.expires_s - state.t_s)
        return f"{lease.person.title}, for {remaining_s:.1f} s more"
    if state.head.holder == "tour":
        return f"the tour '{state.head.tour}'"
    if state.head.holder is not None:
        return f"an {state.head.holder}"
    return f"nobody now (the tour '{state.head.tour}' runs)" if state.head.tour else "nobody"


def _render_status(state: PtzDemoState) -> RenderableType:
    head, stats = state.head, state.stats
    table = Table.grid(padding=(0, 1))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    table.add_row("Head", state.head_text)
    if head.pan_deg is None or head.tilt_deg is None:
        table.add_row("Looks", Text("it has not answered yet", style="dim"))
    else:
        zoom = f", zoom {head.zoom:.2f}" if head.zoom else ""
        motion = Text(", moving", "yellow") if head.moving else Text(", at rest", "green")
        position = f"pan {head.pan_deg:+7.1f}°, tilt {head.tilt_deg:+6.1f}°{zoom}"
        table.add_row("Looks", Text(position).append_text(motion))
    table.add_row("Preset", head.preset or Text("none here", style="dim"))
    table.add_row("Who has it", _render_holder(state))
    table.add_row("Rules", _render_rules(state))
    table.add_row("In sight now", render_in_sight(stats))
    for camera in stats.health.cameras if stats.health else ():
        table.add_row("Camera", f"{camera.fps:.1f} pictures a second")
    return table


def _render_holder(state: PtzDemoState) -> Text:
    by_person = state.head.holder in ("operator", "incident")
    text = Text(format_holder(state), "bold yellow" if by_person else "green")
    lease = state.lease
    if _is_lease_in_force(state) and lease is not None:
        fraction = max(
            0.0, min(1.0, (lease.expires_s - state.t_s) / (lease.expires_s - lease.reported_s))
        )
        filled_cells = round(fraction * _LEASE_CELLS)
        text.append("\n" + "█" * filled_cells, "yellow").append(
            "░" * (_LEASE_CELLS - filled_cells), "dim"
        )
    return text


def _is_lease_in_force(state: PtzDemoState) -> bool:
    """Whether a person has the head by the lease that is known; anybody else may have joined in."""
    lease, by_person = state.lease, state.head.holder in ("operator", "incident")
    return by_person and lease is not None and state.t_s < lease.expires_s + _LEASE_GRACE_S


def _render_rules(state: PtzDemoState) -> Text:
    if not state.rules_active:
        return Text("pause: the picture is not at rest", "yellow")
    if state.scene_preset is None:
        return Text("none drawn for this place", "dim")
    return Text(f"those of the scene '{state.scene_preset}'", "green")


def _render_log(lines: tuple[PtzLogLine, ...], rows: int) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    for line in lines:
        text.append(f"{line.t_s:6.1f} s  ", "dim")
        text.append(line.text + "\n", LOG_STYLES[line.kind])
    text.append("\n" * max(0, rows - len(lines) - 1))
    return text


def _is_in_view(state: PtzDemoState, pan_deg: float) -> bool:
    head = state.head
    if head.pan_deg is None:
        return False
    half_deg = horizontal_fov_deg(state.fov, head.zoom or 0.0) / 2
    return abs(wrap_deg(pan_deg - head.pan_deg)) <= half_deg


def _is_within(pan_deg: float, first_deg: float, last_deg: float) -> bool:
    return (pan_deg - first_deg) % _FULL_TURN_DEG <= (last_deg - first_deg) % _FULL_TURN_DEG


def _column_of(pan_deg: float, columns: int) -> int:
    return min(columns - 1, int((pan_deg + 180) / _FULL_TURN_DEG * columns))
