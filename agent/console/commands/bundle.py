"""`bundle`: all that support wants to know, signed, without secrets, in one file."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from agent.base.errors import UserError
from agent.console import file_transfer
from agent.console.commands.footage import choose_usb_disk
from agent.console.results import Box
from agent.console.terminal import Terminal

NAME = "bundle"
HELP = "a signed support bundle, secrets left out: USB disk, cable, or the box"
USAGE = (
    "bundle          to the USB disk",
    "bundle xmodem   over this cable, into your terminal program",
    "bundle here     to the box itself, to be fetched later",
)

GZIP_PADDING = b"\0"
"""gzip and tar pass over zeros after the end; over the usual 0x1A they stumble."""


def run(terminal: Terminal, box: Box, argv: Sequence[str]) -> None:
    """Write it, or send it."""
    match list(argv):
        case []:
            destination = choose_usb_disk(terminal, box)
            terminal.print(
                "", f"Written: {box.write_support_bundle(destination, terminal.overwrite_line)}"
            )
        case ["here"]:
            terminal.print(
                "", f"Written: {box.write_support_bundle(None, terminal.overwrite_line)}"
            )
        case ["xmodem"]:
            _send_over_line(terminal, box)
        case _:
            raise UserError(f"bundle {' '.join(argv)}: allowed: bundle, bundle xmodem, bundle here")


def _send_over_line(terminal: Terminal, box: Box) -> None:
    """Nothing of it stays in the box."""
    with tempfile.TemporaryDirectory(prefix="vigie-bundle-") as folder:
        path = box.write_support_bundle(Path(folder), terminal.overwrite_line)
        data = path.read_bytes()
    terminal.print()
    file_transfer.send(terminal, path.name, data, GZIP_PADDING)
