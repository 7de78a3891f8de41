"""How much a camera may give while the box is under strain. Pure."""

import msgspec

from agent.base.health_model import Level
from drivers.contracts import Wanted


class CameraDuty:
    """Of one camera. `shed` comes from one thread, the rest may be asked from any."""

    def __init__(self) -> None:
        self._level: Level = "full"
        self._stopped_ns: int | None = None

    @property
    def detects(self) -> bool:
        """Whether frames may be looked at."""
        return self._level == "full"

    @property
    def records(self) -> bool:
        """Whether footage may be written."""
        return self._level != "heartbeat"

    def shed(self, level: Level, t_ns: int) -> tuple[int, int] | None:
        """Allow no more than a level does. Where recording goes on by that: since when it had not,
        and until when.
        """
        self._level = level
        if level == "heartbeat":
            if self._stopped_ns is None:
                self._stopped_ns = t_ns
            return None
        stopped_ns, self._stopped_ns = self._stopped_ns, None
        return None if stopped_ns is None else (stopped_ns, t_ns)

    def of(self, wanted: Wanted) -> Wanted | None:
        """As much of what is wanted as is allowed now; None where that is nothing."""
        if self.detects:
            return wanted
        if not self.records or not wanted.packets:
            return None
        return msgspec.structs.replace(wanted, frames_fps=0.0)
