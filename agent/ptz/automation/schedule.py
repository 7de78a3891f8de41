"""The weekly schedule of a head's tours. Pure.

Windows are in the wall clock of one time zone, see `agent.base.weekly_hours`.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo

from agent.base.errors import UserError
from agent.base.message import Message
from agent.base.weekly_hours import (
    ALL_DAYS,
    DAY_MIN,
    WEEK_MIN,
    minute_of_week,
    span_minutes,
)
from agent.config.heads import HeadConfig, TourConfig


def check_tours(head: HeadConfig, location: str) -> None:
    """Check the tours of a head; `location` begins the message, such as a file and `head[0]`.

    Raises: UserError if a window has one end, or two tours have one name or the same time.
    """
    tour_by_minute: dict[int, str] = {}
    tour_names: set[str] = set()
    for index, tour in enumerate(head.tour):
        tour_location = f"{location}.tour[{index}]"
        if tour.name in tour_names:
            raise UserError(
                Message(
                    "{label}: used already; allowed: a name of its own",
                    label=f"{tour_location}.name = {tour.name!r}",
                )
            )
        tour_names.add(tour.name)
        if (tour.begin is None) != (tour.end is None):
            missing = "begin" if tour.begin is None else "end"
            raise UserError(
                Message(
                    "{label}: missing; the other end of the window is given",
                    label=f"{tour_location}.{missing}",
                )
            )
        for minute in weekly_minutes(tour):
            other = tour_by_minute.setdefault(minute, tour.name)
            if other != tour.name:
                raise UserError(
                    Message(
                        "{label}: tours {other!r} and {name!r} would both run on {minute}; allowed: one at a time",
                        label=f"{tour_location}.begin = {tour.begin!r}",
                        other=other,
                        name=tour.name,
                        minute=_format_minute(minute),
                    )
                )


def weekly_minutes(tour: TourConfig) -> Iterator[int]:
    """Yield the minutes of the week in which a tour runs by schedule, each once."""
    if tour.begin is None or tour.end is None:
        return
    yield from span_minutes(tour.days, tour.begin, tour.end)


class Schedule:
    """The windows of a head's tours, after `check_tours`."""

    def __init__(self, tours: Sequence[TourConfig], time_zone: tzinfo) -> None:
        self._time_zone = time_zone
        self._by_minute = {minute: tour.name for tour in tours for minute in weekly_minutes(tour)}
        tour_names = set(self._by_minute.values())
        is_whole_week = len(self._by_minute) == WEEK_MIN and len(tour_names) == 1
        self.always_tour: str | None = tour_names.pop() if is_whole_week else None
        """The tour that runs all week, for which no clock is needed."""

    def tour_at(self, now_utc: datetime) -> str | None:
        """Return the tour of this minute, or None."""
        return self._by_minute.get(minute_of_week(now_utc.astimezone(self._time_zone)))


def _format_minute(minute: int) -> str:
    day, rest = divmod(minute, DAY_MIN)
    return f"{ALL_DAYS[day]} at {rest // 60:02}:{rest % 60:02}"
