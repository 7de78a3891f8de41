"""agent.reporting.mqtt.congestion_window and send_window: boxes that share a broker's queue to a centre, simulated."""

from collections import deque
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.reporting.mqtt.congestion_window import (
    MAX_MESSAGES,
    MIN_MESSAGES,
    START_MESSAGES,
    CongestionWindow,
)
from agent.reporting.mqtt.send_window import (
    EMERGENCY_RESERVE,
    MAX_UNACKED,
    RESEND_AFTER_S,
    SendWindow,
)
from agent.reporting.payloads import SeqRange
from centre.deduplicator import Deduplicator

STEP_S = 0.005
COMMIT_S = 0.04
"""Of the centre, which takes what has come and acknowledges it."""
PASSES = 3
"""Exchanges of a box with its broker in one step."""
LIMIT_S = 600.0


class Box:
    """A box with a backlog of `count` messages, and what the centre has of it."""

    def __init__(self, count: int) -> None:
        self.window = SendWindow(20)
        self.count = count
        self.fetched = self.publications = 0
        self.at_centre = Deduplicator("epoch")

    @property
    def has_finished(self) -> bool:
        return self.fetched == self.count and self.window.unacked_count == 0

    def send(
        self, now_s: float, take: Callable[[int], None], *, are_emergencies: bool = False
    ) -> None:
        """Send what is allowed; the broker gives each PUBACK after it has taken all."""
        seqs = list(self.window.due_for_resend(now_s))
        for seq in seqs:
            self._note_sent(seq, now_s)
        window = self.window
        quota = window.new_emergency_quota() if are_emergencies else window.new_message_quota()
        for _ in range(min(quota, self.count - self.fetched)):
            self.fetched += 1
            seqs.append(self.fetched)
            self._note_sent(self.fetched, now_s)
        first_mid = self.publications - len(seqs) + 1
        for mid, seq in enumerate(seqs, start=first_mid):
            take(seq)
            self.window.note_puback(mid, 0, now_s)
        assert self.window.unacked_count <= MAX_UNACKED + EMERGENCY_RESERVE

    def _note_sent(self, seq: int, now_s: float) -> None:
        self.publications += 1
        self.window.note_sent(self.publications, seq, 300, now_s)

    def take_ack(self, now_s: float, *, with_also: bool = True) -> None:
        ack = self.at_centre.build_ack()
        also = ack.also if with_also else ()
        ranges = (SeqRange(1, ack.upto), *also)
        self.window.note_received(ranges, now_s)
        self.window.acknowledge(ranges)


class Result(msgspec.Struct, frozen=True):
    duration_s: float
    publications: float
    """For each message."""


class Street:
    """Boxes whose broker keeps `queue` messages for the centre and drops the rest, as mosquitto does. The centre takes
    `rate` messages a second, but none in `pause_s` (begin and end)."""

    def __init__(
        self,
        boxes: list[Box],
        *,
        queue: int,
        rate: float,
        pause_s: tuple[float, float] = (0.0, 0.0),
        with_also: bool = True,
    ) -> None:
        self.boxes = boxes
        self.now_s = 0.0
        self._limit, self._rate, self._pause_s = queue, rate, pause_s
        self._with_also = with_also
        self._queue: deque[tuple[Box, int]] = deque()
        self._taken: list[tuple[Box, int]] = []
        self._to_ack: dict[int, Box] = {}
        self._credit = 0.0

    def run(self) -> Result:
        step = 0
        while working := [box for box in self.boxes if not box.has_finished]:
            assert self.now_s < LIMIT_S
            turn = step % len(working)
            for box in (*working[turn:], *working[:turn]):
                for _ in range(PASSES):
                    box.send(self.now_s, lambda seq, box=box: self._take(box, seq))  # type: ignore[misc]
            step += 1
            self.now_s = step * STEP_S
            self._run_centre(is_commit=step % round(COMMIT_S / STEP_S) == 0)
        messages = sum(box.count for box in self.boxes)
        return Result(self.now_s, sum(box.publications for box in self.boxes) / messages)

    def _take(self, box: Box, seq: int) -> None:
        if len(self._queue) < self._limit:
            self._queue.append((box, seq))

    def _run_centre(self, *, is_commit: bool) -> None:
        if self._pause_s[0] <= self.now_s < self._pause_s[1]:
            return
        self._credit = min(self._credit + self._rate * STEP_S, max(1.0, self._rate * COMMIT_S))
        while self._credit >= 1 and self._queue:
            self._credit -= 1
            self._taken.append(self._queue.popleft())
        for box in self._to_ack.values():
            box.take_ack(self.now_s, with_also=self._with_also)
        self._to_ack.clear()
        if not is_commit:
            return
        for box, seq in self._taken:
            box.at_centre.add(seq)
            self._to_ack[id(box)] = box
        self._taken.clear()


