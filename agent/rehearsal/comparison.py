"""Comparison of what two configurations have found on the same pictures. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from agent.base.clock import rfc3339, utc_from_unix_ns
from agent.base.model import Event, Label
from agent.detection.rules.line_crossing import Crossing
from agent.detection.scene import Scene
from agent.reporting.rehearsal import (
    MAX_DIFFERENCES,
    DirectionCounts,
    EventNumbers,
    RehearsedDifference,
    RehearsedLine,
)
from drivers.media import NS_PER_S

CROSSING = "crossing"
MATCH_CROSSING_NS = 2 * NS_PER_S
"""Two models see the centre of a vehicle on a line at times some tenths of a second apart."""
MATCH_EVENT_NS = 10 * NS_PER_S
"""An event that lasts begins after its road user was seen for a while."""
_OF_CROSSINGS = "line_crossed"
"""Events of this kind are crossings, which are compared themselves."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A crossing, or the begin of an event, at the time of its picture."""

    t_ns: int
    kind: str
    name: str
    direction: str | None
    label: Label | None


class Findings:
    """All that one configuration has found."""

    def __init__(self, scene: Scene) -> None:
        self.names = {line.name for line in scene.line} | {zone.name for zone in scene.zone}
        self._directions = {
            line.name: (line.forward_name, line.backward_name) for line in scene.line
        }
        self.found: list[Finding] = []

    def add(self, crossings: Iterable[Crossing], events: Iterable[Event]) -> None:
        """Add those of one picture."""
        for crossing in crossings:
            self.found.append(
                Finding(
                    t_ns=crossing.t_ns,
                    kind=CROSSING,
                    name=crossing.line.name,
                    direction=crossing.direction,
                    label=crossing.track.label,
                )
            )
        for event in events:
            if event.phase in ("begin", "moment"):
                self.found.append(
                    Finding(
                        t_ns=event.begin_ns,
                        kind=event.kind,
                        name=event.name or "",
                        direction=event.direction,
                        label=event.label,
                    )
                )

    def line_counts(self) -> dict[str, DirectionCounts]:
        """Return the crossings by line, direction and label."""
        counts: dict[str, dict[str, Counter[Label]]] = {
            name: {direction: Counter() for direction in directions}
            for name, directions in self._directions.items()
        }
        for one in self.found:
            if one.kind == CROSSING and one.direction is not None and one.label is not None:
                counts[one.name][one.direction][one.label] += 1
        return {
            name: {direction: dict(sorted(labels.items())) for direction, labels in both.items()}
            for name, both in counts.items()
        }

    def event_counts(self) -> Counter[str]:
        """Return the number of events by kind."""
        return Counter(one.kind for one in self.found if one.kind != CROSSING)


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a camera's report that both configurations give together."""

    lines: tuple[RehearsedLine, ...]
    events: Mapping[str, EventNumbers]
    same: int
    different: int
    differences: tuple[RehearsedDifference, ...]


def compare(present: Findings, proposed: Findings) -> Comparison:
    """Compare the findings of the configuration in force with those of the proposed one.

    A crossing of both is on the same line in the same direction, an event of the same kind at the same line or zone; each matches
    one of the other at most, of the same label and the nearest time first. Lines and zones of one of them alone are not compared.
    """
    shared = {"", *(present.names & proposed.names)}
    same = 0
    different: list[tuple[int, RehearsedDifference]] = []
    groups = defaultdict[tuple[str, str, str | None], tuple[list[Finding], list[Finding]]](
        lambda: ([], [])
    )
    for side, findings in enumerate((present, proposed)):
        for one in findings.found:
            if one.kind != _OF_CROSSINGS and one.name in shared:
                groups[one.kind, one.name, one.direction][side].append(one)
    for (kind, _, _), (before, after) in groups.items():
        limit_ns = MATCH_CROSSING_NS if kind == CROSSING else MATCH_EVENT_NS
        pairs = _match(before, after, limit_ns)
        same += sum(one.label == other.label for one, other in pairs)
        different += [
            (one.t_ns, _difference(one, other)) for one, other in pairs if one.label != other.label
        ]
        matched = {id(one) for pair in pairs for one in pair}
        different += [
            (one.t_ns, _difference(one, None)) for one in before if id(one) not in matched
        ]
        different += [(one.t_ns, _difference(None, one)) for one in after if id(one) not in matched]
    different.sort(key=lambda item: item[0])
    lines_before, lines_after = present.line_counts(), proposed.line_counts()
    events_before, events_after = present.event_counts(), proposed.event_counts()
    return Comparison(
        lines=tuple(
            RehearsedLine(name=name, present=lines_before.get(name), proposed=lines_after.get(name))
            for name in {**lines_before, **lines_after}
        ),
        events={
            kind: EventNumbers(present=events_before[kind], proposed=events_after[kind])
            for kind in sorted({*events_before, *events_after})
        },
        same=same,
        different=len(different),
        differences=tuple(one for _, one in _spread(different)),
    )


def _match(
    before: Sequence[Finding], after: Sequence[Finding], limit_ns: int
) -> list[tuple[Finding, Finding]]:
    """Pair findings of the same road user: equal labels first, then the nearest in time."""
    near = [
        (one.label != other.label, abs(one.t_ns - other.t_ns), index, number)
        for index, one in enumerate(before)
        for number, other in enumerate(after)
        if abs(one.t_ns - other.t_ns) <= limit_ns
    ]
    used_before: set[int] = set()
    used_after: set[int] = set()
    pairs = []
    for _, _, index, number in sorted(near):
        if index not in used_before and number not in used_after:
            used_before.add(index)
            used_after.add(number)
            pairs.append((before[index], after[number]))
    return pairs


def _difference(present: Finding | None, proposed: Finding | None) -> RehearsedDifference:
    one = present or proposed
    if one is None:
        raise ValueError("a difference of nothing")
    return RehearsedDifference(
        time=rfc3339(utc_from_unix_ns(one.t_ns)),
        kind=one.kind,
        name=one.name,
        direction=one.direction,
        found_by="proposed" if present is None else "present" if proposed is None else "both",
        label=None if present is None else present.label,
        proposed_label=None if proposed is None else proposed.label,
    )


def _spread(
    different: Sequence[tuple[int, RehearsedDifference]],
) -> list[tuple[int, RehearsedDifference]]:
    """Return at most MAX_DIFFERENCES of them, spread evenly."""
    count = min(len(different), MAX_DIFFERENCES)
    return [different[index * len(different) // count] for index in range(count)]
