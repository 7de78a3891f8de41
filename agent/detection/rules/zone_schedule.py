"""Rules of a zone that has hours: made at the begin of the hours, and flushed at their end."""

from collections.abc import Callable, Sequence

import msgspec

from agent.base.model import Event, FrameResult
from agent.base.weekly_hours import minute_of_week, week_minutes
from agent.detection.rules.rule import Rule, RuleContext

MakeRules = Callable[[RuleContext], Sequence[Rule]]


class ZoneSchedule:
    """Runs the rules of one zone within its hours.

    While the time of day is not known the rules run: a vehicle that stands in the way at an hour at which it may is one
    event too many, and one that is missed may be an accident. The clock of the event's message says that UTC was not trusted.
    """

    def __init__(self, hours: Sequence[str], context: RuleContext, make_rules: MakeRules) -> None:
        self._minutes = week_minutes(hours)
        self._context = context
        self._make_rules = make_rules
        self._rules: Sequence[Rule] | None = None
        """None outside of the hours."""

    def step(self, result: FrameResult) -> list[Event]:
        """Return what this frame begins, updates and ends."""
        local, t_ns = result.local_time, result.t_ns
        if local is not None and minute_of_week(local) not in self._minutes:
            events = self.flush(t_ns)
            self._rules = None
            return events
        if self._rules is None:
            # Without a memory of the hours before, whose end may be days ago.
            self._rules = self._make_rules(
                msgspec.structs.replace(self._context, hours_begin_ns=t_ns)
            )
        return [event for rule in self._rules for event in rule.step(result)]

    def flush(self, t_ns: int) -> list[Event]:
        """End the open events."""
        return [event for rule in self._rules or () for event in rule.flush(t_ns)]
