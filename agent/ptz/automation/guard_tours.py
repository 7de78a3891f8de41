"""The guard tours of one head: from preset to preset, by schedule and by command. Pure.

Which tour runs: the schedule says it, and a command (`start`, `stop`) stands against it until the
schedule's next change, as with a thermostat. While the clock is not trusted the schedule changes
nothing: what ran runs on, and after a boot without a clock nothing runs by itself but a tour that
has no pause in its week. The head is at home meanwhile, where a scene is bound to its picture; a
tour at an hour when nobody wanted one would look where nobody expects it.

Within a tour nothing is remembered of who interrupted it. If the head is not where the tour left
it, the tour goes back to the stop that it was at and stays there for its whole time.
"""

import random
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from agent.base.model import RefusalKind
from agent.commands.requester import CommandRejected, Requester
from agent.config.heads import TourConfig, TourStop
from agent.ptz.automation.schedule import Schedule
from agent.ptz.requests import GotoPreset, HeadState, Wish

ASKER = Requester(id="tour", role="tour")

PATIENCE_S = 5.0
"""A head that rests elsewhere for so long after it was sent is sent again."""
SENDS = 3
"""So often it is sent to a stop before the stop is left out."""
NOBODY_STEPPED_S = 2.0
"""Somebody else had the head meanwhile: what it was sent for is forgotten, and counts for nothing."""
PAUSE_S = 30.0
"""After a round in which no stop could be reached."""

_LEAVE_OUT: tuple[RefusalKind, ...] = ("unknown", "forbidden", "unsupported", "malformed")


class _Command(msgspec.Struct, frozen=True):
    """What a person wants to run until the schedule changes; None for nothing."""

    tour: str | None


class GuardTours:
    """All tours of a head, which moves by them. `start` and `stop` may come from any thread, the rest from the head's.

    `tell` is given a line when a stop is left out, once until it has been reached again.
    """

    def __init__(
        self,
        tours: Sequence[TourConfig],
        time_zone: str,
        now_utc: Callable[[int], datetime | None],
        rng: random.Random,
        tell: Callable[[str], None],
        rests: Callable[[], bool] = lambda: False,
    ) -> None:
        """The tours are those of a configuration that `schedule.check` has found good. `now_utc` is
        the UTC of a boot time, None while the clock is not trusted; while the box `rests`, because
        it is under strain, no tour moves the head.
        """
        self._rests = rests
        self._tours = {tour.name: tour for tour in tours}
        self._schedule = Schedule(tours, time_zone)
        self._now_utc = now_utc
        self._rng = rng
        self._tell = tell
        self._asked: _Command | None = None
        self._held: _Command | None = None
        self._scheduled: str | None = None
        self._round: _Round | None = None
        self._told: set[tuple[str, str]] = set()

    @property
    def names(self) -> tuple[str, ...]:
        """The tours that there are."""
        return tuple(self._tours)

    @property
    def asker(self) -> Requester:
        """A tour, the weakest of all."""
        return ASKER

    @property
    def tour(self) -> str | None:
        """The tour that runs, or waits for who has the head."""
        return None if self._round is None else self._round.tour.name

    def start(self, name: str) -> None:
        """Run a tour until the schedule's next change. Raises Refused where there is none."""
        if name not in self._tours:
            there = ", ".join(self._tours) or "none"
            raise CommandRejected("unknown", f"no tour {name!r}; there are: {there}")
        self._asked = _Command(name)

    def stop(self) -> None:
        """Run no tour until the schedule's next change."""
        self._asked = _Command(None)

    def step(self, t_ns: int, state: HeadState) -> Wish | None:
        """What the tour wants of the head now, if anything.

        It is called often while nobody stronger has the head, and not while somebody has.
        """
        self._choose(self._now_utc(t_ns))
        if self._round is None or state.position is None or self._rests():
            return None
        return self._round.step(t_ns, state)

    def refused(self, t_ns: int, wish: Wish, refusal: CommandRejected) -> None:
        """The wish was not done. A stop that is not there or forbidden is left out this time."""
        if self._round is None:
            return
        if refusal.kind in _LEAVE_OUT:
            self._round.leave_out(str(refusal), t_ns)
        else:
            self._round.send_again(t_ns)

    def _choose(self, now_utc: datetime | None) -> None:
        scheduled = self._scheduled
        if self._schedule.always is not None:
            scheduled = self._schedule.always
        elif now_utc is not None:
            scheduled = self._schedule.at(now_utc)
        if scheduled != self._scheduled:
            self._scheduled, self._held = scheduled, None
        asked, self._asked = self._asked, None
        self._held = asked or self._held
        wanted = self._held.tour if self._held else self._scheduled
        if wanted != self.tour or (asked and wanted is not None):
            self._round = self._begun(wanted)

    def _begun(self, name: str | None) -> "_Round | None":
        if name is None:
            return None
        return _Round(self._tours[name], self._rng, self._on_left_out, self._on_reached)

    def _on_left_out(self, tour: TourConfig, stop: TourStop, why: str) -> None:
        if (tour.name, stop.preset) not in self._told:
            self._told.add((tour.name, stop.preset))
            self._tell(f"tour {tour.name!r} leaves out {stop.preset!r}: {why}")

    def _on_reached(self, tour: TourConfig, stop: TourStop) -> None:
        self._told.discard((tour.name, stop.preset))


