"""Lines of bytes of a console: a serial port, and the process's own terminal."""

import contextlib
import ctypes
import fcntl
import os
import select
import struct
import sys
import termios
import time
import tty
from collections.abc import Iterator

from agent.base.errors import UserError
from agent.console.terminal import HungUp

WRITE_TIMEOUT_S = 120.0
"""Longest stop of the output: a technician who has pressed Ctrl-S is reading."""
FLOW_CONTROL = termios.IXON | termios.IXANY
"""Ctrl-S stops the output, and any key resumes it: a Ctrl-S of noise must not stop it for long."""
BAUD_RATES = {
    rate: getattr(termios, f"B{rate}")
    for rate in (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400)
}
_READ_BYTES = 4096


class FdByteLine:
    """Line of bytes over file descriptors that are in raw mode already."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        os.set_blocking(write_fd, False)

    def read(self, timeout_s: float) -> bytes:
        """Return the bytes that have come. Raises HungUp."""
        readable, _, _ = select.select([self._read_fd], [], [], timeout_s)
        if not readable:
            return b""
        try:
            data = os.read(self._read_fd, _READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise HungUp from error
        if not data:
            raise HungUp
        return data

    def write(self, data: bytes) -> None:
        """Send all bytes. Raises HungUp."""
        deadline_s = time.monotonic() + WRITE_TIMEOUT_S
        unsent = memoryview(data)
        while unsent:
            try:
                unsent = unsent[os.write(self._write_fd, unsent) :]
            except BlockingIOError as error:
                remaining_s = deadline_s - time.monotonic()
                if remaining_s <= 0:
                    raise HungUp from error
                _, writable, _ = select.select([], [self._write_fd], [], min(remaining_s, 0.1))
                if not writable:
                    self._resume_output()
            except OSError as error:
                raise HungUp from error

    def _resume_output(self) -> None:
        """Resume output after a Ctrl-S if any key was pressed.

        The kernel does so only for keys that have been read, and the console reads none while it
        writes: a Ctrl-S of noise would stop it for ever.
        """
        readable, _, _ = select.select([self._read_fd], [], [], 0)
        if readable:
            with contextlib.suppress(termios.error):
                # TCOON alone ends a TCOOFF only, no Ctrl-S (tty_ioctl.c of Linux).
                termios.tcflow(self._write_fd, termios.TCOOFF)
                termios.tcflow(self._write_fd, termios.TCOON)

    def is_drained(self) -> bool:
        """True if the kernel has sent all bytes."""
        try:
            (queued_bytes,) = struct.unpack(
                "i", fcntl.ioctl(self._write_fd, termios.TIOCOUTQ, b"\0" * 4)
            )
        except OSError:
            return True
        return int(queued_bytes) == 0

    @contextlib.contextmanager
    def without_flow_control(self) -> Iterator[None]:
        """Disable Ctrl-S and Ctrl-Q: a file may have every byte in it. Raises HungUp."""
        was_on = self._set_flow_control(on=False)
        try:
            yield
        finally:
            if was_on:
                self._set_flow_control(on=True)

    def _set_flow_control(self, *, on: bool) -> bool:
        """Switch flow control, and return whether it was on."""
        try:
            settings = termios.tcgetattr(self._read_fd)
            was_on = bool(settings[0] & termios.IXON)
            settings[0] = settings[0] | FLOW_CONTROL if on else settings[0] & ~FLOW_CONTROL
            termios.tcsetattr(self._read_fd, termios.TCSANOW, settings)
        except termios.error as error:
            raise HungUp from error
        return was_on


@contextlib.contextmanager
def serial_line(path: str, baud: int) -> Iterator[FdByteLine]:
    """Open a serial port at 8N1, exclusively, with flow control by Ctrl-S.

    Raises: UserError if it is not a serial port; OSError.
    """
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        try:
            tty.setraw(fd)
            settings = termios.tcgetattr(fd)
            settings[0] |= FLOW_CONTROL
            settings[2] = termios.CS8 | termios.CREAD | termios.CLOCAL
            settings[4] = settings[5] = BAUD_RATES[baud]
            termios.tcsetattr(fd, termios.TCSAFLUSH, settings)
            fcntl.ioctl(fd, termios.TIOCEXCL)
        except termios.error as error:
            raise UserError(f"--port {path!r}: is not a serial port: {error.args[-1]}") from error
        with _discard_output(*(each for each in (1, 2) if _is_same_device(each, fd))):
            yield FdByteLine(fd, fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def controlling_terminal() -> Iterator[FdByteLine]:
    """Use the process's own terminal, and restore its settings. Raises UserError."""
    in_fd, out_fd = sys.stdin.fileno(), sys.stdout.fileno()
    if not os.isatty(in_fd) or not os.isatty(out_fd):
        raise UserError("console: this is not a terminal; allowed: a terminal, or --port DEVICE")
    saved_settings = termios.tcgetattr(in_fd)
    line_fd = os.dup(out_fd)
    was_blocking = os.get_blocking(line_fd)
    try:
        tty.setraw(in_fd)
        settings = termios.tcgetattr(in_fd)
        settings[0] |= FLOW_CONTROL
        termios.tcsetattr(in_fd, termios.TCSADRAIN, settings)
        with _discard_output(*(each for each in (1, 2) if os.isatty(each))):
            yield FdByteLine(in_fd, line_fd)
    finally:
        os.set_blocking(line_fd, was_blocking)
        os.close(line_fd)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(in_fd, termios.TCSADRAIN, saved_settings)


def _is_same_device(fd: int, other_fd: int) -> bool:
    try:
        return os.fstat(fd).st_rdev == os.fstat(other_fd).st_rdev
    except OSError:  # it is closed
        return False


@contextlib.contextmanager
def _discard_output(*fds: int) -> Iterator[None]:
    """Discard what others write to file descriptors of the console's terminal.

    FFmpeg, libcamera and OpenCV write to 1 and 2 themselves, past `logging`, and so do child processes.
    """
    _flush_output()
    saved_fds = {fd: os.dup(fd) for fd in fds}
    null_fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        for fd in fds:
            os.dup2(null_fd, fd)
        yield
    finally:
        _flush_output()
        for fd, saved_fd in saved_fds.items():
            os.dup2(saved_fd, fd)
            os.close(saved_fd)
        os.close(null_fd)


def _flush_output() -> None:
    """Flush what Python and C have buffered for 1 and 2, so that it goes where they lead now."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with contextlib.suppress(OSError):
            stream.flush()
    ctypes.CDLL(None).fflush(None)
