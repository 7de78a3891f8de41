"""agent.reporting.mqtt.congestion_window, and the send window that uses it, at brokers that drop what they cannot hold."""

from collections import deque
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.reporting.mqtt.congestion_window import (
    INITIAL_SIZE,
    MAX_SIZE,
    MAX_WAIT_S,
    MIN_SIZE,
    CongestionWindow,
)
from agent.reporting.mqtt.send_window import (
    OVERTAKEN_AFTER_S,
    PROBE_AFTER_S,
    RESEND_AFTER_S,
    URGENT_RESERVE,
    SendWindow,
)
from agent.reporting.payloads import SeqRange

TICK_S = 0.02


@pytest.mark.parametrize(
    ("before", "acks", "size"),
    [
        pytest.param(CongestionWindow(), [4], 5, id="a new connection, by a quarter"),
        pytest.param(
            CongestionWindow(), [1, 1, 1, 1, 1], 5, id="what is acknowledged one by one adds up"
        ),
        pytest.param(CongestionWindow(size=250), [250], MAX_SIZE, id="up to what a box keeps"),
        pytest.param(CongestionWindow(size=10, is_starting=False), [79], 10, id="later, slowly"),
        pytest.param(CongestionWindow(size=10, is_starting=False), [79, 1], 11, id="one message"),
        pytest.param(CongestionWindow(size=80, is_starting=False), [640], 90, id="of many, a part"),
        pytest.param(CongestionWindow(size=1, is_starting=False), [8], 2, id="from the least"),
    ],
)
def test_the_window_increases_while_acknowledgements_come(
    before: CongestionWindow, acks: list[int], size: int
) -> None:
    window = before
    for count in acks:
        window = window.after_acks(count, is_used=True)
    assert window.size == size


def test_a_window_that_is_not_used_is_not_increased() -> None:
    assert CongestionWindow().after_acks(100, is_used=False) == CongestionWindow()


