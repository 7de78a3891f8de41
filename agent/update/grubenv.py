"""GRUB's environment block: 1024 bytes of `name=value` lines, filled up with `#`. Pure.

The form is that of grub-editenv(1) and of GRUB's own `save_env`, which writes it back in place.
"""

from collections.abc import Mapping

SIZE_BYTES = 1024
_SIGNATURE = b"# GRUB Environment Block\n"
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\\n"})


def decode(block: bytes) -> dict[str, str]:
    """The variables. Raises ValueError where it is no such block."""
    if len(block) != SIZE_BYTES or not block.startswith(_SIGNATURE):
        raise ValueError(f"not GRUB's environment block of {SIZE_BYTES} bytes")
    try:
        text = block[len(_SIGNATURE) :].decode("ascii")
    except UnicodeDecodeError as error:
        raise ValueError("bytes in it that are not ASCII") from error
    variables: dict[str, str] = {}
    for line in _split_lines(text):
        name, separator, value = line.partition("=")
        if separator and not name.startswith("#"):
            variables[name] = value
    return variables


def encode(variables: Mapping[str, str]) -> bytes:
    """The block. Raises ValueError where they do not fit."""
    lines = (f"{name}={value.translate(_ESCAPES)}\n" for name, value in variables.items())
    block = _SIGNATURE + "".join(lines).encode("ascii")
    if len(block) > SIZE_BYTES:
        raise ValueError(f"{len(block)} bytes: more than {SIZE_BYTES}")
    return block.ljust(SIZE_BYTES, b"#")


def _split_lines(text: str) -> list[str]:
    """Lines up to the filling; a backslash keeps the character behind it."""
    lines, line, is_escaped = [], "", False
    for char in text:
        if is_escaped:
            line, is_escaped = line + char, False
        elif char == "\\":
            is_escaped = True
        elif char == "\n":
            lines.append(line)
            line = ""
        else:
            line += char
    return lines
