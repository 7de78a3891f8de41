"""A pan-tilt head as its users see it: lease, moves, presets, auxiliaries, state and health.

What it does by itself, in cycles, is in `agent.ptz.head_stage`.
"""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from agent.base.clock import Clock, rfc3339
from agent.base.health_model import HeadHealth
from agent.base.model import ShiftTolerance
from agent.base.state_inventory import StateInventory
from agent.commands.requester import CommandRejected, Requester
from agent.config.heads import ForbiddenSector, HeadConfig
from agent.ptz.connection import HeadConnection, rejection_for
from agent.ptz.lease import FencingTokens, LeaseArbiter
from agent.ptz.motion.forbidden_sectors import UNKNOWN_POSITION_DEG
from agent.ptz.motion.move_planner import (
    HeadLimits,
    MovePlan,
    plan_absolute,
    plan_continuous,
    plan_preset,
)
from agent.ptz.motion_controller import ActiveMotion, MotionController
from agent.ptz.movers import Movers
from agent.ptz.odometer import Odometer
from agent.ptz.preset_position import MaskedPresets, PresetPosition
from agent.ptz.preset_store import Preset, PresetStore
from agent.ptz.requests import AbsoluteMove, ContinuousMove, HeadState, Lease, MoveRequest
from drivers.contracts import Aux, Pose, Ptz, PtzCapabilities, PtzPosition
from drivers.errors import DriverError

MAX_POSITION_AGE_S = 0.5
MAX_MOVING_POSITION_AGE_S = 0.05
"""A position no older than this, or than this while the head moves, is good enough to begin a
motion from.
"""


def _no_sectors(_t_ns: int) -> tuple[ForbiddenSector, ...]:
    return ()


RestCallback = Callable[[str | None, bool, ShiftTolerance | None], None]


class RestState:
    """The rest of one head, and its changes. Thread-safe.

    `on_change` is called with each new preset and `settled`, and with how far the picture may have
    shifted at a masked preset.
    """

    def __init__(
        self,
        controller: MotionController,
        preset_position: PresetPosition,
        settle_s: float,
        on_change: RestCallback,
    ) -> None:
        self._controller = controller
        self._preset_position = preset_position
        self._settle_s = settle_s
        self._on_change = on_change
        self._lock = threading.Lock()
        self._last: tuple[str | None, bool] | None = None

    def read(self, t_ns: int) -> tuple[str | None, bool]:
        """Return the preset, None elsewhere or in motion, and whether the picture is settled."""
        since_ns = self._controller.at_rest_since_ns
        if since_ns is None:
            return None, False
        is_settled = (t_ns - since_ns) / 1e9 >= self._settle_s
        return self._preset_position.current_preset(), is_settled

    def notify_again(self, t_ns: int) -> None:
        """Call `on_change`, also if nothing has changed: the scenes of the presets have."""
        with self._lock:
            self._last = None
        self.notify(t_ns)

    def notify(self, t_ns: int) -> None:
        """Call `on_change` if the preset, or whether the picture is settled, has changed."""
        with self._lock:
            current = self.read(t_ns)
            if current == self._last:
                return
            self._last = current
            self._on_change(*current, self._preset_position.shift_tolerance(current[0]))


class MountedCamera(msgspec.Struct, frozen=True, kw_only=True):
    """The camera on a head, if masks hide everything but the scenes of its presets.

    `masked_scenes` has the scene of each preset that one was drawn at. `on_rest_change` is called each time that the
    preset, or whether the picture is settled, changes, with how far the picture may have shifted at a masked preset;
    from any thread, and before the first order of a motion. It must not request a motion.
    """

    masked_scenes: Mapping[str, str]
    on_rest_change: RestCallback


NO_CAMERA = MountedCamera(
    masked_scenes={}, on_rest_change=lambda _preset, _settled, _tolerance: None
)