@pytest.mark.parametrize(
    ("losses", "size"),
    [
        pytest.param([(1.0, 2.0)], 50, id="half"),
        pytest.param([(1.0, 2.0), (1.5, 2.1)], 50, id="what was sent before is no second reason"),
        pytest.param([(1.0, 2.0), (2.5, 3.0)], 25, id="what was sent since is one"),
        pytest.param([(t, t + 0.5) for t in range(20)], MIN_SIZE, id="down to one message"),
    ],
)
def test_a_loss_halves_the_window_once_for_each_round_trip(
    losses: list[tuple[float, float]], size: int
) -> None:
    window = CongestionWindow(size=100)
    for sent_s, now_s in losses:
        window = window.after_loss(sent_s, now_s)
    assert (window.size, window.is_starting) == (size, False)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("acks"), st.integers(0, 300)),
            st.tuples(st.just("loss"), st.integers(0, 20)),
        ),
        max_size=60,
    )
)
def test_the_window_stays_within_its_limits_and_only_a_loss_decreases_it(
    steps: list[tuple[str, int]],
) -> None:
    window = CongestionWindow()
    for now_s, (what, number) in enumerate(steps):
        before = window
        if what == "acks":
            window = window.after_acks(number, is_used=True)
            assert window.size >= before.size
        else:
            window = window.after_loss(now_s - number, now_s)
            assert window.size in (before.size, max(MIN_SIZE, before.size // 2))
        assert MIN_SIZE <= window.size <= MAX_SIZE


def send(window: SendWindow, *seqs: int, now_s: float) -> None:
    """Send messages, each with a PUBACK at once."""
    for seq in seqs:
        mid = 1000 * round(now_s * 100) + seq
        window.note_sent(mid, seq, 10, now_s + seq / 1e6)
        window.note_puback(mid, 0, now_s)


def receive(window: SendWindow, *spans: tuple[int, int], now_s: float) -> None:
    ranges = tuple(SeqRange(*span) for span in spans)
    window.note_received(ranges, now_s)
    window.acknowledge(ranges)


def test_a_message_that_a_later_one_has_overtaken_is_sent_again_before_its_time() -> None:
    window = SendWindow(20)
    send(window, 1, 2, 3, 4, now_s=0.0)
    receive(window, (2, 3), now_s=0.1)
    assert window.due_for_resend(OVERTAKEN_AFTER_S - 0.1) == ()
    # Nothing that was sent after number 4 is acknowledged.
    assert window.due_for_resend(OVERTAKEN_AFTER_S) == (1,)
    send(window, 1, now_s=OVERTAKEN_AFTER_S)
    assert window.due_for_resend(1.1) == ()
    # The first number 1 was dropped, so the acknowledgement is of the second, which was sent after number 4.
    receive(window, (1, 1), now_s=1.1)
    assert window.due_for_resend(1.1) == (4,)


def test_if_nothing_is_acknowledged_the_last_message_is_sent_again_as_a_probe() -> None:
    window = SendWindow(20)
    send(window, 1, 2, 3, now_s=0.0)
    receive(window, (1, 1), now_s=1.0)
    assert window.due_for_resend(1.0 + PROBE_AFTER_S - 0.1) == ()
    assert window.due_for_resend(1.0 + PROBE_AFTER_S) == (3,)
    send(window, 3, now_s=4.0)
    assert window.due_for_resend(4.0 + PROBE_AFTER_S) == ()
    receive(window, (3, 3), now_s=7.0)
    assert window.due_for_resend(7.0) == (2,)


def test_a_second_centre_that_is_slow_does_not_narrow_the_window() -> None:
    window = SendWindow(20)
    send(window, *range(1, INITIAL_SIZE + 1), now_s=0.0)
    assert window.new_message_quota() == 0
    window.note_received((SeqRange(1, INITIAL_SIZE),), 0.1)
    assert (window.unacked_count, window.new_message_quota()) == (4, 5)
    # It is sent again for the second one.
    assert window.due_for_resend(RESEND_AFTER_S) == (1, 2, 3, 4)
    assert window.new_message_quota() == 5


@pytest.mark.parametrize("reason_code", [0x10, 0x87])
def test_what_the_broker_keeps_for_no_centre_does_not_fill_the_window(reason_code: int) -> None:
    window = SendWindow(20)
    for seq in range(1, INITIAL_SIZE + 1):
        window.note_sent(seq, seq, 10, 0.0)
        window.note_puback(seq, reason_code, 0.0)
    assert window.new_message_quota() == INITIAL_SIZE
    assert window.due_for_resend(PROBE_AFTER_S) == ()
    assert window.due_for_resend(RESEND_AFTER_S) == (1, 2, 3, 4)
    assert window.new_message_quota() == INITIAL_SIZE
    window.note_sent(5, 1, 10, RESEND_AFTER_S)
    assert window.new_message_quota() == INITIAL_SIZE - 1


def test_an_acknowledgement_that_is_late_halves_the_window() -> None:
    window = SendWindow(20)
    send(window, 1, 2, 3, 4, now_s=0.0)
    receive(window, (1, 4), now_s=MAX_WAIT_S + 0.1)
    send(window, 5, 6, now_s=3.0)
    assert window.new_message_quota() == 0


def test_no_more_is_sent_again_than_the_window_holds() -> None:
    window = SendWindow(20)
    send(window, 1, 2, 3, 4, now_s=0.0)
    assert window.due_for_resend(RESEND_AFTER_S) == (1, 2)
    send(window, 1, 2, now_s=RESEND_AFTER_S)
    assert window.due_for_resend(RESEND_AFTER_S) == ()


def test_an_emergency_does_not_wait_for_the_window() -> None:
    window = SendWindow(20)
    send(window, 1, 2, 3, 4, now_s=0.0)
    assert (window.new_message_quota(), window.new_emergency_quota()) == (0, URGENT_RESERVE)
    window.due_for_resend(RESEND_AFTER_S)
    assert window.new_emergency_quota() == URGENT_RESERVE - 2


class Broker:
    """A broker that takes `centre_per_tick` messages of the centre's queue in each tick, and drops what the queue does not hold."""

    def __init__(self, queue: int, centre_per_tick: int = 60) -> None:
        self.published_count = 0
        self._limit = queue
        self._centre_per_tick = centre_per_tick
        self._queue: deque[tuple[int, int]] = deque()

    def publish(self, box: int, window: SendWindow, seqs: Iterable[int], now_s: float) -> None:
        for seq in seqs:
            self.published_count += 1
            mid = self.published_count
            window.note_sent(mid, seq, 10, now_s + mid / 1e9)
            window.note_puback(mid, 0, now_s)
            if len(self._queue) < self._limit:
                self._queue.append((box, seq))

    def deliver(self) -> dict[int, list[int]]:
        """The numbers that the centre takes, by box."""
        taken: dict[int, list[int]] = {}
        for _ in range(min(len(self._queue), self._centre_per_tick)):
            box, seq = self._queue.popleft()
            taken.setdefault(box, []).append(seq)
        return taken


def drain(broker: Broker, boxes: int, messages: int) -> float:
    """Let boxes that come back together send so many messages each. Return the time until the centre has all."""
    windows = [SendWindow(20) for _ in range(boxes)]
    unsent = [range(1, messages + 1)] * boxes
    received: list[set[int]] = [set() for _ in range(boxes)]
    ticks = 0
    while any(len(seqs) < messages for seqs in received):
        now_s = ticks * TICK_S
        ticks += 1
        for turn in range(boxes):
            # Each tick another one is the first.
            box = (turn + ticks) % boxes
            window = windows[box]
            broker.publish(box, window, window.due_for_resend(now_s), now_s)
            quota = window.new_message_quota()
            broker.publish(box, window, unsent[box][:quota], now_s)
            unsent[box] = unsent[box][quota:]
        for box, seqs in broker.deliver().items():
            received[box].update(seqs)
            receive(windows[box], *((seq, seq) for seq in seqs), now_s=now_s + TICK_S)
        assert ticks < 100_000
    return ticks * TICK_S


@pytest.mark.parametrize(
    ("queue", "boxes", "messages", "most_s"),
    [
        pytest.param(1000, 1, 4_000, 5, id="one box"),
        pytest.param(1000, 20, 1_000, 8, id="twenty boxes"),
        pytest.param(100, 20, 500, 15, id="a short queue"),
        pytest.param(1000, 200, 100, 15, id="many boxes"),
        pytest.param(10**6, 200, 100, 8, id="a long queue"),
    ],
)
def test_little_is_sent_twice_at_any_broker(
    queue: int, boxes: int, messages: int, most_s: float
) -> None:
    broker = Broker(queue)
    assert drain(broker, boxes, messages) <= most_s
    assert broker.published_count / boxes / messages <= 1.05


@given(st.integers(1, 12), st.integers(1, 60), st.integers(1, 80))
def test_each_message_arrives_however_short_the_queue(
    boxes: int, queue: int, messages: int
) -> None:
    drain(Broker(queue, centre_per_tick=5), boxes, messages)
