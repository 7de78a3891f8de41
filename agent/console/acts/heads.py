"""Acts on pan-tilt heads: their state, and motions through the running agent, under its leases and limits.

Each raises ConsoleError if no agent runs, or if it refuses.
"""

from typing import Annotated, TypeAlias

import msgspec

from agent.base.message import Message, Text, join_phrases
from agent.commands.command import NoArguments
from agent.config.names import Name
from agent.console.acts.act import ActCall, Done, act
from agent.console.arguments import DECIMAL_REGEX, parse_decimal
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
from drivers.angles import wrap_deg
from drivers.contracts import FRACTION, Pose, Range
from drivers.pan_range import unwrap_pan_deg

JOG_S = 0.6
"""The page sends a touch again every 0.2 s: two may be lost on the way before the head stops. A key that is held is repeated
after up to 0.5 s.
"""
JOG_PAUSE_NS = 30_000_000_000
"""Moves with shorter pauses are one jog, with one receipt."""
PAN_RANGE_DEG = Range(low=-180, high=180)
"""Of a head that pans without end."""
TypedNumber: TypeAlias = Annotated[str, msgspec.Meta(pattern=DECIMAL_REGEX)]


class JogArgs(PtzMoveArgs, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="move"):
    """A move of JOG_S at most: the agent stops the head then, unless it is sent again."""

    for_s: Annotated[float, msgspec.Meta(gt=0, le=JOG_S)] = JOG_S


class AuxArgs(PtzSetAuxArgs, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="aux"):
    """A switch, with its state in a receipt."""

    @property
    def state(self) -> str:
        """On or off."""
        return "on" if self.on else "off"


class GotoArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A preset, or a pose as typed or as numbers; without a zoom the head keeps its own."""

    head: Name
    preset: Name | None = None
    pan_deg: TypedNumber | float | None = None
    tilt_deg: TypedNumber | float | None = None
    zoom: TypedNumber | float | None = None

    @property
    def target(self) -> str:
        """The target in a receipt."""
        return self.preset or f"pan {self.pan_deg} tilt {self.tilt_deg} zoom {self.zoom}"


class HeadView(msgspec.Struct, frozen=True, kw_only=True):
    """A head with its presets and tours; `position` is None if the head does not know it."""

    info: HeadInfo
    position: HeadPosition | None
    presets: tuple[Preset, ...]
    tours: tuple[str, ...]
    text: Text


class HeadList(msgspec.Struct, frozen=True):
    """All heads."""

    heads: tuple[HeadView, ...]


class PresetList(msgspec.Struct, frozen=True):
    """The presets of a head."""

    presets: tuple[Preset, ...]


class Target(msgspec.Struct, frozen=True):
    """The target of a head in words."""

    target: Text


@act(lane="head", needs="agent", typed="ptz HEAD status, ptz HEAD presets")
def heads(call: ActCall, _args: NoArguments) -> HeadList:
    """Return all heads with their presets and tours."""
    return HeadList(tuple(_view_head(call.context, name) for name in call.context.head_names))


def _begins_jog(call: ActCall, args: JogArgs) -> bool:
    now_ns, last_ns = call.context.clock.boottime_ns(), call.state.last_jog_ns.get(args.head)
    return last_ns is None or now_ns - last_ns >= JOG_PAUSE_NS


@act(
    lane="head",
    needs="agent",
    typed="ptz HEAD",
    receipt="head {args.head} is moved by hand",
    needs_receipt=_begins_jog,
)
def jog(call: ActCall, args: JogArgs) -> LeaseInfo | None:
    """Move a head for a moment, and return the lease."""
    # Here and not with the receipt: a move without one must not begin a jog.
    call.state.last_jog_ns[args.head] = call.context.clock.boottime_ns()
    return _send(call.context, args).lease


@act(
    lane="head",
    needs="agent",
    typed="ptz HEAD goto",
    receipt="head {args.head} goes to {args.target}",
)
def goto(call: ActCall, args: GotoArgs) -> Target:
    """Move a head to a preset, or to a pose within its range, and return the target."""
    if args.preset is not None:
        _send(call.context, PtzGotoPresetArgs(head=args.head, preset=args.preset))
        return Target(args.preset)
    return Target(format_pose(_go_to_pose(call.context, args)))


@act(
    lane="head",
    needs="agent",
    typed="ptz HEAD set",
    receipt="preset {args.preset} of head {args.head} is stored",
)
def preset_set(call: ActCall, args: PtzSetPresetArgs) -> PresetList:
    """Store the position of a head as a preset, and return all of them."""
    _send(call.context, args)
    return list_presets(call.context, args.head)


@act(
    lane="head",
    needs="agent",
    typed="ptz HEAD delete",
    receipt="preset {args.preset} of head {args.head} is deleted",
)
def preset_delete(call: ActCall, args: PtzDeletePresetArgs) -> PresetList:
    """Delete a preset, and return those that are left."""
    _send(call.context, args)
    return list_presets(call.context, args.head)


@act(lane="stop", needs="agent", is_urgent=True, typed="ptz HEAD stop")
def head_stop(call: ActCall, args: PtzStopArgs) -> Done:
    """Stop a head at once, which needs no lease."""
    _send(call.context, args)
    return Done()


@act(
    lane="head",
    needs="agent",
    typed="ptz HEAD tour TOUR",
    receipt="tour {args.tour} of head {args.head} is started",
)
def tour_start(call: ActCall, args: PtzStartTourArgs) -> Done:
    """Start a configured tour; it waits as long as the head is leased."""
    _send(call.context, args)
    return Done()


@act(
    lane="head",
    needs="agent",
    typed="ptz HEAD tour",
    receipt="the tour of head {args.head} is stopped",
)
def tour_stop(call: ActCall, args: PtzStopTourArgs) -> Done:
    """Stop the running tour."""
    _send(call.context, args)
    return Done()


@act(lane="head", needs="agent", receipt="{args.aux} of head {args.head} is switched {args.state}")
def aux(call: ActCall, args: AuxArgs) -> Done:
    """Switch the wiper, the heater or the infra-red lamp of a head."""
    _send(call.context, args)
    return Done()


def list_presets(context: ConsoleContext, head: str) -> PresetList:
    """Return a head's presets."""
    return PresetList(_send(context, PtzListPresetsArgs(head=head)).presets or ())


