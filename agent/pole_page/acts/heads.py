"""Acts on pan-tilt heads: jog by touch, presets, tours, auxiliary functions."""

import msgspec

from agent.base.message import Message, Text
from agent.config.names import Name
from agent.console.acts import heads
from agent.console.acts.heads import HeadView
from agent.console.errors import ConsoleError
from agent.pole_page.act import Act, ActCall, Done, NoArgs
from agent.ptz.preset_store import Preset
from agent.ptz.ptz_args import HeadPosition, LeaseInfo, PtzMoveArgs
from agent.ptz.requests import SignedSpeed
from drivers.contracts import Aux, Range

JOG_S = 0.6
"""A touch is sent again every 0.2 s: two may be lost on the way before the head stops."""
JOG_PAUSE_NS = 30_000_000_000
"""Moves with shorter pauses are one jog, with one receipt."""


class HeadArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A head."""

    head: Name


class JogArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shares of a head's top speeds: to the right, up, towards tele, towards far."""

    head: Name
    pan: SignedSpeed = 0.0
    tilt: SignedSpeed = 0.0
    zoom: SignedSpeed = 0.0
    focus: SignedSpeed = 0.0


class GotoArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A preset, or a pose; without a zoom the head keeps its own."""

    head: Name
    preset: Name | None = None
    pan_deg: float | None = None
    tilt_deg: float | None = None
    zoom: float | None = None


class PresetArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A preset of a head."""

    head: Name
    preset: Name


class TourArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tour of a head."""

    head: Name
    tour: Name


class AuxArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An auxiliary function of a head."""

    head: Name
    aux: Aux
    on: bool


class PresetValue(msgspec.Struct, frozen=True, kw_only=True):
    """A preset and its pose."""

    name: str
    pan_deg: float
    tilt_deg: float
    zoom: float
    stored_by: str


class PresetList(msgspec.Struct, frozen=True):
    """The presets of a head."""

    presets: tuple[PresetValue, ...]


class HeadValue(msgspec.Struct, frozen=True, kw_only=True):
    """A head. `pan_deg` and `tilt_deg` are its limits; `pan_deg` is None if it pans without end."""

    name: str
    camera: str | None
    text: Text
    position: HeadPosition | None
    is_moving: bool
    preset: str | None
    tour: str | None
    lease: LeaseInfo | None
    pan_deg: Range | None
    tilt_deg: Range | None
    has_zoom: bool
    has_focus: bool
    aux: tuple[Aux, ...]
    presets: tuple[PresetValue, ...]
    tours: tuple[str, ...]
    error: str | None


class HeadList(msgspec.Struct, frozen=True):
    """All heads."""

    heads: tuple[HeadValue, ...]


class JogValue(msgspec.Struct, frozen=True, kw_only=True):
    """The time after which the head stops by itself, and the lease."""

    stops_after_s: float
    lease: LeaseInfo | None


class Target(msgspec.Struct, frozen=True):
    """The target of a head in words."""

    target: Text


def list_heads(call: ActCall, _args: NoArgs) -> HeadList:
    """Return all heads."""
    context = call.context
    views = [heads.view_head(context, name) for name in context.head_names]
    return HeadList(tuple(map(_to_value, views)))


def jog(call: ActCall, args: JogArgs) -> JogValue:
    """Move a head for JOG_S; the agent stops it then, unless it is sent again."""
    # Here and not with the receipt: a move without one must not begin a jog.
    call.state.last_jog_ns[args.head] = call.context.clock.boottime_ns()
    move = PtzMoveArgs(
        head=args.head,
        pan=args.pan,
        tilt=args.tilt,
        zoom=args.zoom,
        focus=args.focus,
        for_s=JOG_S,
    )
    return JogValue(stops_after_s=JOG_S, lease=heads.jog(call.context, move))


def jog_receipt(call: ActCall, args: JogArgs) -> str | None:
    """Return the receipt of the first move of a jog; the others are part of it."""
    now_ns, last_ns = call.context.clock.boottime_ns(), call.state.last_jog_ns.get(args.head)
    is_same = last_ns is not None and now_ns - last_ns < JOG_PAUSE_NS
    return None if is_same else f"head {args.head} is moved by hand"


