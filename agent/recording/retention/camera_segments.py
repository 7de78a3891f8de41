"""One camera's footage in memory, as it lies on the disk."""

from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from agent.recording.quarantine import QuarantinedFile
from agent.recording.recovery import StoredSegment
from agent.recording.retention.eviction_plan import CameraStorage
from agent.recording.retention.segment_age import BootTimeline, SegmentAges


class CameraSegments:
    """The closed segments of a folder, the oldest first, what is set aside in it, and the size of the
    file that is being written, which began at `open_time`.
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
        """All that the camera has on the disk."""
        return self.closed_bytes + self.open_bytes + self.quarantined_bytes

    def snapshot(self, ages: SegmentAges) -> CameraStorage:
        """The same, as `retention.plan` takes it."""
        return CameraStorage(
            segments=self.segments,
            closed_bytes=self.closed_bytes,
            open_bytes=self.open_bytes,
            ages=ages,
            quarantined=tuple(self.quarantined.values()),
        )

    def remove_quarantined(self, name: str) -> None:
        """Forget something that was set aside."""
        self.quarantined_bytes -= self.quarantined.pop(name).size_bytes

    def remove(self, counters: set[int]) -> None:
        """Forget segments by their counters; they are among the oldest, but for held ones."""
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
