"""centre.flash.write_verify: the order of the writes to a card, and the changes to the image."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centre.flash import gpt, write_verify
from centre.flash.disk_image import CHUNK_BYTES
from centre.flash.target import FileId, WriteTarget
from centre.flash.write_verify import Piece, VerifyFailed, WriteResult

UNIT = 4096


def reported(_done: int, _total: int) -> None:
    """Ignore the progress."""


class Watched(WriteTarget):
    """A card that remembers what was done to it, with how much of its begin was then set."""

    done: list[tuple[str, int, bool]]
    flips: int | None = None
    """A byte of which one bit is never what it should be."""

    def write(self, offset: int, data: bytes) -> None:
        super().write(offset, data)
        self.done.append(("write", offset, any(data)))

    def sync(self) -> None:
        super().sync()
        self.done.append(("sync", 0, False))

    def read(self, offset: int, size: int) -> bytes:
        data = bytearray(super().read(offset, size))
        if self.flips is not None and offset <= self.flips < offset + size:
            data[self.flips - offset] ^= 1
        return bytes(data)


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Watched]:
    path = tmp_path / "card"
    with path.open("wb") as file:
        file.write(b"\xff" * CHUNK_BYTES)
        file.truncate(6 * CHUNK_BYTES)
    judged = FileId.from_stat(path.stat())
    opened = WriteTarget.open_file(path, 6 * CHUNK_BYTES, expected=judged, even_if_not_empty=True)
    opened.close()
    handle = path.open("r+b")
    with handle:
        watched = Watched(path, os.dup(handle.fileno()), 6 * CHUNK_BYTES)
        watched.done = []
        with watched:
            yield watched


def stream(blank: tuple[int, ...] = ()) -> list[Piece]:
    return [
        Piece(
            offset=n * CHUNK_BYTES,
            data=bytes([0 if n in blank else n + 1]) * CHUNK_BYTES,
        )
        for n in range(6)
    ]


def flashed(card: Watched, blank: tuple[int, ...] = ()) -> WriteResult:
    write_verify.wipe_table(card)
    written = write_verify.write_pieces(card, stream(blank), 6 * CHUNK_BYTES, reported)
    write_verify.read_back(card, written, 6 * CHUNK_BYTES, reported)
    write_verify.write_ends(card, written, 6 * CHUNK_BYTES, reported)
    return written


def test_both_ends_are_blanked_first_and_written_last_each_made_durable(card: Watched) -> None:
    flashed(card)
    assert card.done[:3] == [
        ("write", 5 * CHUNK_BYTES, False),
        ("write", 0, False),
        ("sync", 0, False),
    ]
    assert card.done[-5:] == [
        ("sync", 0, False),
        ("write", 5 * CHUNK_BYTES, True),
        ("sync", 0, False),
        ("write", 0, True),
        ("sync", 0, False),
    ]


def test_until_all_data_is_verified_neither_end_has_a_partition_table(card: Watched) -> None:
    write_verify.wipe_table(card)
    written = write_verify.write_pieces(card, stream(), 6 * CHUNK_BYTES, reported)
    write_verify.read_back(card, written, 6 * CHUNK_BYTES, reported)
    assert not any(card.read(0, gpt.FIRST_SECTORS_BYTES))
    assert not any(card.read(5 * CHUNK_BYTES, CHUNK_BYTES))
    write_verify.write_ends(card, written, 6 * CHUNK_BYTES, reported)
    assert card.read(0, gpt.FIRST_SECTORS_BYTES) == bytes([1]) * gpt.FIRST_SECTORS_BYTES
    assert card.read(5 * CHUNK_BYTES, CHUNK_BYTES) == bytes([6]) * CHUNK_BYTES


def test_zeros_are_not_written_over_zeros(card: Watched) -> None:
    card.write(3 * CHUNK_BYTES + 5, b"old")
    card.done.clear()
    flashed(card, blank=(2, 3))
    offsets = {offset for what, offset, _ in card.done if what == "write"}
    assert 2 * CHUNK_BYTES not in offsets
    assert 3 * CHUNK_BYTES in offsets


@pytest.mark.parametrize(
    "at",
    [
        0,
        gpt.FIRST_SECTORS_BYTES,
        CHUNK_BYTES - 1,
        2 * CHUNK_BYTES - 1,
        2 * CHUNK_BYTES,
        5 * CHUNK_BYTES,
        6 * CHUNK_BYTES - 1,
    ],
)
def test_a_flipped_bit_anywhere_is_found_and_located(card: Watched, at: int) -> None:
    card.flips = at
    begin = at // CHUNK_BYTES * CHUNK_BYTES
    with pytest.raises(VerifyFailed, match=f"byte {begin} and {begin + CHUNK_BYTES}"):
        flashed(card)


def test_writing_reports_its_progress(card: Watched) -> None:
    steps: list[tuple[int, int]] = []
    expected = [(n * CHUNK_BYTES, 6 * CHUNK_BYTES) for n in range(1, 7)]
    written = write_verify.write_pieces(
        card, stream(), 6 * CHUNK_BYTES, lambda *step: steps.append(step)
    )
    assert steps == expected
    steps.clear()
    write_verify.read_back(card, written, 6 * CHUNK_BYTES, lambda *step: steps.append(step))
    write_verify.write_ends(card, written, 6 * CHUNK_BYTES, lambda *step: steps.append(step))
    assert steps == expected


@given(
    image=st.binary(min_size=1, max_size=60).map(lambda some: some * 512),
    chunk_units=st.integers(min_value=1, max_value=9),
    beyond=st.integers(min_value=0, max_value=40_000).map(lambda n: n // 512 * 512),
    changes=st.lists(
        st.tuples(st.integers(min_value=0, max_value=40_000), st.binary(min_size=1, max_size=3000)),
        max_size=4,
        unique_by=lambda change: change[0],
    ),
)
def test_a_card_becomes_the_image_with_its_changes(
    image: bytes, chunk_units: int, beyond: int, changes: list[tuple[int, bytes]]
) -> None:
    disk_bytes = len(image) + beyond
    laid_over = {at: new for at, new in changes if at + len(new) <= disk_bytes}
    wanted = bytearray(image + bytes(beyond))
    for at, new in laid_over.items():
        wanted[at : at + len(new)] = new
    card = bytearray(disk_bytes)
    size = chunk_units * 512
    chunks = (image[at : at + size] for at in range(0, len(image), size))
    for piece in write_verify.build_pieces(chunks, len(image), disk_bytes, laid_over):
        card[piece.offset : piece.offset + len(piece.data)] = piece.data
    assert card == wanted


@pytest.mark.parametrize("room", [0, 512, CHUNK_BYTES, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 512])
def test_after_the_image_a_card_is_blank_at_the_footage_partition_and_its_end(room: int) -> None:
    image_bytes = 3 * UNIT
    disk_bytes = image_bytes + 2 * room
    places = {
        (piece.offset, piece.offset + len(piece.data))
        for piece in write_verify.build_pieces([bytes(image_bytes)], image_bytes, disk_bytes, {})
    }
    size = sum(end - begin for begin, end in places)
    assert size == write_verify.total_bytes(image_bytes, disk_bytes)
    for at in (0, image_bytes, image_bytes + min(2 * room, CHUNK_BYTES) - 1, disk_bytes - 1):
        assert any(begin <= at < end for begin, end in places) or at == disk_bytes
    assert size <= image_bytes + 2 * CHUNK_BYTES + UNIT
    assert all(begin % 512 == 0 for begin, _ in places)
