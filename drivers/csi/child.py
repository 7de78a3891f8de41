"""The child process: `python -P -m drivers.csi.child STREAM CONTROL MEMORY`, three descriptors.

It runs one camera module until its parent ends or something fails. Native code under Picamera2 is
known to go silent after hours, and to hang when it is stopped: therefore it is a process, which can
be killed.
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
from drivers.csi.bounded_queue import MediaQueue
from drivers.csi.camera_runner import CameraRunner
from drivers.csi.control_channel import ControlChannel, receive_setup
from drivers.csi.frame_memory import SLOT_COUNT
from drivers.errors import DriverError, MaskError
from drivers.media import Packet

log = logging.getLogger(__name__)

POLL_INTERVAL_S = 0.25
"""Interval of the check for the parent's end if there is nothing to send."""

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run until the parent closes its end. Never returns: threads of the camera may hang."""
    # Both are sent to the whole group or unit, but the parent decides when the child ends.
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, signal.SIG_IGN)
    stream, control = (socket.socket(fileno=int(argument)) for argument in sys.argv[1:3])
    setup = receive_setup(control)
    if not isinstance(setup, messages.Setup):
        os._exit(os.EX_PROTOCOL)
    _die_with_parent(setup.parent_pid)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING,
        format=f"%(levelname)s {setup.display_name}: %(message)s",
    )
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:WARN")
    queue: MediaQueue[Packet | messages.ChildMessage] = MediaQueue(SLOT_COUNT)
    _report_uncaught_exceptions(stream, queue, setup.display_name)
    try:
        runner = CameraRunner(setup, int(sys.argv[3]), ControlChannel(control, SLOT_COUNT), queue)
    except DriverError as error:
        queue.put(_failure_message(error))
        _send_queued(stream, queue)
        os._exit(os.EX_UNAVAILABLE)
    if _send_queued(stream, queue):
        runner.stop()
        os._exit(os.EX_OK)
    os._exit(os.EX_SOFTWARE)


def _die_with_parent(parent_pid: int) -> None:
    """Make the kernel kill this process with the thread that started it, prctl(2)."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(os.EX_OK)


def _report_uncaught_exceptions(
    stream: socket.socket, queue: MediaQueue[Packet | messages.ChildMessage], display_name: str
) -> None:
    """End the process if a thread ends by an exception.

    Picamera2 would continue without the thread, and deliver nothing.
    """

    def report_exception(
        kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
    ) -> None:
        log.error("%s", kind.__name__, exc_info=(kind, error or kind(), trace))
        queue.put(
            _failure_message(error)
            if isinstance(error, DriverError)
            else messages.Failed(
                kind="protocol", message=f"{display_name}: {kind.__name__}: {error}"
            )
        )

    def report_and_exit(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        report_exception(kind, error, trace)
        _send_queued(stream, queue)
        os._exit(os.EX_SOFTWARE)

    threading.excepthook = lambda args: report_exception(
        args.exc_type, args.exc_value, args.exc_traceback
    )
    sys.excepthook = report_and_exit


def _failure_message(error: DriverError) -> messages.Failed:
    return messages.Failed(
        kind=error.kind, message=str(error), is_mask_error=isinstance(error, MaskError)
    )


def _send_queued(stream: socket.socket, queue: MediaQueue[Packet | messages.ChildMessage]) -> bool:
    """Send queued messages. Return True if the parent has ended, False after the last message."""
    while True:
        message = queue.get(POLL_INTERVAL_S)
        if message is None:
            if _is_closed(stream):
                return True
            continue
        outgoing = (
            messages.EncodedPacket(packet=message) if isinstance(message, Packet) else message
        )
        try:
            stream.sendall(messages.pack_child_message(outgoing))
        except OSError:
            return True
        if isinstance(outgoing, messages.Failed):
            return False


def _is_closed(stream: socket.socket) -> bool:
    """Whether the other end is closed, which never sends anything."""
    try:
        return not stream.recv(1, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


if __name__ == "__main__":
    main()