class _Round:
    """One tour under way: at which stop it is, and how far with it."""

    def __init__(
        self,
        tour: TourConfig,
        rng: random.Random,
        on_left_out: Callable[[TourConfig, TourStop, str], None],
        on_reached: Callable[[TourConfig, TourStop], None],
    ) -> None:
        self.tour = tour
        self._rng = rng
        self._on_left_out = on_left_out
        self._on_reached = on_reached
        self._last: TourStop | None = None
        self._order = self._ordered()
        self._index = 0
        self._doing: Literal["send", "sent", "stay"] = "send"
        self._since_ns = 0
        self._sends = 0
        self._left_out = 0
        self._not_before_ns = 0
        self._stepped_ns: int | None = None

    def step(self, t_ns: int, state: HeadState) -> Wish | None:
        """One look at the head."""
        away = self._stepped_ns is not None and _s(t_ns - self._stepped_ns) > NOBODY_STEPPED_S
        self._stepped_ns = t_ns
        if away and self._doing == "sent":
            self._doing, self._sends = "send", 0
        stop = self._order[self._index]
        there = state.preset == stop.preset and not state.moving
        if self._doing == "sent":
            self._await(t_ns, state, there=there)
        elif self._doing == "stay" and not there:
            self._doing, self._sends = "send", 0
        elif self._doing == "stay" and _s(t_ns - self._since_ns) >= stop.dwell_s:
            self._go_on()
        if self._doing != "send" or t_ns < self._not_before_ns:
            return None
        stop = self._order[self._index]
        if state.preset == stop.preset and not state.moving:
            self._arrive(t_ns)
            return None
        self._doing, self._since_ns, self._sends = "sent", t_ns, self._sends + 1
        return GotoPreset(preset=stop.preset, speed=stop.speed)

    def leave_out(self, why: str, t_ns: int) -> None:
        """Go on with the next stop; after a whole round of that, wait before the next."""
        self._on_left_out(self.tour, self._order[self._index], why)
        self._left_out += 1
        if self._left_out >= len(self._order):
            self._left_out = 0
            self._not_before_ns = t_ns + int(PAUSE_S * 1e9)
        self._go_on()

    def send_again(self, t_ns: int) -> None:
        """It could not be sent just now."""
        self._doing, self._sends = "send", 0
        self._not_before_ns = t_ns + int(PATIENCE_S * 1e9)

    def _await(self, t_ns: int, state: HeadState, *, there: bool) -> None:
        if there and state.settled:
            self._arrive(t_ns)
        elif not there and not state.moving and _s(t_ns - self._since_ns) > PATIENCE_S:
            self._doing = "send"
            if self._sends >= SENDS:
                self.leave_out("the head does not come to rest there", t_ns)

    def _arrive(self, t_ns: int) -> None:
        self._doing, self._since_ns = "stay", t_ns
        self._sends = self._left_out = 0
        self._last = self._order[self._index]
        self._on_reached(self.tour, self._last)

    def _go_on(self) -> None:
        self._doing, self._sends = "send", 0
        self._index += 1
        if self._index >= len(self._order):
            self._index, self._order = 0, self._ordered()

    def _ordered(self) -> list[TourStop]:
        """The stops of the next round; none comes twice in a row where there are two or more."""
        stops = list(self.tour.stop)
        if self.tour.order == "back_and_forth":
            return stops + stops[-2:0:-1]
        if self.tour.order == "shuffled":
            self._rng.shuffle(stops)
            if stops[0] is self._last:
                stops.append(stops.pop(0))
        return stops


def _s(span_ns: int) -> float:
    return span_ns / 1e9
