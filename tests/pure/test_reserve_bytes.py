"""agent.recording.retention.eviction_plan.reserve_bytes: room for an update, and not too much of a small
card.
"""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from agent.base.health_model import DiskHealth, Vitals
from agent.config.recording import MIN_RESERVE_BYTES, RecordConfig
from agent.faults.registry import FaultRegistry
from agent.health.degradation import RECOVERY_S, DegradationPolicy, ResourceLoad, compute_load
from agent.health.machine_faults import MachineFaults
from agent.recording.retention.free_space import reserve_bytes
from agent.update.download import RESERVE_BYTES

WANTED = RecordConfig().reserve_bytes
MB, GB = 10**6, 10**9
BUNDLE_BYTES = 285 * MB
"""Of the reference board, signed and compressed."""


@pytest.mark.parametrize(
    ("total_bytes", "kept_bytes"),
    [
        (1 * GB, 200 * MB),
        (2 * GB, 400 * MB),
        (2_500 * MB, 500 * MB),
        (4_710 * MB, 500 * MB),
        (10 * GB, 500 * MB),
        (15 * GB, 750 * MB),
        (20 * GB, 1 * GB),
        (500 * GB, 1 * GB),
    ],
)
def test_the_reserve_depends_on_the_size_of_the_disk(total_bytes: int, kept_bytes: int) -> None:
    assert reserve_bytes(WANTED, total_bytes) == kept_bytes


REQUESTS = st.integers(MIN_RESERVE_BYTES, 10**13)
"""The configured reserve."""


@given(REQUESTS, st.integers(4_710 * MB, 10**13))
def test_an_update_fits_with_a_full_ring(wanted_bytes: int, total_bytes: int) -> None:
    assert reserve_bytes(wanted_bytes, total_bytes) >= BUNDLE_BYTES + RESERVE_BYTES


@given(REQUESTS, st.integers(10 * MB, 10**13))
def test_a_full_ring_is_not_a_full_disk(wanted_bytes: int, total_bytes: int) -> None:
    """Else the box would shed detection and recording for what its own footage takes: what else had
    filled the disk is over once only the ring does.
    """
    vitals = Vitals(
        soc_celsius=None,
        load_1min=None,
        memory_available_bytes=None,
        agent_rss_bytes=None,
        state_free_bytes=reserve_bytes(wanted_bytes, total_bytes),
        state_total_bytes=total_bytes,
        footage_free_bytes=reserve_bytes(wanted_bytes, total_bytes),
        footage_total_bytes=total_bytes,
    )
    ringful = compute_load(vitals, DiskHealth())
    board, ladder = FaultRegistry(lambda: 0), DegradationPolicy(0)
    faults = MachineFaults(board)
    for second, now in enumerate(
        [ResourceLoad(footage_space_ratio=0.0)] * 20 + [ringful] * int(RECOVERY_S + 2)
    ):
        level = ladder.update(second * 10**9, now)
        faults.update(second * 10**9, now, DiskHealth(), level)
    assert (ladder.current.level, board.active()) == ("full", ())


@given(st.integers(0, 10**13), st.integers(0, 10**13))
def test_the_reserve_exceeds_neither_the_configured_value_nor_a_fifth(
    wanted_bytes: int, total_bytes: int
) -> None:
    kept = reserve_bytes(wanted_bytes, total_bytes)
    assert 0 <= kept <= min(wanted_bytes, total_bytes // 5)
