"""The child process: `python -P -m drivers.csi.child STREAM DESK MEMORY`, three descriptors.

It has one camera module, and gives what it has until its parent is gone or something fails. Native
code under Picamera2 is known to go silent after hours, and to hang when it is told to stop: that is
why it is a process, which can be killed.
"""

import ctypes
import logging
import os
import signal
import socket
import sys
import threading
from types import TracebackType

from drivers.csi import messages
from drivers.csi.bounded_queue import Backlog
from drivers.csi.control_channel import Desk, first_word
from drivers.csi.frame_memory import SLOTS
from drivers.csi.module import Module
from drivers.errors import DriverError, MaskRefused
from drivers.media import Packet

log = logging.getLogger(__name__)

LOOK_S = 0.25
"""How often the parent's end is looked at while there is nothing to send."""

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run until the parent closes its end. Never returns: threads of the camera may hang."""
    # Both come to the whole group or unit; when to end is the parent's to say.
    for ignored in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ignored, signal.SIG_IGN)
    stream, desk = (socket.socket(fileno=int(word)) for word in sys.argv[1:3])
    setup = first_word(desk)
    if not isinstance(setup, messages.Setup):
        os._exit(os.EX_PROTOCOL)
    _die_with(setup.parent_pid)
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format=f"%(levelname)s {setup.what}: %(message)s"
    )
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:WARN")
    backlog: Backlog[Packet | messages.Up] = Backlog(SLOTS)
    _tell_what_nobody_catches(stream, backlog, setup.what)
    try:
        module = Module(setup, int(sys.argv[3]), Desk(desk, SLOTS), backlog)
    except DriverError as error:
        backlog.put(_last_word(error))
        _send(stream, backlog)
        os._exit(os.EX_UNAVAILABLE)
    if _send(stream, backlog):
        module.stop()
        os._exit(os.EX_OK)
    os._exit(os.EX_SOFTWARE)


def _die_with(parent_pid: int) -> None:
    """Have the kernel kill this process with the thread that started it, prctl(2)."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(os.EX_OK)


def _tell_what_nobody_catches(
    stream: socket.socket, backlog: Backlog[Packet | messages.Up], what: str
) -> None:
    """A thread that ends by an exception is the end of all: Picamera2 would go on without it, and
    give nothing more.
    """

    def tell(
        kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
    ) -> None:
        log.error("%s", kind.__name__, exc_info=(kind, error or kind(), trace))
        backlog.put(
            _last_word(error)
            if isinstance(error, DriverError)
            else messages.Failed(kind="protocol", message=f"{what}: {kind.__name__}: {error}")
        )

    def tell_and_end(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        tell(kind, error, trace)
        _send(stream, backlog)
        os._exit(os.EX_SOFTWARE)

    threading.excepthook = lambda args: tell(args.exc_type, args.exc_value, args.exc_traceback)
    sys.excepthook = tell_and_end


def _last_word(error: DriverError) -> messages.Failed:
    return messages.Failed(
        kind=error.kind, message=str(error), masks=isinstance(error, MaskRefused)
    )


def _send(stream: socket.socket, backlog: Backlog[Packet | messages.Up]) -> bool:
    """Send what there is. True once the parent has gone, False after the last word."""
    while True:
        message = backlog.take(LOOK_S)
        if message is None:
            if _has_gone(stream):
                return True
            continue
        up = messages.Encoded(packet=message) if isinstance(message, Packet) else message
        try:
            stream.sendall(messages.pack_up(up))
        except OSError:
            return True
        if isinstance(up, messages.Failed):
            return False


def _has_gone(stream: socket.socket) -> bool:
    """Whether the other end is closed: it never sends anything."""
    try:
        return not stream.recv(1, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


if __name__ == "__main__":
    main()
