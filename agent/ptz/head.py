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
from agent.config.heads import HeadConfig, Sector
from agent.faults.registry import FaultRegistry
from agent.ptz.automation.mover import AutoMover
from agent.ptz.connection import HeadConnection, rejection_for
from agent.ptz.fencing_tokens import FencingTokens
from agent.ptz.lease import LeaseArbiter
from agent.ptz.masked_presets import MaskedPresets
from agent.ptz.motion.forbidden_sectors import NOBODY_KNOWS_DEG
from agent.ptz.motion.planner import HeadLimits, MovePlan, plan_drive, plan_point, plan_recall
from agent.ptz.motion_controller import ActiveMotion, MotionController
from agent.ptz.odometer import Odometer
from agent.ptz.preset_position import PresetPosition
from agent.ptz.presets import Preset, Presets
from agent.ptz.requests import AbsoluteMove, ContinuousMove, HeadState, Lease, Wish
from drivers.contracts import Aux, Ptz, PtzAbilities, PtzPosition
from drivers.errors import DriverError

FRESH_S = 0.5
MOVING_FRESH_S = 0.05
"""A place that was asked for this long ago, or this long while it moves, is not asked for again before
a motion begins.
"""

OnRest = Callable[[str | None, bool, ShiftTolerance | None], None]


