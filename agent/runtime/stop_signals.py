"""Stop signals, SIGTERM and SIGINT, waited for in the main thread."""

import os
import select
import signal
from types import FrameType
from typing import Self

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Context in which a stop signal ends `wait` and does nothing else. Main thread only.

    The signals are not blocked and waited for with sigtimedwait(2): libraries start threads when
    they are imported, those have no mask, and the kernel would hand the signal to one of them.
    Whichever thread gets it, the interpreter's handler writes a byte into a pipe; no code of ours
    runs in a handler, so none can deadlock.
    """

    def __enter__(self) -> Self:
        self._read_fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._previous_wakeup_fd = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        self._previous_handlers = {
            signum: signal.signal(signum, _ignore_signal) for signum in STOP_SIGNALS
        }
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._previous_handlers.items():
            signal.signal(signum, handler)
        signal.set_wakeup_fd(self._previous_wakeup_fd)
        os.close(self._read_fd)
        os.close(self._write_fd)

    def wait(self, timeout_s: float) -> bool:
        """Wait for a stop signal. Return False if none comes within `timeout_s` seconds."""
        readable, _, _ = select.select([self._read_fd], [], [], timeout_s)
        return bool(readable)


def request_stop() -> None:
    """Have this process stop in order, as its service manager does. Thread-safe."""
    os.kill(os.getpid(), signal.SIGTERM)


def _ignore_signal(_number: int, _frame: FrameType | None) -> None:
    """Replace the default handler, which would end the process."""
