"""Heads of a box: their state, and motions through the running agent, under its leases and limits.

Each raises ConsoleError if no agent runs, or if it refuses.
"""

import msgspec

from agent.base.json_decode import JsonDecoder
from agent.base.message import Message, Text, join_phrases
from agent.console.arguments import parse_decimal
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.ptz.motion.forbidden_sectors import UNKNOWN_POSITION_DEG
from agent.ptz.preset_store import Preset
from agent.ptz.ptz_args import (
    HeadInfo,
    HeadPosition,
    LeaseInfo,
    PtzDeletePresetArgs,
    PtzGotoArgs,
    PtzGotoPresetArgs,
    PtzListPresetsArgs,
    PtzMoveArgs,
    PtzResult,
    PtzSetAuxArgs,
    PtzSetPresetArgs,
    PtzStartTourArgs,
    PtzStatusArgs,
    PtzStopArgs,
    PtzStopTourArgs,
)
from drivers.contracts import FRACTION, Aux, Pose, Range

PAN_RANGE_DEG = Range(low=-180, high=180)
"""Of a head that pans without end."""
_RESULT_DECODER = JsonDecoder(PtzResult)


class HeadView(msgspec.Struct, frozen=True, kw_only=True):
    """A head with its presets and tours; `position` is None if the head does not know it."""

    info: HeadInfo
    position: HeadPosition | None
    presets: tuple[Preset, ...]
    tours: tuple[str, ...]
    text: Text


def view_head(context: ConsoleContext, head: str) -> HeadView:
    """Return a head's state, presets and tours."""
    info = read_head(context, head)
    configured = () if context.config is None else context.config.head
    return HeadView(
        info=info,
        position=known_position(info),
        presets=list_presets(context, head),
        tours=tuple(tour.name for one in configured if one.name == head for tour in one.tour),
        text=format_status(info),
    )


def read_head(context: ConsoleContext, head: str) -> HeadInfo:
    """Return a head's state."""
    heads = _send(context, PtzStatusArgs(head=head)).heads
    if not heads:
        raise ConsoleError(Message("{head}: no status", head=head))
    return heads[0]


def list_presets(context: ConsoleContext, head: str) -> tuple[Preset, ...]:
    """Return a head's presets."""
    return _send(context, PtzListPresetsArgs(head=head)).presets or ()


def jog(context: ConsoleContext, move: PtzMoveArgs) -> LeaseInfo | None:
    """Move a head for a moment, and return the lease: the head stops by itself after `for_s`."""
    return _send(context, move).lease


def stop(context: ConsoleContext, head: str) -> None:
    """Stop a head at once; it needs no lease."""
    _send(context, PtzStopArgs(head=head))


def go_to_preset(context: ConsoleContext, head: str, preset: str) -> None:
    """Move a head to a preset."""
    _send(context, PtzGotoPresetArgs(head=head, preset=preset))


def go_to_pose(
    context: ConsoleContext,
    head: str,
    pan_deg: str | float,
    tilt_deg: str | float,
    zoom: str | float | None = None,
) -> Pose:
    """Move a head to a pose within its range, as typed or as numbers, and return it.

    Without a zoom the head keeps its own.
    Raises ConsoleError, which names what is allowed. The agent would clamp the pose to the range
    instead, and the head would rest elsewhere than was typed.
    """
    info = read_head(context, head)
    capabilities, position = info.capabilities, known_position(info)
    if info.position is None and info.error is not None:
        raise ConsoleError(Message("{head}: {status}", head=head, status=info.error))
    if capabilities is None or position is None:
        raise ConsoleError(
            Message("{head} does not know its position; allowed: ptz {head} goto PRESET", head=head)
        )
    if zoom is not None and capabilities.zoom_ratio <= 1:
        raise ConsoleError(
            Message("{head} has no zoom; allowed: ptz {head} goto PAN TILT", head=head)
        )
    goto = PtzGotoArgs(
        head=head,
        pan_deg=_read_axis("pan", pan_deg, capabilities.pan_deg or PAN_RANGE_DEG),
        tilt_deg=_read_axis("tilt", tilt_deg, capabilities.tilt_deg),
        zoom=position.zoom if zoom is None else _read_axis("zoom", zoom, FRACTION),
    )
    _send(context, goto)
    return goto.pose


def set_preset(context: ConsoleContext, head: str, preset: str) -> tuple[Preset, ...]:
    """Store the position of a head as a preset, and return all of them."""
    _send(context, PtzSetPresetArgs(head=head, preset=preset))
    return list_presets(context, head)


def delete_preset(context: ConsoleContext, head: str, preset: str) -> tuple[Preset, ...]:
    """Delete a preset, and return those that are left."""
    _send(context, PtzDeletePresetArgs(head=head, preset=preset))
    return list_presets(context, head)


def start_tour(context: ConsoleContext, head: str, tour: str) -> None:
    """Start a configured tour; it waits as long as the head is leased."""
    _send(context, PtzStartTourArgs(head=head, tour=tour))


def stop_tour(context: ConsoleContext, head: str) -> None:
    """Stop the running tour."""
    _send(context, PtzStopTourArgs(head=head))


def set_aux(context: ConsoleContext, head: str, aux: Aux, *, on: bool) -> None:
    """Switch the wiper, the heater or the infra-red lamp of a head."""
    _send(context, PtzSetAuxArgs(head=head, aux=aux, on=on))


def known_position(head: HeadInfo) -> HeadPosition | None:
    """Return the position of a head that knows it, otherwise None."""
    position = head.position
    return None if position is None or position.error_deg >= UNKNOWN_POSITION_DEG else position


def format_pose(pose: Pose | HeadPosition) -> Message:
    """Return a pose in words."""
    return Message(
        "pan {pan_deg:.1f} tilt {tilt_deg:.1f} zoom {zoom:.2f}",
        pan_deg=pose.pan_deg,
        tilt_deg=pose.tilt_deg,
        zoom=pose.zoom,
    )


def format_status(head: HeadInfo) -> Message:
    """Return a head's state in words."""
    position = known_position(head)
    status = join_phrases(
        Message("position unknown") if position is None else format_pose(position),
        Message("moving") if head.moving else None,
        Message("at {preset}", preset=head.preset) if head.preset else None,
        Message("tour {tour}", tour=head.tour) if head.tour else None,
        Message("controlled by {name} ({role})", name=head.lease.by, role=head.lease.role)
        if head.lease
        else None,
        head.error,
    )
    return Message("{head}: {status}", head=head.name, status=status)


def _read_axis(axis: str, given: str | float, allowed: Range) -> float:
    typed = given if isinstance(given, str) else f"{given:.4f}"
    value = parse_decimal(typed, allowed.low, allowed.high)
    if value is not None:
        return value
    raise ConsoleError(
        Message(
            "{axis} {typed}: allowed: {low} to {high}",
            axis=axis,
            typed=typed,
            low=f"{allowed.low:g}",
            high=f"{allowed.high:g}",
        )
    )


def _send(context: ConsoleContext, args: msgspec.Struct) -> PtzResult:
    try:
        return _RESULT_DECODER.decode(context.run_agent_command("ptz", args))
    except msgspec.MsgspecError as error:
        raise ConsoleError(
            Message("the agent's answer cannot be read: {error}", error=str(error))
        ) from error
