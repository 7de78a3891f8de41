"""The mount of a USB stick for one command: root mounts it, as long as the command runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.base.message import Message, Text, join_phrases
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.console.terminal import Terminal
from agent.console.text_format import format_bytes
from agent.update import usb_stick
from agent.update.usb_stick import StickReply, StickRequest, UsbStick
from drivers.local_wire import LocalConnection, MessageDecoder, connect

ANSWER_TIMEOUT_S = 60.0
"""On a slow board root's unit takes seconds to start."""
UNMOUNT_TIMEOUT_S = 60.0
_SECTOR_BYTES = 512
_REPLY_DECODER = MessageDecoder(StickReply)


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
    with _connect(context.root) as connection:
        _request_mount(connection, request)
        yield
        _wait_until_unmounted(connection)


def _describe(root: Path, stick: UsbStick) -> Text:
    try:
        sectors = int((root / "sys/class/block" / stick.partition / "size").read_text())
    except (OSError, ValueError):
        return stick.device
    return join_phrases(stick.device, format_bytes(sectors * _SECTOR_BYTES))


def _connect(root: Path) -> LocalConnection:
    try:
        return connect(root / usb_stick.SOCKET, ANSWER_TIMEOUT_S, usb_stick.MAX_MESSAGE_BYTES)
    except OSError as error:
        raise _not_mounted(error) from error


def _request_mount(connection: LocalConnection, request: StickRequest) -> None:
    replies = connection.replies(request, _REPLY_DECODER, ANSWER_TIMEOUT_S)
    try:
        reply = next(replies, StickReply(error="no answer"))
    except OSError as error:
        raise _not_mounted(error) from error
    if reply.error is not None:
        raise _not_mounted(reply.error)


def _not_mounted(problem: Exception | str) -> ConsoleError:
    reason: Text = str(problem)
    if isinstance(problem, TimeoutError):
        reason = Message(
            "no answer within {timeout_s:.0f} s; another console may use it",
            timeout_s=ANSWER_TIMEOUT_S,
        )
    return ConsoleError(Message("the USB disk cannot be mounted: {reason}", reason=reason))


def _wait_until_unmounted(connection: LocalConnection) -> None:
    """Wait until root has closed the connection too. Raises ConsoleError if it takes too long."""
    try:
        connection.end_sending()
        connection.receive_bytes(UNMOUNT_TIMEOUT_S)
    except OSError as error:
        raise ConsoleError(
            Message("the USB disk is still being written: wait a minute before you unplug it")
        ) from error
