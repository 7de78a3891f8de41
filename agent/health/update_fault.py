"""The fault of an update that fell back, as root's book of the slots tells it.

The agent itself updates nothing; it reads the one fact that the centre has to know.
"""

from pathlib import Path

import msgspec

from agent.faults.registry import FaultRegistry

BOOK = "state/rauc/slots.json"
SUBJECT = "update"
LOOK_NS = 60_000_000_000
"""Between two looks; nothing changes by itself."""
_MOST_BYTES = 65_536


class _FellBack(msgspec.Struct):
    why: str
    version: str | None = None
    time: str = ""


class _Book(msgspec.Struct):
    fell_back: _FellBack | None = None


_BOOK = msgspec.json.Decoder(_Book)


class UpdateFault:
    """Raises SYS-08 while an update has fallen back, and nobody has mended or accepted it."""

    def __init__(self, root: Path, faults: FaultRegistry) -> None:
        self._path = root / BOOK
        self._faults = faults
        self._looked_ns: int | None = None

    def check(self, t_ns: int) -> None:
        """One look, if it is due. A box without slots has no book, and no such fault."""
        if self._looked_ns is not None and t_ns - self._looked_ns < LOOK_NS:
            return
        self._looked_ns = t_ns
        fell_back = self._read()
        if fell_back is None:
            self._faults.clear("SYS-08", SUBJECT)
            return
        detail = f"version {fell_back.version or '(unknown)'}: {fell_back.why} ({fell_back.time})"
        self._faults.raise_fault("SYS-08", SUBJECT, detail)

    def _read(self) -> _FellBack | None:
        try:
            with self._path.open("rb") as file:
                return _BOOK.decode(file.read(_MOST_BYTES)).fell_back
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