def _no_sectors(_t_ns: int) -> tuple[Sector, ...]:
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
        forbidden: Callable[[int], tuple[Sector, ...]] = _no_sectors,
        drawn: Mapping[str, str] = MappingProxyType({}),
        on_rest: OnRest = lambda _preset, _settled, _leeway: None,
    ) -> None:
        self.name = config.name
        self.config = config
        self._movers: tuple[AutoMover, ...] = ()
        self.tokens = FencingTokens(folder / "tokens.json")
        self.odometer = Odometer(folder / "wear.json", config.promise)
        self.link = HeadConnection(config.name, open_ptz, faults)
        self.wake = threading.Event()
        """Set when the stage has something to look at."""
        self._presets = Presets(config.name, folder / "presets.json")
        self._drawn = MaskedPresets(config.name, drawn, config.fov_deg)
        self._clock = clock
        self._on_rest = on_rest
        self._lock = threading.Lock()
        self._authority = LeaseArbiter(config.name, config.lease_s, self.tokens.take)
        self._rests: tuple[str | None, bool] | None = None
        self._rest_lock = threading.Lock()
        self._wished_ns = clock.boottime_ns()
        self._quiet_until_ns = 0
        for mover in movers:
            self.add(mover)
        self.helm = MotionController(
            config,
            self.link,
            lambda t_ns: (*config.forbidden, *forbidden(t_ns)),
            clock.boottime_ns,
            self._holds,
            self.notify_at_rest,
        )
        self._whereabouts = PresetPosition(self._presets, self._drawn, self.helm, self.link)

    @property
    def abilities(self) -> PtzAbilities | None:
        """What it can do, None while it cannot be opened."""
        return self.link.abilities

    @property
    def last_request_ns(self) -> int:
        """When somebody wanted something of it last."""
        return self._wished_ns

    def state(self) -> HeadState:
        """How it is now."""
        t_ns = self._clock.boottime_ns()
        preset, settled = self._at_rest(t_ns)
        ending = self.helm.ending
        went_wrong = ending.sentence if ending and ending.how in ("late", "forbidden") else None
        with self._lock:
            lease = self._authority.lease(t_ns)
        return HeadState(
            head=self.name,
            position=self.helm.position,
            moving=self.helm.at_rest_since_ns is None,
            settled=settled,
            preset=preset,
            lease=lease,
            tour=next((mover.tour for mover in self.movers if mover.tour is not None), None),
            error=self.link.last_error or went_wrong,
        )

    def take(
        self, asker: Requester, lease_s: float | None = None, *, token: int | None = None
    ) -> Lease:
        """Take the head, or prolong one's lease. What a weaker holder had it do ends. Raises
        Refused `busy`, and `fenced` where a token is given and its lease is over.
        """
        with self._lock:
            lease = self._authority.use(asker, token, self._clock.boottime_ns(), lease_s)
            self._note_request()
        return lease

    def check(self, asker: Requester, token: int | None) -> None:
        """Raise what `take` would raise, and change nothing."""
        with self._lock:
            self._authority.check(asker, token, self._clock.boottime_ns())

    def release(self, asker: Requester, token: int) -> None:
        """Give the head back; what he had it do ends. A token of a lease that is over changes
        nothing. Raises Refused `fenced` where it is another's.
        """
        with self._lock:
            self._authority.release(asker, token, self._clock.boottime_ns())
        self.wake.set()

    def move(
        self, wish: Wish, asker: Requester, token: int | None = None, *, words: int | None = None
    ) -> Lease:
        """Move. It takes the head where that is free or weaker held, and prolongs the lease; to go
        somewhere, for as long as that may take. Raises Refused, and nothing has changed then but
        where the device failed or a stop came in between.

        Who moves it by himself gives the `words` of the helm at which he decided: he is refused as
        `expired` where somebody has said another since, and does not end the rest after a stop.
        """
        with self.helm.orders:
            self.check(asker, token)
            plan, preset = self._plan(wish, self._clock.boottime_ns())
            # What it takes to find where the head is counts neither against the motion nor the lease.
            t_ns = self._clock.boottime_ns()
            lease_s = self.config.lease_s
            if not isinstance(wish, ContinuousMove):
                lease_s = max(lease_s, plan.lasts_s)
            with self._lock:
                self.helm.check_not_superseded(words)
                lease = self._authority.use(asker, token, t_ns, lease_s)
                self._wished_ns = t_ns
                if words is None:
                    self._note_request()
            if plan.course is None:
                self._stop_if_moving()
            else:
                ends_ns = t_ns + int(plan.lasts_s * 1e9)
                self.helm.begin(
                    ActiveMotion(course=plan.course, lease=lease, ends_ns=ends_ns, preset=preset),
                    words,
                )
            self.wake.set()
        return lease

    def stop(self, asker: Requester) -> None:
        """End all motion, whoever asks and whoever has the head; he keeps it. What moves by itself,
        a tour or the way home, keeps still for `lease_s`. Raises Refused where the head was not
        reached; it is stopped then as soon as it is.
        """
        self._quiet_until_ns = self._clock.boottime_ns() + int(self.config.lease_s * 1e9)
        self._wished_ns = self._clock.boottime_ns()
        # In this order: who reads the words after this one finds that the head keeps still.
        self.helm.note_request()
        try:
            self.helm.stop()
        except DriverError as error:
            raise rejection_for(error) from error
        finally:
            self.wake.set()

    def resume(self) -> None:
        """What moves by itself need not keep still any longer after a stop."""
        self._quiet_until_ns = 0
        self.wake.set()

    def presets(self) -> tuple[Preset, ...]:
        """Every preset, by name."""
        return self._presets.all()

    def preset_set(self, name: str, asker: Requester, token: int | None = None) -> None:
        """Remember where the head stands under a name; no motion begins meanwhile. Raises Refused:
        `forbidden` where masks were drawn at the preset and the head is not exactly there.
        """
        with self.helm.orders:
            self.check(asker, token)
            known = self._presets.find(name)
            preset = self._current_preset(name, asker)
            if known is None or name not in self._drawn:
                self._presets.remember(preset, self._store_on_device)
            elif not self._whereabouts.is_at(known):
                raise self._drawn.refusal(name)
        self.wake.set()

    def _current_preset(self, name: str, asker: Requester) -> Preset:
        """The place where the head stands, as a preset. Raises Refused."""
        t_ns, abilities = self._clock.boottime_ns(), self._limits().abilities
        position = self._fresh_position()
        if position is None or self.helm.motion is not None or position.moving:
            raise CommandRejected(
                "failed", f"head {self.name!r}: a preset is of a place where it stands"
            )
        number = None
        if not abilities.absolute and abilities.presets:
            number = self._presets.free_number(name, abilities.presets)
        if position.error_deg >= NOBODY_KNOWS_DEG and (number is None or self._bounded(t_ns)):
            raise CommandRejected("failed", f"head {self.name!r}: nobody knows where it looks")
        return Preset(
            name=name,
            pose=position.pose,
            number=number,
            stored_time=_rfc3339(self._clock.utc(t_ns)),
            stored_by=asker.id,
        )

    def _store_on_device(self, number: int) -> None:
        try:
            self.link.call(lambda ptz: ptz.store_preset(number))
        except DriverError as error:
            raise rejection_for(error) from error

    def preset_delete(self, name: str) -> None:
        """Forget a preset. Raises Refused: `unknown`, and `forbidden` where masks were drawn at it:
        it could be set elsewhere then.
        """
        if name in self._drawn and self._presets.find(name) is not None:
            raise self._drawn.refusal(name)
        self._presets.delete(name)
        self.wake.set()

    def switch(self, aux: Aux, on: bool, asker: Requester, token: int | None = None) -> None:  # noqa: FBT001 - a switch is on or off
        """Switch the wiper, the heater or the lamp; that takes the head from nobody. Raises
        Refused.
        """
        self.check(asker, token)
        if aux not in self._limits().abilities.aux:
            raise CommandRejected("unsupported", f"head {self.name!r} has no {aux}")
        try:
            self.link.call(lambda ptz: ptz.switch(aux, on=on))
        except DriverError as error:
            raise rejection_for(error) from error

    def health(self) -> HeadHealth:
        """How it is, in numbers."""
        state, wear = self.state(), self.odometer.wear
        position = state.position
        return HeadHealth(
            name=self.name,
            open=self.abilities is not None,
            pan_deg=None if position is None else round(position.pose.pan_deg, 2),
            tilt_deg=None if position is None else round(position.pose.tilt_deg, 2),
            zoom=None if position is None else round(position.pose.zoom, 3),
            error_deg=None if position is None else round(position.error_deg, 2),
            moving=state.moving,
            preset=state.preset,
            holder=None if state.lease is None else state.lease.holder.role,
            tour=state.tour,
            reopened=self.link.reopened,
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

    def add(self, mover: AutoMover) -> None:
        """Let a mover move it while nobody stronger does; of two that are equal the later one. One
        that comes because a person wants it need not wait after a stop: see `resume`.
        """
        with self._lock:
            self._movers = tuple(
                sorted((mover, *self._movers), key=lambda each: ROLES.index(each.asker.role))
            )
        self.wake.set()

    def remove(self, mover: AutoMover) -> None:
        """Ask it no more; what it has begun goes on to its end, or until somebody stops it."""
        with self._lock:
            self._movers = tuple(each for each in self._movers if each is not mover)

    def would_grant(self, asker: Requester, t_ns: int) -> bool:
        """Whether he would get the head, and nobody has just stopped it."""
        with self._lock:
            return not self.is_held_after_stop(t_ns) and self._authority.gives(asker, t_ns)

    def is_held_after_stop(self, t_ns: int) -> bool:
        """Whether somebody has just stopped it, so that it does nothing by itself."""
        return t_ns < self._quiet_until_ns

    def lease_left_s(self, t_ns: int) -> float | None:
        """How long the present lease lasts, None where there is none."""
        with self._lock:
            lease = self._authority.lease(t_ns)
        return None if lease is None else (lease.expires_ns - t_ns) / 1e9

    def notify_at_rest(self) -> None:
        """Tell where the head rests and whether its picture is settled, where that has changed."""
        with self._rest_lock:
            now = self._at_rest(self._clock.boottime_ns())
            if now == self._rests:
                return
            self._rests = now
            self._on_rest(*now, self._whereabouts.leeway(now[0]))

    def _at_rest(self, t_ns: int) -> tuple[str | None, bool]:
        since_ns = self.helm.at_rest_since_ns
        if since_ns is None:
            return None, False
        return self._whereabouts.preset(), (t_ns - since_ns) / 1e9 >= self.config.settle_s

    def _plan(self, wish: Wish, t_ns: int) -> tuple[MovePlan, str | None]:
        able = self._limits()
        if isinstance(wish, ContinuousMove) and not self._bounded(t_ns):
            # Steering by hand waits for no answer that nothing depends on.
            return plan_drive(wish, t_ns, None, self.helm.bounds(t_ns), able), None
        position = self._fresh_position()
        t_ns = self._clock.boottime_ns()
        bounds = self.helm.bounds(t_ns)
        if isinstance(wish, ContinuousMove):
            return plan_drive(wish, t_ns, position, bounds, able), None
        if isinstance(wish, AbsoluteMove):
            return plan_point(wish, position, bounds, able), None
        preset = self._presets.get(wish.preset)
        beside = preset.name in self._drawn and not self._whereabouts.is_at(preset)
        plan = plan_recall(preset, wish.speed, position, bounds, able, exactly=beside)
        return plan, preset.name

    def _limits(self) -> HeadLimits:
        abilities = self.link.abilities
        if abilities is None:
            why = self.link.last_error or f"head {self.name!r} is not open yet"
            raise CommandRejected("absent", why)
        return HeadLimits(config=self.config, abilities=abilities)

    def _fresh_position(self) -> PtzPosition | None:
        """Where it is: asked, unless it was just now, or it stands and nothing depends on it."""
        position, t_ns = self.helm.position, self._clock.boottime_ns()
        stands = self.helm.at_rest_since_ns is not None
        if position is not None:
            age_s = (t_ns - position.t_ns) / 1e9
            fresh = age_s <= (FRESH_S if stands else MOVING_FRESH_S)
            if fresh or (stands and not self._bounded(t_ns)):
                return position
        try:
            return self.helm.query_position()
        except DriverError as error:
            raise rejection_for(error) from error

    def _bounded(self, t_ns: int) -> bool:
        return bool(self.helm.bounds(t_ns).sectors)

    def _stop_if_moving(self) -> None:
        """It is where it was wanted, or nothing was wanted of it."""
        if self.helm.motion is None:
            return
        try:
            self.helm.stop()
        except DriverError as error:
            raise rejection_for(error) from error

    def _note_request(self) -> None:
        """Somebody wants the head: nobody need wait any longer because it was stopped."""
        self._wished_ns = self._clock.boottime_ns()
        self._quiet_until_ns = 0
        self.helm.note_request()
        self.wake.set()

    def _holds(self, lease: Lease, t_ns: int) -> bool:
        with self._lock:
            now = self._authority.lease(t_ns)
        return now is not None and now.token == lease.token


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
