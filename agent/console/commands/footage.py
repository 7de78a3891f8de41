"""`footage`: what lies on the disk; keep a span, or take it out on a USB disk."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from agent.base import time_argument
from agent.base.errors import UserError
from agent.console.arguments import choose_arg
from agent.console.format import bytes_told, moment_told
from agent.console.results import Box, ConsoleError
from agent.console.terminal import Terminal

NAME = "footage"
HELP = "what is recorded; keep a span, let go of it; export it to a USB disk"
USAGE = (
    "footage [CAMERA]                       what lies on the disk",
    "footage holds                          what is kept from eviction",
    'footage hold CAMERA FROM TO "WHY"      keep a span for 30 days',
    'footage release HOLD "WHY"             let go of what is kept',
    'footage export CAMERA FROM TO "WHY"    to a USB disk',
    f"FROM and TO: {time_argument.ALLOWED}",
)

HOLD_DAYS = 30.0


def run(terminal: Terminal, box: Box, words: Sequence[str]) -> None:
    """List, hold, let go or export."""
    match list(words):
        case []:
            _list(terminal, box, None)
        case ["holds"]:
            _holds(terminal, box)
        case ["hold", camera, begin, end, why]:
            _hold(terminal, box, (camera, begin, end, why))
        case ["release", hold, why]:
            box.release(hold, _why(why))
            terminal.print("It may be evicted now.")
        case ["export", camera, begin, end, why]:
            _export(terminal, box, (camera, begin, end, why))
        case ["release", *_]:
            raise UserError('release needs two words: HOLD "WHY"; see footage holds')
        case ["hold" | "export", *_]:
            raise UserError(f'{words[0]} needs four words: CAMERA FROM TO "WHY"; see help footage')
        case [camera]:
            _list(terminal, box, camera)
        case _:
            raise UserError(f"footage {' '.join(words)}: see help footage")


def _list(terminal: Terminal, box: Box, camera: str | None) -> None:
    rows = [
        (
            one.camera,
            moment_told(one.begin),
            "now" if one.end is None else moment_told(one.end),
            bytes_told(one.size_bytes),
            one.remarks,
        )
        for one in box.footage(camera)
    ]
    terminal.table(rows)
    if not rows:
        terminal.print("No footage.")


def _holds(terminal: Terminal, box: Box) -> None:
    holds = box.holds()
    for one in holds:
        terminal.print(
            f"{one.id}  {one.camera}  by {one.owner}, until {one.expires}",
            f"  {one.begin_time} to {one.end_time}",
        )
    if not holds:
        terminal.print("Nothing is held.")


def _hold(terminal: Terminal, box: Box, words: tuple[str, str, str, str]) -> None:
    camera, begin, end = _span(box, words)
    hold = box.hold(camera, begin, end, HOLD_DAYS, _why(words[3]))
    terminal.print(f"Kept until {hold.expires} as {hold.id}.")


def _export(terminal: Terminal, box: Box, words: tuple[str, str, str, str]) -> None:
    camera, begin, end = _span(box, words)
    why = _why(words[3])
    stick = choose_stick(terminal, box)
    terminal.print(f"Exporting to {stick}. Do not pull it out.")
    told = box.export(camera, begin, end, why, stick, terminal.overwrite_line)
    terminal.print("", *told)


def choose_stick(terminal: Terminal, box: Box) -> Path:
    """The USB disk that is plugged in; where there are more, he says which."""
    sticks = box.sticks()
    if not sticks:
        raise ConsoleError("no USB disk is mounted: plug one in, wait ten seconds, try again")
    return sticks[terminal.choose([str(path) for path in sticks])]


def _span(box: Box, words: tuple[str, str, str, str]) -> tuple[str, datetime, datetime]:
    now = box.now()
    camera = choose_arg("camera", words[0], box.cameras())
    begin, end = (
        time_argument.parse_time(words[1], now, "FROM"),
        time_argument.parse_time(words[2], now, "TO"),
    )
    if end <= begin:
        raise UserError("TO: not after FROM")
    return camera, begin, end


def _why(text: str) -> str:
    if not text.strip():
        raise UserError("WHY: allowed: a few words, in quotation marks")
    return text.strip()
