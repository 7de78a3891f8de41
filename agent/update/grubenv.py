"""GRUB's environment block: 1024 bytes of `name=value` lines, filled up with `#`. Pure.

The form is that of grub-editenv(1) and of GRUB's own `save_env`, which writes it back in place.
"""

from collections.abc import Mapping

SIZE_BYTES = 1024
_HEAD = b"# GRUB Environment Block\n"
_ESCAPED = str.maketrans({"\\": "\\\\", "\n": "\\\n"})


def decode(block: bytes) -> dict[str, str]:
    """The variables. Raises ValueError where it is no such block."""
    if len(block) != SIZE_BYTES or not block.startswith(_HEAD):
        raise ValueError(f"not GRUB's environment block of {SIZE_BYTES} bytes")
    try:
        text = block[len(_HEAD) :].decode("ascii")
    except UnicodeDecodeError as error:
        raise ValueError("bytes in it that are not ASCII") from error
    found: dict[str, str] = {}
    for line in _lines(text):
        name, equals, value = line.partition("=")
        if equals and not name.startswith("#"):
            found[name] = value
    return found


def encode(variables: Mapping[str, str]) -> bytes:
    """The block. Raises ValueError where they do not fit."""
    lines = (f"{name}={value.translate(_ESCAPED)}\n" for name, value in variables.items())
    block = _HEAD + "".join(lines).encode("ascii")
    if len(block) > SIZE_BYTES:
        raise ValueError(f"{len(block)} bytes: more than {SIZE_BYTES}")
    return block.ljust(SIZE_BYTES, b"#")


def _lines(text: str) -> list[str]:
    """Lines up to the filling; a backslash keeps the character behind it."""
    lines, line, kept = [], "", False
    for char in text:
        if kept:
            line, kept = line + char, False
        elif char == "\\":
            kept = True
        elif char == "\n":
            lines.append(line)
            line = ""
        else:
            line += char
    return lines
