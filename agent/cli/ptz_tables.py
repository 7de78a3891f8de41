"""Tables of `vigie ptz`: heads and presets."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.ptz.preset_store import Preset
from agent.ptz.ptz_args import HeadInfo


def print_presets(presets: tuple[Preset, ...]) -> None:
    """Print a row for each preset."""
    table = Table()
    for heading in ("preset", "pan", "tilt", "zoom", "stored", "by"):
        table.add_column(heading)
    for preset in presets:
        pose = preset.pose
        table.add_row(
            preset.name,
            f"{pose.pan_deg:.1f}°",
            f"{pose.tilt_deg:.1f}°",
            f"{pose.zoom:.2f}",
            preset.stored_time,
            Text(preset.stored_by),
        )
    Console().print(table if presets else "no presets yet")


def print_heads(heads: tuple[HeadInfo, ...]) -> None:
    """Print a row for each head."""
    table = Table()
    for heading in ("head", "camera", "position", "state", "holder", "capabilities"):
        table.add_column(heading, overflow="fold")
    for head in heads:
        table.add_row(
            head.name,
            head.camera or "",
            _format_position(head),
            Text(_format_state(head)),
            Text(_format_holder(head)),
            _format_capabilities(head),
        )
    Console().print(table if heads else "no heads")


def _format_position(head: HeadInfo) -> str:
    position = head.position
    if position is None:
        return "?"
    accuracy = "error unknown" if position.error_deg >= 180 else f"±{position.error_deg:.1f}°"  # noqa: PLR2004 - see PtzPosition
    return f"pan {position.pan_deg:.1f}° tilt {position.tilt_deg:.1f}° zoom {position.zoom:.2f}\n{accuracy}"


def _format_state(head: HeadInfo) -> str:
    parts = [
        "moving" if head.moving else "settled" if head.settled else "settling",
        f"at {head.preset}" if head.preset else "",
        head.error or "",
    ]
    return "\n".join(part for part in parts if part)


def _format_holder(head: HeadInfo) -> str:
    if head.lease is not None:
        return head.lease.describe()
    return f"tour {head.tour}" if head.tour else ""


def _format_capabilities(head: HeadInfo) -> str:
    capabilities = head.capabilities
    if capabilities is None:
        return "not open"
    parts = [
        "absolute" if capabilities.absolute else "dead reckoning",
        f"{capabilities.pan_max_deg_s:.0f}°/s",
        f"zoom x{capabilities.zoom_ratio:g}" if capabilities.zoom_ratio > 1 else "",
        "focus" if capabilities.focus else "",
        *capabilities.aux,
    ]
    return " ".join(part for part in parts if part)
