"""agent.reporting.outbox with named centres, against a plain model: no message leaves before each has it, and each is
sent to the centres that listen until they have it.
"""

import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from agent.reporting.payloads import SeqRange
from tests.whole.report.conftest import make_event, open_outbox
from tests.whole.report.reporting_box import wait_until

NAMED = ("city", "police", "province")
names = st.sampled_from(NAMED)


class NamedCentresModel(RuleBasedStateMachine):
    """`rows` are the messages that must be in the outbox, `flying` those that are sent and waited for."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.rows: set[int] = set()
        self.sent: set[int] = set()
        self.flying: set[int] = set()
        self.acked: dict[str, set[int]] = {name: set() for name in NAMED}
        self.retired: set[str] = set()
        self.expected: frozenset[str] = frozenset()
        self.last_seq = 0
        self.outbox = open_outbox(Path(self.folder.name), centres=NAMED)

    def teardown(self) -> None:
        self.outbox.close()
        self.folder.cleanup()

    def settled(self) -> set[int]:
        """Messages that each expected centre has."""
        sets = [self.acked[name] for name in self.expected]
        return set.intersection(*sets) if sets else set()

    def drop_free(self) -> None:
        awaited = set(NAMED) - self.retired
        if awaited:
            self.rows -= set.intersection(*(self.acked[name] for name in awaited))
        self.flying &= self.rows - self.settled()

    @rule(kind=st.sampled_from(["line", "stopped", "stopped"]))
    def put(self, kind: str) -> None:
        ticket = self.outbox.put(make_event(1, kind))
        assert ticket.wait(60)
        self.last_seq += 1
        assert ticket.seq == self.last_seq
        self.rows.add(self.last_seq)

    @rule(limit=st.sampled_from([1, 3, 1000]))
    def fetch(self, limit: int) -> None:
        due = self.rows - self.flying - self.settled()
        fetched = {row.seq for row in self.outbox.fetch(limit)}
        assert fetched <= due
        assert len(fetched) == min(limit, len(due))
        self.flying |= fetched
        self.sent |= fetched

    @precondition(lambda self: self.sent)
    @rule(name=names, data=st.data())
    def acknowledge(self, name: str, data: st.DataObject) -> None:
        first = data.draw(st.sampled_from(sorted(self.sent)))
        last = first
        while last + 1 in self.sent and data.draw(st.booleans()):
            last += 1
        self.outbox.acknowledge(self.outbox.epoch, (SeqRange(first, last),), name)
        self.acked[name] |= set(range(first, last + 1))
        self.drop_free()

    @rule(expected=st.frozensets(names))
    def expect(self, expected: frozenset[str]) -> None:
        self.expected = expected
        self.outbox.expect_centres(expected)
        self.flying -= self.settled()

    @rule(name=names, is_retired=st.booleans())
    def announce(self, name: str, is_retired: bool) -> None:
        self.outbox.remember_centre(name, is_retired=is_retired)
        (self.retired.add if is_retired else self.retired.discard)(name)
        self.expected -= self.retired
        self.outbox.expect_centres(self.expected)
        self.drop_free()

    @rule()
    def connect_again(self) -> None:
        self.outbox.requeue_in_flight()
        self.flying, self.expected = set(), frozenset()

    @rule()
    def restart(self) -> None:
        self.outbox.close()
        self.outbox = open_outbox(Path(self.folder.name), centres=NAMED)
        self.flying, self.expected = set(), frozenset()
        self.sent = set(range(1, self.last_seq + 1))

    @invariant()
    def what_some_centre_lacks_is_there(self) -> None:
        wait_until(lambda: self.outbox.depth == len(self.rows))

    @invariant()
    def each_floor_is_the_first_that_a_centre_may_still_get(self) -> None:
        floors = {
            name: min(self.rows - self.acked[name], default=self.last_seq + 1) - 1 for name in NAMED
        }
        # A deletion that is not committed yet makes it lower for a moment, which is safe.
        wait_until(lambda: self.outbox.acked_upto_by_centre() == floors)


TestNamedCentres = NamedCentresModel.TestCase
TestNamedCentres.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
