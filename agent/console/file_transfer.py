"""Files over the technician's own cable, with the words that he needs for it."""

import hashlib

from agent.console import xmodem
from agent.console.errors import ConsoleError
from agent.console.format import format_bytes, format_duration
from agent.console.terminal import Terminal

LINE_BYTES_PER_S = 11_520 * 0.95
"""Of 115200 baud at 8N1, with what the blocks cost."""


def send(terminal: Terminal, name: str, data: bytes, padding: bytes) -> None:
    """Send a file. It arrives filled up to a whole block, so `fill` must harm nobody who reads it, and
    the sum is that of the file as it arrives. Raises ConsoleError.
    """
    padded = xmodem.pad(data, padding)
    terminal.print(
        f"{name}, {len(padded)} bytes ({format_bytes(len(padded))}), "
        f"about {format_duration(len(padded) / LINE_BYTES_PER_S)} at 115200 baud",
        f"sha256 {hashlib.sha256(padded).hexdigest()}",
        "Receive it with XMODEM now, under that name. Ctrl-C gives up.",
    )
    try:
        with terminal.raw_line() as line:
            xmodem.send(line, padded, terminal.clock_ns)
    except xmodem.TransferFailed as error:
        raise ConsoleError(f"not sent: {error}. Try again.") from error
    terminal.print(
        f"Sent. Check it: sha256sum {name}",
        f"sha256 {hashlib.sha256(padded).hexdigest()}",
    )


def receive(terminal: Terminal, description: str, max_bytes: int) -> bytes:
    """Take a file in, as it comes: filled up with 0x1A by most programs. Raises ConsoleError."""
    terminal.print(f"Send {description} with XMODEM now. Ctrl-C gives up.")
    try:
        with terminal.raw_line() as line:
            data = xmodem.receive(line, max_bytes, terminal.clock_ns)
    except xmodem.TransferFailed as error:
        raise ConsoleError(f"not received: {error}. Try again.") from error
    # Before it was sent it was shorter: nobody can tell where a file ends that ends so itself.
    data = data.rstrip(xmodem.PADDING + b"\0")
    terminal.print(f"Received: {len(data)} bytes", f"sha256 {hashlib.sha256(data).hexdigest()}")
    return data
