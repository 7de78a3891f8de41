"""Which segments go when the ring is full. Pure."""

from collections.abc import Iterable


def count_to_evict(sizes_bytes: Iterable[int], total_bytes: int, max_bytes: int) -> int:
    """How many of the oldest segments go, so that what is left fits the budget.

    `sizes_bytes` are those of the closed segments, the oldest first; `total_bytes` is all that
    counts against `max_bytes`, the file that is being written included. No more go than needed;
    where even an empty ring would not fit, all of them.
    """
    count = 0
    for size_bytes in sizes_bytes:
        if total_bytes <= max_bytes:
            break
        total_bytes -= size_bytes
        count += 1
    return count
