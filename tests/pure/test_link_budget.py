"""agent.runtime.link_budget: the rate, the bytes of a day, and who goes first."""

from hypothesis import given
from hypothesis import strategies as st

from agent.runtime.link_budget import BURST_S, TRANSFER_RATIO, DayUsage, LinkBudget, SendPriority

SECOND_NS = 1_000_000_000
PIECES = st.lists(st.tuples(st.integers(1, 200_000), st.floats(0, 2)), min_size=1, max_size=60)


def drain(budget: LinkBudget, sizes: list[int], priority: SendPriority) -> float:
    """The seconds that it takes to send pieces as soon as each may be sent."""
    now_ns = 0
    for size_bytes in sizes:
        while (wait_s := budget.take(size_bytes, priority, now_ns, 1)) != 0:
            assert wait_s is not None
            now_ns += int(wait_s * SECOND_NS) + 1
    return now_ns / SECOND_NS


@given(pieces=PIECES, rate_kbit_s=st.integers(16, 100_000))
def test_the_rate_is_never_exceeded(pieces: list[tuple[int, float]], rate_kbit_s: int) -> None:
    budget, now_ns, sent_bytes, last_bytes = LinkBudget(rate_kbit_s), 0, 0, 0
    for size_bytes, pause_s in pieces:
        now_ns += int(pause_s * SECOND_NS)
        if budget.take(size_bytes, "transfer", now_ns, 1) == 0:
            sent_bytes, last_bytes = sent_bytes + size_bytes, size_bytes
            # Before the last piece: one that is larger than the bucket is paid off after it.
            allowed_bytes = rate_kbit_s * 125 * (now_ns / SECOND_NS + BURST_S)
            assert sent_bytes - last_bytes <= allowed_bytes + 1


@given(sizes=st.lists(st.integers(1, 500_000), min_size=1, max_size=30))
def test_every_piece_is_sent_in_the_end_and_the_rate_is_used(sizes: list[int]) -> None:
    seconds = drain(LinkBudget(1000), sizes, "view")
    assert seconds <= sum(sizes) / 125_000 + 0.1


def test_a_piece_of_a_transfer_is_a_quarter_of_a_second_within_bounds() -> None:
    assert LinkBudget().piece_bytes == LinkBudget(1_000_000).piece_bytes == 65_536
    assert LinkBudget(1000).piece_bytes == 31_250
    assert LinkBudget(16).piece_bytes == 4096


def test_without_limits_everything_is_sent_at_once() -> None:
    budget = LinkBudget()
    assert all(budget.take(10**9, "transfer", 0, 1) == 0 for _ in range(100))
    assert budget.usage() == DayUsage(day=1, size_bytes=100 * 10**9)


def test_an_emergency_goes_first() -> None:
    budget = LinkBudget(800)
    assert budget.take(100_000, "transfer", 0, 1) == 0
    half_ns = SECOND_NS // 2
    wait_s = budget.take(100_000, "emergency", half_ns, 1)
    assert wait_s is not None
    assert 0 < wait_s <= 0.5
    # There are 50,000 bytes in the bucket now, and they are the emergency's.
    assert budget.take(10_000, "transfer", half_ns, 1) != 0
    assert budget.take(10_000, "view", half_ns, 1) != 0
    assert budget.take(100_000, "emergency", SECOND_NS + 1, 1) == 0
    # The look has waited too, and goes before the clip.
    assert budget.take(10_000, "transfer", 2 * SECOND_NS, 1) != 0
    assert budget.take(10_000, "view", 2 * SECOND_NS, 1) == 0
    assert budget.take(10_000, "transfer", 2 * SECOND_NS, 1) == 0


def test_an_emergency_that_gave_up_blocks_nobody_for_long() -> None:
    budget = LinkBudget(800)
    assert budget.take(100_000, "transfer", 0, 1) == 0
    assert budget.take(100_000, "emergency", 1, 1) != 0
    assert budget.take(10_000, "transfer", 3 * SECOND_NS, 1) == 0


def test_the_bytes_of_a_day_bind_clips_first_then_looks_and_never_an_emergency() -> None:
    budget = LinkBudget(bytes_per_day=1_000_000)
    assert budget.take(int(1_000_000 * TRANSFER_RATIO), "transfer", 0, 1) == 0
    assert budget.take(1, "transfer", 0, 1) is None
    assert budget.take(200_000, "view", 0, 1) == 0
    assert budget.take(1, "view", 0, 1) is None
    assert budget.take(500_000, "emergency", 0, 1) == 0
    assert budget.usage().size_bytes == 1_500_000
    assert budget.take(1, "transfer", 0, 2) == 0


def test_what_was_sent_before_a_restart_counts() -> None:
    used = DayUsage(day=7, size_bytes=900_000)
    assert LinkBudget(bytes_per_day=1_000_000, used=used).take(1, "transfer", 0, 7) is None
    assert LinkBudget(bytes_per_day=1_000_000, used=used).take(1, "transfer", 0, 8) == 0
