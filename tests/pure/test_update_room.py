"""How much of a disk the footage leaves free: room for an update, and not too much of a small card."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from agent.config.configuration import RecordConfig
from agent.record.keeper import reserve_bytes
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
def test_by_the_size_of_the_disk(total_bytes: int, kept_bytes: int) -> None:
    assert reserve_bytes(WANTED, total_bytes) == kept_bytes


@given(st.integers(4_710 * MB, 10**13))
def test_where_the_ring_is_full_an_update_still_has_room(total_bytes: int) -> None:
    assert reserve_bytes(WANTED, total_bytes) >= BUNDLE_BYTES + RESERVE_BYTES


@given(st.integers(0, 10**13), st.integers(0, 10**13))
def test_never_more_than_is_wanted_nor_than_a_fifth(wanted_bytes: int, total_bytes: int) -> None:
    kept = reserve_bytes(wanted_bytes, total_bytes)
    assert 0 <= kept <= min(wanted_bytes, total_bytes // 5)
