"""The states of an incident on one box, as a table. Pure.

    pending   the box cannot know yet whether the incident still runs, as its clock is not trusted, or as many as may run do
    running   the box does what the order says
    ended     it was ended by an order, or its time is over

An order is judged when it arrives, and again each second as long as the incident is open. An incident that has ended
begins again only by a newer revision.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

from agent.incident.order import MAX_DURATION, IncidentOrder

Phase = Literal["pending", "running", "ended"]
Verdict = Literal["runs", "unclear", "over"]
"""Whether an order is in force now. One that cannot run because of others is unclear too."""
Effect = Literal["none", "wait", "begin", "revise", "end", "drop"]
"""Actions of the box at a transition.

none    nothing
wait    report that it waits
begin   do what the order says, report it and write its receipt
revise  do what the newer revision says, report it and write its receipt
end     restore everything but the holds, report it and write its receipt
drop    report that it has ended without having begun
"""
MAX_SKEW = timedelta(minutes=5)
"""Between the clock of the centre and that of a box."""


class Transition(NamedTuple):
    """The next phase, and its effect."""

    phase: Phase
    effect: Effect


ON_ORDER: Mapping[tuple[Phase | None, Verdict], Transition] = {
    (None, "runs"): Transition("running", "begin"),
    (None, "unclear"): Transition("pending", "wait"),
    (None, "over"): Transition("ended", "none"),
    ("pending", "runs"): Transition("running", "begin"),
    ("pending", "unclear"): Transition("pending", "wait"),
    ("pending", "over"): Transition("ended", "drop"),
    ("running", "runs"): Transition("running", "revise"),
    ("running", "unclear"): Transition("running", "revise"),
    ("running", "over"): Transition("ended", "end"),
    ("ended", "runs"): Transition("running", "begin"),
    ("ended", "unclear"): Transition("pending", "wait"),
    ("ended", "over"): Transition("ended", "none"),
}
"""At the arrival of a newer revision, or of the first one that is for this box: the phase is None then."""

ON_TICK: Mapping[tuple[Phase, Verdict], Transition] = {
    ("pending", "runs"): Transition("running", "begin"),
    ("pending", "unclear"): Transition("pending", "none"),
    ("pending", "over"): Transition("ended", "drop"),
    ("running", "runs"): Transition("running", "none"),
    ("running", "unclear"): Transition("running", "none"),
    ("running", "over"): Transition("ended", "end"),
    ("ended", "runs"): Transition("ended", "none"),
    ("ended", "unclear"): Transition("ended", "none"),
    ("ended", "over"): Transition("ended", "none"),
}
"""Each second."""


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A time of the box: since the boot, and in UTC, which is trusted if `synced`."""

    t_ns: int
    utc: datetime
    synced: bool


def judge(order: IncidentOrder, now: Moment, deadline_ns: int | None) -> Verdict:
    """Return whether an order is in force.

    A trusted clock decides by UTC. Without one the end is `deadline_ns` of this boot, or unknown if that is None.
    """
    if order.ended:
        return "over"
    if now.synced:
        if now.utc >= order.ends:
            return "over"
        # One that ends further ahead than any may was issued by another clock: it is not in force yet.
        return "unclear" if order.ends - now.utc > MAX_DURATION + MAX_SKEW else "runs"
    if deadline_ns is None:
        return "unclear"
    return "runs" if now.t_ns < deadline_ns else "over"


def find_deadline_ns(order: IncidentOrder, now: Moment, *, is_fresh: bool) -> int | None:
    """Return the end of an order in time since the boot, or None if it is unknown.

    `is_fresh`: it was published while the box was connected, so that it was issued just now.
    """
    if now.synced:
        remaining = order.ends - now.utc
    elif is_fresh:
        remaining = order.ends - order.issued
    else:
        return None
    return now.t_ns + _to_ns(min(remaining, MAX_DURATION + MAX_SKEW))


def shift_deadline_ns(
    deadline_ns: int | None, order: IncidentOrder, revision: IncidentOrder, now: Moment
) -> int | None:
    """Return the end of a newer revision from that of the order before, or None if that is unknown.

    Both ends are of the centre's clock, so their difference needs none of the box.
    """
    if deadline_ns is None:
        return None
    shifted_ns = deadline_ns + _to_ns(revision.ends - order.ends)
    return min(shifted_ns, now.t_ns + _to_ns(MAX_DURATION + MAX_SKEW))


def _to_ns(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1) * 1000
