"""`footage`: recorded footage; hold a span, release it, or export it to a USB disk."""

import shutil
from collections.abc import Sequence
from datetime import datetime

from agent.base import time_argument
from agent.base.message import Message, Text, join_phrases
from agent.console import usb_export
from agent.console.arguments import choose_arg
from agent.console.console_command import ConsoleCommand, always
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.console.stick_mount import mount_stick
from agent.console.terminal import Terminal
from agent.console.text_format import format_bytes, format_time
from agent.recording.recorded_span import merge_segments

HOLD_DAYS = 30


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """List, hold, release or export footage."""
    match list(argv):
        case [] | ["list"]:
            _print_footage(terminal, context, None)
        case ["holds"]:
            _print_holds(terminal, context)
        case ["hold", camera, begin, end, reason]:
            _place_hold(terminal, context, (camera, begin, end), reason)
        case ["release", hold, reason]:
            context.open_archive().release_hold(
                hold, by=context.technician, reason=_check_reason(reason)
            )
            terminal.print(Message("It may be evicted now."))
        case ["export", camera, begin, end, reason]:
            _export_footage(terminal, context, (camera, begin, end), reason)
        case ["release", *_]:
            raise ConsoleError(
                Message('release needs two arguments: HOLD "WHY"; see footage holds')
            )
        case ["hold" | "export", *_]:
            raise ConsoleError(
                Message(
                    '{command} needs four arguments: CAMERA FROM TO "WHY"; see help footage',
                    command=argv[0],
                )
            )
        case ["list", camera] | [camera]:
            _print_footage(terminal, context, camera)
        case _:
            raise ConsoleError(
                Message("{typed}: see help footage", typed=" ".join(("footage", *argv)))
            )


def _print_footage(terminal: Terminal, context: ConsoleContext, camera: str | None) -> None:
    archive = context.open_archive()
    recorded = archive.resolve_cameras(None)
    if camera is not None:
        # A removed camera may still have footage, and a new one none yet.
        camera = choose_arg(Message("camera"), camera, sorted({*recorded, *context.camera_names}))
    segments = (
        archive.find_segments(camera, None, None) if camera is None or camera in recorded else []
    )
    rows: list[tuple[Text, ...]] = [
        (
            span.camera,
            format_time(span.begin),
            Message("now") if span.end is None else format_time(span.end),
            format_bytes(span.size_bytes),
            join_phrases(
                Message("sealed") if span.sealed else Message("plain"),
                None if span.clock_synced else Message("clock not synchronised"),
            ),
        )
        for span in merge_segments(segments)
    ]
    terminal.table(rows)
    if not rows:
        terminal.print(Message("No footage."))


def _print_holds(terminal: Terminal, context: ConsoleContext) -> None:
    holds = context.open_archive().list_holds()
    for hold in holds:
        terminal.print(
            Message(
                "{hold}  {camera}  by {owner}, until {expires}",
                hold=hold.id,
                camera=hold.camera,
                owner=hold.owner,
                expires=hold.expires,
            ),
            Message("  {begin} to {end}", begin=hold.begin_time, end=hold.end_time),
        )
    if not holds:
        terminal.print(Message("No holds."))


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
    terminal.print(Message("Held until {expires} as {hold}.", expires=hold.expires, hold=hold.id))


def _export_footage(
    terminal: Terminal, context: ConsoleContext, argv: tuple[str, str, str], reason: str
) -> None:
    span = _parse_span(context, argv)
    reason = _check_reason(reason)
    with mount_stick(terminal, context, writable=True):
        usb_disk = usb_export.choose_usb_disk(terminal, context.root)
        archive = context.open_archive()
        segments = archive.find_segments(*span) if span[0] in archive.resolve_cameras(None) else []
        terminal.print(
            Message(
                "{size} of footage; {free} are free on the disk.",
                size=format_bytes(sum(segment.size_bytes for segment in segments)),
                free=format_bytes(shutil.disk_usage(usb_disk).free),
            ),
            Message("Exporting to {disk}. Do not unplug it.", disk=str(usb_disk)),
        )
        lines = usb_export.export_footage(
            archive,
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
    camera = choose_arg(Message("camera"), argv[0], context.camera_names)
    now = context.now()
    begin = time_argument.parse_time(argv[1], now, "FROM")
    end = time_argument.parse_time(argv[2], now, "TO")
    if end <= begin:
        raise ConsoleError(Message("TO: allowed: a time after FROM"))
    return camera, begin, end


def _check_reason(text: str) -> str:
    if not text.strip():
        raise ConsoleError(Message("WHY: allowed: a few words, in quotation marks"))
    return text.strip()


FOOTAGE = ConsoleCommand(
    name="footage",
    help=Message("recorded footage; hold a span, release it; export it to a USB disk"),
    usage=(
        ("footage list [CAMERA]", Message("recorded footage; footage alone does the same")),
        ("footage holds", Message("spans that are kept from eviction")),
        (
            'footage hold CAMERA FROM TO "WHY"',
            Message("keep a span for {days} days", days=HOLD_DAYS),
        ),
        ('footage release HOLD "WHY"', Message("allow its eviction again")),
        ('footage export CAMERA FROM TO "WHY"', Message("to a USB disk")),
        ("FROM, TO", time_argument.ALLOWED_FORMATS),
    ),
    run=run,
    needs_receipt=always,
)
