"""Being told to stop: SIGTERM and SIGINT, waited for in the main thread."""

import os
import select
import signal
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """From its making on, a stop signal ends a wait and nothing else. Made in the main thread.

    The signals are not blocked and waited for with sigtimedwait(2): libraries start threads when
    they are imported, those have no mask, and the kernel would hand the signal to one of them.
    Whichever thread gets it, the interpreter's handler writes a byte into a pipe; no code of ours
    runs in a handler, so none can deadlock.
    """

    def __init__(self) -> None:
        self._reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, _leave_it_to_the_pipe)

    def wait(self, timeout_s: float) -> bool:
        """Whether a stop signal has come, after `timeout_s` seconds at the latest."""
        readable, _, _ = select.select([self._reader], [], [], timeout_s)
        return bool(readable)


def _leave_it_to_the_pipe(_number: int, _frame: FrameType | None) -> None:
    """A handler has to be there, or the default would end the process."""
