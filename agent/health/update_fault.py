"""The fault of an update that fell back, as root's book of the slots tells it.

The agent itself updates nothing; it reads the one fact that the centre has to know.
"""

from pathlib import Path

import msgspec

from agent.faults.registry import FaultRegistry

SLOT_STATE_FILE = "state/rauc/slots.json"
FAULT_SUBJECT = "update"
CHECK_INTERVAL_NS = 60_000_000_000
"""Between two looks; nothing changes by itself."""
_MAX_BYTES = 65_536


class _Fallback(msgspec.Struct):
    why: str
    version: str | None = None
    time: str = ""


class _SlotState(msgspec.Struct):
    fell_back: _Fallback | None = None


_SLOT_STATE_DECODER = msgspec.json.Decoder(_SlotState)


class UpdateFault:
    """Raises SYS-08 while an update has fallen back, and nobody has mended or accepted it."""

    def __init__(self, root: Path, faults: FaultRegistry) -> None:
        self._path = root / SLOT_STATE_FILE
        self._faults = faults
        self._checked_ns: int | None = None

    def check(self, t_ns: int) -> None:
        """One look, if it is due. A box without slots has no book, and no such fault."""
        if self._checked_ns is not None and t_ns - self._checked_ns < CHECK_INTERVAL_NS:
            return
        self._checked_ns = t_ns
        fallback = self._read_fallback()
        if fallback is None:
            self._faults.clear("SYS-08", FAULT_SUBJECT)
            return
        detail = f"version {fallback.version or '(unknown)'}: {fallback.why} ({fallback.time})"
        self._faults.raise_fault("SYS-08", FAULT_SUBJECT, detail)

    def _read_fallback(self) -> _Fallback | None:
        try:
            with self._path.open("rb") as file:
                return _SLOT_STATE_DECODER.decode(file.read(_MAX_BYTES)).fell_back
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
