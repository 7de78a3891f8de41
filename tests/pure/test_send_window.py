"""agent.reporting.mqtt.send_window, ack_mode and backoff: messages in flight, as values."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.reporting.centre_payloads import CentreStateName
from agent.reporting.mqtt.backoff import MAX_DELAY_S, RESET_AFTER_S, ReconnectBackoff
from agent.reporting.mqtt.centre_link import CENTRE_STATE_WAIT_S, AckMode, choose_ack_mode
from agent.reporting.mqtt.congestion_window import START_MESSAGES
from agent.reporting.mqtt.send_window import (
    EMERGENCY_RESERVE,
    MAX_FAST_SENDS,
    MAX_IN_FLIGHT_BYTES,
    MAX_UNACKED,
    PUBACK_TIMEOUT_S,
    RESEND_AFTER_S,
    SendWindow,
)
from agent.reporting.payloads import SeqRange


@pytest.mark.parametrize(("maximum", "room"), [(1, 1), (20, 20), (65_535, 20)])
def test_the_window_is_the_smaller_of_twenty_and_the_servers_receive_maximum(
    maximum: int, room: int
) -> None:
    assert SendWindow(maximum).new_message_quota() == room


def test_births_count_towards_the_servers_limit() -> None:
    window = SendWindow(1)
    window.note_sent(1, None, 100, 0.0)
    assert window.new_message_quota() == 0
    assert window.note_puback(1, 0, 0.1) is None
    assert window.new_message_quota() == 1


def test_bytes_in_flight_are_limited_so_that_an_emergency_is_not_delayed() -> None:
    window = SendWindow(20)
    window.note_sent(1, 1, MAX_IN_FLIGHT_BYTES, 0.0)
    assert window.new_message_quota() == 0
    window.note_puback(1, 0, 0.1)
    assert window.new_message_quota() == START_MESSAGES - 1


def test_messages_waiting_for_the_centre_are_limited() -> None:
    window = SendWindow(20)
    for seq in range(1, MAX_UNACKED + 1):
        window.note_sent(seq, seq, 1, 0.0)
        window.note_puback(seq, 0, 0.0)
    assert window.new_message_quota() == 0
    acknowledged(window, 1, 200, 0.0)
    assert window.unacked_count == MAX_UNACKED - 200
    assert window.new_message_quota() > 0


@pytest.mark.parametrize("end", ["taken", "acknowledged"])
def test_a_refused_message_counts_as_refused_until_it_is_taken_or_acknowledged(end: str) -> None:
    window = SendWindow(20)
    for seq in (1, 2):
        window.note_sent(seq, seq, 10, 0.0)
        window.note_puback(seq, 0x97, 0.1)
    acknowledged(window, 1, 1, 0.2)
    assert window.has_refused
    window.note_sent(3, 2, 10, 0.1 + RESEND_AFTER_S)
    assert window.has_refused, "the broker has not answered yet"
    if end == "taken":
        window.note_puback(3, 0, 11.0)
    else:
        acknowledged(window, 2, 2, 11.0)
        window.note_puback(3, 0x97, 11.1)
    assert not window.has_refused


@pytest.mark.parametrize(("sent_earlier", "lost"), [(frozenset(), (9,)), (frozenset({5}), ())])
def test_the_acknowledgement_of_a_message_of_the_connection_before_is_no_sign_of_a_loss(
    sent_earlier: frozenset[int], lost: tuple[int, ...]
) -> None:
    window = SendWindow(20, sent_earlier)
    for mid, seq in ((1, 9), (2, 5)):
        window.note_sent(mid, seq, 10, 0.0)
        window.note_puback(mid, 0, 0.0)
    window.note_received([SeqRange(1, 5)], 0.1)
    window.acknowledge([SeqRange(1, 5)])
    assert window.due_for_resend(0.1) == lost


def test_an_unsettled_message_is_due_again() -> None:
    window = SendWindow(20)
    window.note_sent(1, 1, 10, 0.0)
    window.note_sent(2, 2, 10, 0.0)
    window.note_puback(1, 0x10, 1.0)
    assert window.due_for_resend(1.0 + RESEND_AFTER_S - 0.1) == ()
    # Number 2 is with TCP still: MQTT forbids to send it again.
    assert window.due_for_resend(1.0 + RESEND_AFTER_S) == (1,)
    window.note_sent(3, 1, 10, 1.0 + RESEND_AFTER_S)
    assert window.due_for_resend(1.0 + RESEND_AFTER_S) == ()


def test_a_message_that_was_slow_to_send_is_not_due_again_at_once() -> None:
    window = SendWindow(20)
    window.note_sent(1, 1, 200_000, 0.0)
    assert window.first_waiting_seq() is None
    window.note_puback(1, 0, 80.0)
    assert window.first_waiting_seq() == 1
    assert window.due_for_resend(80.0 + RESEND_AFTER_S - 0.1) == ()
    assert window.due_for_resend(80.0 + RESEND_AFTER_S) == (1,)


def acknowledged(window: SendWindow, first: int, last: int, now_s: float) -> None:
    """A centre acknowledges messages, which frees them."""
    window.note_received((SeqRange(first, last),), now_s)
    window.acknowledge((SeqRange(first, last),))


def sent_and_taken(window: SendWindow, *seqs: int, now_s: float = 0.0) -> None:
    """Send messages with their numbers as packet ids, and have the broker take all of them."""
    for seq in seqs:
        window.note_sent(seq, seq, 10, now_s)
    for seq in seqs:
        window.note_puback(seq, 0, now_s)


@pytest.mark.parametrize(
    ("why", "taken_first", "acked", "due"),
    [
        ("what is acknowledged is not due", [1, 2], (1, 4), ()),
        ("one that was sent before the PUBACK may be in the queue behind it", [1, 2], (2, 2), ()),
        ("one that was sent after the PUBACK is behind it", [1, 2], (3, 3), (1, 2)),
        ("in order: the next one may come", [1, 2], (1, 3), ()),
        ("emergencies are sent out of order", [9, 2], (3, 3), (2, 9)),
    ],
)
def test_a_message_is_lost_if_one_that_was_sent_after_its_puback_is_acknowledged(
    why: str, taken_first: list[int], acked: tuple[int, int], due: tuple[int, ...]
) -> None:
    window = SendWindow(20)
    sent_and_taken(window, *taken_first)
    sent_and_taken(window, 3, 4)
    acknowledged(window, *acked, 0.1)
    assert window.due_for_resend(0.1) == due, why


def test_a_message_without_a_puback_is_not_lost() -> None:
    window = SendWindow(20)
    window.note_sent(1, 1, 10, 0.0)
    sent_and_taken(window, 2)
    acknowledged(window, 2, 2, 0.1)
    assert window.due_for_resend(0.1) == ()
    window.note_puback(1, 0, 0.2)
    sent_and_taken(window, 3)
    acknowledged(window, 3, 3, 0.3)
    assert window.due_for_resend(0.3) == (1,)


def test_the_acknowledgement_of_a_message_sent_twice_is_no_sign_of_a_loss() -> None:
    """It may be for the first time, and so from before the others."""
    window = SendWindow(20)
    sent_and_taken(window, 1, 2)
    assert window.due_for_resend(RESEND_AFTER_S) == (1, 2)
    window.note_sent(3, 1, 10, RESEND_AFTER_S)
    window.note_puback(3, 0, RESEND_AFTER_S)
    window.note_sent(4, 4, 10, RESEND_AFTER_S)
    window.note_puback(4, 0, RESEND_AFTER_S)
    window.note_sent(5, 2, 10, RESEND_AFTER_S)
    window.note_puback(5, 0, RESEND_AFTER_S)
    acknowledged(window, 2, 2, RESEND_AFTER_S + 1)
    assert window.due_for_resend(RESEND_AFTER_S + 1) == ()


def test_as_long_as_messages_are_acknowledged_in_order_none_is_overdue() -> None:
    window = SendWindow(20)
    sent_and_taken(window, 1, 2, 3)
    acknowledged(window, 1, 1, RESEND_AFTER_S - 1)
    assert window.due_for_resend(2 * RESEND_AFTER_S - 1.1) == ()
    acknowledged(window, 1, 2, 2 * RESEND_AFTER_S - 1.1)
    # A repeat of an acknowledgement frees nothing.
    acknowledged(window, 1, 2, 2 * RESEND_AFTER_S)
    assert window.due_for_resend(3 * RESEND_AFTER_S - 1.2) == ()
    assert window.due_for_resend(3 * RESEND_AFTER_S - 1) == (3,)


def test_lost_messages_are_sent_again_in_half_of_the_window_next_to_new_ones() -> None:
    window = SendWindow(20)
    sent_and_taken(window, *range(1, 21))
    assert window.new_message_quota() == 0
    # Nothing was acknowledged: the window is half as large, and half of that is for what is sent again.
    due = window.due_for_resend(RESEND_AFTER_S)
    assert due == (1, 2, 3, 4, 5)
    for mid, seq in enumerate(due, start=21):
        window.note_sent(mid, seq, 10, RESEND_AFTER_S)
    assert window.due_for_resend(RESEND_AFTER_S) == ()
    assert window.new_message_quota() == 5
    acknowledged(window, 1, 2, RESEND_AFTER_S)
    assert window.due_for_resend(RESEND_AFTER_S) == (6, 7)


def full_windows() -> tuple[SendWindow, SendWindow]:
    """Two windows that are full with the messages 1 to 20; the first has as many emergencies beyond as it may, from 101 on."""
    beyond, plain = SendWindow(20), SendWindow(20)
    for window in (beyond, plain):
        sent_and_taken(window, *range(1, START_MESSAGES + 1))
        assert (window.new_message_quota(), window.new_emergency_quota()) == (0, EMERGENCY_RESERVE)
    sent_and_taken(beyond, *range(101, 101 + EMERGENCY_RESERVE))
    assert (beyond.new_message_quota(), beyond.new_emergency_quota()) == (0, 0)
    return beyond, plain


def test_a_window_grows_by_its_own_messages_and_not_by_the_emergencies_beyond_it() -> None:
    sizes = []
    for window in full_windows():
        acknowledged(window, 1, START_MESSAGES, 0.1)
        acknowledged(window, 101, 100 + EMERGENCY_RESERVE, 0.1)
        seq = 200
        while window.new_message_quota():
            seq += 1
            sent_and_taken(window, seq, now_s=0.1)
        assert window.new_emergency_quota() == EMERGENCY_RESERVE
        sizes.append(seq - 200)
    assert sizes == [25, 25]


def test_emergencies_beyond_the_window_hold_up_nothing_that_is_sent_again() -> None:
    beyond, plain = full_windows()
    assert beyond.due_for_resend(RESEND_AFTER_S) == plain.due_for_resend(RESEND_AFTER_S)
    # They are lost too, and sent again in their turn; others may be sent beyond the window meanwhile.
    assert beyond.new_emergency_quota() >= EMERGENCY_RESERVE
    acknowledged(beyond, 1, START_MESSAGES, RESEND_AFTER_S)
    assert beyond.due_for_resend(RESEND_AFTER_S) == (101, 102, 103, 104, 105)


def test_emergencies_pass_as_many_messages_as_may_wait_for_a_second_centre() -> None:
    window = SendWindow(20)
    for seq in range(1, MAX_UNACKED + 1):
        sent_and_taken(window, seq)
        window.note_received((SeqRange(seq, seq),), 0.0)
    assert (window.new_message_quota(), window.new_emergency_quota()) == (0, EMERGENCY_RESERVE)
    sent_and_taken(window, *range(1001, 1001 + EMERGENCY_RESERVE))
    assert window.new_emergency_quota() == 0


def test_the_losses_of_one_window_halve_it_once() -> None:
    window = SendWindow(20)
    sent_and_taken(window, 1, 2, 3, 4)
    sent_and_taken(window, 5, 6, 7)
    acknowledged(window, 5, 5, 0.1)
    assert window.new_message_quota() == START_MESSAGES // 2 - 2
    sent_and_taken(window, 8)
    acknowledged(window, 8, 8, 0.2)
    # Number 6 and 7 were sent before the first loss was known.
    assert window.new_message_quota() == START_MESSAGES // 2
    sent_and_taken(window, 9)
    sent_and_taken(window, 10)
    acknowledged(window, 10, 10, 0.3)
    assert window.new_message_quota() == START_MESSAGES // 4


@pytest.mark.parametrize("reason_code", [0x10, 0x87, 0x97])
def test_a_message_that_the_broker_did_not_take_is_no_loss_of_the_queue(reason_code: int) -> None:
    window = SendWindow(20)
    for seq in range(1, START_MESSAGES + 1):
        window.note_sent(seq, seq, 10, 0.0)
        window.note_puback(seq, reason_code, 0.0)
    assert window.new_message_quota() == START_MESSAGES
    sent_and_taken(window, 21, now_s=0.1)
    acknowledged(window, 21, 21, 0.2)
    assert window.due_for_resend(RESEND_AFTER_S - 0.1) == ()
    assert window.new_message_quota() == START_MESSAGES
    assert len(window.due_for_resend(RESEND_AFTER_S)) == START_MESSAGES // 2


def test_a_message_that_the_centre_never_takes_does_not_slow_down_the_others() -> None:
    window, now_s, sent_times = SendWindow(20), 0.0, 1
    sent_and_taken(window, 1)
    for seq in range(2, 602):
        now_s += 0.05
        sent_and_taken(window, seq, now_s=now_s)
        acknowledged(window, seq, seq, now_s)
        for due in window.due_for_resend(now_s):
            assert due == 1
            sent_times += 1
            window.note_sent(1000 + seq, due, 10, now_s)
            window.note_puback(1000 + seq, 0, now_s)
    # Three times at once, and each ten seconds.
    assert sent_times == 1 + MAX_FAST_SENDS + 2
    assert window.new_message_quota() == START_MESSAGES // 2


@pytest.mark.parametrize(
    ("why", "ack_s", "sent_s", "lost_s"),
    [
        ("the end of a backlog: four times the delay, at least 2 s", 0.1, 0.1, 2.1),
        ("a centre that is slower", 1.0, 1.0, 5.0),
        ("one that is much slower", 4.0, 4.0, 14.0),
        ("a message later on: its acknowledgement may wait for others", 0.1, 3.0, 13.0),
    ],
)
def test_in_a_backlog_a_silence_is_noted_earlier(
    why: str, ack_s: float, sent_s: float, lost_s: float
) -> None:
    window = SendWindow(20)
    sent_and_taken(window, *range(1, 21))
    acknowledged(window, 1, 20, ack_s)
    sent_and_taken(window, 21, now_s=sent_s)
    assert window.due_for_resend(lost_s - 0.05) == (), why
    assert window.due_for_resend(lost_s + 0.05) == (21,), why


def test_a_message_that_one_of_two_centres_has_is_not_on_its_way() -> None:
    window = SendWindow(20)
    sent_and_taken(window, *range(1, 21))
    window.note_received((SeqRange(1, 20),), 0.1)
    assert (window.unacked_count, window.new_message_quota()) == (20, 20)
    # The other one may have lost them.
    assert window.due_for_resend(RESEND_AFTER_S - 0.1) == ()
    assert len(window.due_for_resend(RESEND_AFTER_S)) > START_MESSAGES // 2


def test_a_message_that_is_acknowledged_before_its_puback_is_not_sent_again_before_it() -> None:
    window = SendWindow(20)
    window.note_sent(1, 1, 10, 100.0)
    window.note_received((SeqRange(1, 1),), 100.1)
    assert window.due_for_resend(200.0) == ()
    window.note_puback(1, 0, 200.0)
    assert window.due_for_resend(200.0 + RESEND_AFTER_S) == (1,)


def test_a_message_that_is_gone_from_the_outbox_is_forgotten() -> None:
    window = SendWindow(20)
    sent_and_taken(window, 1, 2)
    assert window.due_for_resend(RESEND_AFTER_S) == (1, 2)
    window.acknowledge((SeqRange(1, 1),))
    assert window.due_for_resend(RESEND_AFTER_S) == (2,)
    assert window.unacked_count == 1


def test_a_puback_below_0x80_settles_a_message() -> None:
    window = SendWindow(20)
    for seq, code in enumerate((0x00, 0x10, 0x80, 0x87, 0x97), start=1):
        window.note_sent(seq, seq, 10, 0.0)
        window.note_puback(seq, code, 0.1)
    assert window.pubacked_seqs() == (1, 2)


def test_a_silent_broker_is_given_up() -> None:
    window = SendWindow(20)
    assert not window.is_stuck(1000.0)
    window.note_sent(1, 1, 10, 1000.0)
    assert not window.is_stuck(1000.0 + PUBACK_TIMEOUT_S - 1)
    assert window.is_stuck(1000.0 + PUBACK_TIMEOUT_S)
    window.note_sent(2, 2, 10, 1001.0)
    window.note_puback(2, 0, 1029.0)
    assert not window.is_stuck(1035.0)


Step = tuple[float, str, int]
"""When; what: a publication `sent` or answered (`puback`) by its packet number, or so many bytes
`moved`, or `all` that were sent have arrived."""
PICTURE_LEAVES: list[Step] = [(at, "moved", 2500 * at) for at in range(1, 80)]


@pytest.mark.parametrize(
    ("why", "steps", "stuck_from_s"),
    [
        ("what has left is not answered", [(0, "sent", 1), (0.1, "all", 300)], 30.1),
        ("a picture leaves slowly", [(0, "sent", 1), *PICTURE_LEAVES], 79 + 30),
        (
            "it has left, and is not answered",
            [(0, "sent", 1), *PICTURE_LEAVES, (80, "all", 200_000)],
            80 + 30,
        ),
        ("the link is cut while it leaves", [(0, "sent", 1), *PICTURE_LEAVES[:20]], 20 + 30),
        (
            "the same count again is no movement",
            [(0, "sent", 1), (1, "moved", 2500), (20, "moved", 2500)],
            1 + 30,
        ),
        (
            "what is sent and leaves later does not speak for what is not answered",
            [(0, "sent", 1), (0.1, "all", 300), (20, "sent", 2), (20.1, "all", 600)],
            30.1,
        ),
        (
            "what is before the picture is answered while it leaves",
            [(0, "sent", 1), (0, "sent", 2), (0.5, "puback", 1), *PICTURE_LEAVES],
            79 + 30,
        ),
        (
            "the picture was answered, and what comes after it is not",
            [(0, "sent", 1), *PICTURE_LEAVES, (81, "puback", 1), (90, "sent", 2)],
            90 + 30,
        ),
    ],
)
def test_a_broker_is_given_up_only_without_progress(
    why: str, steps: list[Step], stuck_from_s: float
) -> None:
    window = SendWindow(20)
    for now_s, what, number in steps:
        assert not window.is_stuck(now_s), why
        match what:
            case "sent":
                window.note_sent(number, number, 10, now_s)
            case "puback":
                window.note_puback(number, 0, now_s)
            case _:
                window.note_tcp_progress(number, now_s, is_all_acked=what == "all")
    assert not window.is_stuck(stuck_from_s - 0.1), why
    assert window.is_stuck(stuck_from_s), why


def test_a_broker_with_nothing_in_flight_is_not_given_up() -> None:
    window = SendWindow(20)
    window.note_tcp_progress(100, 0.0, is_all_acked=True)
    assert not window.is_stuck(1000.0)


@given(
    st.integers(1, 30),
    st.lists(
        st.tuples(
            st.sampled_from(["send", "emergency", "puback", "receive", "settle", "again"]),
            st.integers(0, 10**6),
        ),
        max_size=80,
    ),
)
def test_the_limits_hold_in_any_sequence(maximum: int, steps: list[tuple[str, int]]) -> None:
    window = SendWindow(maximum)
    seq = mid = 0
    now_s = 0.0
    flying: list[int] = []
    for what, number in steps:
        now_s += number % 12
        quotas = {"send": window.new_message_quota(), "emergency": window.new_emergency_quota()}
        if quotas.get(what, 0) > 0:
            seq, mid = seq + 1, mid + 1
            window.note_sent(mid, seq, number % 30_000, now_s)
            flying.append(mid)
        elif what == "again":
            for due in window.due_for_resend(now_s):
                mid += 1
                window.note_sent(mid, due, number % 30_000, now_s)
                flying.append(mid)
        elif what == "puback" and flying:
            window.note_puback(flying.pop(number % len(flying)), 0, now_s)
        elif what == "settle":
            acknowledged(window, 1, number % 10 + 1, now_s)
        elif what == "receive":
            window.note_received((SeqRange(1, number % 20 + 1),), now_s)
        assert len(flying) <= min(20, maximum)
        assert window.send_quota() == min(20, maximum) - len(flying)
        assert window.unacked_count <= MAX_UNACKED + EMERGENCY_RESERVE
    for each in flying:
        window.note_puback(each, 0, now_s)
    window.acknowledge((SeqRange(1, seq + 1),))
    assert (window.unacked_count, window.quota_bytes()) == (0, MAX_IN_FLIGHT_BYTES)


@pytest.mark.parametrize(
    ("ack", "states", "known", "since_s", "expected"),
    [
        ("broker", [], False, 0.0, "broker"),
        ("broker", ["listening"], True, 0.0, "broker"),
        ("auto", ["listening"], False, 0.0, "centre"),
        ("auto", ["away"], True, 99.0, "hold"),
        ("auto", ["away", "listening"], True, 0.0, "centre"),
        ("auto", ["retired", "listening"], True, 0.0, "centre"),
        ("auto", ["retired"], False, 0.0, "broker"),
        # Another one is known, and has not announced itself on this connection yet.
        ("auto", ["retired"], True, 99.0, "hold"),
        ("auto", [], False, 0.0, "undecided"),
        ("auto", [], False, CENTRE_STATE_WAIT_S, "broker"),
        # A broker that was killed forgets what was retained: silence is no end.
        ("auto", [], True, 99.0, "hold"),
    ],
)
def test_a_message_is_freed_according_to_the_ack_mode(
    ack: str,
    states: list[CentreStateName],
    known: bool,
    since_s: float,
    expected: str,
) -> None:
    def choose(*, are_acks_signed: bool) -> AckMode:
        return choose_ack_mode(
            ack,  # type: ignore[arg-type]
            states,
            centre_known=known,
            are_acks_signed=are_acks_signed,
            subscribed_for_s=since_s,
        )

    assert choose(are_acks_signed=False) == expected
    # With a control authority no PUBACK frees a message; its configuration has no `ack = "broker"`.
    signed = "hold" if (ack, expected) == ("auto", "broker") else expected
    assert choose(are_acks_signed=True) == signed


def test_waits_are_random_up_to_a_limit_that_doubles() -> None:
    rng = random.Random(1)
    waits = [[ReconnectBackoff(rng).next_delay_s(0.0) for _ in range(1)] for _ in range(200)]
    first = [wait for (wait,) in waits]
    assert 0 <= min(first) < 0.1
    assert 0.9 < max(first) <= 1.0
    backoff = ReconnectBackoff(rng)
    later = [backoff.next_delay_s(0.0) for _ in range(300)][10:]
    assert max(later) <= MAX_DELAY_S
    assert max(later) > MAX_DELAY_S - 1
    assert min(later) < 1


def test_a_connection_closed_at_once_does_not_reset_the_waits() -> None:
    class Latest(random.Random):
        """Always the longest wait."""

        def uniform(self, a: float, b: float) -> float:
            return b

    backoff = ReconnectBackoff(Latest())
    assert [backoff.next_delay_s(0.5) for _ in range(6)] == [1, 2, 4, 8, 15, 15]
    assert backoff.next_delay_s(RESET_AFTER_S) == 1