class PtzHead:
    """One head. Thread-safe.

    `folder` is its own, for presets, tokens and the odometer. `dynamic_sectors` returns the sectors
    of a moment in addition to the configured ones, such as the sun's; a head that rests where one
    of them passes stays. `fixed_presets` are those of the centre's configuration.
    """

    def __init__(
        self,
        config: HeadConfig,
        connection: HeadConnection,
        folder: Path,
        clock: Clock,
        *,
        camera: MountedCamera = NO_CAMERA,
        dynamic_sectors: Callable[[int], tuple[ForbiddenSector, ...]] = _no_sectors,
        fixed_presets: Mapping[str, Preset] = MappingProxyType({}),
        inventory: StateInventory | None = None,
    ) -> None:
        self.name = config.name
        self.config = config
        self.tokens = FencingTokens(folder / "tokens.json", inventory)
        self.odometer = Odometer(folder / "odometer.json", config.rated_life)
        self.connection = connection
        self.wake = threading.Event()
        """Set when the stage has something to do."""
        self.movers = Movers(self.wake)
        self.last_request_ns = clock.boottime_ns()
        """When a request has acquired, moved or stopped the head last."""
        self._preset_store = PresetStore(
            config.name, folder / "presets.json", fixed_presets, inventory
        )
        self._masked_presets = MaskedPresets(config.name, camera.masked_scenes, config.fov_deg)
        self._clock = clock
        self._lock = threading.Lock()
        self._arbiter = LeaseArbiter(config.name, config.lease_s, self.tokens.issue)
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
        self._rest_state = RestState(
            self.controller, self._preset_position, config.settle_s, camera.on_rest_change
        )

    @property
    def capabilities(self) -> PtzCapabilities | None:
        """The capabilities of the head, None while it cannot be opened."""
        return self.connection.capabilities

    def state(self) -> HeadState:
        """Return a snapshot of the head."""
        t_ns = self._clock.boottime_ns()
        preset, settled = self._rest_state.read(t_ns)
        result = self.controller.last_result
        has_failed = result is not None and result.outcome in ("timed_out", "forbidden")
        return HeadState(
            head=self.name,
            position=self.controller.position,
            moving=self.controller.at_rest_since_ns is None,
            settled=settled,
            preset=preset,
            lease=self._lease(t_ns),
            tour=next((mover.tour for mover in self.movers.all if mover.tour is not None), None),
            error=self.connection.last_error
            or (str(result.message) if result and has_failed else None),
        )

    def acquire(
        self, requester: Requester, lease_s: float | None = None, *, token: int | None = None
    ) -> Lease:
        """Acquire the head, or prolong one's lease. The motion of a weaker holder ends.

        Raises: CommandRejected as `LeaseArbiter.authorize`.
        """
        with self._lock:
            lease = self._arbiter.authorize(requester, token, self._clock.boottime_ns(), lease_s)
            self._note_request()
        return lease

    def check_authorized(self, requester: Requester, token: int | None) -> None:
        """Raise what `acquire` would raise, and change nothing."""
        with self._lock:
            self._arbiter.check_authorized(requester, token, self._clock.boottime_ns())

    def release(self, requester: Requester, token: int) -> None:
        """Release the head; the motion of its holder ends.

        A token of a lease that is over changes nothing. Raises: CommandRejected `stale_token` if
        the lease is another's.
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
        """Move the head: acquire it and prolong the lease, for as long as the way may take.

        An automatic mover gives the controller's `request_count` at which it decided: it is
        rejected as `expired` if there were requests since, and does not end the pause after a stop.

        Raises: CommandRejected. Then nothing has changed, unless the device failed or a stop came
        in between.
        """
        with self.controller.order_lock:
            plan, preset = self._plan_move(request, self._clock.boottime_ns())
            # The time of the position query counts neither against the motion nor the lease. It is authorized after the
            # query, in which another requester may have acquired the head.
            t_ns = self._clock.boottime_ns()
            lease_s = self.config.lease_s
            if not isinstance(request, ContinuousMove):
                lease_s = max(lease_s, plan.max_duration_s)
            with self._lock:
                self.controller.check_not_superseded(expected_request_count)
                lease = self._arbiter.authorize(requester, token, t_ns, lease_s)
                self.last_request_ns = t_ns
                if expected_request_count is None:
                    self._note_request()
            if plan.trajectory is not None:
                motion = ActiveMotion(
                    trajectory=plan.trajectory,
                    lease=lease,
                    deadline_ns=t_ns + int(plan.max_duration_s * 1e9),
                    preset=preset,
                )
                self.controller.begin(motion, expected_request_count)
            elif self.controller.motion is not None:
                # The target is already reached, or the velocity is zero.
                self._stop_motion()
            self.wake.set()
        return lease

    def stop(self) -> None:
        """Stop all motion, whatever lease is held; the holder keeps it.

        Automatic motion, a tour or the way home, pauses for `lease_s`. Raises: CommandRejected if
        the head was not reached; the stop is pending then.
        """
        self.last_request_ns = t_ns = self._clock.boottime_ns()
        self.movers.pause(t_ns, self.config.lease_s)
        # In this order: a mover that reads the count after this finds that automation is held.
        self.controller.note_request()
        try:
            self._stop_motion()
        finally:
            self.wake.set()

    def presets(self) -> tuple[Preset, ...]:
        """Return every preset, in the order of their names."""
        return self._preset_store.all()

    def stored_presets(self) -> dict[str, Pose]:
        """Return the pose of each preset that the box itself stores."""
        return self._preset_store.stored_poses()

    def set_preset(self, name: str, requester: Requester, token: int | None = None) -> None:
        """Store the position of the head, which rests, under a name. No motion begins meanwhile.

        Raises: CommandRejected; `forbidden` if masks were drawn at the preset and the head is not
        exactly there.
        """
        with self.controller.order_lock:
            self.check_authorized(requester, token)
            existing = self._preset_store.find(name)
            preset = self._current_preset(name, requester)
            if existing is None or name not in self._masked_presets:
                self._preset_store.save(preset, self._store_on_device)
            elif not self._preset_position.is_at(existing):
                raise self._masked_presets.rejection(name)
        self.wake.set()

    def _current_preset(self, name: str, requester: Requester) -> Preset:
        t_ns, capabilities = self._clock.boottime_ns(), self._limits().capabilities
        position = self._fresh_position()
        if position is None or self.controller.motion is not None or position.moving:
            raise CommandRejected(
                "failed", f"head {self.name!r}: a preset is set while the head rests"
            )
        number = None
        if not capabilities.absolute and capabilities.presets:
            number = self._preset_store.free_number(name, capabilities.presets)
        if position.error_deg >= UNKNOWN_POSITION_DEG and (
            number is None or self._has_sectors(t_ns)
        ):
            raise CommandRejected("failed", f"head {self.name!r}: its position is unknown")
        return Preset(
            name=name,
            pose=position.pose,
            number=number,
            stored_time=rfc3339(self._clock.utc(t_ns)),
            stored_by=requester.id,
        )

    def _store_on_device(self, number: int) -> None:
        self._call(lambda ptz: ptz.store_preset(number))

    def delete_preset(self, name: str) -> None:
        """Delete a preset.

        Raises: CommandRejected `unknown`; `forbidden` if masks were drawn at it: it could be set
        elsewhere then.
        """
        if name in self._masked_presets and self._preset_store.find(name) is not None:
            raise self._masked_presets.rejection(name)
        self._preset_store.delete(name)
        self.wake.set()

    def set_aux(self, aux: Aux, on: bool, requester: Requester, token: int | None = None) -> None:  # noqa: FBT001 - a switch is on or off
        """Switch the wiper, the heater or the lamp; the lease stays. Raises: CommandRejected."""
        self.check_authorized(requester, token)
        if aux not in self._limits().capabilities.aux:
            raise CommandRejected("unsupported", f"head {self.name!r} has no {aux}")
        self._call(lambda ptz: ptz.set_aux(aux, on=on))

    def health(self) -> HeadHealth:
        """Return the head's part of a health report."""
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

    def would_grant(self, requester: Requester, t_ns: int) -> bool:
        """Return whether an automatic mover would get the head, and automation is not held."""
        with self._lock:
            return not self.movers.is_paused(t_ns) and self._arbiter.would_grant(requester, t_ns)

    def lease_remaining_s(self, t_ns: int) -> float | None:
        """Return the seconds that the present lease lasts, or None if there is none."""
        lease = self._lease(t_ns)
        return None if lease is None else lease.remaining_s(t_ns)

    def replace_masked_scenes(self, scenes: Mapping[str, str]) -> None:
        """Count other presets as those that scenes were drawn at: the camera has other scenes."""
        self._masked_presets.replace(scenes)
        self._rest_state.notify_again(self._clock.boottime_ns())

    def notify_at_rest(self) -> None:
        """Call `on_rest_change` if the preset, or whether the picture is settled, has changed."""
        self._rest_state.notify(self._clock.boottime_ns())

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
        """Query the position, unless it is recent, or the head rests and has no sectors."""
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

    def _call(self, operation: Callable[[Ptz], None]) -> None:
        try:
            self.connection.call(operation)
        except DriverError as error:
            raise rejection_for(error) from error

    def _stop_motion(self) -> None:
        try:
            self.controller.stop()
        except DriverError as error:
            raise rejection_for(error) from error

    def _note_request(self) -> None:
        """Note a request, which also ends the pause of automation."""
        self.last_request_ns = self._clock.boottime_ns()
        self.controller.note_request()
        self.movers.resume()

    def _lease(self, t_ns: int) -> Lease | None:
        with self._lock:
            return self._arbiter.lease(t_ns)

    def _is_lease_valid(self, lease: Lease, t_ns: int) -> bool:
        current = self._lease(t_ns)
        return current is not None and current.token == lease.token
