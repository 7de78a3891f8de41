"""QR codes as rows of modules, and on a terminal: two rows of modules in a row of characters. Pure."""

import segno

QUIET_MODULES = 4
"""The light margin that ISO/IEC 18004 requires."""
_WHITE_ON_BLACK, _RESET = b"\x1b[97;40m", b"\x1b[0m"
_BLOCKS = {(0, 0): "\u2588", (0, 1): "\u2580", (1, 0): "\u2584", (1, 1): " "}
"""By upper and lower module, 1 if dark. A light module is drawn, since a terminal's ground is dark: a program that
ignores colours then shows the same code.
"""


def draw(text: str) -> bytes:
    """Return the QR code of a text, in UTF-8 with CRLF between the rows.

    A text of up to 78 bytes takes 41 columns and 21 rows.
    """
    rows = module_rows(text, error="l")
    if len(rows) % 2:
        rows.append(bytes(len(rows[0])))
    lines = (
        "".join(_BLOCKS[upper, lower] for upper, lower in zip(*pair, strict=True)).encode()
        for pair in zip(rows[::2], rows[1::2], strict=True)
    )
    return b"\r\n".join(_WHITE_ON_BLACK + line + _RESET for line in lines)


def module_rows(text: str, error: str = "m") -> list[bytes]:
    """Return the rows of a QR code with its margin, 1 for a dark module. `error` is the level of correction."""
    code = segno.make(text, error=error, micro=False, boost_error=False)
    return [bytes(row) for row in code.matrix_iter(border=QUIET_MODULES)]
