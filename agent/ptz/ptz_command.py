"""`ptz`: who has a head, where it looks, and what it remembers.

What moves a head may be repeated after a crash: it is bounded by its lease, its expiry and its
longest duration, and who asks for it looks on. A stop is done before all that waits, and takes away
what came before it: what moves the head, or lets it be moved, is not done, or ended at once where
it was on its way when the stop came.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

import msgspec

from agent.commands.command import CommandProgressSink, Deferred, ValidCommand
from agent.commands.requester import CommandRejected, Requester
from agent.ptz import messages
from agent.ptz.automation.auto_tracking import AutoTracker
from agent.ptz.automation.guard_tours import GuardTours
from agent.ptz.head import PtzHead
from agent.ptz.messages import (
    Follow,
    FollowStop,
    Goto,
    HeadInfo,
    HeadPosition,
    LeaseInfo,
    List,
    Move,
    PanoramaResult,
    PresetDelete,
    Presets,
    PresetSet,
    PtzResult,
    RecallPreset,
    Release,
    Stop,
    Sweep,
    Switch,
    Take,
    TourStart,
    TourStop,
    Where,
)
from agent.ptz.requests import Lease
from drivers.media import Frame

VERB = "ptz"

Args: TypeAlias = messages.Args
Result: TypeAlias = PtzResult
_Moving: TypeAlias = Take | Move | Goto | RecallPreset | TourStart | Sweep | Follow


class Sweeper(Protocol):
    """The round looks of one head, such as `agent.ptz.automation.panorama_scan.RoundLook`."""

    def begin(
        self,
        asker: Requester,
        token: int | None,
        progress: Callable[[float, str], None],
        finish: Callable[[Callable[[], PanoramaResult]], None],
    ) -> float:
        """Begin a sweep: who asks, his token, what is told of its progress (a share and a sentence),
        and what is given the work that makes the picture, or raises Refused. It gives the seconds
        that it takes at the most. Raises Refused.
        """
        ...

    def cancel(self, why: str, *, but: Requester | None = None) -> None:
        """End the one that is under way, if one is and it is not one of `but`'s."""
        ...

    def offer(self, frame: Frame) -> None:
        """A frame of the head's camera, from its own thread. Costs nothing while none is wanted."""
        ...


class HeadAssembly(msgspec.Struct, frozen=True, kw_only=True):
    """A head, and what is on it: its camera, its tours, its sweep and its tracker, None where it
    has none.
    """

    head: PtzHead
    camera: str | None = None
    tours: GuardTours | None = None
    sweep: Sweeper | None = None
    tracker: AutoTracker | None = None

    def cancel_automation(self, why: str, *, but: Requester | None = None) -> None:
        """End what a person has begun and what goes on by itself, but for the tour, and for what
        `but` has begun himself.
        """
        if self.sweep is not None:
            self.sweep.cancel(why, but=but)
        if self.tracker is not None and (but is None or self.tracker.begun_by != but):
            self.tracker.release()


