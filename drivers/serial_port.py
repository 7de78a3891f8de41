"""One serial line: a port of this box, or one behind a serial server (`socket://`).

A port of the box is opened with pyserial, exclusively: for a second process it is busy. A line over
TCP is a plain socket, because pyserial's waits up to 5 s for the connection, sleeps while it closes,
leaks the socket of a peer that is gone, and leaves Nagle's algorithm on, which holds a stop back
until the frame before it is acknowledged.

The path is resolved at each opening. So a link such as those in /dev/serial/by-id leads to an
adapter that was unplugged and plugged in again elsewhere.
"""

import contextlib
import errno
import importlib
import socket
import stat
import struct
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Protocol
from urllib.parse import urlsplit

import msgspec
import serial
from serial.rs485 import RS485Settings

from drivers.addresses import validate_url
from drivers.errors import DriverError, errno_kind, errno_text

CONNECT_TIMEOUT_S = 1.5
WRITE_TIMEOUT_S = 0.5
READ_BYTES = 4096
MAX_TCP_PORT = 65535
TCP_USER_TIMEOUT_MS = 5000
"""A TCP peer that does not acknowledge for this long is gone (TCP_USER_TIMEOUT)."""

PARITIES = {
    "none": serial.PARITY_NONE,
    "even": serial.PARITY_EVEN,
    "odd": serial.PARITY_ODD,
}


ALLOWED_PORT = "a path such as /dev/ttyUSB0, or socket://HOST:PORT"


class SerialSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of a line; the options of each driver on a line begin with these.

    `port` is a path, best one of /dev/serial/by-id, or `socket://HOST:PORT`. Behind a socket, `baud`
    and `parity` are set at the serial server; here they give the time of a frame on the line.

    `rs485` selects what switches the transmitter: `off` if the adapter does it by itself or the line
    is RS-232, `kernel` for the UART's driver (RTS), `gpio` for the pin `rs485_pin` (BCM number,
    active high).
    """

    port: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^(/.+|socket://[^/\s]+:[0-9]{1,5})$(?!\n)",
            extra={"allowed": ALLOWED_PORT},
        ),
    ]
    baud: Annotated[int, msgspec.Meta(ge=300, le=1_000_000)] = 9600
    parity: Literal["none", "even", "odd"] = "none"
    rs485: Literal["off", "kernel", "gpio"] = "off"
    rs485_pin: Annotated[int, msgspec.Meta(ge=0, le=53)] | None = None

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        if (self.rs485 == "gpio") != (self.rs485_pin is not None):
            raise ValueError("rs485 = 'gpio' and rs485_pin go together: give both or neither")
        if self.rs485 != "off" and self.is_tcp:
            raise ValueError("rs485 is 'off' on a socket: its server turns the transmitter on")
        validate_url(self.port, "socket://HOST:PORT")
        if self.is_tcp and int(self.port.rpartition(":")[2]) > MAX_TCP_PORT:
            raise ValueError(f"port {self.port!r}: TCP ports end at {MAX_TCP_PORT}")

    @property
    def is_tcp(self) -> bool:
        """Whether the line is behind a serial server."""
        return self.port.startswith("socket://")

    @property
    def line_settings(self) -> "SerialSettings":
        """These settings alone, without a driver's own options."""
        return SerialSettings(
            port=self.port,
            baud=self.baud,
            parity=self.parity,
            rs485=self.rs485,
            rs485_pin=self.rs485_pin,
        )

    def line_time_s(self, size_bytes: int) -> float:
        """Return the time of bytes on the line: start, 8 data, parity, one stop bit."""
        bits = 10 if self.parity == "none" else 11
        return size_bytes * bits / self.baud


class TransmitPin(Protocol):
    """The pin that switches an RS-485 transmitter."""

    def on(self) -> None:
        """Switch the transmitter on."""
        ...

    def off(self) -> None:
        """Switch the transmitter off."""
        ...

    def close(self) -> None:
        """Release the pin."""
        ...


def open_transmit_pin(number: int) -> TransmitPin:
    """Open a pin of the board, off. Raises: DriverError if there is none, or it is in use."""
    from drivers import pin_factory  # noqa: PLC0415 - few boxes need the library of pins for it

    with pin_factory.pin_errors(f"rs485_pin = {number}"):
        pin: TransmitPin = importlib.import_module("gpiozero").DigitalOutputDevice(number)
    return pin


_are_locks_ignored = False


def ignore_locks() -> None:
    """Open ports of this process also while another one holds their lock.

    For the guard: a killed agent with a thread that waits in the kernel still holds its ports.
    """
    global _are_locks_ignored  # noqa: PLW0603 - for the whole process, once
    _are_locks_ignored = True


class _TtyLine:
    """A port of this box."""

    def __init__(self, settings: SerialSettings, open_pin: Callable[[int], TransmitPin]) -> None:
        self._serial = self._open_serial(settings)
        self._pin: TransmitPin | None = None
        if settings.rs485_pin is not None:
            try:
                self._pin = open_pin(settings.rs485_pin)
            except DriverError:
                self._serial.close()
                raise

    @staticmethod
    def _open_serial(settings: SerialSettings) -> serial.Serial:
        if not stat.S_ISCHR(Path(settings.port).stat().st_mode):
            raise DriverError("unsupported", "is no serial port")
        opened: serial.Serial = serial.serial_for_url(
            settings.port,
            baudrate=settings.baud,
            parity=PARITIES[settings.parity],
            timeout=0,
            write_timeout=WRITE_TIMEOUT_S,
            exclusive=not _are_locks_ignored,
            do_not_open=True,
        )
        if settings.rs485 == "kernel":
            opened.rs485_mode = RS485Settings()
        opened.open()
        return opened

    def fileno(self) -> int:
        return self._serial.fileno()

    def read(self) -> bytes:
        return self._serial.read(READ_BYTES)

    def write(self, data: bytes) -> None:
        if self._pin is None:
            self._serial.write(data)
            return
        self._pin.on()
        try:
            self._serial.write(data)
            self._serial.flush()
        finally:
            self._pin.off()

    def discard_output(self) -> None:
        """Discard unsent bytes: the kernel would wait for them in `close`, up to 30 s, and a motion
        that is sent so late is worse than none.
        """
        self._serial.reset_output_buffer()

    def close(self) -> None:
        self._serial.close()
        if self._pin:
            self._pin.close()


