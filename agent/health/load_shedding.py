"""Load shedding: the streams that a camera may deliver at a degradation level. Pure."""

import msgspec

from agent.base.health_model import DegradationLevel
from drivers.contracts import StreamRequest


class CameraDuty:
    """The duty of one camera. `set_level` is called by one thread; the rest is thread-safe."""

    def __init__(self) -> None:
        self._level: DegradationLevel = "full"
        self._suspended_ns: int | None = None

    @property
    def can_detect(self) -> bool:
        """True if frames may be detected on."""
        return self._level in ("full", "reduced_detection")

    @property
    def can_record(self) -> bool:
        """True if footage may be recorded."""
        return self._level != "heartbeat"

    def set_level(self, level: DegradationLevel, t_ns: int) -> tuple[int, int] | None:
        """Apply a level. If recording resumes by it, return the begin and end of the suspension."""
        self._level = level
        if level == "heartbeat":
            if self._suspended_ns is None:
                self._suspended_ns = t_ns
            return None
        suspended_ns, self._suspended_ns = self._suspended_ns, None
        return None if suspended_ns is None else (suspended_ns, t_ns)

    def limit(self, wanted: StreamRequest) -> StreamRequest | None:
        """Return the part of a stream request that the level allows, or None if that is nothing."""
        if self.can_detect:
            return wanted
        if not self.can_record or not wanted.packets:
            return None
        return msgspec.structs.replace(wanted, frames_fps=0.0)
