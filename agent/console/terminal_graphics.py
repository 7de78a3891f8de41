"""Small grey pictures in a terminal program that can show them: detection, sixel, kitty's graphics protocol.

A terminal program is asked, and nothing is guessed by its name: attribute 4 of its Primary Device Attributes is
sixel (xterm's ctlseqs, "Send Device Attributes"), and kitty's protocol has a query of its own, whose absence of
an answer is bounded by another DA1 (sw.kovidgoyal.net/kitty/graphics-protocol, "Querying support").

Sixel is of DEC's "VT330/VT340 Programmer Reference Manual", volume 2, chapter 14. The encoder is here because
greys need 30 lines, and none of the packages fits a box: libsixel-python wraps a C library and was last
released in 2018, `sixel` needs Pillow, and `syxel` calls itself an early alpha.
"""

import base64
import re
import zlib
from typing import Literal

import numpy as np

from agent.console.terminal import Terminal
from drivers.media import Plane

GraphicsProtocol = Literal["sixel", "kitty"]

QUERY_TIMEOUT_S = 1.0
"""An answer takes 40 ms at 9600 baud; a terminal program without a parser never answers."""
GREY_LEVELS = 16
"""As many as a VT340 has colour registers. More cost bytes on the cable and help nobody aim."""
SIXEL_ATTRIBUTE = 4
MIN_KITTY_LEVEL = 62
"""A VT220, as kitty says it is. minicom, which says VT100, prints the query instead of ignoring it."""

_DA1_QUERY = b"\x1b[c"
_KITTY_QUERY = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
"""Asks whether a picture of one pixel could be shown, and shows none."""
_DA1_ANSWER = re.compile(rb"\x1b\[\?([0-9;]{0,60})c")
_KITTY_ANSWER = re.compile(rb"(\x1b_Gi=31;OK\x1b\\)?\x1b\[\?[0-9;]{0,60}c")
_KITTY_CHUNK_CHARS = 4096
_BAND_ROWS = 6
_MIN_RUN = 4
"""A shorter run takes no fewer bytes with a count."""


def detect(terminal: Terminal) -> GraphicsProtocol | None:
    """Ask the terminal program which graphics it shows: none if it does not answer in time."""
    answer = terminal.query(_DA1_QUERY, _DA1_ANSWER, QUERY_TIMEOUT_S)
    if answer is None:
        return None
    level, *attributes = (int(number or 0) for number in answer[1].split(b";"))
    if SIXEL_ATTRIBUTE in attributes:
        return "sixel"
    if level < MIN_KITTY_LEVEL:
        return None
    answer = terminal.query(_KITTY_QUERY + _DA1_QUERY, _KITTY_ANSWER, QUERY_TIMEOUT_S)
    return "kitty" if answer is not None and answer[1] else None


def encode(luma: Plane, protocol: GraphicsProtocol) -> bytes:
    """Encode a picture in GREY_LEVELS greys. Pure."""
    levels = np.asarray(luma // (256 // GREY_LEVELS), np.uint8)
    return _encode_sixel(levels) if protocol == "sixel" else _encode_kitty(levels)


def _encode_sixel(levels: Plane) -> bytes:
    height, width = levels.shape
    parts = [f'\x1bPq"1;1;{width};{height}']
    for level in range(GREY_LEVELS):
        percent = round(100 * level / (GREY_LEVELS - 1))
        parts.append(f"#{level};2;{percent};{percent};{percent}")
    for top in range(0, height, _BAND_ROWS):
        band = levels[top : top + _BAND_ROWS]
        bits = 1 << np.arange(len(band))
        for level in np.unique(band):
            columns = np.trim_zeros(bits @ (band == level), "b")
            parts.append(f"#{level}{_encode_runs(columns)}$")
        parts.append("-")
    parts.append("\x1b\\")
    return "".join(parts).encode()


def _encode_runs(columns: Plane) -> str:
    """Encode the columns of one colour of a band: six bits each, and `!` with a count for equal ones."""
    starts = np.flatnonzero(np.diff(columns, prepend=-1))
    counts = np.diff([*starts, len(columns)])
    return "".join(
        f"!{count}{chr(63 + columns[start])}"
        if count >= _MIN_RUN
        else chr(63 + columns[start]) * count
        for start, count in zip(starts, counts, strict=True)
    )


def _encode_kitty(levels: Plane) -> bytes:
    height, width = levels.shape
    rgb = np.repeat(levels * (255 // (GREY_LEVELS - 1)), 3).tobytes()
    data = base64.b64encode(zlib.compress(rgb, 9))
    keys = f"a=T,q=2,f=24,o=z,s={width},v={height},"
    parts = []
    for begin in range(0, len(data), _KITTY_CHUNK_CHARS):
        is_last = begin + _KITTY_CHUNK_CHARS >= len(data)
        chunk = data[begin : begin + _KITTY_CHUNK_CHARS]
        parts.append(b"\x1b_G%sm=%d;%s\x1b\\" % (keys.encode(), not is_last, chunk))
        keys = ""
    return b"".join(parts)