def read_head(context: ConsoleContext, head: str) -> HeadInfo:
    """Return a head's state."""
    heads = _send(context, PtzStatusArgs(head=head)).heads
    if not heads:
        raise ConsoleError(Message("{head}: no status", head=head))
    return heads[0]


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


def _read_pan(given: str | float, pan_range: Range | None) -> float:
    """Return a pan of the range in (-180, 180], typed so, as the head reports it, or in the turn of the range.

    Raises ConsoleError as `_read_axis`.
    """
    allowed = pan_range or PAN_RANGE_DEG
    typed = given if isinstance(given, str) else f"{given:.4f}"
    pan_deg = parse_decimal(typed, PAN_RANGE_DEG.low, PAN_RANGE_DEG.high)
    if pan_deg is not None:
        typed_deg = unwrap_pan_deg(pan_deg, allowed)
        if allowed.low <= typed_deg <= allowed.high:
            return pan_deg
    return wrap_deg(_read_axis("pan", given, allowed))


def _view_head(context: ConsoleContext, head: str) -> HeadView:
    info = read_head(context, head)
    configured = () if context.config is None else context.config.head
    return HeadView(
        info=info,
        position=known_position(info),
        presets=list_presets(context, head).presets,
        tours=tuple(tour.name for one in configured if one.name == head for tour in one.tour),
        text=format_status(info),
    )


def _go_to_pose(context: ConsoleContext, args: GotoArgs) -> Pose:
    """Move a head to a pose, and return it. Raises ConsoleError, which names the range.

    The agent would clamp the pose to the range instead, and the head would rest elsewhere than was typed.
    """
    head, zoom = args.head, args.zoom
    if args.pan_deg is None or args.tilt_deg is None:
        raise ConsoleError(Message("goto: allowed: a preset, or pan_deg and tilt_deg"))
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
    command = PtzGotoArgs(
        head=head,
        pan_deg=_read_pan(args.pan_deg, capabilities.pan_deg),
        tilt_deg=_read_axis("tilt", args.tilt_deg, capabilities.tilt_deg),
        zoom=position.zoom if zoom is None else _read_axis("zoom", zoom, FRACTION),
    )
    _send(context, command)
    return command.pose


def _send(context: ConsoleContext, args: msgspec.Struct) -> PtzResult:
    return context.run_agent_command("ptz", args, PtzResult)
