"""Bytes of a terminal into keys. Pure.

What is no key of ours is dropped: control bytes, bytes that are not ASCII, and whole escape
sequences (ECMA-48), so that none of it ends up in a line.
"""

from typing import Literal, TypeAlias

Named: TypeAlias = Literal["enter", "back", "kill", "cancel", "end", "up", "down", "right", "left"]
Key: TypeAlias = str
"""One printable ASCII character, or one of `Named`."""

LONGEST_SEQUENCE = 32

_NAMED: dict[int, Named] = {
    0x08: "back",
    0x7F: "back",
    0x15: "kill",
    0x03: "cancel",
    0x04: "end",
}
_ARROWS: dict[int, Named] = {
    ord("A"): "up",
    ord("B"): "down",
    ord("C"): "right",
    ord("D"): "left",
}
_ESCAPE, _CR, _LF = 0x1B, 0x0D, 0x0A


class KeyDecoder:
    """Takes bytes as they come, a key's bytes in one piece or in several."""

    def __init__(self) -> None:
        self._sequence: int | None = None
        """How many bytes of an escape sequence have come; None outside of one."""
        self._introduced = False
        self._after_cr = False

    def feed(self, data: bytes) -> list[Key]:
        """The keys that are whole by now."""
        return [key for byte in data if (key := self._take(byte)) is not None]

    def _take(self, byte: int) -> Key | None:
        after_cr, self._after_cr = self._after_cr, byte == _CR
        if byte == _ESCAPE:
            self._sequence, self._introduced = 0, False
            return None
        if self._sequence is not None:
            return self._in_sequence(byte)
        if byte in (_CR, _LF):
            return None if byte == _LF and after_cr else "enter"
        if 0x20 <= byte < 0x7F:  # noqa: PLR2004 - what ASCII prints
            return chr(byte)
        return _NAMED.get(byte)

    def _in_sequence(self, byte: int) -> Key | None:
        """ESC, `[` or `O`, parameters from 0x20 to 0x3F, and a final byte."""
        if not self._introduced:
            self._introduced = byte in b"[O"
            self._sequence = 1 if self._introduced else None
            return None if self._introduced or byte not in (_CR, _LF) else "enter"
        count = self._sequence or 0
        if 0x20 <= byte < 0x40 and count < LONGEST_SEQUENCE:  # noqa: PLR2004 - see above
            self._sequence = count + 1
            return None
        self._sequence = None
        if byte in (_CR, _LF):
            return "enter"
        return _ARROWS.get(byte) if count == 1 else None
