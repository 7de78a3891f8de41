"""Open segment: a `.part` file, synced at intervals and renamed when it is closed."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.base.atomic_file import fsync_dir, sync, sync_data
from agent.base.clock import Clock
from agent.config.recording import MAX_SEGMENT_S
from agent.recording.encryption.key_wrapping import Sealer, write_sidecar
from agent.recording.gop import GopTracker
from agent.recording.muxer import Muxer
from agent.recording.segment_name import KEYS_SUFFIX, PART_SUFFIX, SegmentName
from drivers.media import Packet, StreamInfo


class ClosedSegment(msgspec.Struct, frozen=True, kw_only=True):
    """A closed segment."""

    path: Path
    name: SegmentName
    begin_ns: int
    duration_ns: int
    size_bytes: int
    sha256: str
    encrypted: bool


class OpenSegment:
    """A segment from its first packet to its rename.

    Invariant: a name without `.part` is in the folder only once all its bytes are durable. A failed
    fsync is never retried on the same file, because the kernel may have dropped the pages that it could
    not write (the PostgreSQL fsync findings of 2018): the file is abandoned, and recovery keeps its
    valid prefix.

    With a `sealer` the frames are encrypted, and the key file is durable before the first byte is
    written.

    Raises OSError and MuxerError; only `abandon` may be called after that.
    """

    def __init__(
        self,
        folder: Path,
        name: SegmentName,
        info: StreamInfo,
        clock: Clock,
        flush_s: float,
        sealer: Sealer | None = None,
    ) -> None:
        self._folder = folder
        self._path = folder / (str(name) + PART_SUFFIX)
        self.name = name
        self._clock = clock
        self._flush_ns = round(flush_s * 1e9)
        self._frame_ns = round(1e9 / info.fps) if info.fps > 0 else 0
        self.size_bytes = 0
        self.gops = GopTracker()
        self._first_packet: Packet | None = None
        self._last_packet: Packet | None = None
        self._sha256 = hashlib.sha256()
        self._sealed = sealer is not None
        new_key = sealer.new_key(str(name)) if sealer else None
        self._muxer = Muxer(info, self._write, new_key.key if new_key else None)
        self._fd = -1
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            if new_key is not None:
                write_sidecar(folder / (str(name) + KEYS_SUFFIX), new_key.sidecar)
            self._fd = os.open(self._path, flags, 0o640)
            if new_key is not None:
                fsync_dir(folder)
        except OSError:
            self.abandon()
            raise
        self._opened_ns = self._last_sync_ns = clock.boottime_ns()
        self._synced_bytes = 0
        self._is_entry_durable = self._sealed

    def add(self, packet: Packet) -> None:
        """Write a packet. A keyframe completes the fragment before it."""
        self._last_packet = packet
        self._muxer.add(packet)
        self.gops.add(packet, self.size_bytes)
        if self._first_packet is None:
            self._first_packet = packet
            # The header. Recovery keeps nothing of a file without a fragment: it is synced with the first one.
            self._synced_bytes = self.size_bytes

    @property
    def sync_due_ns(self) -> int | None:
        """The boot time at which `flush` has to sync, or None if all fragments are durable."""
        if self.size_bytes == self._synced_bytes:
            return None
        return self._last_sync_ns + self._flush_ns

    def flush(self) -> None:
        """Sync the file if the flush interval has passed."""
        now_ns = self._clock.boottime_ns()
        if self.sync_due_ns is None or now_ns < self.sync_due_ns:
            return
        sync_data(self._fd)
        if not self._is_entry_durable:
            fsync_dir(self._folder)
            self._is_entry_durable = True
        self._synced_bytes = self.size_bytes
        self._last_sync_ns = now_ns

    def should_rotate(self, packet: Packet, segment_s: float) -> bool:
        """Return True if a new file begins with this packet.

        It is a keyframe after `segment_s` seconds of the stream or of boot time, or one that changes the
        stream's parameters, or the stream's time went back. The clock of a camera may be wrong: if it is fast a
        file still has half of `segment_s` in boot time, so that the disk gets at most twice the files and receipts; and
        whatever times the packets have, the file ends at the first keyframe after MAX_SEGMENT_S.
        """
        if not packet.is_key or self._first_packet is None or self._last_packet is None:
            return False
        stream_ns = packet.dts_ns - self._first_packet.dts_ns
        boot_ns = packet.t_ns - self._first_packet.t_ns
        return (
            (max(stream_ns, boot_ns) >= segment_s * 1e9 and boot_ns >= segment_s * 1e9 / 2)
            or self._clock.boottime_ns() - self._opened_ns >= MAX_SEGMENT_S * 1e9
            or packet.dts_ns <= self._last_packet.dts_ns
            or not self._muxer.continues(packet)
        )

    def finish(
        self, before_rename: Callable[[ClosedSegment], None] = lambda _closed: None
    ) -> ClosedSegment:
        """Write the rest, sync it, and rename the file durably.

        `before_rename` is called when the bytes are durable and the file still has its `.part` name.
        """
        self._muxer.close()
        self.gops.finish(self.size_bytes)
        sync(self._fd)
        os.close(self._fd)
        self._fd = -1
        path = self._folder / str(self.name)
        begin_ns = self._first_packet.t_ns if self._first_packet else 0
        closed = ClosedSegment(
            path=path,
            name=self.name,
            begin_ns=begin_ns,
            duration_ns=self._duration_ns(),
            size_bytes=self.size_bytes,
            sha256=self._sha256.hexdigest(),
            encrypted=self._sealed,
        )
        before_rename(closed)
        self._path.rename(path)
        fsync_dir(self._folder)
        return closed

    def abandon(self) -> None:
        """Close the file as it is, without a rename."""
        self._muxer.abandon()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _duration_ns(self) -> int:
        if self._first_packet is None or self._last_packet is None:
            return 0
        stream_ns = self._last_packet.dts_ns - self._first_packet.dts_ns
        # A segment of a slow clock would end long before the next one: listed as a gap, and left out of exports.
        return max(stream_ns, self._last_packet.t_ns - self._first_packet.t_ns) + self._frame_ns

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self._fd, view)
            self._sha256.update(view[:written])
            self.size_bytes += written
            view = view[written:]
