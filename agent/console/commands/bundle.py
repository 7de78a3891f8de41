"""`bundle`: a signed support bundle without secrets, to a USB disk, over the cable or to the box."""

import os
from collections.abc import Sequence
from pathlib import Path

from agent.base.message import Message
from agent.commands.command import NoArguments
from agent.console import file_transfer, usb_export
from agent.console.acts import box
from agent.console.acts.act import call_at_console
from agent.console.arguments import usage_error
from agent.console.console_command import ConsoleCommand
from agent.console.context import ConsoleContext
from agent.console.stick_mount import mount_stick
from agent.console.terminal import Terminal
from agent.diagnostics.support_bundle.builder import (
    SupportBundleResult,
    format_result,
    make_bundle,
)

GZIP_PADDING = b"\0"
"""gzip and tar skip zeros after the end of a file; XMODEM's usual 0x1A is an error to them."""


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Write a bundle, or send it."""
    match list(argv):
        case []:
            with mount_stick(terminal, context, writable=True):
                usb_disk = usb_export.choose_usb_disk(terminal, context.root)
                result = _make_bundle(terminal, context, usb_disk)
            terminal.print(*format_result(result))
        case ["here"]:
            terminal.print(*format_result(_make_bundle(terminal, context, context.state_dir)))
        case ["xmodem"]:
            terminal.print(Message("Collecting ..."))
            download = box.bundle(call_at_console(context), NoArguments())
            with os.fdopen(download.fd, "rb") as file:
                file_transfer.send(terminal, download.value.name, file.read(), GZIP_PADDING)
        case _:
            raise usage_error(("bundle", *argv), "bundle", "bundle xmodem", "bundle here")


def _make_bundle(terminal: Terminal, context: ConsoleContext, folder: Path) -> SupportBundleResult:
    terminal.print(Message("Collecting ..."))
    result = make_bundle(
        context.config_path, folder, context.clock, default_state_dir=context.state_dir
    )
    os.sync()
    return result


BUNDLE = ConsoleCommand(
    name="bundle",
    help=Message("a signed support bundle without secrets: USB disk, cable, or the box"),
    usage=(
        ("bundle", Message("to the USB disk")),
        ("bundle xmodem", Message("over this cable, into your terminal program")),
        ("bundle here", Message("to the box itself, to be fetched later")),
    ),
    run=run,
)
