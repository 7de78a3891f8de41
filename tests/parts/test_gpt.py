"""centre.flash.gpt: the partition table of an image, read and moved to the end of a larger card."""

import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centre.flash import gpt

SECTORS = 4096
LABELS = ("select", "boot_a", "boot_b")


def table(sectors: int = SECTORS, labels: tuple[str, ...] = LABELS, entries_at: int = 2) -> bytes:
    """The begin of a disk, as the UEFI specification has it, chapter 5.3."""
    entries = b"".join(
        b"T" * 16
        + bytes([number]) * 16
        + struct.pack("<QQQ", 100 * (number + 1), 100 * (number + 1) + 49, 0)
        + label.encode("utf-16-le").ljust(72, b"\0")
        for number, label in enumerate(labels)
    ).ljust(128 * 128, b"\0")

    def header(crc: int) -> bytes:
        places = (1, sectors - 1, 34, sectors - 34)
        return (
            b"EFI PART"
            + struct.pack("<IIII", 0x10000, 92, crc, 0)
            + struct.pack("<QQQQ", *places)
            + b"D" * 16
            + struct.pack("<QIII", entries_at, 128, 128, zlib.crc32(entries))
        )

    boot = bytearray(512)
    boot[446:462] = struct.pack("<BBBBBBBBII", 0, 0, 2, 0, 0xEE, 255, 255, 255, 1, sectors - 1)
    boot[510:] = b"\x55\xaa"
    return bytes(boot) + header(zlib.crc32(header(0))).ljust(512, b"\0") + entries


def test_partitions_have_labels_offsets_and_sizes_in_bytes() -> None:
    found = gpt.parse_table(table())
    assert found.disk_bytes == SECTORS * 512
    assert found.labels == LABELS
    assert found.find_partition("boot_a") == gpt.Partition(
        label="boot_a", offset_bytes=200 * 512, size_bytes=50 * 512
    )


@given(at=st.integers(min_value=512, max_value=34 * 512 - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_of_header_or_entries_is_noticed(at: int, bit: int) -> None:
    spoilt = bytearray(table())
    spoilt[at] ^= 1 << bit
    if 512 + 92 <= at < 1024:  # behind the header, in reserved space
        assert gpt.parse_table(bytes(spoilt)) == gpt.parse_table(table())
        return
    with pytest.raises(gpt.BadPartitionTable):
        gpt.parse_table(bytes(spoilt))


@given(st.binary(max_size=2000))
def test_other_bytes_are_not_a_partition_table(some: bytes) -> None:
    with pytest.raises(gpt.BadPartitionTable):
        gpt.parse_table(some.ljust(gpt.FIRST_SECTORS_BYTES, b"\0"))
    with pytest.raises(gpt.BadPartitionTable):
        gpt.parse_table(table()[:512] + b"EFI PART" + some.ljust(gpt.FIRST_SECTORS_BYTES, b"\0"))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (table(entries_at=3), "corrupt"),
        (table(sectors=150), "outside the disk"),
        (table()[: gpt.FIRST_SECTORS_BYTES - 1], "truncated"),
        (bytes(gpt.FIRST_SECTORS_BYTES), "no GUID partition table"),
    ],
)
def test_an_inconsistent_partition_table_is_refused(head: bytes, message: str) -> None:
    with pytest.raises(gpt.BadPartitionTable, match=message):
        gpt.parse_table(head)


@settings(max_examples=10)
@given(st.integers(min_value=SECTORS + 1, max_value=2**34))
def test_a_moved_table_describes_the_larger_disk_at_both_ends(sectors: int) -> None:
    changes = gpt.fit_to_disk(table(), sectors * 512)
    old, behind, front = changes.items()
    head = front[1] + table()[len(front[1]) :]
    assert front[0] == 0
    assert gpt.parse_table(head).disk_bytes == sectors * 512
    assert gpt.parse_table(head).partitions == gpt.parse_table(table()).partitions
    assert behind[0] + len(behind[1]) == sectors * 512
    assert behind[1][: 128 * 128] == table()[1024:]
    mine, other, _, last_usable = struct.unpack_from("<QQQQ", behind[1], 128 * 128 + 24)
    assert (mine, other, last_usable) == (sectors - 1, 1, sectors - 34)
    assert struct.unpack_from("<Q", behind[1], 128 * 128 + 72) == (sectors - 33,)
    assert (old[0] + len(old[1]), any(old[1])) == (SECTORS * 512, False)


def test_the_protective_mbr_covers_the_larger_disk() -> None:
    for sectors, covered in ((SECTORS * 2, SECTORS * 2 - 1), (2**34, 0xFFFF_FFFF)):
        front = gpt.fit_to_disk(table(), sectors * 512)[0]
        assert struct.unpack_from("<I", front, 446 + 12) == (covered,)
        assert front[510:512] == b"\x55\xaa"
