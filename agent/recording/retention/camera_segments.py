"""In-memory index of one camera's footage on the disk."""

from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from agent.recording.quarantine import QuarantinedFile
from agent.recording.recovery import StoredSegment
from agent.recording.retention.eviction_plan import CameraStorage
from agent.recording.retention.segment_age import BootTimeline, SegmentAges


class CameraSegments:
    """Segments of a folder, the oldest first, its quarantine, and its open file.

    The open file began at `open_time`.
    """

    def __init__(
        self,
        folder: Path,
        segments: Sequence[StoredSegment] = (),
        quarantined: Mapping[str, QuarantinedFile] = MappingProxyType({}),
    ) -> None:
        self.folder = folder
        self.quarantined = dict(quarantined)
        self.quarantined_bytes = sum(file.size_bytes for file in quarantined.values())
        self.segments = deque(segments)
        self.closed_bytes = sum(segment.size_bytes for segment in segments)
        self.open_bytes = 0
        self.open_time: str | None = None
        self.held_bytes = 0
        self.hold_count = 0
        torn = [file.segment for file in quarantined.values() if file.segment]
        names = [*(segment.name for segment in segments), *torn]
        self.boot_timeline = BootTimeline(sorted(names, key=lambda name: name.counter))

    @property
    def total_bytes(self) -> int:
        """All bytes of the camera on the disk."""
        return self.closed_bytes + self.open_bytes + self.quarantined_bytes

    def snapshot(self, ages: SegmentAges) -> CameraStorage:
        """Return the input of `plan_eviction`."""
        return CameraStorage(
            segments=self.segments,
            closed_bytes=self.closed_bytes,
            open_bytes=self.open_bytes,
            ages=ages,
            quarantined=tuple(self.quarantined.values()),
        )

    def remove_quarantined(self, name: str) -> None:
        """Remove a quarantined file from the index."""
        self.quarantined_bytes -= self.quarantined.pop(name).size_bytes

    def remove(self, counters: set[int]) -> None:
        """Remove segments by counter.

        They are among the oldest, except for held ones in between.
        """
        kept: list[StoredSegment] = []
        remaining = len(counters)
        while remaining:
            segment = self.segments.popleft()
            if segment.name.counter in counters:
                self.closed_bytes -= segment.size_bytes
                remaining -= 1
            else:
                kept.append(segment)
        self.segments.extendleft(reversed(kept))
