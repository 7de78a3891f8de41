"""agent.recording.gop: the length of the open group of pictures, and the first missing picture."""

import pytest

from agent.recording.gop import MAX_GOP_BYTES, MAX_GOP_NS, GopTracker
from drivers.media import Packet

BODY = bytes(MAX_GOP_BYTES)


def packet(t_ns: int, *, is_key: bool = False, size_bytes: int = 1) -> Packet:
    data = memoryview(BODY)[:size_bytes]
    return Packet(t_ns=t_ns, pts_ns=t_ns, dts_ns=t_ns, is_key=is_key, data=data)  # type: ignore[arg-type]


def groups(*taken: Packet) -> GopTracker:
    """Of a file that has grown by a hundred bytes with each packet."""
    groups_made = GopTracker()
    for number, each in enumerate(taken, start=1):
        groups_made.add(each, 100 * number)
    return groups_made


@pytest.mark.parametrize(
    ("t_ns", "size_bytes", "fits"),
    [
        (MAX_GOP_NS - 1, 1, True),
        (MAX_GOP_NS, 1, False),
        (1, MAX_GOP_BYTES - 10, True),
        (1, MAX_GOP_BYTES - 9, False),
    ],
)
def test_a_group_ends_with_a_keyframe_before_it_is_too_long_or_too_large(
    t_ns: int, size_bytes: int, *, fits: bool
) -> None:
    groups_made = groups(
        packet(-7, is_key=True, size_bytes=999), packet(0, is_key=True, size_bytes=10)
    )
    assert groups_made.can_append(packet(t_ns, size_bytes=size_bytes)) is fits
    assert groups_made.can_append(packet(t_ns, size_bytes=size_bytes, is_key=True)), (
        "it begins another"
    )


@pytest.mark.parametrize(
    ("kept_bytes", "lost_since"),
    [(0, 0), (299, 0), (300, 2), (399, 2), (400, 3), (10_000, 3)],
)
def test_a_group_is_lost_unless_all_of_it_is_in_the_remaining_file(
    kept_bytes: int, lost_since: int
) -> None:
    groups_made = groups(
        packet(0, is_key=True), packet(1), packet(2, is_key=True), packet(3, is_key=True)
    )
    assert groups_made.first_incomplete_ns(kept_bytes) == lost_since


def test_the_last_group_is_whole_once_the_file_has_its_end() -> None:
    groups_made = groups(packet(0, is_key=True), packet(1), packet(2, is_key=True))
    groups_made.finish(400)
    assert groups_made.first_incomplete_ns(399) == 2
    assert groups_made.first_incomplete_ns(400) is None


def test_a_file_without_a_packet_has_lost_none() -> None:
    assert GopTracker().first_incomplete_ns(0) is None
