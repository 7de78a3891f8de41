"""Reader of our segments, fragment by fragment, and decryption of samples.

Nothing is probed or decoded: offsets and times of all samples are in the `moof` boxes.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from agent.recording.encryption.keys import SegmentKey
from agent.recording.mp4_reader import (
    HEADER_BYTES,
    LARGE_HEADER_BYTES,
    DamagedFootage,
    Mp4Box,
    Mp4Header,
    SampleRun,
    parse_moof,
    parse_moov,
    read_box_header,
)
from agent.recording.segment_name import PART_SUFFIX

_READ_AHEAD_BYTES = 1 << 13
"""Read at once: the boxes before a fragment's frames are mostly smaller."""

_MAX_BOX_BYTES = {b"ftyp": 1 << 10, b"moov": 1 << 20, b"moof": 1 << 24}
"""Upper bounds of our boxes."""


class Fragment(msgspec.Struct, frozen=True, kw_only=True):
    """One group of pictures. `offset` is that of its `moof` in the file.

    The frames' bytes are from `data_offset` to `data_end`; the `mdat` ends at `end`.
    """

    offset: int
    moof: bytes
    run: SampleRun
    data_offset: int
    data_end: int
    end: int


class SegmentReader:
    """Open segment, a context manager.

    A `.part` file that is being written ends with its last whole fragment; a closed file must be valid
    to its last byte. Raises OSError, and DamagedFootage with the file's name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_being_written = path.name.endswith(PART_SUFFIX)
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._window, self._window_offset = b"", 0
        try:
            self.size_bytes = os.fstat(self._fd).st_size
            self.moov_offset = self._read_box(0, b"ftyp").end
            moov = self._read_box(self.moov_offset, b"moov")
            self.moov = self._read_buffered(moov.offset, moov.end)
            self.header: Mp4Header = parse_moov(self.moov)
        except DamagedFootage as error:
            self.close()
            raise DamagedFootage(f"{path.name}: {error}") from error
        except BaseException:
            self.close()
            raise
        self.first_fragment_offset = moov.end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._fd

    def iter_fragments(self) -> Iterator[Fragment]:
        """Yield the fragments in the order of recording."""
        offset = self.first_fragment_offset
        while offset < self.size_bytes:
            try:
                if not self._is_being_written and self._read_box(offset).kind == b"mfra":
                    return
                fragment = self._read_fragment(offset)
            except DamagedFootage as error:
                if self._is_being_written:
                    return
                raise DamagedFootage(f"{self.path.name}: {error}") from error
            yield fragment
            offset = fragment.end

    def read(self, begin: int, end: int) -> bytearray:
        """Read a range of the file. Raises DamagedFootage if the file is shorter."""
        data = bytearray(end - begin)
        view = memoryview(data)
        offset = begin
        while offset < end:
            count = os.preadv(self._fd, [view[offset - begin :]], offset)
            if count == 0:
                raise DamagedFootage(f"{self.path.name}: at byte {offset}: the file ends")
            offset += count
        return data

    def _read_fragment(self, offset: int) -> Fragment:
        box = self._read_box(offset, b"moof")
        moof = self._read_buffered(box.offset, box.end)
        run = parse_moof(moof, encrypted=self.header.kid is not None)
        mdat = self._read_box(box.end, b"mdat")
        data_offset = offset + run.data_offset
        data_end = data_offset + int(run.sizes.sum())
        if not mdat.body_offset <= data_offset <= data_end <= mdat.end:
            raise DamagedFootage(
                f"at byte {offset}: a fragment whose frames are outside of its mdat"
            )
        return Fragment(
            offset=offset,
            moof=moof,
            run=run,
            data_offset=data_offset,
            data_end=data_end,
            end=mdat.end,
        )

    def _read_box(self, offset: int, kind: bytes | None = None) -> Mp4Box:
        """Read the box at an offset of the file; its type must be `kind` if given."""
        header_bytes = self._read_buffered(
            offset, min(offset + LARGE_HEADER_BYTES, self.size_bytes)
        )
        if len(header_bytes) < HEADER_BYTES:
            raise DamagedFootage(f"at byte {offset}: no whole box")
        try:
            box = read_box_header(header_bytes, 0, self.size_bytes - offset)
        except DamagedFootage as error:
            raise DamagedFootage(f"in the box at byte {offset}: {error}") from error
        if kind is not None and box.kind != kind:
            raise DamagedFootage(f"at byte {offset}: {box.kind!r} instead of {kind!r}")
        if box.end > _MAX_BOX_BYTES.get(box.kind, box.end):
            raise DamagedFootage(f"at byte {offset}: a {box.kind!r} of {box.end} bytes")
        return Mp4Box(box.kind, offset, offset + box.body_offset, offset + box.end)

    def _read_buffered(self, begin: int, end: int) -> bytes:
        """Read a range of the file through the read-ahead window."""
        if not self._window_offset <= begin <= end <= self._window_offset + len(self._window):
            read_end = min(max(end, begin + _READ_AHEAD_BYTES), max(self.size_bytes, begin))
            self._window, self._window_offset = bytes(self.read(begin, read_end)), begin
        start = begin - self._window_offset
        return self._window[start : start + end - begin]


def decrypt_samples(data: bytearray, run: SampleRun, key: SegmentKey) -> None:
    """Decrypt a fragment's samples in place (ISO/IEC 23001-7, scheme `cenc`).

    AES-128 in counter mode; the counter continues over all encrypted subsamples of one sample.
    """
    decryptor = Cipher(AES(key.key), CTR(bytes(16))).decryptor()
    view = memoryview(data)
    sample_offset = 0
    for size, info in zip(run.sizes.tolist(), run.encryption, strict=True):
        decryptor.reset_nonce(info.iv + bytes(8))
        subsample_lengths = info.subsample_lengths or (0, size)
        offset = sample_offset
        for clear_bytes, encrypted_bytes in zip(
            subsample_lengths[::2], subsample_lengths[1::2], strict=True
        ):
            offset += clear_bytes
            encrypted = view[offset : offset + encrypted_bytes]
            decryptor.update_into(encrypted, encrypted)
            offset += encrypted_bytes
        sample_offset += size