class PtzCommandHandler:
    """See `agent.commands.command.Verb`."""

    name = VERB
    args = Args

    def __init__(self, heads: Mapping[str, HeadAssembly], clock_ns: Callable[[], int]) -> None:
        self._heads = dict(heads)
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._stopped: dict[str, int] = {}

    @property
    def priority_lanes(self) -> tuple[str, ...]:
        """A head that does not answer holds up no stop but its own."""
        return tuple(self._heads)

    def subject(self, args: Args) -> str:
        """Such as `mast goto`."""
        what: str = type(args).__struct_config__.tag  # type: ignore[assignment]
        return what if isinstance(args, List) else f"{args.head} {what}"

    def is_idempotent(self, args: Args) -> bool:
        """All but what remembers, switches or begins something longer."""
        return not isinstance(
            args, PresetSet | PresetDelete | TourStart | TourStop | Sweep | Follow | Switch
        )

    def priority_lane(self, args: Args) -> str | None:
        """A stop."""
        return args.head if isinstance(args, Stop) else None

    def run(self, order: ValidCommand, course: CommandProgressSink) -> PtzResult | Deferred:
        """Do it."""
        args: Args = order.args
        if isinstance(args, List):
            return PtzResult(
                heads=tuple(self._head_info(mounted) for mounted in self._heads.values())
            )
        mounted = self._mounted(args.head)
        match args:
            case Where():
                return PtzResult(heads=(self._head_info(mounted),))
            case Stop():
                self._stop(mounted, order)
            case Release():
                mounted.head.release(order.asker, args.token)
            case Presets():
                return PtzResult(presets=mounted.head.presets())
            case PresetDelete():
                mounted.head.preset_delete(args.preset)
            case TourStop():
                _tours(mounted, args).stop()
                mounted.head.wake.set()
            case FollowStop():
                _tracker(mounted, args).release()
                mounted.head.wake.set()
            case _:
                return self._needs_head(mounted, args, order, course)
        return PtzResult()

    def _needs_head(
        self,
        mounted: HeadAssembly,
        args: _Moving | PresetSet | Switch,
        order: ValidCommand,
        course: CommandProgressSink,
    ) -> PtzResult | Deferred:
        head, asker = mounted.head, order.asker
        match args:
            case PresetSet():
                head.preset_set(args.preset, asker, args.token)
            case Switch():
                head.switch(args.aux, args.on, asker, args.token)
            case _:
                self._refuse_overtaken(head.name, order)
                try:
                    return self._moved(mounted, args, order, course)
                finally:
                    if self._is_overtaken(head.name, order):
                        self._stop(mounted, order)
        return self._with(head.state().lease)

    def _moved(
        self, mounted: HeadAssembly, args: _Moving, order: ValidCommand, course: CommandProgressSink
    ) -> PtzResult | Deferred:
        """What moves the head, or lets it be moved: nothing of it may outlive a stop."""
        head, asker = mounted.head, order.asker
        match args:
            case Take():
                lease = head.take(asker, args.lease_s)
                mounted.cancel_automation(f"{asker.id!r} has taken the head", but=asker)
            case TourStart():
                _tours(mounted, args).start(args.tour)
                head.resume()
                return PtzResult()
            case Sweep():
                return self._sweep(mounted, args, order, course)
            case Follow():
                return self._follow(mounted, args, order)
            case _:
                # Who may not move it ends nothing; who may has it to himself before he does.
                head.check(asker, args.token)
                mounted.cancel_automation(f"{asker.id!r} moves the head")
                lease = head.move(args, asker, args.token)
        return self._with(lease)

    @staticmethod
    def _sweep(
        mounted: HeadAssembly, args: Sweep, order: ValidCommand, course: CommandProgressSink
    ) -> Deferred:
        if mounted.sweep is None:
            raise CommandRejected(
                "unsupported", f"head {args.head!r} has no camera, or no field of view"
            )

        def finish(work: Callable[[], PanoramaResult]) -> None:
            course.finish(lambda: PtzResult(panorama=work()))

        within_s = mounted.sweep.begin(order.asker, args.token, course.progress, finish)
        if mounted.tracker is not None:
            mounted.tracker.release()
        return Deferred(within_s=within_s)

    def _follow(self, mounted: HeadAssembly, args: Follow, order: ValidCommand) -> PtzResult:
        """Tracking is weaker than who asks, so he has to let go of the head for it."""
        tracker, head, asker = _tracker(mounted, args), mounted.head, order.asker
        lease = head.take(asker, token=args.token)
        tracker.follow(args.track, asker)
        if mounted.sweep is not None:
            mounted.sweep.cancel(f"{asker.id!r} has somebody followed")
        head.release(asker, lease.token)
        return self._with(head.state().lease)

    def _stop(self, mounted: HeadAssembly, order: ValidCommand) -> None:
        """First it is noted, then done: what is on its way in another thread meets one or the
        other.
        """
        name = mounted.head.name
        with self._lock:
            self._stopped[name] = max(order.number, self._stopped.get(name, 0))
        self._stop_motion(mounted, order)

    @staticmethod
    def _stop_motion(mounted: HeadAssembly, order: ValidCommand) -> None:
        try:
            mounted.head.stop(order.asker)
        finally:
            mounted.cancel_automation(f"{order.asker.id!r} has stopped the head")

    def _is_overtaken(self, head: str, order: ValidCommand) -> bool:
        """Whether a stop came after this order."""
        with self._lock:
            return self._stopped.get(head, 0) > order.number

    def _refuse_overtaken(self, head: str, order: ValidCommand) -> None:
        if self._is_overtaken(head, order):
            raise CommandRejected("expired", f"head {head!r} was told to stop after this came in")

    def _mounted(self, name: str) -> HeadAssembly:
        mounted = self._heads.get(name)
        if mounted is None:
            known = ", ".join(sorted(self._heads)) or "none"
            raise CommandRejected(
                "unknown", f"head {name!r}: none of that name; there are: {known}"
            )
        return mounted

    def _with(self, lease: Lease | None) -> PtzResult:
        return PtzResult(lease=self._lease_told(lease))

    def _lease_told(self, lease: Lease | None) -> LeaseInfo | None:
        if lease is None:
            return None
        left_s = max(0.0, (lease.expires_ns - self._clock_ns()) / 1e9)
        return LeaseInfo(
            token=lease.token,
            by=lease.holder.id,
            role=lease.holder.role,
            left_s=round(left_s, 3),
        )

    def _head_info(self, mounted: HeadAssembly) -> HeadInfo:
        state = mounted.head.state()
        place = None
        if state.position is not None:
            pose = state.position.pose
            place = HeadPosition(
                pan_deg=round(pose.pan_deg, 3),
                tilt_deg=round(pose.tilt_deg, 3),
                zoom=round(pose.zoom, 4),
                error_deg=round(state.position.error_deg, 3),
            )
        return HeadInfo(
            name=mounted.head.name,
            camera=mounted.camera,
            abilities=mounted.head.abilities,
            place=place,
            moving=state.moving,
            settled=state.settled,
            preset=state.preset,
            tour=state.tour,
            lease=self._lease_told(state.lease),
            error=state.error,
        )


def _tracker(mounted: HeadAssembly, args: Follow | FollowStop) -> AutoTracker:
    if mounted.tracker is None:
        raise CommandRejected(
            "unsupported",
            f"head {args.head!r} follows nobody: its camera is not watched, or the configuration "
            "does not allow it (head.tracking.enabled, head.fov_deg)",
        )
    return mounted.tracker


def _tours(mounted: HeadAssembly, args: TourStart | TourStop) -> GuardTours:
    if mounted.tours is None or not mounted.tours.names:
        raise CommandRejected("unsupported", f"head {args.head!r} has no tours")
    return mounted.tours
