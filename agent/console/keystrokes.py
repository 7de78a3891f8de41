"""Decoder of a terminal's bytes into keys. Pure.

Other control bytes, bytes that are not ASCII and whole escape sequences (ECMA-48) are dropped, so that
none of them ends up in a line.
"""

from typing import Literal, TypeAlias

NamedKey: TypeAlias = Literal[
    "enter", "backspace", "kill_line", "cancel", "eof", "up", "down", "right", "left"
]
Key: TypeAlias = str
"""One printable ASCII character, or a NamedKey."""

MAX_SEQUENCE_BYTES = 64

_CONTROL_KEYS: dict[int, NamedKey] = {
    0x08: "backspace",
    0x7F: "backspace",
    0x15: "kill_line",
    0x03: "cancel",
    0x04: "eof",
}
_ARROWS: dict[int, NamedKey] = {
    ord("A"): "up",
    ord("B"): "down",
    ord("C"): "right",
    ord("D"): "left",
}
_ESCAPE, _CR, _LF = 0x1B, 0x0D, 0x0A
_STRING_INTRODUCERS = b"P]_^X"
"""Of DCS, OSC, APC, PM and SOS."""


class KeyDecoder:
    """Decoder that takes bytes as they come: a key may arrive in several pieces."""

    def __init__(self) -> None:
        self._sequence_bytes: int | None = None
        """Bytes of an escape sequence so far; None outside of one."""
        self._introducer: int | None = None
        self._after_cr = False

    def feed(self, data: bytes) -> list[Key]:
        """Return the keys that are complete."""
        return [key for byte in data if (key := self._decode_byte(byte)) is not None]

    def _decode_byte(self, byte: int) -> Key | None:
        after_cr, self._after_cr = self._after_cr, byte == _CR
        if byte == _ESCAPE:
            self._sequence_bytes, self._introducer = 0, None
            return None
        if self._sequence_bytes is not None:
            return self._decode_sequence_byte(byte)
        if byte in (_CR, _LF):
            return None if byte == _LF and after_cr else "enter"
        if 0x20 <= byte < 0x7F:  # noqa: PLR2004 - printable ASCII
            return chr(byte)
        return _CONTROL_KEYS.get(byte)

    def _decode_sequence_byte(self, byte: int) -> Key | None:
        """Decode ESC, `[` or `O`, parameters from 0x20 to 0x3F, and a final byte.

        A control string, such as a terminal program's late answer, goes on up to the ESC of its end.
        """
        if self._introducer is None:
            self._introducer = byte if byte in b"[O" + _STRING_INTRODUCERS else None
            self._sequence_bytes = None if self._introducer is None else 1
            return "enter" if byte in (_CR, _LF) else None
        count = self._sequence_bytes or 0
        is_parameter = self._introducer in _STRING_INTRODUCERS or byte < 0x40  # noqa: PLR2004 - see above
        if byte >= 0x20 and is_parameter and count < MAX_SEQUENCE_BYTES:  # noqa: PLR2004 - see above
            self._sequence_bytes = count + 1
            return None
        self._sequence_bytes = None
        if byte in (_CR, _LF):
            return "enter"
        return _ARROWS.get(byte) if count == 1 else None
