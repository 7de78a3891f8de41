"""The child process: `python -P -m drivers.child.main MODULE PARENT DESCRIPTOR...`, or forked.

It does the work of a module until its parent ends or something fails. The descriptors are the stream, the
control channel and, for cameras, the memory of frames.
"""

import ctypes
import importlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn, Protocol, TypeVar

import msgspec

from drivers.child import messages
from drivers.child.control_channel import DATAGRAM_BYTES
from drivers.errors import DriverError, MaskError
from drivers.local_wire import pack_message

log = logging.getLogger(__name__)

T = TypeVar("T")

_PR_SET_PDEATHSIG = 1


class ChildEnd:
    """The child's end of its channels, and its settings. Thread-safe."""

    def __init__(self, start: messages.Start, descriptors: Sequence[int]) -> None:
        self.display_name = start.display_name
        self.settings = start.settings
        self._stream, self.control = (socket.socket(fileno=fd) for fd in descriptors[:2])
        self.memory_fds = tuple(descriptors[2:])
        """The memory of frames, if there is one."""
        self._lock = threading.Lock()

    def send(self, *outgoing: msgspec.Struct) -> bool:
        """Send messages. Return False if the parent's end is closed."""
        packed = b"".join(pack_message(message) for message in outgoing)
        with self._lock:
            try:
                self._stream.sendall(packed)
            except OSError:
                return False
            return True

    def read_stream(self, decoder: msgspec.msgpack.Decoder[T]) -> Iterator[T]:
        """Yield the messages of a parent that sends some, until its end is closed."""
        with self._stream.makefile("rb") as file:
            while (message := messages.read_child_message(file, decoder)) is not None:
                yield message

    def is_closed(self) -> bool:
        """Return whether the parent's end is closed."""
        try:
            return not self._stream.recv(1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def wait_closed(self) -> None:
        """Wait until the end of a parent that sends nothing is closed."""
        try:
            self._stream.recv(1)
        except OSError:
            return

    def fail(self, error: BaseException) -> NoReturn:
        """Send an error, and end this process."""
        self.send(_failure_message(error, self.display_name))
        os._exit(os.EX_UNAVAILABLE if isinstance(error, DriverError) else os.EX_SOFTWARE)


class ChildModule(Protocol):
    """A module whose work is done in a child."""

    @staticmethod
    def run(end: ChildEnd) -> None:
        """Work until the parent's end is closed. Called once, while there is one thread."""
        ...


class ServedModule(ChildModule, Protocol):
    """A module whose children are forked."""

    @staticmethod
    def prepare() -> None:
        """Load what all children share. It leaves no thread behind."""
        ...


def main() -> None:
    """Run the module of the command line."""
    module: ChildModule = importlib.import_module(sys.argv[1])  # type: ignore[assignment]
    run(module.run, int(sys.argv[2]), [int(descriptor) for descriptor in sys.argv[3:]])


def run(work: Callable[[ChildEnd], None], parent_pid: int, descriptors: Sequence[int]) -> NoReturn:
    """Do the work of a module. Never returns: threads of a device may hang."""
    # Both are sent to the whole group or unit, but the parent decides when the child ends.
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, signal.SIG_IGN)
    die_with_parent(parent_pid)
    end = ChildEnd(_receive_start(descriptors[1]), descriptors)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING,
        format=f"%(levelname)s {end.display_name}: %(message)s",
        force=True,
    )
    # A library would continue without a thread that ended by an exception, and deliver nothing.
    threading.excepthook = lambda args: end.fail(args.exc_value or args.exc_type())
    sys.excepthook = lambda _kind, error, _trace: end.fail(error)
    work(end)
    os._exit(os.EX_OK)


def die_with_parent(parent_pid: int) -> None:
    """Make the kernel kill this process with the thread that started it, prctl(2)."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(os.EX_OK)


def _receive_start(control_fd: int) -> messages.Start:
    with socket.socket(fileno=os.dup(control_fd)) as control:
        control.setblocking(True)
        start = messages.unpack_parent_message(control.recv(DATAGRAM_BYTES))
    if not isinstance(start, messages.Start):
        os._exit(os.EX_PROTOCOL)
    return start


def _failure_message(error: BaseException, display_name: str) -> messages.Failed:
    """Return the message of an error. One that is not a DriverError is logged with its trace."""
    if isinstance(error, DriverError):
        kind, text = error.kind, str(error)
    elif isinstance(error, MemoryError):
        kind, text = "crashed", f"{display_name}: its process needs more memory than it may have"
    else:
        kind, text = "protocol", f"{display_name}: {type(error).__name__}: {error}"
        log.error("%s", text, exc_info=error)
    return messages.Failed(
        kind=kind,
        message=text[: messages.MAX_MESSAGE_CHARS],
        is_mask_error=isinstance(error, MaskError),
    )


if __name__ == "__main__":
    main()