class _TcpLine:
    """A port behind a serial server: raw bytes, as pyserial's `socket://`."""

    def __init__(self, settings: SerialSettings) -> None:
        parts = urlsplit(settings.port)
        address = (parts.hostname or "", parts.port or 0)
        self._socket = socket.create_connection(address, timeout=CONNECT_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)
        self._socket.settimeout(WRITE_TIMEOUT_S)
        # A socket with a timeout waits for it in each read; its duplicate has none, and does not.
        self._read_socket = self._socket.dup()
        self._read_socket.settimeout(0)

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> bytes:
        try:
            data = self._read_socket.recv(READ_BYTES)
        except BlockingIOError:
            return b""
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, "the server closed the connection")
        return data

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def discard_output(self) -> None:
        """Make `close` reset the connection, so that unsent bytes are discarded."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self) -> None:
        self._read_socket.close()
        self._socket.close()


class SerialPort:
    """A line that may be lost and opened again. Not thread-safe.

    Every failure closes it and raises DriverError; `open` tries again.
    """

    def __init__(
        self,
        settings: SerialSettings,
        open_pin: Callable[[int], TransmitPin] = open_transmit_pin,
    ) -> None:
        self._settings = settings
        self._open_pin = open_pin
        self._line: _TtyLine | _TcpLine | None = None
        self.open_count = 0
        """The number of times that it was opened."""
        self.lost_count = 0
        """The number of times that an error closed it: bytes sent before may not have arrived."""

    def open(self) -> None:
        """Open the line if it is closed.

        Raises: DriverError `absent` (no such device or server), `busy` (another program has it),
        `unsupported` (permission denied, no serial port, no RS-485 in its kernel driver, no such
        speed or parity), `timeout` (the server does not answer).
        """
        if self._line is not None:
            return
        settings = self._settings
        try:
            self._line = (
                _TcpLine(settings) if settings.is_tcp else _TtyLine(settings, self._open_pin)
            )
        except DriverError as error:
            raise DriverError(error.kind, f"port {settings.port!r}: {error}") from error
        except (OSError, ValueError, termios.error) as error:
            raise self._open_error(error) from error
        self.open_count += 1

    @property
    def is_open(self) -> bool:
        """Whether it is open, as far as the last read or write found."""
        return self._line is not None

    def fileno(self) -> int:
        """Return the descriptor for `select`; -1 while it is closed."""
        return self._line.fileno() if self._line else -1

    def read(self) -> bytes:
        """Return the received bytes, at most READ_BYTES, perhaps none. Raises: DriverError."""
        if self._line is None:
            return b""
        try:
            return self._line.read()
        except (OSError, termios.error) as error:
            raise self._close_with_error(error) from error

    def write(self, data: bytes) -> None:
        """Send bytes. Waits for room in the kernel's buffer and, with a pin, for the line's time.

        Raises: DriverError `absent` if the port is gone, `timeout` if it sends nothing.
        """
        self.open()
        if self._line is None:
            return
        try:
            self._line.write(data)
        except (OSError, termios.error) as error:
            raise self._close_with_error(error) from error

    def close(self) -> None:
        """Close the line. A second call does nothing."""
        line, self._line = self._line, None
        if line is not None:
            with contextlib.suppress(OSError, termios.error):
                line.close()

    def _close_with_error(self, error: OSError | termios.error) -> DriverError:
        if self._line is not None:
            with contextlib.suppress(OSError, termios.error):
                self._line.discard_output()
            self.lost_count += 1
        self.close()
        if isinstance(error, serial.SerialTimeoutException | TimeoutError):
            return DriverError("timeout", f"port {self._settings.port!r}: takes no more bytes")
        reason = "the device is gone" if not self._settings.is_tcp else "the connection is lost"
        return DriverError("absent", f"port {self._settings.port!r}: {reason}")

    def _open_error(self, error: OSError | ValueError | termios.error) -> DriverError:
        display_name = f"port {self._settings.port!r}"
        if isinstance(error, ValueError):
            if self._settings.rs485 == "kernel":
                reason = "its kernel driver has no RS-485: set rs485 to 'off' or to 'gpio'"
            else:
                reason = str(error)
            return DriverError("unsupported", f"{display_name}: {reason}")
        if isinstance(error, TimeoutError):
            return DriverError("timeout", f"{display_name}: does not answer")
        number = _errno_of(error)
        if number == errno.EINVAL:
            requested = f"baud = {self._settings.baud}, parity = {self._settings.parity!r}"
            return DriverError("unsupported", f"{display_name}: cannot do {requested}")
        text = errno_text(number, "serial port", "dialout") if number else str(error)
        return DriverError(errno_kind(number), f"{display_name}: {text}")


def _errno_of(error: OSError | termios.error) -> int:
    """Return the kernel's error number, which pyserial keeps, or its termios.error."""
    for one in (error, error.__context__):
        if isinstance(one, OSError) and one.errno:
            return one.errno
        if isinstance(one, termios.error) and one.args:
            return int(one.args[0])
    return 0
