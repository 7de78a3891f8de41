"""`footage`: recorded footage; hold a span, release it, or export it to a USB disk."""

from collections.abc import Sequence
from datetime import datetime

from agent.base import time_argument
from agent.base.errors import UserError
from agent.console import usb_export
from agent.console.arguments import choose_arg
from agent.console.context import ConsoleContext
from agent.console.session import ConsoleCommand, always
from agent.console.terminal import Terminal
from agent.console.text_format import format_bytes, format_time
from agent.recording.archive import merge_segments

HOLD_DAYS = 30.0


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """List, hold, release or export footage."""
    match list(argv):
        case []:
            _print_footage(terminal, context, None)
        case ["holds"]:
            _print_holds(terminal, context)
        case ["hold", camera, begin, end, reason]:
            _place_hold(terminal, context, (camera, begin, end), reason)
        case ["release", hold, reason]:
            context.open_archive().release_hold(
                hold, by=context.technician, reason=_check_reason(reason)
            )
            terminal.print("It may be evicted now.")
        case ["export", camera, begin, end, reason]:
            _export_footage(terminal, context, (camera, begin, end), reason)
        case ["release", *_]:
            raise UserError('release needs two arguments: HOLD "WHY"; see footage holds')
        case ["hold" | "export", *_]:
            raise UserError(
                f'{argv[0]} needs four arguments: CAMERA FROM TO "WHY"; see help footage'
            )
        case [camera]:
            _print_footage(terminal, context, camera)
        case _:
            raise UserError(f"footage {' '.join(argv)}: see help footage")


def _print_footage(terminal: Terminal, context: ConsoleContext, camera: str | None) -> None:
    rows = [
        (
            span.camera,
            format_time(span.begin),
            "now" if span.end is None else format_time(span.end),
            format_bytes(span.size_bytes),
            ("sealed" if span.sealed else "plain")
            + ("" if span.clock_synced else ", clock not synchronised"),
        )
        for span in merge_segments(context.open_archive().find_segments(camera, None, None))
    ]
    terminal.table(rows)
    if not rows:
        terminal.print("No footage.")


def _print_holds(terminal: Terminal, context: ConsoleContext) -> None:
    holds = context.open_archive().list_holds()
    for hold in holds:
        terminal.print(
            f"{hold.id}  {hold.camera}  by {hold.owner}, until {hold.expires}",
            f"  {hold.begin_time} to {hold.end_time}",
        )
    if not holds:
        terminal.print("No holds.")


def _place_hold(
    terminal: Terminal, context: ConsoleContext, argv: tuple[str, str, str], reason: str
) -> None:
    camera, begin, end = _parse_span(context, argv)
    hold = context.open_archive().place_hold(
        camera,
        begin,
        end,
        owner=context.technician,
        reason=_check_reason(reason),
        days=HOLD_DAYS,
    )
    terminal.print(f"Held until {hold.expires} as {hold.id}.")


def _export_footage(
    terminal: Terminal, context: ConsoleContext, argv: tuple[str, str, str], reason: str
) -> None:
    span = _parse_span(context, argv)
    reason = _check_reason(reason)
    usb_disk = usb_export.choose_usb_disk(terminal, context.root)
    terminal.print(f"Exporting to {usb_disk}. Do not unplug it.")
    lines = usb_export.export_footage(
        context.open_archive(),
        span,
        context.technician,
        reason,
        usb_disk,
        terminal.overwrite_line,
    )
    terminal.print("", *lines)


def _parse_span(
    context: ConsoleContext, argv: tuple[str, str, str]
) -> tuple[str, datetime, datetime]:
    camera = choose_arg("camera", argv[0], context.camera_names)
    now = context.now()
    begin, end = (
        time_argument.parse_time(argv[1], now, "FROM"),
        time_argument.parse_time(argv[2], now, "TO"),
    )
    if end <= begin:
        raise UserError("TO: allowed: a time after FROM")
    return camera, begin, end


def _check_reason(text: str) -> str:
    if not text.strip():
        raise UserError("WHY: allowed: a few words, in quotation marks")
    return text.strip()


FOOTAGE = ConsoleCommand(
    name="footage",
    help="recorded footage; hold a span, release it; export it to a USB disk",
    usage=(
        "footage [CAMERA]                       recorded footage",
        "footage holds                          spans that are kept from eviction",
        f'footage hold CAMERA FROM TO "WHY"      keep a span for {HOLD_DAYS:.0f} days',
        'footage release HOLD "WHY"             allow its eviction again',
        'footage export CAMERA FROM TO "WHY"    to a USB disk',
        f"FROM and TO: {time_argument.ALLOWED_FORMATS}",
    ),
    run=run,
    needs_receipt=always,
)
