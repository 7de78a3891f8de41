"""The log of writes and flushes of a disk, and the disks that a power cut may leave.

A flush makes all earlier completed writes durable. Of the later writes, a disk with a write
cache may have kept any part, in any order, down to single sectors.
"""

import os
import random
import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from pathlib import Path

import msgspec

SECTOR_BYTES = 512
_RECORD = struct.Struct("<BQI")


class RecordKind(IntEnum):
    """The kind of a record in the log."""

    WRITE = 1
    FLUSH = 2
    MARK = 3


class LogRecord(msgspec.Struct, frozen=True):
    """A write with its place on the disk, a flush, or a mark with its text."""

    kind: RecordKind
    offset: int
    data: bytes


def pack_record(kind: RecordKind, offset: int, data: bytes) -> bytes:
    """A record of the log."""
    return _RECORD.pack(kind, offset, len(data)) + data


def read_log(path: Path) -> list[LogRecord]:
    """All records, in order."""
    data = path.read_bytes()
    records: list[LogRecord] = []
    at = 0
    while at < len(data):
        kind, offset, length = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        records.append(LogRecord(RecordKind(kind), offset, data[at : at + length]))
        at += length
    return records


class CrashState(msgspec.Struct, frozen=True):
    """A disk after a power cut: `durable` changed by `kept`; `marks` were made before the cut.

    `lost_writes` is how many writes did not arrive whole.
    """

    cut: int
    survivors: tuple[tuple[int, bytes], ...]
    marks: tuple[str, ...]
    lost_writes: int
    durable: bytearray

    def write(self, image: Path) -> None:
        """Write the disk as it was left."""
        with image.open("r+b" if image.exists() else "w+b") as file:
            file.write(self.durable)
            for offset, data in self.survivors:
                os.pwrite(file.fileno(), data, offset)


def crash_states(
    base: bytes, records: Sequence[LogRecord], cuts: Sequence[int], rng: random.Random
) -> Iterator[CrashState]:
    """The disk at each cut, an index into `records`, in increasing order.

    `durable` is one reused buffer: it is valid until the next state is taken.
    """
    durable = bytearray(base)
    pending: list[LogRecord] = []
    marks: list[str] = []
    next_record = 0
    for cut in sorted(cuts):
        for item in records[next_record:cut]:
            match item.kind:
                case RecordKind.WRITE:
                    pending.append(item)
                case RecordKind.FLUSH:
                    for write in pending:
                        durable[write.offset : write.offset + len(write.data)] = write.data
                    pending.clear()
                case RecordKind.MARK:
                    marks.extend(item.data.decode().splitlines())
        next_record = cut
        survivors = tuple(_surviving_writes(pending, rng))
        intact = sum(1 for write in pending if (write.offset, write.data) in survivors)
        yield CrashState(cut, survivors, tuple(marks), len(pending) - intact, durable)


def _surviving_writes(
    pending: Sequence[LogRecord], rng: random.Random
) -> Iterator[tuple[int, bytes]]:
    """A random part of the writes in random order, some of them torn."""
    keep_probability = rng.choice((0.0, 0.1, 0.5, 0.5, 0.9, 1.0))
    tear_probability = rng.choice((0.0, 0.2))
    chosen = [write for write in pending if rng.random() < keep_probability]
    # Writes to one place keep their order: a disk's cache holds the newest.
    for write in chosen:
        if rng.random() >= tear_probability:
            yield write.offset, write.data
            continue
        for begin in range(0, len(write.data), SECTOR_BYTES):
            if rng.random() < 0.5:
                yield write.offset + begin, write.data[begin : begin + SECTOR_BYTES]
