"""The oldest footage goes, and no more of it than the budget asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.record.eviction import count_to_evict


@pytest.mark.parametrize(
    ("sizes_bytes", "open_bytes", "max_bytes", "count"),
    [
        ([], 0, 100, 0),
        ([], 200, 100, 0),
        ([50, 50], 0, 100, 0),
        ([50, 50], 1, 100, 1),
        ([50, 50], 51, 100, 2),
        ([1, 50, 50], 1, 101, 1),
        ([0, 0, 101], 0, 100, 3),
        ([100], 500, 100, 1),
    ],
)
def test_the_oldest_go_until_the_rest_fits(
    sizes_bytes: list[int], open_bytes: int, max_bytes: int, count: int
) -> None:
    total_bytes = sum(sizes_bytes) + open_bytes
    assert count_to_evict(sizes_bytes, total_bytes, max_bytes) == count


@given(
    sizes_bytes=st.lists(st.integers(0, 1000), max_size=30),
    open_bytes=st.integers(0, 2000),
    max_bytes=st.integers(1, 5000),
)
def test_what_is_left_fits_and_one_less_would_not_do(
    sizes_bytes: list[int], open_bytes: int, max_bytes: int
) -> None:
    count = count_to_evict(sizes_bytes, sum(sizes_bytes) + open_bytes, max_bytes)
    left_bytes = sum(sizes_bytes[count:]) + open_bytes
    assert left_bytes <= max_bytes or count == len(sizes_bytes)
    if count:
        assert left_bytes + sizes_bytes[count - 1] > max_bytes
