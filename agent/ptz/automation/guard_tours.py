"""The guard tours of one head: from preset to preset, by schedule and by command. Pure.

The schedule selects the tour, and a command (`start`, `stop`) overrides it until the schedule's next
change, as with a thermostat. While the clock is not trusted the schedule changes nothing: a running
tour continues, and after a boot without a clock no tour starts by itself but one that runs all week.
The head is at home meanwhile, where a scene is bound to its picture; a tour at an unscheduled hour
would look in directions that no operator expects.

A tour keeps no record of interruptions. If the head is not where the tour left it, the tour returns
to its present stop and dwells there for the whole time.
"""

import random
from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from typing import Literal

import msgspec

from agent.base.model import RefusalCode
from agent.commands.requester import CommandRejected, Requester
from agent.config.heads import TourConfig, TourStopConfig
from agent.ptz.automation.schedule import Schedule
from agent.ptz.requests import GotoPreset, HeadState, MoveRequest

TOUR_REQUESTER = Requester(id="tour", role="tour")

ARRIVAL_TIMEOUT_S = 5.0
"""A head that rests elsewhere for this long after it was sent is sent again."""
MAX_ATTEMPTS = 3
"""Attempts at a stop before it is skipped."""
INTERRUPTED_AFTER_S = 2.0
"""After a gap this long between steps another requester had the head: the attempt does not count."""
UNREACHABLE_PAUSE_S = 30.0
"""The pause after a round in which no stop could be reached."""

_SKIP_REJECTIONS: tuple[RefusalCode, ...] = ("unknown", "forbidden", "unsupported", "malformed")


class _TourRequest(msgspec.Struct, frozen=True):
    """The tour that runs until the schedule changes; None for no tour."""

    tour: str | None


class GuardTours:
    """All tours of a head, as an automatic mover.

    `start` and `stop` may be called on any thread, the rest on the head's. `report` is called with a
    line when a stop is skipped, once until it has been reached again.
    """

    requester = TOUR_REQUESTER

    def __init__(
        self,
        tours: Sequence[TourConfig],
        time_zone: tzinfo,
        utc_at: Callable[[int], datetime | None],
        rng: random.Random,
        report: Callable[[str], None],
        is_suspended: Callable[[], bool] = lambda: False,
    ) -> None:
        """`tours` have passed `check_tours`. `utc_at` converts a boot time to UTC, None while the
        clock is not trusted; while `is_suspended`, because the box is overloaded, no tour moves the
        head.
        """
        self._is_suspended = is_suspended
        self._tours = {tour.name: tour for tour in tours}
        self._schedule = Schedule(tours, time_zone)
        self._utc_at = utc_at
        self._rng = rng
        self._report = report
        self._pending_request: _TourRequest | None = None
        self._override: _TourRequest | None = None
        self._scheduled_tour: str | None = None
        self._run: _TourRun | None = None
        self._reported_skips: set[tuple[str, str]] = set()

    @property
    def tour_names(self) -> tuple[str, ...]:
        """The names of the configured tours."""
        return tuple(self._tours)

    @property
    def tour(self) -> str | None:
        """The tour that runs, or waits for the head."""
        return None if self._run is None else self._run.tour.name

    def start(self, name: str) -> None:
        """Run a tour until the schedule's next change. Raises: CommandRejected `unknown`."""
        if name not in self._tours:
            known = ", ".join(self._tours) or "none"
            raise CommandRejected("unknown", f"no tour {name!r}; there are: {known}")
        self._pending_request = _TourRequest(name)

    def stop(self) -> None:
        """Run no tour until the schedule's next change."""
        self._pending_request = _TourRequest(None)

    def step(self, t_ns: int, state: HeadState) -> MoveRequest | None:
        """Return the tour's next move, or None. Not called while the head is leased."""
        self._select_tour(self._utc_at(t_ns))
        if self._run is None or state.position is None or self._is_suspended():
            return None
        return self._run.step(t_ns, state)

    def on_rejected(self, t_ns: int, request: MoveRequest, rejection: CommandRejected) -> None:
        """Skip a stop that is unknown or forbidden; try again later after any other rejection."""
        if self._run is None:
            return
        if rejection.code in _SKIP_REJECTIONS:
            self._run.skip_stop(str(rejection), t_ns)
        else:
            self._run.retry_later(t_ns)

    def _select_tour(self, now_utc: datetime | None) -> None:
        scheduled_tour = self._scheduled_tour
        if self._schedule.always_tour is not None:
            scheduled_tour = self._schedule.always_tour
        elif now_utc is not None:
            scheduled_tour = self._schedule.tour_at(now_utc)
        if scheduled_tour != self._scheduled_tour:
            self._scheduled_tour, self._override = scheduled_tour, None
        requested, self._pending_request = self._pending_request, None
        self._override = requested or self._override
        tour_name = self._override.tour if self._override else self._scheduled_tour
        if tour_name != self.tour or (requested and tour_name is not None):
            self._run = self._new_run(tour_name)

    def _new_run(self, name: str | None) -> "_TourRun | None":
        if name is None:
            return None
        return _TourRun(self._tours[name], self._rng, self._on_skipped, self._on_reached)

    def _on_skipped(self, tour: TourConfig, stop: TourStopConfig, reason: str) -> None:
        if (tour.name, stop.preset) not in self._reported_skips:
            self._reported_skips.add((tour.name, stop.preset))
            self._report(f"tour {tour.name!r} skips {stop.preset!r}: {reason}")

    def _on_reached(self, tour: TourConfig, stop: TourStopConfig) -> None:
        self._reported_skips.discard((tour.name, stop.preset))


