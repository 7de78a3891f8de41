"""One camera's footage on disk: segments in a folder, the oldest evicted to stay in budget."""

from collections import deque
from collections.abc import Callable
from pathlib import Path

from agent.clock import Clock, boot_id
from agent.config import RecordConfig
from agent.model import FootageHealth, Segment
from agent.record.eviction import count_to_evict
from agent.record.part import Part, Sealed
from agent.record.recovery import StoredSegment, recover
from agent.record.segment_name import SegmentName, rfc3339
from drivers.media import Packet, StreamInfo

_BOOT_DIGITS = 8


class Ring:
    """The segments of one camera. One thread writes.

    The folder is made whole before the first packet, and again after each failure. A failed call
    raises OSError or CannotRecord and leaves the ring fit for the next packet; the file that was
    open then is abandoned, and mended by that.
    """

    def __init__(
        self,
        camera: str,
        folder: Path,
        settings: RecordConfig,
        clock: Clock,
        on_segment: Callable[[Segment], None],
    ) -> None:
        self._camera = camera
        self._folder = folder
        self._settings = settings
        self._clock = clock
        self._on_segment = on_segment
        self._boot = boot_id().replace("-", "")[:_BOOT_DIGITS]
        self._whole = False
        self._closed: deque[StoredSegment] = deque()
        self._closed_bytes = 0
        self._next_counter = 1
        self._part: Part | None = None

    def open(self) -> None:
        """Make the folder whole and count what it holds; nothing happens where that is done."""
        if self._whole:
            return
        self._closed = deque(recover(self._folder))
        self._closed_bytes = sum(segment.size_bytes for segment in self._closed)
        if self._closed:
            self._next_counter = max(self._next_counter, self._closed[-1].name.counter + 1)
        self._evict()
        self._whole = True

    def add(self, packet: Packet, info: StreamInfo) -> bool:
        """Write a packet; False where it was left out, because a file begins with a keyframe."""
        self.open()
        if self._part is not None and self._part.is_due(packet, self._settings.segment_s):
            self.seal()
        if self._part is None and not packet.is_key:
            return False
        try:
            if self._part is None:
                name = self._new_name(packet)
                flush_s = self._settings.flush_s
                self._part = Part(self._folder, name, info, self._clock, flush_s)
            self._part.add(packet)
            self._evict()
        except BaseException:
            self._abandon()
            raise
        return True

    def seal(self) -> None:
        """Close the open file, if there is one."""
        if self._part is None:
            return
        try:
            sealed = self._part.seal()
        except BaseException:
            self._abandon()
            raise
        self._part = None
        self._closed.append(StoredSegment(name=sealed.name, size_bytes=sealed.size_bytes))
        self._closed_bytes += sealed.size_bytes
        self._on_segment(self._announcement(sealed))

    def health(self, gaps: int) -> FootageHealth:
        """What lies on the disk now."""
        part = self._part
        names = [self._closed[0].name] if self._closed else [part.name] if part else []
        return FootageHealth(
            camera=self._camera,
            segments=len(self._closed),
            bytes=self._closed_bytes + (part.size_bytes if part else 0),
            oldest_utc=rfc3339(names[0].utc) if names else None,
            gaps=gaps,
        )

    def _new_name(self, packet: Packet) -> SegmentName:
        name = SegmentName(
            counter=self._next_counter,
            boot=self._boot,
            begin_ms=packet.t_ns // 1_000_000,
            utc=self._clock.utc(packet.t_ns),
            synced=self._clock.trust().synced,
        )
        self._next_counter += 1
        return name

    def _announcement(self, sealed: Sealed) -> Segment:
        return Segment(
            camera=self._camera,
            path=str(sealed.path),
            begin_ns=sealed.begin_ns,
            duration_ns=sealed.duration_ns,
            size_bytes=sealed.size_bytes,
            begin_utc=rfc3339(sealed.name.utc),
            clock_synced=sealed.name.synced,
        )

    def _abandon(self) -> None:
        part, self._part = self._part, None
        self._whole = False
        if part is not None:
            part.abandon()

    def _evict(self) -> None:
        """Delete the oldest until the budget holds. The file being written counts, and stays."""
        total_bytes = self._closed_bytes + (self._part.size_bytes if self._part else 0)
        sizes = (segment.size_bytes for segment in self._closed)
        for _ in range(count_to_evict(sizes, total_bytes, self._settings.max_bytes)):
            (self._folder / str(self._closed[0].name)).unlink(missing_ok=True)
            self._closed_bytes -= self._closed.popleft().size_bytes
