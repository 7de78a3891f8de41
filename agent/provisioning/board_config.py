"""`[board]` of a settings file: device tree overlays of a Raspberry Pi. Pure.

They are applied like an update, see `agent.update.board_overlays`: tried once, and left if the box does not come good.
"""

import re
from collections.abc import Collection, Iterator
from typing import Annotated

import msgspec

from agent.update.overlay_sector import LINE_PREFIX, MAX_LINE_CHARS, encode_sector

OVERLAY_LIST = "usr/share/vigie/overlays"
"""The names of the image's overlays, one a line; an image for x86 has none."""
CONSOLE_OVERLAYS = frozenset(
    ("uart0", "uart0-pi5", "uart1", "miniuart-bt", "pi3-miniuart-bt", "midi-uart0", "midi-uart1")
)
"""Overlays that take pins 8 and 10 from the technician's console."""
_OVERLAY_PATTERN = re.compile(
    r"[a-z0-9][a-z0-9_-]{0,63}(,[A-Za-z0-9_-]{1,32}(=[A-Za-z0-9_.:/+-]{1,48})?)*"
)

OverlayText = Annotated[str, msgspec.Meta(max_length=MAX_LINE_CHARS - len(LINE_PREFIX))]


class BoardConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[board]`. `overlays` are as in config.txt behind `dtoverlay=`: a name, and parameters after commas."""

    overlays: Annotated[tuple[OverlayText, ...], msgspec.Meta(max_length=12)] = ()


def iter_board_problems(
    board: BoardConfig, source: str, available: Collection[str] | None = None
) -> Iterator[str]:
    """Yield a line for each overlay that no image can have, or that is not among those `available` in a box's image."""
    for index, overlay in enumerate(board.overlays):
        location = f"{source}: board.overlays[{index}] = {overlay!r}"
        if not _OVERLAY_PATTERN.fullmatch(overlay):
            yield f"{location}: not an overlay; allowed: NAME or NAME,PARAMETER=VALUE, such as i2c-rtc,ds3231"
        elif _name(overlay) in CONSOLE_OVERLAYS:
            yield (
                f"{location}: takes pins 8 and 10 from the console; allowed: uart2 to uart5 of a "
                "Pi 4 or CM4, uart1-pi5 to uart4-pi5 of a Pi 5 or CM5"
            )
        elif available is not None and _name(overlay) not in available:
            reason = (
                "is not in this image; allowed: a name of /usr/share/vigie/overlays"
                if available
                else "this image has no overlays; allowed: on a Raspberry Pi"
            )
            yield f"{location}: {reason}"
    if all(_OVERLAY_PATTERN.fullmatch(overlay) for overlay in board.overlays):
        try:
            encode_sector(board.overlays)
        except ValueError as error:
            yield f"{source}: board.overlays: {error}"


def _name(overlay: str) -> str:
    return overlay.partition(",")[0]
