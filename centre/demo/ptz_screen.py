"""The live screen of the demo with a head: pose, lease, compass and log. Pure."""

from functools import partial

import msgspec
from rich.table import Table
from rich.text import Text

from agent.base.health_model import HeadHealth
from agent.config.heads import FieldOfView, ForbiddenSector
from agent.ptz.motion.field_of_view import horizontal_fov_deg
from centre.demo.ptz_log import ReportedLease
from centre.demo.screen import (
    ScreenContent,
    format_clock,
    format_counts,
    render_in_sight,
    status_table,
)
from centre.demo.stats import LogLine, StatsView
from drivers.angles import FULL_TURN_DEG, wrap_deg

_LEASE_CELLS = 16
_LEASE_GRACE_S = 1.0
"""A lease that ended longer ago than this is not the one in force: the head is someone else's."""


class PtzDemoState(msgspec.Struct, frozen=True, kw_only=True):
    """State of the demo at one moment. `lease` is the newest lease that a person was granted."""

    t_s: float
    stats: StatsView
    head: HeadHealth
    lease: ReportedLease | None
    rules_active: bool
    """False while the head moves: rules pause."""
    scene_preset: str | None
    """The preset whose scene is active."""
    log_lines: tuple[LogLine, ...]
    preset_pans_deg: dict[str, float]
    """The pan of each preset that is stored."""
    forbidden: tuple[ForbiddenSector, ...]
    fov: FieldOfView
    head_text: str
    """The head's name, protocol and line."""
    broker_url: str


def ptz_screen(state: PtzDemoState) -> ScreenContent:
    """Return the screen's content."""
    return ScreenContent(
        t_s=state.t_s,
        title=f"Vigie demo: pan-tilt head, {format_clock(state.t_s)}",
        stats=state.stats,
        status=_status(state),
        status_line=_format_status(state),
        compass=partial(render_compass, state),
        log_title=f"Commands, replies and events over MQTT ({state.broker_url})",
        log=state.log_lines,
        log_total=len(state.log_lines),
    )


def render_compass(state: PtzDemoState, columns: int) -> Text:
    """Render two rows from pan -180 to 180 degrees: view, presets and forbidden sectors."""
    cells, names = ["·"] * columns, [" "] * columns
    styles = ["dim"] * columns
    for column in range(columns):
        pan_deg = (column + 0.5) / columns * FULL_TURN_DEG - 180
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
    """Return the holder of the head as text."""
    head, lease = state.head, state.lease
    if _is_lease_in_force(state) and lease is not None:
        remaining_s = max(0.0, lease.expires_s - state.t_s)
        return f"{lease.person.title}, for {remaining_s:.1f} s more"
    if head.holder == "tour":
        return f"tour '{head.tour}'"
    return head.holder or (f"none (tour '{head.tour}' is running)" if head.tour else "none")


def _format_status(state: PtzDemoState) -> str:
    head = state.head
    pose = "no position yet"
    if head.pan_deg is not None and head.tilt_deg is not None:
        pose = f"pan {head.pan_deg:.1f}, tilt {head.tilt_deg:.1f}"
    labels: dict[str, int] = {}
    for track in state.stats.tracks:
        labels[track.label] = labels.get(track.label, 0) + 1
    return (
        f"{pose}; holder: {format_holder(state)}; rules: {_render_rules(state)}; "
        f"in sight: {format_counts(labels)}"
    )


def _status(state: PtzDemoState) -> Table:
    head, stats = state.head, state.stats
    table = status_table()
    table.add_row("Head", state.head_text)
    if head.pan_deg is None or head.tilt_deg is None:
        table.add_row("Position", Text("none received yet", style="dim"))
    else:
        zoom = f", zoom {head.zoom:.2f}" if head.zoom else ""
        motion = Text(", moving", "yellow") if head.moving else Text(", at rest", "green")
        position = f"pan {head.pan_deg:+7.1f}°, tilt {head.tilt_deg:+6.1f}°{zoom}"
        table.add_row("Position", Text(position).append_text(motion))
    table.add_row("Preset", head.preset or Text("none", style="dim"))
    table.add_row("Holder", _render_holder(state))
    table.add_row("Rules", _render_rules(state))
    table.add_row("In sight", render_in_sight(stats))
    for camera in stats.health.cameras if stats.health else ():
        table.add_row("Camera", f"{camera.stream_fps:.1f} frames/s captured")
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
    """Return whether the newest known lease is the one that holds the head."""
    lease, by_person = state.lease, state.head.holder in ("operator", "incident")
    return by_person and lease is not None and state.t_s < lease.expires_s + _LEASE_GRACE_S


def _render_rules(state: PtzDemoState) -> Text:
    if not state.rules_active:
        return Text("paused: head moving or settling", "yellow")
    if state.scene_preset is None:
        return Text("no scene for this view", "dim")
    return Text(f"scene '{state.scene_preset}'", "green")


def _is_in_view(state: PtzDemoState, pan_deg: float) -> bool:
    head = state.head
    if head.pan_deg is None:
        return False
    half_deg = horizontal_fov_deg(state.fov, head.zoom or 0.0) / 2
    return abs(wrap_deg(pan_deg - head.pan_deg)) <= half_deg


def _is_within(pan_deg: float, first_deg: float, last_deg: float) -> bool:
    return (pan_deg - first_deg) % FULL_TURN_DEG <= (last_deg - first_deg) % FULL_TURN_DEG


def _column_of(pan_deg: float, columns: int) -> int:
    return min(columns - 1, int((pan_deg + 180) / FULL_TURN_DEG * columns))
