"""One camera's footage in memory, beside what lies on the disk."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path

from agent.record.boots import Ages, Boots
from agent.record.recovery import StoredSegment
from agent.record.retention import Shelf


class Rack:
    """The closed segments of a folder, the oldest first, and the size of the file that is being
    written, which began at `open_time`.
    """

    def __init__(self, folder: Path, segments: Sequence[StoredSegment] = ()) -> None:
        self.folder = folder
        self.segments = deque(segments)
        self.closed_bytes = sum(segment.size_bytes for segment in segments)
        self.open_bytes = 0
        self.open_time: str | None = None
        self.held_bytes = 0
        self.holds = 0
        self.boots = Boots(segment.name for segment in segments)

    def shelf(self, ages: Ages) -> Shelf:
        """The same, as `retention.plan` takes it."""
        return Shelf(
            segments=self.segments,
            closed_bytes=self.closed_bytes,
            open_bytes=self.open_bytes,
            ages=ages,
        )

    def drop(self, gone: set[int]) -> None:
        """Forget segments by their counters; they are among the oldest, but for held ones."""
        kept: list[StoredSegment] = []
        left = len(gone)
        while left:
            segment = self.segments.popleft()
            if segment.name.counter in gone:
                self.closed_bytes -= segment.size_bytes
                left -= 1
            else:
                kept.append(segment)
        self.segments.extendleft(reversed(kept))
