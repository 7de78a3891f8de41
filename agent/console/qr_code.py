"""QR codes as rows of modules, and on a terminal: two rows of modules in a row of characters. Pure."""

import io

import segno

QUIET_MODULES = 4
"""The light margin that ISO/IEC 18004 requires."""
_WHITE_ON_BLACK, _RESET = b"\x1b[97;40m", b"\x1b[0m"


def draw(text: str) -> bytes:
    """Return the QR code of a text, in UTF-8 with CRLF between the rows.

    A text of up to 78 bytes takes 41 columns and 21 rows. Light modules are drawn, so that a program that ignores
    colours shows the same code on its dark ground.
    """
    drawn = io.StringIO()
    _make(text, "l").terminal(drawn, border=QUIET_MODULES, compact=True)
    lines = drawn.getvalue().splitlines()
    return b"\r\n".join(_WHITE_ON_BLACK + line.encode() + _RESET for line in lines)


def module_rows(text: str) -> list[bytes]:
    """Return the rows of a QR code with its margin, 1 for a dark module."""
    return [bytes(row) for row in _make(text, "m").matrix_iter(border=QUIET_MODULES)]


def _make(text: str, error: str) -> segno.QRCode:
    """Make a code. `error` is its level of correction."""
    return segno.make(text, error=error, micro=False, boost_error=False)
