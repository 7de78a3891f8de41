"""A pan-tilt head, for whoever wants something of it: rights, wishes, presets, and how it is.

What it does by itself, again and again, is its stage's: see `agent.ptz.head_stage`.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from agent.base.clock import Clock
from agent.base.health_model import HeadHealth
from agent.base.model import ShiftTolerance
from agent.commands.requester import ROLES, CommandRejected, Requester
from agent.config.heads import ForbiddenSector, HeadConfig
from agent.faults.registry import FaultRegistry
from agent.ptz.automation.auto_mover import AutoMover
from agent.ptz.connection import HeadConnection, rejection_for
from agent.ptz.fencing_tokens import FencingTokens
from agent.ptz.lease import LeaseArbiter
from agent.ptz.masked_presets import MaskedPresets
from agent.ptz.motion.forbidden_sectors import UNKNOWN_POSITION_DEG
from agent.ptz.motion.move_planner import (
    HeadLimits,
    MovePlan,
    plan_absolute,
    plan_continuous,
    plan_preset,
)
from agent.ptz.motion_controller import ActiveMotion, MotionController
from agent.ptz.odometer import Odometer
from agent.ptz.preset_position import PresetPosition
from agent.ptz.preset_store import Preset, PresetStore
from agent.ptz.requests import AbsoluteMove, ContinuousMove, HeadState, Lease, MoveRequest
from drivers.contracts import Aux, Ptz, PtzCapabilities, PtzPosition
from drivers.errors import DriverError

MAX_POSITION_AGE_S = 0.5
MAX_MOVING_POSITION_AGE_S = 0.05
"""A place that was asked for this long ago, or this long while it moves, is not asked for again before
a motion begins.
"""

RestCallback = Callable[[str | None, bool, ShiftTolerance | None], None]


def _no_sectors(_t_ns: int) -> tuple[ForbiddenSector, ...]:
    return ()


class PtzHead:
    """One head. Any thread may call.

    `folder` is its own, for presets, tokens and wear. `forbidden` gives the sectors of a moment
    beside those of the configuration, such as the sun's; a head that rests where one of them comes
    by stays. `drawn` names the scene of each preset that one was drawn at, where masks hide all but
    those. `on_rest` is told each time that the preset or whether the picture is settled changes,
    and how far the picture may have shifted at one that is in `drawn`; from whichever thread finds
    it, and before the first order of a motion. It must not ask for a motion itself.
    """

    def __init__(
        self,
        config: HeadConfig,
        open_ptz: Callable[[], Ptz],
        folder: Path,
        clock: Clock,
        faults: FaultRegistry,
        *,
        movers: Sequence[AutoMover] = (),
        dynamic_sectors: Callable[[int], tuple[ForbiddenSector, ...]] = _no_sectors,
        masked_scenes: Mapping[str, str] = MappingProxyType({}),
        on_rest_change: RestCallback = lambda _preset, _settled, _leeway: None,
    ) -> None:
        self.name = config.name
        self.config = config
        self._movers: tuple[AutoMover, ...] = ()
        self.tokens = FencingTokens(folder / "tokens.json")
        self.odometer = Odometer(folder / "odometer.json", config.rated_life)
        self.connection = HeadConnection(config.name, open_ptz, faults)
        self.wake = threading.Event()
        """Set when the stage has something to look at."""
        self._preset_store = PresetStore(config.name, folder / "presets.json")
        self._masked_presets = MaskedPresets(config.name, masked_scenes, config.fov_deg)
        self._clock = clock
        self._on_rest_change = on_rest_change
        self._lock = threading.Lock()
        self._arbiter = LeaseArbiter(config.name, config.lease_s, self.tokens.issue)
        self._last_rest_state: tuple[str | None, bool] | None = None
        self._rest_lock = threading.Lock()
        self._last_request_ns = clock.boottime_ns()
        self._automation_held_until_ns = 0
        for mover in movers:
            self.add_mover(mover)
        self.controller = MotionController(
            config,
            self.connection,
            lambda t_ns: (*config.forbidden, *dynamic_sectors(t_ns)),
            clock.boottime_ns,
            self._is_lease_valid,
            self.notify_at_rest,
        )
        self._preset_position = PresetPosition(
            self._preset_store, self._masked_presets, self.controller, self.connection
        )

    @property
    def capabilities(self) -> PtzCapabilities | None:
        """What it can do, None while it cannot be opened."""
        return self.connection.capabilities

    @property
    def last_request_ns(self) -> int:
        """When somebody wanted something of it last."""
        return self._last_request_ns

    def state(self) -> HeadState:
        """How it is now."""
        t_ns = self._clock.boottime_ns()
        preset, settled = self._rest_state(t_ns)
        last_result = self.controller.last_result
        motion_error = (
            last_result.message
            if last_result and last_result.outcome in ("late", "forbidden")
            else None
        )
        with self._lock:
            lease = self._arbiter.lease(t_ns)
        return HeadState(
            head=self.name,
            position=self.controller.position,
            moving=self.controller.at_rest_since_ns is None,
            settled=settled,
            preset=preset,
            lease=lease,
            tour=next((mover.tour for mover in self.movers if mover.tour is not None), None),
            error=self.connection.last_error or motion_error,
        )

    def acquire(
        self, requester: Requester, lease_s: float | None = None, *, token: int | None = None
    ) -> Lease:
        """Take the head, or prolong one's lease. What a weaker holder had it do ends. Raises
        Refused `busy`, and `stale_token` where a token is given and its lease is over.
        """
        with self._lock:
            lease = self._arbiter.authorize(requester, token, self._clock.boottime_ns(), lease_s)
            self._note_request()
        return lease

    def check_authorized(self, requester: Requester, token: int | None) -> None:
        """Raise what `take` would raise, and change nothing."""
        with self._lock:
            self._arbiter.check_authorized(requester, token, self._clock.boottime_ns())

    def release(self, requester: Requester, token: int) -> None:
        """Give the head back; what he had it do ends. A token of a lease that is over changes
        nothing. Raises CommandRejected `stale_token` where it is another's.
        """
        with self._lock:
            self._arbiter.release(requester, token, self._clock.boottime_ns())
        self.wake.set()

    def move(
        self,
        request: MoveRequest,
        requester: Requester,
        token: int | None = None,
        *,
        expected_request_count: int | None = None,
    ) -> Lease:
        """Move. It takes the head where that is free or weaker held, and prolongs the lease; to go
        somewhere, for as long as that may take. Raises CommandRejected, and nothing has changed then but
        where the device failed or a stop came in between.

        Who moves it by himself gives the `words` of the helm at which he decided: he is refused as
        `expired` where somebody has said another since, and does not end the rest after a stop.
        """
        with self.controller.order_lock:
            self.check_authorized(requester, token)
            plan, preset = self._plan_move(request, self._clock.boottime_ns())
            # What it takes to find where the head is counts neither against the motion nor the lease.
            t_ns = self._clock.boottime_ns()
            lease_s = self.config.lease_s
            if not isinstance(request, ContinuousMove):
                lease_s = max(lease_s, plan.max_duration_s)
            with self._lock:
                self.controller.check_not_superseded(expected_request_count)
                lease = self._arbiter.authorize(requester, token, t_ns, lease_s)
                self._last_request_ns = t_ns
                if expected_request_count is None:
                    self._note_request()
            if plan.trajectory is None:
                self._stop_if_moving()
            else:
                deadline_ns = t_ns + int(plan.max_duration_s * 1e9)
                self.controller.begin(
                    ActiveMotion(
                        trajectory=plan.trajectory,
                        lease=lease,
                        deadline_ns=deadline_ns,
                        preset=preset,
                    ),
                    expected_request_count,
                )
            self.wake.set()
        return lease

    def stop(self, requester: Requester) -> None:
        """End all motion, whoever asks and whoever has the head; he keeps it. What moves by itself,
        a tour or the way home, keeps still for `lease_s`. Raises CommandRejected where the head was not
        reached; it is stopped then as soon as it is.
        """
        self._automation_held_until_ns = self._clock.boottime_ns() + int(self.config.lease_s * 1e9)
        self._last_request_ns = self._clock.boottime_ns()
        # In this order: who reads the words after this one finds that the head keeps still.
        self.controller.note_request()
        try:
            self.controller.stop()
        except DriverError as error:
            raise rejection_for(error) from error
        finally:
            self.wake.set()

    def resume_automation(self) -> None:
        """What moves by itself need not keep still any longer after a stop."""
        self._automation_held_until_ns = 0
        self.wake.set()

    def presets(self) -> tuple[Preset, ...]:
        """Every preset, by name."""
        return self._preset_store.all()

    def set_preset(self, name: str, requester: Requester, token: int | None = None) -> None:
        """Remember where the head stands under a name; no motion begins meanwhile. Raises CommandRejected:
        `forbidden` where masks were drawn at the preset and the head is not exactly there.
        """
        with self.controller.order_lock:
            self.check_authorized(requester, token)
            existing = self._preset_store.find(name)
            preset = self._current_preset(name, requester)
            if existing is None or name not in self._masked_presets:
                self._preset_store.save_with_device(preset, self._store_on_device)
            elif not self._preset_position.is_at(existing):
                raise self._masked_presets.rejection(name)
        self.wake.set()

    def _current_preset(self, name: str, requester: Requester) -> Preset:
        """The place where the head stands, as a preset. Raises CommandRejected."""
        t_ns, capabilities = self._clock.boottime_ns(), self._limits().capabilities
        position = self._fresh_position()
        if position is None or self.controller.motion is not None or position.moving:
            raise CommandRejected(
                "failed", f"head {self.name!r}: a preset is of a place where it stands"
            )
        number = None
        if not capabilities.absolute and capabilities.presets:
            number = self._preset_store.free_number(name, capabilities.presets)
        if position.error_deg >= UNKNOWN_POSITION_DEG and (
            number is None or self._has_sectors(t_ns)
        ):
            raise CommandRejected("failed", f"head {self.name!r}: nobody knows where it looks")
        return Preset(
            name=name,
            pose=position.pose,
            number=number,
            stored_time=_format_rfc3339(self._clock.utc(t_ns)),
            stored_by=requester.id,
        )

    def _store_on_device(self, number: int) -> None:
        try:
            self.connection.call(lambda ptz: ptz.store_preset(number))
        except DriverError as error:
            raise rejection_for(error) from error

    def delete_preset(self, name: str) -> None:
        """Forget a preset. Raises CommandRejected: `unknown`, and `forbidden` where masks were drawn at it:
        it could be set elsewhere then.
        """
        if name in self._masked_presets and self._preset_store.find(name) is not None:
            raise self._masked_presets.rejection(name)
        self._preset_store.delete(name)
        self.wake.set()

    def set_aux(self, aux: Aux, on: bool, requester: Requester, token: int | None = None) -> None:  # noqa: FBT001 - a switch is on or off
        """Switch the wiper, the heater or the lamp; that takes the head from nobody. Raises
        Refused.
        """
        self.check_authorized(requester, token)
        if aux not in self._limits().capabilities.aux:
            raise CommandRejected("unsupported", f"head {self.name!r} has no {aux}")
        try:
            self.connection.call(lambda ptz: ptz.set_aux(aux, on=on))
        except DriverError as error:
            raise rejection_for(error) from error

    def health(self) -> HeadHealth:
        """How it is, in numbers."""
        state, wear = self.state(), self.odometer.wear
        position = state.position
        return HeadHealth(
            name=self.name,
            open=self.capabilities is not None,
            pan_deg=None if position is None else round(position.pose.pan_deg, 2),
            tilt_deg=None if position is None else round(position.pose.tilt_deg, 2),
            zoom=None if position is None else round(position.pose.zoom, 3),
            error_deg=None if position is None else round(position.error_deg, 2),
            moving=state.moving,
            preset=state.preset,
            holder=None if state.lease is None else state.lease.holder.role,
            tour=state.tour,
            reconnects=self.connection.reconnect_count,
            moved_pan_deg=round(wear.pan_deg, 1),
            moved_tilt_deg=round(wear.tilt_deg, 1),
            starts=wear.starts,
            reversals=wear.reversals,
            moving_h=round(wear.moving_s / 3600, 3),
            last_error=state.error,
        )

    @property
    def movers(self) -> tuple[AutoMover, ...]:
        """Who moves it by himself, the strongest first."""
        return self._movers

    def add_mover(self, mover: AutoMover) -> None:
        """Let a mover move it while nobody stronger does; of two that are equal the later one. One
        that comes because a person wants it need not wait after a stop: see `resume`.
        """
        with self._lock:
            self._movers = tuple(
                sorted((mover, *self._movers), key=lambda each: ROLES.index(each.requester.role))
            )
        self.wake.set()

    def remove_mover(self, mover: AutoMover) -> None:
        """Ask it no more; what it has begun goes on to its end, or until somebody stops it."""
        with self._lock:
            self._movers = tuple(each for each in self._movers if each is not mover)

    def would_grant(self, requester: Requester, t_ns: int) -> bool:
        """Whether he would get the head, and nobody has just stopped it."""
        with self._lock:
            return not self.is_held_after_stop(t_ns) and self._arbiter.would_grant(requester, t_ns)

    def is_held_after_stop(self, t_ns: int) -> bool:
        """Whether somebody has just stopped it, so that it does nothing by itself."""
        return t_ns < self._automation_held_until_ns

    def lease_remaining_s(self, t_ns: int) -> float | None:
        """How long the present lease lasts, None where there is none."""
        with self._lock:
            lease = self._arbiter.lease(t_ns)
        return None if lease is None else (lease.expires_ns - t_ns) / 1e9

    def notify_at_rest(self) -> None:
        """Tell where the head rests and whether its picture is settled, where that has changed."""
        with self._rest_lock:
            rest_state = self._rest_state(self._clock.boottime_ns())
            if rest_state == self._last_rest_state:
                return
            self._last_rest_state = rest_state
            self._on_rest_change(*rest_state, self._preset_position.shift_tolerance(rest_state[0]))

    def _rest_state(self, t_ns: int) -> tuple[str | None, bool]:
        since_ns = self.controller.at_rest_since_ns
        if since_ns is None:
            return None, False
        return self._preset_position.current_preset(), (
            t_ns - since_ns
        ) / 1e9 >= self.config.settle_s

    def _plan_move(self, request: MoveRequest, t_ns: int) -> tuple[MovePlan, str | None]:
        limits = self._limits()
        if isinstance(request, ContinuousMove) and not self._has_sectors(t_ns):
            # Steering by hand waits for no answer that nothing depends on.
            return plan_continuous(request, t_ns, None, self.controller.bounds(t_ns), limits), None
        position = self._fresh_position()
        t_ns = self._clock.boottime_ns()
        bounds = self.controller.bounds(t_ns)
        if isinstance(request, ContinuousMove):
            return plan_continuous(request, t_ns, position, bounds, limits), None
        if isinstance(request, AbsoluteMove):
            return plan_absolute(request, position, bounds, limits), None
        preset = self._preset_store.get(request.preset)
        is_off_preset = preset.name in self._masked_presets and not self._preset_position.is_at(
            preset
        )
        plan = plan_preset(
            preset, request.speed, position, bounds, limits, always_send=is_off_preset
        )
        return plan, preset.name

    def _limits(self) -> HeadLimits:
        capabilities = self.connection.capabilities
        if capabilities is None:
            reason = self.connection.last_error or f"head {self.name!r} is not open yet"
            raise CommandRejected("unavailable", reason)
        return HeadLimits(config=self.config, capabilities=capabilities)

    def _fresh_position(self) -> PtzPosition | None:
        """Where it is: asked, unless it was just now, or it stands and nothing depends on it."""
        position, t_ns = self.controller.position, self._clock.boottime_ns()
        at_rest = self.controller.at_rest_since_ns is not None
        if position is not None:
            age_s = (t_ns - position.t_ns) / 1e9
            is_fresh = age_s <= (MAX_POSITION_AGE_S if at_rest else MAX_MOVING_POSITION_AGE_S)
            if is_fresh or (at_rest and not self._has_sectors(t_ns)):
                return position
        try:
            return self.controller.query_position()
        except DriverError as error:
            raise rejection_for(error) from error

    def _has_sectors(self, t_ns: int) -> bool:
        return bool(self.controller.bounds(t_ns).sectors)

    def _stop_if_moving(self) -> None:
        """It is where it was wanted, or nothing was wanted of it."""
        if self.controller.motion is None:
            return
        try:
            self.controller.stop()
        except DriverError as error:
            raise rejection_for(error) from error

    def _note_request(self) -> None:
        """Somebody wants the head: nobody need wait any longer because it was stopped."""
        self._last_request_ns = self._clock.boottime_ns()
        self._automation_held_until_ns = 0
        self.controller.note_request()
        self.wake.set()

    def _is_lease_valid(self, lease: Lease, t_ns: int) -> bool:
        with self._lock:
            current = self._arbiter.lease(t_ns)
        return current is not None and current.token == lease.token


def _format_rfc3339(utc: datetime) -> str:
    return utc.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
