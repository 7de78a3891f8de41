"""The command `ptz`: lease, motion and presets of a head.

A motion may be repeated after a crash: it is bounded by its lease, its expiry and its longest
duration, and its requester watches it. A stop overtakes all queued commands and cancels those that
arrived before it: a command that moves the head, or lets it be moved, is rejected then, or stopped
at once if it was being executed when the stop came.
"""

import threading
from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from agent.commands.command import (
    CommandHandler,
    CommandProgressSink,
    CommandType,
    Deferred,
    Permission,
    ValidCommand,
)
from agent.commands.requester import CommandRejected, Requester
from agent.ptz import ptz_args
from agent.ptz.automation.auto_tracking import AutoTracker
from agent.ptz.automation.guard_tours import GuardTours
from agent.ptz.automation.panorama_scan import PanoramaScan
from agent.ptz.head import PtzHead
from agent.ptz.preset_store import Preset
from agent.ptz.ptz_args import (
    HeadInfo,
    HeadPosition,
    LeaseInfo,
    PanoramaResult,
    PtzAcquireArgs,
    PtzDeletePresetArgs,
    PtzFollowArgs,
    PtzGotoArgs,
    PtzGotoPresetArgs,
    PtzListArgs,
    PtzListPresetsArgs,
    PtzMoveArgs,
    PtzReleaseArgs,
    PtzResult,
    PtzSetAuxArgs,
    PtzSetPresetArgs,
    PtzStartTourArgs,
    PtzStatusArgs,
    PtzStopArgs,
    PtzStopFollowArgs,
    PtzStopTourArgs,
    PtzSweepArgs,
)
from agent.ptz.requests import Lease
from drivers.contracts import Pose, PtzCapabilities, Range

_MotionArgs: TypeAlias = (
    PtzAcquireArgs
    | PtzMoveArgs
    | PtzGotoArgs
    | PtzGotoPresetArgs
    | PtzStartTourArgs
    | PtzSweepArgs
    | PtzFollowArgs
)


class HeadAssembly(msgspec.Struct, frozen=True, kw_only=True):
    """A head with its camera, tours, panorama scan and tracker, as far as it has them."""

    head: PtzHead
    camera: str | None = None
    guard_tours: GuardTours | None = None
    panorama_scan: PanoramaScan | None = None
    tracker: AutoTracker | None = None

    def cancel_automation(self, reason: str, *, except_by: Requester | None = None) -> None:
        """Cancel the panorama scan and the tracker, except those that `except_by` started."""
        if self.panorama_scan is not None:
            self.panorama_scan.cancel(reason, except_by=except_by)
        if self.tracker is not None and (
            except_by is None or self.tracker.requested_by != except_by
        ):
            self.tracker.release()


Args: TypeAlias = ptz_args.Args


def _describe(args: Args) -> str:
    """Return the head and the action, such as `mast goto`."""
    action: str = type(args).__struct_config__.tag  # type: ignore[assignment]
    return action if isinstance(args, PtzListArgs) else f"{args.head} {action}"


def _is_idempotent(args: Args) -> bool:
    """Return False for commands that store, switch or start something longer."""
    return not isinstance(
        args,
        PtzSetPresetArgs
        | PtzDeletePresetArgs
        | PtzStartTourArgs
        | PtzStopTourArgs
        | PtzSweepArgs
        | PtzFollowArgs
        | PtzSetAuxArgs,
    )


COMMAND = CommandType(
    verb="ptz",
    args=Args,
    result=PtzResult,
    summary="a head: list, status, move, presets, tours",
    actions=("see", "move", "stop"),
    describe=_describe,
    is_idempotent=_is_idempotent,
    examples=(
        PtzListArgs(),
        PtzStatusArgs(head="mast"),
        PtzAcquireArgs(head="mast", lease_s=60),
        PtzMoveArgs(pan=-0.5, tilt=0.1, for_s=1.5, head="mast", token=7),
        PtzGotoArgs(pan_deg=-42.5, tilt_deg=-8.0, zoom=0.25, speed=0.8, head="mast"),
        PtzGotoPresetArgs(preset="gate", speed=0.5, head="mast"),
        PtzStopArgs(head="mast"),
        PtzReleaseArgs(head="mast", token=7),
        PtzListPresetsArgs(head="mast"),
        PtzSetPresetArgs(head="mast", preset="gate"),
        PtzDeletePresetArgs(head="mast", preset="gate"),
        PtzStartTourArgs(head="mast", tour="night"),
        PtzStopTourArgs(head="mast"),
        PtzSweepArgs(head="mast"),
        PtzFollowArgs(head="mast", track=7),
        PtzStopFollowArgs(head="mast"),
        PtzSetAuxArgs(head="mast", aux="wiper", on=True),
    ),
    result_examples=(
        PtzResult(lease=LeaseInfo(token=7, by="amina", role="operator", remaining_s=29.8)),
        PtzResult(
            heads=(
                HeadInfo(
                    name="mast",
                    camera="north",
                    capabilities=PtzCapabilities(
                        absolute=True,
                        pan_deg=None,
                        tilt_deg=Range(low=-30.0, high=90.0),
                        pan_max_deg_s=60.0,
                        tilt_max_deg_s=40.0,
                        zoom_ratio=10.0,
                        focus=True,
                        presets=16,
                        aux=("wiper",),
                    ),
                    position=HeadPosition(pan_deg=-42.5, tilt_deg=-8.0, zoom=0.25, error_deg=0.1),
                    moving=False,
                    settled=True,
                    preset="gate",
                    tour=None,
                    lease=None,
                    error=None,
                ),
            )
        ),
        PtzResult(
            presets=(
                Preset(
                    name="gate",
                    pose=Pose(pan_deg=-42.5, tilt_deg=-8.0, zoom=0.25),
                    number=None,
                    stored_time="2026-11-03T07:41:05Z",
                    stored_by="amina",
                ),
            )
        ),
        PtzResult(
            panorama=PanoramaResult(
                camera="north",
                sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                size_bytes=168211,
                frames=10,
            )
        ),
    ),
)


