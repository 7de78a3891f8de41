"""One of our segments on the disk, read fragment by fragment, and opened where it is sealed.

Nothing is probed or decoded: the places and times of all samples stand in the `moof` boxes.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from agent.recording.encryption.keys import SegmentKey
from agent.recording.export.mp4_boxes import (
    HEADER_BYTES,
    LARGE_HEADER_BYTES,
    DamagedFootage,
    Mp4Box,
    Mp4Header,
    SampleRun,
    header,
    read_head,
    read_run,
)
from agent.recording.segment_name import PART

_WINDOW_BYTES = 1 << 13
"""Read at once: the boxes before a fragment's pictures are mostly smaller."""

_MAX_BYTES = {b"ftyp": 1 << 10, b"moov": 1 << 20, b"moof": 1 << 24}
"""So large a box of ours never is."""


class Fragment(msgspec.Struct, frozen=True, kw_only=True):
    """One group of pictures. `at` is the place of its `moof` in the file, `moof` its bytes; the
    pictures' bytes are from `data_at` to `data_end`, the `mdat` ends at `end`.
    """

    at: int
    moof: bytes
    run: SampleRun
    data_at: int
    data_end: int
    end: int


class SegmentReader:
    """A segment, open for reading; use it in `with`.

    One that is still being written (`.part`) ends with its last whole fragment; in a closed one
    each byte must be right. Raises OSError, and DamagedFootage which names the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._growing = path.name.endswith(PART)
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._window, self._window_at = b"", 0
        try:
            self.size_bytes = os.fstat(self._file).st_size
            self.moov_at = self._box(0, b"ftyp").end
            moov = self._box(self.moov_at, b"moov")
            self.moov = self._bytes(moov.at, moov.end)
            self.head: Mp4Header = read_head(self.moov)
        except DamagedFootage as error:
            self.close()
            raise DamagedFootage(f"{path.name}: {error}") from error
        except BaseException:
            self.close()
            raise
        self.first_at = moov.end

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def fileno(self) -> int:
        """The file's descriptor."""
        return self._file

    def fragments(self) -> Iterator[Fragment]:
        """The fragments in the order of recording."""
        at = self.first_at
        while at < self.size_bytes:
            try:
                if not self._growing and self._box(at).kind == b"mfra":
                    return
                fragment = self._fragment(at)
            except DamagedFootage as error:
                if self._growing:
                    return
                raise DamagedFootage(f"{self.path.name}: {error}") from error
            yield fragment
            at = fragment.end

    def read(self, begin: int, end: int) -> bytearray:
        """The bytes of a span of the file. Raises DamagedFootage where they are not there."""
        data = bytearray(end - begin)
        view = memoryview(data)
        at = begin
        while at < end:
            count = os.preadv(self._file, [view[at - begin :]], at)
            if count == 0:
                raise DamagedFootage(f"{self.path.name}: at byte {at}: the file ends")
            at += count
        return data

    def _fragment(self, at: int) -> Fragment:
        box = self._box(at, b"moof")
        moof = self._bytes(box.at, box.end)
        run = read_run(moof, sealed=self.head.kid is not None)
        mdat = self._box(box.end, b"mdat")
        data_at = at + run.data_at
        data_end = data_at + int(run.sizes.sum())
        if not mdat.body <= data_at <= data_end <= mdat.end:
            raise DamagedFootage(f"at byte {at}: a fragment whose pictures are elsewhere")
        return Fragment(at=at, moof=moof, run=run, data_at=data_at, data_end=data_end, end=mdat.end)

    def _box(self, at: int, kind: bytes | None = None) -> Mp4Box:
        """The box at a place of the file, of this type if one is asked for."""
        head = self._bytes(at, min(at + LARGE_HEADER_BYTES, self.size_bytes))
        if len(head) < HEADER_BYTES:
            raise DamagedFootage(f"at byte {at}: no whole box")
        try:
            box = header(head, 0, self.size_bytes - at)
        except DamagedFootage as error:
            raise DamagedFootage(f"in the box at byte {at}: {error}") from error
        if kind is not None and box.kind != kind:
            raise DamagedFootage(f"at byte {at}: {box.kind!r} instead of {kind!r}")
        if box.end > _MAX_BYTES.get(box.kind, box.end):
            raise DamagedFootage(f"at byte {at}: a {box.kind!r} of {box.end} bytes")
        return Mp4Box(box.kind, at, at + box.body, at + box.end)

    def _bytes(self, begin: int, end: int) -> bytes:
        """A span of the file, from the window where it is there."""
        if not self._window_at <= begin <= end <= self._window_at + len(self._window):
            until = min(max(end, begin + _WINDOW_BYTES), max(self.size_bytes, begin))
            self._window, self._window_at = bytes(self.read(begin, until)), begin
        at = begin - self._window_at
        return self._window[at : at + end - begin]


def open_samples(data: bytearray, run: SampleRun, key: SegmentKey) -> None:
    """Decrypt a fragment's samples where they lie (ISO/IEC 23001-7, scheme `cenc`): AES-128 in
    counter mode, the counter running on over all that is sealed of one sample.
    """
    decryptor = Cipher(AES(key.key), CTR(bytes(16))).decryptor()
    view = memoryview(data)
    begin = 0
    for size, seal in zip(run.sizes.tolist(), run.seals, strict=True):
        decryptor.reset_nonce(seal.iv + bytes(8))
        lengths = seal.lengths or (0, size)
        at = begin
        for clear, sealed in zip(lengths[::2], lengths[1::2], strict=True):
            at += clear
            part = view[at : at + sealed]
            decryptor.update_into(part, part)
            at += sealed
        begin += size
