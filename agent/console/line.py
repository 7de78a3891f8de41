"""The two kinds of lines that a console sits on: a serial port, and the terminal it was started at."""

import contextlib
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
"""So long the other end may take nothing: a technician who has pressed Ctrl-S reads."""
FLOW_CONTROL = termios.IXON | termios.IXANY
"""Ctrl-S holds the output, and any key lets it go on: noise that looks like one holds nothing for long."""
BAUD_RATES = {
    rate: getattr(termios, f"B{rate}")
    for rate in (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400)
}
_READ_BYTES = 4096


class FdByteLine:
    """Bytes over file descriptors that are raw already."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        os.set_blocking(write_fd, False)

    def read(self, timeout_s: float) -> bytes:
        """What has come. Raises HungUp."""
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
        """Send it all. Raises HungUp."""
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
        """Output that a Ctrl-S holds goes on once he has typed anything. The kernel would see to it,
        but for keys that nobody has read yet: a byte of noise must not hold the console for ever.
        """
        readable, _, _ = select.select([self._read_fd], [], [], 0)
        if readable:
            with contextlib.suppress(termios.error):
                # TCOON alone undoes no Ctrl-S, only a TCOOFF (tty_ioctl.c of Linux).
                termios.tcflow(self._write_fd, termios.TCOOFF)
                termios.tcflow(self._write_fd, termios.TCOON)

    def is_drained(self) -> bool:
        """Whether the kernel has sent what it was given."""
        try:
            (queued_bytes,) = struct.unpack(
                "i", fcntl.ioctl(self._write_fd, termios.TIOCOUTQ, b"\0" * 4)
            )
        except OSError:
            return True
        return int(queued_bytes) == 0

    @contextlib.contextmanager
    def without_flow_control(self) -> Iterator[None]:
        """Without Ctrl-S and Ctrl-Q: a file has every byte in it. Raises HungUp."""
        was_on = self._set_flow_control(on=False)
        try:
            yield
        finally:
            if was_on:
                self._set_flow_control(on=True)

    def _set_flow_control(self, *, on: bool) -> bool:
        """Whether they held the output before."""
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
    """A serial port at 8N1, ours alone; Ctrl-S holds the output. Raises UserError where it
    is no serial port, and OSError where it is not there.
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
            raise UserError(f"--port {path!r}: is no serial port: {error.args[-1]}") from error
        yield FdByteLine(fd, fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def controlling_terminal() -> Iterator[FdByteLine]:
    """The terminal that the console was started at, given back as it was. Raises UserError."""
    in_fd, out_fd = sys.stdin.fileno(), sys.stdout.fileno()
    if not os.isatty(in_fd) or not os.isatty(out_fd):
        raise UserError("vigie console: this is no terminal; allowed: a terminal, or --port DEVICE")
    saved_settings = termios.tcgetattr(in_fd)
    was_blocking = os.get_blocking(out_fd)
    try:
        tty.setraw(in_fd)
        settings = termios.tcgetattr(in_fd)
        settings[0] |= FLOW_CONTROL
        termios.tcsetattr(in_fd, termios.TCSADRAIN, settings)
        yield FdByteLine(in_fd, out_fd)
    finally:
        os.set_blocking(out_fd, was_blocking)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(in_fd, termios.TCSADRAIN, saved_settings)