class PtzCommandHandler(CommandHandler):
    """Handles `ptz`."""

    command = COMMAND

    def __init__(self, assemblies: Mapping[str, HeadAssembly], clock_ns: Callable[[], int]) -> None:
        self._assemblies = dict(assemblies)
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._last_stop_number: dict[str, int] = {}

    @property
    def priority_lanes(self) -> tuple[str, ...]:
        """One lane for each head: a head that does not answer delays no stop but its own."""
        return tuple(self._assemblies)

    def permission(self, args: Args) -> Permission:
        """Return `see` for questions, `stop` for a stop, else `move`, on the camera of the head."""
        if isinstance(args, PtzListArgs):
            return Permission(action="see")
        assembly = self._assemblies.get(args.head)
        cameras = () if assembly is None or assembly.camera is None else (assembly.camera,)
        if isinstance(args, PtzStopArgs):
            return Permission(action="stop", cameras=cameras)
        is_question = isinstance(args, PtzStatusArgs | PtzListPresetsArgs)
        return Permission(action="see" if is_question else "move", cameras=cameras)

    def priority_lane(self, args: Args) -> str | None:
        """Return the head's lane for a stop, otherwise None."""
        return args.head if isinstance(args, PtzStopArgs) else None

    def run(
        self, command: ValidCommand, progress_sink: CommandProgressSink
    ) -> PtzResult | Deferred:
        """Execute the command. Raises: CommandRejected."""
        args: Args = command.args
        if isinstance(args, PtzListArgs):
            return PtzResult(
                heads=tuple(self._head_info(assembly) for assembly in self._assemblies.values())
            )
        assembly = self._require_head(args.head)
        match args:
            case PtzStatusArgs():
                return PtzResult(heads=(self._head_info(assembly),))
            case PtzStopArgs():
                self._record_and_stop(assembly, command)
            case PtzReleaseArgs():
                assembly.head.release(command.requester, args.token)
            case PtzListPresetsArgs():
                return PtzResult(presets=assembly.head.presets())
            case PtzDeletePresetArgs():
                assembly.head.delete_preset(args.preset)
            case PtzStopTourArgs():
                _require_tours(assembly, args).stop()
                assembly.head.wake.set()
            case PtzStopFollowArgs():
                _require_tracker(assembly, args).release()
                assembly.head.wake.set()
            case _:
                return self._run_with_head(assembly, args, command, progress_sink)
        return PtzResult()

    def _run_with_head(
        self,
        assembly: HeadAssembly,
        args: _MotionArgs | PtzSetPresetArgs | PtzSetAuxArgs,
        command: ValidCommand,
        progress_sink: CommandProgressSink,
    ) -> PtzResult | Deferred:
        head, requester = assembly.head, command.requester
        match args:
            case PtzSetPresetArgs():
                head.set_preset(args.preset, requester, args.token)
            case PtzSetAuxArgs():
                head.set_aux(args.aux, args.on, requester, args.token)
            case _:
                self._check_not_superseded(head.name, command)
                try:
                    return self._run_motion(assembly, args, command, progress_sink)
                finally:
                    if self._is_superseded(head.name, command):
                        self._record_and_stop(assembly, command)
        return self._lease_result(head.state().lease)

    def _run_motion(
        self,
        assembly: HeadAssembly,
        args: _MotionArgs,
        command: ValidCommand,
        progress_sink: CommandProgressSink,
    ) -> PtzResult | Deferred:
        """Execute a command that moves the head, or lets it be moved: none may outlive a stop."""
        head, requester = assembly.head, command.requester
        match args:
            case PtzAcquireArgs():
                lease = head.acquire(requester, args.lease_s)
                assembly.cancel_automation(
                    f"{requester.id!r} has acquired the head", except_by=requester
                )
            case PtzStartTourArgs():
                _require_tours(assembly, args).start(args.tour)
                head.movers.resume()
                return PtzResult()
            case PtzSweepArgs():
                return self._begin_sweep(assembly, args, command, progress_sink)
            case PtzFollowArgs():
                return self._begin_following(assembly, args, command)
            case _:
                # Checked here too, so that a requester who may not move the head cancels nothing.
                head.check_authorized(requester, args.token)
                assembly.cancel_automation(f"{requester.id!r} moves the head")
                lease = head.move(args, requester, args.token)
        return self._lease_result(lease)

    @staticmethod
    def _begin_sweep(
        assembly: HeadAssembly,
        args: PtzSweepArgs,
        command: ValidCommand,
        progress_sink: CommandProgressSink,
    ) -> Deferred:
        if assembly.panorama_scan is None:
            raise CommandRejected(
                "unsupported", f"head {args.head!r} has no camera, or no field of view"
            )

        def finish(work: Callable[[], PanoramaResult]) -> None:
            progress_sink.finish(lambda: PtzResult(panorama=work()))

        within_s = assembly.panorama_scan.begin(
            command.requester, args.token, progress_sink.report_progress, finish
        )
        if assembly.tracker is not None:
            assembly.tracker.release()
        return Deferred(timeout_s=within_s)

    def _begin_following(
        self, assembly: HeadAssembly, args: PtzFollowArgs, command: ValidCommand
    ) -> PtzResult:
        """Start the tracker. Its role is weaker than the requester's, whose lease is released."""
        tracker, head, requester = (
            _require_tracker(assembly, args),
            assembly.head,
            command.requester,
        )
        lease = head.acquire(requester, token=args.token)
        tracker.follow(args.track, requester)
        if assembly.panorama_scan is not None:
            assembly.panorama_scan.cancel(f"{requester.id!r} starts the tracker")
        head.release(requester, lease.token)
        return self._lease_result(head.state().lease)

    def _record_and_stop(self, assembly: HeadAssembly, command: ValidCommand) -> None:
        """Note the stop, then stop: a command in another thread meets one or the other."""
        name = assembly.head.name
        with self._lock:
            self._last_stop_number[name] = max(
                command.arrival_number, self._last_stop_number.get(name, 0)
            )
        try:
            assembly.head.stop()
        finally:
            assembly.cancel_automation(f"{command.requester.id!r} has stopped the head")

    def _is_superseded(self, head_name: str, command: ValidCommand) -> bool:
        """Return whether a stop arrived after this command."""
        with self._lock:
            return self._last_stop_number.get(head_name, 0) > command.arrival_number

    def _check_not_superseded(self, head_name: str, command: ValidCommand) -> None:
        if self._is_superseded(head_name, command):
            raise CommandRejected("expired", f"head {head_name!r} was stopped after this came in")

    def _require_head(self, name: str) -> HeadAssembly:
        assembly = self._assemblies.get(name)
        if assembly is None:
            known = ", ".join(sorted(self._assemblies)) or "none"
            raise CommandRejected(
                "unknown", f"head {name!r}: no head of this name; there are: {known}"
            )
        return assembly

    def _lease_result(self, lease: Lease | None) -> PtzResult:
        return PtzResult(lease=self._lease_info(lease))

    def _lease_info(self, lease: Lease | None) -> LeaseInfo | None:
        if lease is None:
            return None
        remaining_s = max(0.0, lease.remaining_s(self._clock_ns()))
        return LeaseInfo(
            token=lease.token,
            by=lease.holder.id,
            role=lease.holder.role,
            remaining_s=round(remaining_s, 3),
        )

    def _head_info(self, assembly: HeadAssembly) -> HeadInfo:
        state = assembly.head.state()
        position = None
        if state.position is not None:
            pose = state.position.pose
            position = HeadPosition(
                pan_deg=round(pose.pan_deg, 3),
                tilt_deg=round(pose.tilt_deg, 3),
                zoom=round(pose.zoom, 4),
                error_deg=round(state.position.error_deg, 3),
            )
        return HeadInfo(
            name=assembly.head.name,
            camera=assembly.camera,
            capabilities=assembly.head.capabilities,
            position=position,
            moving=state.moving,
            settled=state.settled,
            preset=state.preset,
            tour=state.tour,
            lease=self._lease_info(state.lease),
            error=state.error,
        )


def _require_tracker(
    assembly: HeadAssembly, args: PtzFollowArgs | PtzStopFollowArgs
) -> AutoTracker:
    if assembly.tracker is None:
        raise CommandRejected(
            "unsupported",
            f"head {args.head!r} cannot follow: its camera has no detection, or the configuration "
            "does not allow it (head.tracking.enabled, head.fov_deg)",
        )
    return assembly.tracker


def _require_tours(assembly: HeadAssembly, args: PtzStartTourArgs | PtzStopTourArgs) -> GuardTours:
    if assembly.guard_tours is None or not assembly.guard_tours.tour_names:
        raise CommandRejected("unsupported", f"head {args.head!r} has no tours")
    return assembly.guard_tours
