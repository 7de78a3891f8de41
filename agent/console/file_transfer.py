"""File transfers over the technician's cable, with the instructions for their terminal program."""

from agent.base.message import Message, message_of
from agent.base.sha256 import sha256_hex
from agent.console import xmodem
from agent.console.errors import ConsoleError
from agent.console.terminal import Terminal
from agent.console.text_format import format_bytes, format_duration

_JPEG_END = b"\xff\xd9"
LINE_BYTES_PER_S = 11_520 * 0.87
"""115200 baud at 8N1, less the overhead of blocks and their answers: 82,688 bytes took `rx` of lrzsz 8.3 s."""


def send(terminal: Terminal, name: str, data: bytes, padding: bytes = xmodem.PADDING) -> None:
    """Send a file. Raises ConsoleError.

    It arrives padded to a whole block: `padding` must not disturb the file's readers, and the printed
    SHA-256 is of the padded file.
    """
    padded = xmodem.pad(data, padding)
    terminal.print(
        Message(
            "{name}, {count} bytes ({size}), about {duration} at 115200 baud",
            name=name,
            count=len(padded),
            size=format_bytes(len(padded)),
            duration=format_duration(len(padded) / LINE_BYTES_PER_S),
        ),
        f"sha256 {sha256_hex(padded)}",
        Message("Receive it with XMODEM now, under that name. Ctrl-C cancels."),
    )
    try:
        with terminal.raw_line() as line:
            xmodem.send(line, padded, terminal.clock_ns)
    except xmodem.TransferFailed as error:
        raise ConsoleError(
            Message("not sent: {reason}. Try again.", reason=message_of(error))
        ) from error
    terminal.print(
        Message("Sent. Check it: {command}", command=f"sha256sum {name}"),
        f"sha256 {sha256_hex(padded)}",
    )


def receive(terminal: Terminal, description: Message, max_bytes: int) -> bytes:
    """Receive a file, without its padding. Raises ConsoleError."""
    terminal.print(
        Message("Send {description} with XMODEM now. Ctrl-C cancels.", description=description)
    )
    try:
        with terminal.raw_line() as line:
            data = xmodem.receive(line, max_bytes, terminal.clock_ns)
    except xmodem.TransferFailed as error:
        raise ConsoleError(
            Message("not received: {reason}. Try again.", reason=message_of(error))
        ) from error
    # XMODEM has no length: bytes of the padding at the file's own end are lost too.
    data = data.rstrip(xmodem.PADDING + b"\0")
    terminal.print(
        Message("Received: {count} bytes", count=len(data)),
        f"sha256 {sha256_hex(data)}",
    )
    return data


def pad_jpeg(jpeg: bytes) -> bytes:
    """Pad a JPEG to whole blocks and leave it a valid one.

    Any marker may have fill bytes 0xFF before it (ITU-T T.81, B.1.1.2): here that of the end.
    """
    missing = -len(jpeg) % xmodem.SHORT_BLOCK_BYTES
    return jpeg.removesuffix(_JPEG_END) + b"\xff" * missing + _JPEG_END