class _TourRun:
    """One running tour: its present stop, and whether the head is due, moving or dwelling there."""

    def __init__(
        self,
        tour: TourConfig,
        rng: random.Random,
        on_skipped: Callable[[TourConfig, TourStopConfig, str], None],
        on_reached: Callable[[TourConfig, TourStopConfig], None],
    ) -> None:
        self.tour = tour
        self._rng = rng
        self._on_skipped = on_skipped
        self._on_reached = on_reached
        self._last_reached: TourStopConfig | None = None
        self._stops = self._ordered_stops()
        self._index = 0
        self._phase: Literal["due", "moving", "dwelling"] = "due"
        self._phase_since_ns = 0
        self._attempts = 0
        self._skipped_count = 0
        self._not_before_ns = 0
        self._last_step_ns: int | None = None

    def step(self, t_ns: int, state: HeadState) -> MoveRequest | None:
        """Return the next move for the head as it is now, or None."""
        was_interrupted = (
            self._last_step_ns is not None
            and (t_ns - self._last_step_ns) / 1e9 > INTERRUPTED_AFTER_S
        )
        self._last_step_ns = t_ns
        if was_interrupted and self._phase == "moving":
            self._phase, self._attempts = "due", 0
        stop = self._stops[self._index]
        is_there = state.preset == stop.preset and not state.moving
        if self._phase == "moving":
            self._check_arrival(t_ns, state, is_there=is_there)
        elif self._phase == "dwelling" and not is_there:
            self._phase, self._attempts = "due", 0
        elif self._phase == "dwelling" and (t_ns - self._phase_since_ns) / 1e9 >= stop.dwell_s:
            self._advance()
        if self._phase != "due" or t_ns < self._not_before_ns:
            return None
        stop = self._stops[self._index]
        if state.preset == stop.preset and not state.moving:
            self._begin_dwell(t_ns)
            return None
        self._phase, self._phase_since_ns, self._attempts = "moving", t_ns, self._attempts + 1
        return GotoPreset(preset=stop.preset, speed=stop.speed)

    def skip_stop(self, reason: str, t_ns: int) -> None:
        """Continue with the next stop; after a round of skipped stops, pause first."""
        self._on_skipped(self.tour, self._stops[self._index], reason)
        self._skipped_count += 1
        if self._skipped_count >= len(self._stops):
            self._skipped_count = 0
            self._not_before_ns = t_ns + int(UNREACHABLE_PAUSE_S * 1e9)
        self._advance()

    def retry_later(self, t_ns: int) -> None:
        """Send the head to the present stop again after a while."""
        self._phase, self._attempts = "due", 0
        self._not_before_ns = t_ns + int(ARRIVAL_TIMEOUT_S * 1e9)

    def _check_arrival(self, t_ns: int, state: HeadState, *, is_there: bool) -> None:
        if is_there and state.settled:
            self._begin_dwell(t_ns)
        elif (
            not is_there
            and not state.moving
            and (t_ns - self._phase_since_ns) / 1e9 > ARRIVAL_TIMEOUT_S
        ):
            self._phase = "due"
            if self._attempts >= MAX_ATTEMPTS:
                self.skip_stop("the head does not come to rest there", t_ns)

    def _begin_dwell(self, t_ns: int) -> None:
        self._phase, self._phase_since_ns = "dwelling", t_ns
        self._attempts = self._skipped_count = 0
        self._last_reached = self._stops[self._index]
        self._on_reached(self.tour, self._last_reached)

    def _advance(self) -> None:
        self._phase, self._attempts = "due", 0
        self._index += 1
        if self._index >= len(self._stops):
            self._index, self._stops = 0, self._ordered_stops()

    def _ordered_stops(self) -> list[TourStopConfig]:
        """Return the stops of the next round; of two or more none comes twice in a row."""
        stops = list(self.tour.stop)
        if self.tour.order == "back_and_forth":
            return stops + stops[-2:0:-1]
        if self.tour.order == "shuffled":
            self._rng.shuffle(stops)
            if stops[0] is self._last_reached:
                stops.append(stops.pop(0))
        return stops
