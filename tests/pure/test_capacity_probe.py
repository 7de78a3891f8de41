"""centre.flash.capacity_probe: marks that show if a disk is as large as it reports."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centre.flash import capacity_probe, write_verify
from centre.flash.write_verify import PAGE_BYTES

MIB = 1 << 20
GIB = 1 << 30
GB = 1_000_000_000


def is_found(image_bytes: int, disk_bytes: int, real_bytes: int) -> bool:
    """Return True if a mark is lost on a disk that wraps around at its real end: the image, data behind it
    or another mark overwrites it.
    """
    written_end = write_verify.zero_regions(image_bytes, disk_bytes)[0][1]
    seen: set[int] = set()
    for place in capacity_probe.plan_offsets(image_bytes, disk_bytes):
        at = place % real_bytes
        if (place >= real_bytes and at < written_end) or at in seen:
            return True
        seen.add(at)
    return False


@given(
    image_bytes=st.integers(min_value=20 * MIB, max_value=4 * GIB).map(lambda n: n // 512 * 512),
    times=st.floats(min_value=1.01, max_value=30),
    real=st.floats(min_value=0, max_value=1),
)
def test_a_false_capacity_up_to_thirty_images_is_always_found(
    image_bytes: int, times: float, real: float
) -> None:
    disk_bytes = int(image_bytes * times) // 512 * 512
    if not capacity_probe.plan_offsets(image_bytes, disk_bytes):
        return
    most = disk_bytes - 2 * PAGE_BYTES
    real_bytes = int(image_bytes + real * (most - image_bytes)) // 512 * 512
    assert is_found(image_bytes, disk_bytes, real_bytes)


@pytest.mark.parametrize("real_bytes", [4 * GIB, 8 * GIB, 16 * GIB, 64 * GIB, 7_948_206_080])
@pytest.mark.parametrize("disk_bytes", [32 * GB, 128 * GB, 256 * GIB, 512 * GB, 2000 * GB])
def test_a_card_with_a_false_capacity_is_found(real_bytes: int, disk_bytes: int) -> None:
    assert real_bytes > disk_bytes or is_found(3 * GB, disk_bytes, real_bytes)


@given(
    image_bytes=st.integers(min_value=1, max_value=8 * GIB // 512).map(lambda n: n * 512),
    room=st.integers(min_value=0, max_value=4000 * GIB // 512).map(lambda n: n * 512),
)
def test_probe_marks_are_few_and_overlap_no_data_written_before_their_check(
    image_bytes: int, room: int
) -> None:
    disk_bytes = image_bytes + room
    found = capacity_probe.plan_offsets(image_bytes, disk_bytes)
    assert len(found) < 90
    assert found == tuple(sorted(set(found)))
    assert all(place % PAGE_BYTES == 0 for place in found)
    if found:
        (_, begin), (last, end) = write_verify.zero_regions(image_bytes, disk_bytes)
        assert all(begin <= place and place + PAGE_BYTES <= end for place in found)
        assert {place for place in found if place >= last} == {
            last,
            (end - PAGE_BYTES) // PAGE_BYTES * PAGE_BYTES,
        }