def go_to(call: ActCall, args: GotoArgs) -> Target:
    """Move a head to a preset or to a pose."""
    if args.preset is not None:
        heads.go_to_preset(call.context, args.head, args.preset)
        return Target(args.preset)
    if args.pan_deg is None or args.tilt_deg is None:
        raise ConsoleError(Message("goto: allowed: a preset, or pan_deg and tilt_deg"))
    pose = heads.go_to_pose(call.context, args.head, args.pan_deg, args.tilt_deg, args.zoom)
    return Target(heads.format_pose(pose))


def _to_value(view: HeadView) -> HeadValue:
    info, capabilities = view.info, view.info.capabilities
    return HeadValue(
        name=info.name,
        camera=info.camera,
        text=view.text,
        position=view.position,
        is_moving=info.moving,
        preset=info.preset,
        tour=info.tour,
        lease=info.lease,
        pan_deg=None if capabilities is None else capabilities.pan_deg,
        tilt_deg=None if capabilities is None else capabilities.tilt_deg,
        has_zoom=capabilities is not None and capabilities.zoom_ratio > 1,
        has_focus=capabilities is not None and capabilities.focus,
        aux=() if capabilities is None else capabilities.aux,
        presets=_to_presets(view.presets).presets,
        tours=view.tours,
        error=info.error,
    )


def _to_presets(presets: tuple[Preset, ...]) -> PresetList:
    return PresetList(
        tuple(
            PresetValue(
                name=preset.name,
                pan_deg=preset.pose.pan_deg,
                tilt_deg=preset.pose.tilt_deg,
                zoom=preset.pose.zoom,
                stored_by=preset.stored_by,
            )
            for preset in presets
        )
    )


def _stop(call: ActCall, args: HeadArgs) -> Done:
    heads.stop(call.context, args.head)
    return Done()


def _set_preset(call: ActCall, args: PresetArgs) -> PresetList:
    return _to_presets(heads.set_preset(call.context, args.head, args.preset))


def _delete_preset(call: ActCall, args: PresetArgs) -> PresetList:
    return _to_presets(heads.delete_preset(call.context, args.head, args.preset))


def _start_tour(call: ActCall, args: TourArgs) -> Done:
    heads.start_tour(call.context, args.head, args.tour)
    return Done()


def _stop_tour(call: ActCall, args: HeadArgs) -> Done:
    heads.stop_tour(call.context, args.head)
    return Done()


def _set_aux(call: ActCall, args: AuxArgs) -> Done:
    heads.set_aux(call.context, args.head, args.aux, on=args.on)
    return Done()


def _goto_receipt(_call: ActCall, args: GotoArgs) -> str:
    pose = f"pan {args.pan_deg} tilt {args.tilt_deg} zoom {args.zoom}"
    return f"head {args.head} goes to {args.preset or pose}"


ACTS = {
    "heads": Act(run=list_heads, lane="head"),
    "jog": Act(run=jog, lane="head", args_type=JogArgs, receipt=jog_receipt),
    "head_stop": Act(run=_stop, lane="stop", args_type=HeadArgs),
    "goto": Act(run=go_to, lane="head", args_type=GotoArgs, receipt=_goto_receipt),
    "preset_set": Act(
        run=_set_preset,
        lane="head",
        args_type=PresetArgs,
        receipt=lambda _call, args: f"preset {args.preset} of head {args.head} is stored",
    ),
    "preset_delete": Act(
        run=_delete_preset,
        lane="head",
        args_type=PresetArgs,
        receipt=lambda _call, args: f"preset {args.preset} of head {args.head} is deleted",
    ),
    "tour_start": Act(
        run=_start_tour,
        lane="head",
        args_type=TourArgs,
        receipt=lambda _call, args: f"tour {args.tour} of head {args.head} is started",
    ),
    "tour_stop": Act(
        run=_stop_tour,
        lane="head",
        args_type=HeadArgs,
        receipt=lambda _call, args: f"the tour of head {args.head} is stopped",
    ),
    "aux": Act(
        run=_set_aux,
        lane="head",
        args_type=AuxArgs,
        receipt=lambda _call, args: (
            f"{args.aux} of head {args.head} is switched {'on' if args.on else 'off'}"
        ),
    ),
}
