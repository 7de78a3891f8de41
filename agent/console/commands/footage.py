"""`footage`: what lies on the disk; keep a span, or take it out on a USB disk."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from agent.base import time_argument
from agent.base.errors import UserError
from agent.console.arguments import choose_arg
from agent.console.errors import ConsoleError
from agent.console.format import format_bytes, format_time
from agent.console.results import Box
from agent.console.terminal import Terminal

NAME = "footage"
HELP = "what is recorded; keep a span, let go of it; export it to a USB disk"
USAGE = (
    "footage [CAMERA]                       what lies on the disk",
    "footage holds                          what is kept from eviction",
    'footage hold CAMERA FROM TO "WHY"      keep a span for 30 days',
    'footage release HOLD "WHY"             let go of what is kept',
    'footage export CAMERA FROM TO "WHY"    to a USB disk',
    f"FROM and TO: {time_argument.ALLOWED_FORMATS}",
)

HOLD_DAYS = 30.0


def run(terminal: Terminal, box: Box, argv: Sequence[str]) -> None:
    """List, hold, let go or export."""
    match list(argv):
        case []:
            _print_footage(terminal, box, None)
        case ["holds"]:
            _print_holds(terminal, box)
        case ["hold", camera, begin, end, reason]:
            _create_hold(terminal, box, (camera, begin, end, reason))
        case ["release", hold, reason]:
            box.release_hold(hold, _check_reason(reason))
            terminal.print("It may be evicted now.")
        case ["export", camera, begin, end, reason]:
            _export_footage(terminal, box, (camera, begin, end, reason))
        case ["release", *_]:
            raise UserError('release needs two words: HOLD "WHY"; see footage holds')
        case ["hold" | "export", *_]:
            raise UserError(f'{argv[0]} needs four words: CAMERA FROM TO "WHY"; see help footage')
        case [camera]:
            _print_footage(terminal, box, camera)
        case _:
            raise UserError(f"footage {' '.join(argv)}: see help footage")


def _print_footage(terminal: Terminal, box: Box, camera: str | None) -> None:
    rows = [
        (
            span.camera,
            format_time(span.begin),
            "now" if span.end is None else format_time(span.end),
            format_bytes(span.size_bytes),
            span.remarks,
        )
        for span in box.list_footage(camera)
    ]
    terminal.table(rows)
    if not rows:
        terminal.print("No footage.")


def _print_holds(terminal: Terminal, box: Box) -> None:
    holds = box.list_holds()
    for hold in holds:
        terminal.print(
            f"{hold.id}  {hold.camera}  by {hold.owner}, until {hold.expires}",
            f"  {hold.begin_time} to {hold.end_time}",
        )
    if not holds:
        terminal.print("Nothing is held.")


def _create_hold(terminal: Terminal, box: Box, argv: tuple[str, str, str, str]) -> None:
    camera, begin, end = _parse_span(box, argv)
    hold = box.create_hold(camera, begin, end, HOLD_DAYS, _check_reason(argv[3]))
    terminal.print(f"Kept until {hold.expires} as {hold.id}.")


def _export_footage(terminal: Terminal, box: Box, argv: tuple[str, str, str, str]) -> None:
    camera, begin, end = _parse_span(box, argv)
    reason = _check_reason(argv[3])
    usb_disk = choose_usb_disk(terminal, box)
    terminal.print(f"Exporting to {usb_disk}. Do not pull it out.")
    lines = box.export_footage(camera, begin, end, reason, usb_disk, terminal.overwrite_line)
    terminal.print("", *lines)


def choose_usb_disk(terminal: Terminal, box: Box) -> Path:
    """The USB disk that is plugged in; where there are more, he says which."""
    usb_disks = box.list_usb_mounts()
    if not usb_disks:
        raise ConsoleError("no USB disk is mounted: plug one in, wait ten seconds, try again")
    return usb_disks[terminal.choose([str(path) for path in usb_disks])]


def _parse_span(box: Box, argv: tuple[str, str, str, str]) -> tuple[str, datetime, datetime]:
    now = box.now()
    camera = choose_arg("camera", argv[0], box.camera_names())
    begin, end = (
        time_argument.parse_time(argv[1], now, "FROM"),
        time_argument.parse_time(argv[2], now, "TO"),
    )
    if end <= begin:
        raise UserError("TO: not after FROM")
    return camera, begin, end


def _check_reason(text: str) -> str:
    if not text.strip():
        raise UserError("WHY: allowed: a few words, in quotation marks")
    return text.strip()
