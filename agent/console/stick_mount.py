"""The mount of a USB stick for one command: root mounts it, as long as the command runs."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.base.message import Message, Text, join_phrases
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.console.terminal import Terminal
from agent.console.text_format import format_bytes
from agent.update import usb_stick
from agent.update.usb_stick import StickReply, StickRequest, UsbStick

ANSWER_TIMEOUT_S = 60.0
"""On a slow board root's unit takes seconds to start."""
UNMOUNT_TIMEOUT_S = 60.0
_SECTOR_BYTES = 512
_REPLY_DECODER = JsonDecoder(StickReply)


@contextmanager
def mount_stick(terminal: Terminal, context: ConsoleContext, *, writable: bool) -> Iterator[None]:
    """Have the USB stick mounted that the technician chooses, and unmounted at the end.

    Read-only unless `writable`. Does nothing if udev knows none: a system without an image mounts sticks in its
    own way. Raises ConsoleError.
    """
    sticks = usb_stick.find_sticks(context.root)
    if not sticks:
        yield
        return
    labels = [terminal.render(_describe(context.root, stick)) for stick in sticks]
    request = StickRequest(link=sticks[terminal.choose(labels)].link, writable=writable)
    # Any other end of this block, and of this process, closes the connection too: root unmounts the stick.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        _request_mount(context.root, connection, request)
        yield
        _wait_until_unmounted(connection)


def _describe(root: Path, stick: UsbStick) -> Text:
    try:
        sectors = int((root / "sys/class/block" / stick.partition / "size").read_text())
    except (OSError, ValueError):
        return stick.device
    return join_phrases(stick.device, format_bytes(sectors * _SECTOR_BYTES))


def _request_mount(root: Path, connection: socket.socket, request: StickRequest) -> None:
    connection.settimeout(ANSWER_TIMEOUT_S)
    try:
        connection.connect(str(root / usb_stick.SOCKET))
        connection.sendall(msgspec.json.encode(request) + b"\n")
        with connection.makefile("rb") as reader:
            reply = _REPLY_DECODER.decode(reader.readline(usb_stick.MAX_LINE_BYTES * 2))
    except TimeoutError as error:
        reason: Text = Message(
            "no answer within {timeout_s:.0f} s; another console may use it",
            timeout_s=ANSWER_TIMEOUT_S,
        )
        raise _not_mounted(reason) from error
    except (OSError, MalformedJson) as error:
        raise _not_mounted(str(error)) from error
    if reply.error is not None:
        raise _not_mounted(reply.error)


def _not_mounted(reason: Text) -> ConsoleError:
    return ConsoleError(Message("the USB disk cannot be mounted: {reason}", reason=reason))


def _wait_until_unmounted(connection: socket.socket) -> None:
    """Wait until root has closed the connection too. Raises ConsoleError if it takes too long."""
    connection.settimeout(UNMOUNT_TIMEOUT_S)
    try:
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
    except OSError as error:
        raise ConsoleError(
            Message("the USB disk is still being written: wait a minute before you unplug it")
        ) from error