@pytest.mark.parametrize(
    ("boxes", "messages", "queue", "rate", "publications", "slowness"),
    [
        # One box alone: as fast as 256 at once are, but for the slow start.
        (1, 20_000, 1020, 6000, 1.0, 1.2),
        # mosquitto's defaults. With 256 at once: 40 s and 1.48 publications a message, 50 s and 1.31.
        (20, 1000, 1020, 2600, 1.05, 1.1),
        (20, 2000, 1020, 2600, 1.05, 1.1),
        (50, 1000, 1020, 2600, 1.05, 1.3),
        # A queue that is shorter than one window. With 256 at once: 50 s and 2.21.
        (5, 500, 120, 2600, 1.05, 2.0),
        # The queue is never full: nothing is sent twice.
        (20, 500, 100_000, 2600, 1.0, 1.1),
    ],
)
def test_boxes_share_a_queue_that_drops(
    boxes: int, messages: int, queue: int, rate: float, publications: float, slowness: float
) -> None:
    result = Street([Box(messages) for _ in range(boxes)], queue=queue, rate=rate).run()
    assert result.publications <= publications
    assert result.duration_s <= slowness * boxes * messages / rate


def test_a_slow_centre_that_acknowledges_in_order_is_sent_nothing_twice() -> None:
    """The last of a window waits for longer than RESEND_AFTER_S."""
    rate = START_MESSAGES / RESEND_AFTER_S / 2
    result = Street([Box(4 * START_MESSAGES)], queue=1020, rate=rate).run()
    assert result.publications == 1.0


def test_a_centre_that_pauses_for_long_is_sent_little_twice() -> None:
    box = Box(3000)
    Street([box], queue=1020, rate=2600, pause_s=(0.9, 0.9 + 3 * RESEND_AFTER_S)).run()
    assert 0 < box.publications - box.count <= MAX_MESSAGES / 3


def test_a_centre_that_acknowledges_only_in_order_gets_everything() -> None:
    boxes = [Box(200) for _ in range(4)]
    Street(boxes, queue=60, rate=500, with_also=False).run()
    assert all(box.at_centre.build_ack().upto == 200 for box in boxes)


def test_a_centre_that_acknowledges_nothing_is_sent_few_messages() -> None:
    box, now_s = Box(1000), 0.0
    publications = []
    while now_s < 30 * RESEND_AFTER_S:
        before = box.publications
        for _ in range(MAX_UNACKED):
            box.send(now_s, lambda _: None)
        publications.append(box.publications - before)
        now_s += RESEND_AFTER_S
    assert publications[:3] == [20, 10, 5]
    assert max(publications) == START_MESSAGES


@given(
    st.integers(1, 60),
    st.lists(
        st.tuples(
            st.sampled_from(["send", "send emergencies", "drop", "take", "ack", "wait"]),
            st.integers(0, 20),
        ),
        max_size=60,
    ),
    st.booleans(),
)
def test_whatever_the_broker_drops_every_message_arrives(
    count: int, steps: list[tuple[str, int]], with_also: bool
) -> None:
    box, queue, now_s = Box(count), deque[int](), 0.0

    def take(number: int) -> None:
        for _ in range(min(number, len(queue))):
            box.at_centre.add(queue.popleft())

    for what, number in steps:
        match what:
            case "send" | "send emergencies":
                box.send(now_s, queue.append, are_emergencies=what != "send")
            case "drop":
                for _ in range(min(number, len(queue))):
                    queue.pop()
            case "take":
                take(number)
            case "ack":
                box.take_ack(now_s, with_also=with_also)
            case _:
                now_s += number
    # From here on nothing is dropped.
    for _ in range(10 * count + 10):
        box.send(now_s, queue.append)
        take(len(queue))
        box.take_ack(now_s, with_also=with_also)
        now_s += RESEND_AFTER_S / 4
    assert box.has_finished
    assert box.at_centre.build_ack().upto == count


def grown(windows: int) -> CongestionWindow:
    window = CongestionWindow()
    for _ in range(windows):
        window.note_acked(window.messages)
    return window


def test_the_window_begins_small_and_grows_by_a_quarter_for_each_window_acknowledged() -> None:
    assert [grown(windows).messages for windows in range(4)] == [20, 25, 31, 39]
    assert grown(12).messages == MAX_MESSAGES


def test_after_a_loss_it_is_half_as_large_and_grows_by_one_for_each_window() -> None:
    window = grown(12)
    window.note_loss()
    sizes = [window.messages]
    for _ in range(3):
        window.note_acked(window.messages + 1)
        sizes.append(window.messages)
    assert sizes == [128, 129, 130, 131]
    for _ in range(20):
        window.note_loss()
    assert window.messages == MIN_MESSAGES


def test_after_a_pause_it_begins_again_up_to_half_of_what_it_was_at_the_loss() -> None:
    window = grown(12)
    window.restart()
    assert window.messages == START_MESSAGES
    window.note_loss()
    window.restart()
    assert window.messages == START_MESSAGES / 2
