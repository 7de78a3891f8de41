"""How much a camera may give while the box is under strain. Pure."""

import msgspec

from agent.base.health_model import DegradationLevel
from drivers.contracts import StreamRequest


class CameraDuty:
    """Of one camera. `shed` comes from one thread, the rest may be asked from any."""

    def __init__(self) -> None:
        self._level: DegradationLevel = "full"
        self._suspended_ns: int | None = None

    @property
    def can_detect(self) -> bool:
        """Whether frames may be looked at."""
        return self._level == "full"

    @property
    def can_record(self) -> bool:
        """Whether footage may be written."""
        return self._level != "heartbeat"

    def set_level(self, level: DegradationLevel, t_ns: int) -> tuple[int, int] | None:
        """Allow no more than a level does. Where recording goes on by that: since when it had not,
        and until when.
        """
        self._level = level
        if level == "heartbeat":
            if self._suspended_ns is None:
                self._suspended_ns = t_ns
            return None
        suspended_ns, self._suspended_ns = self._suspended_ns, None
        return None if suspended_ns is None else (suspended_ns, t_ns)

    def limit(self, wanted: StreamRequest) -> StreamRequest | None:
        """As much of what is wanted as is allowed now; None where that is nothing."""
        if self.can_detect:
            return wanted
        if not self.can_record or not wanted.packets:
            return None
        return msgspec.structs.replace(wanted, frames_fps=0.0)
