"""Children that share the memory of their libraries: each is forked from one process that has loaded them.

The fork server is an interpreter of its own, started by exec, or by systemd as a service with a user of its own. It has
no secret: the settings of a child, with the password of its device, go from the parent to the forked child alone. It
has one thread, so a fork of it copies no lock of another one.
"""

import atexit
import contextlib
import logging
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence

import msgspec

from drivers.child.process import CHILD_VARIABLES, ChildProcess, describe_status, forget, remember

log = logging.getLogger(__name__)

SERVER_MODULE = "drivers.child.fork_server_main"
START_TIMEOUT_S = 30.0
"""To load the libraries takes seconds on a small board."""
REPORT_TIMEOUT_S = 5.0
"""From the end of a child to its report, on a busy box. A server that has ended closes the connection at once."""
STOP_TIMEOUT_S = 3.0
SOCKETS_VARIABLE = "VIGIE_CHILD_SOCKETS"
"""The folder with a socket for each module whose fork server systemd starts; set by the agent's unit."""
PID = struct.Struct("<q")
MAX_REPORT_BYTES = 256

_INHERITED_VARIABLES = (
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "PATH",
    "PYTHONFAULTHANDLER",
    "PYTHONPATH",
)


class ExitReport(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a child: waitpid(2), negative for a signal, and getrusage(2)."""

    status: int
    cpu_s: float
    peak_memory_bytes: int


class ForkServer:
    """The fork server of one module of `drivers.child.main`. Thread-safe.

    It is started with its first child, again after its end, and ends with this process. If a service does not start a
    child, the next ones have a server that this process starts, as its own user.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._socket_folder = os.environ.get(SOCKETS_VARIABLE)

    def start_child(self, descriptors: Sequence[int]) -> ChildProcess:
        """Start a child, as a ChildStarter."""
        report, child_report = socket.socketpair(type=socket.SOCK_SEQPACKET)
        try:
            with child_report:
                self._request((child_report.fileno(), *descriptors))
            return _ForkedChild(report)
        except BaseException as error:
            report.close()
            if isinstance(error, TimeoutError | ConnectionError):
                self._socket_folder = None  # a service could hang or fail each time
            if isinstance(error, TimeoutError):
                self.close()  # it hangs: the next child has another server
            raise

    def close(self) -> None:
        """End the server and its children."""
        with self._lock:
            self._stop()

    def _request(self, descriptors: Sequence[int]) -> None:
        with self._lock:
            with contextlib.suppress(OSError):
                if self._channel is not None:
                    socket.send_fds(self._channel, [b"fork"], descriptors)
                    return
            self._stop()
            channel = self._connect_to_service() or self._start_server()
            self._channel = channel
            socket.send_fds(channel, [b"fork"], descriptors)

    def _connect_to_service(self) -> socket.socket | None:
        """Return a connection to the service, None without one."""
        if self._socket_folder is None:
            return None
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channel.settimeout(START_TIMEOUT_S)
        try:
            channel.connect(f"{self._socket_folder}/{self._module}.sock")
        except OSError as error:
            channel.close()
            log.warning("%s: has no user of its own: %s", self._module, error)
            return None
        return channel

    def _start_server(self) -> socket.socket:
        channel, server_channel = socket.socketpair(type=socket.SOCK_SEQPACKET)
        environment = {
            name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ
        }
        with server_channel:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter and modules of ours
                [
                    sys.executable,
                    "-P",
                    "-m",
                    SERVER_MODULE,
                    self._module,
                    str(server_channel.fileno()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment | CHILD_VARIABLES,
                pass_fds=(server_channel.fileno(),),
                process_group=0,
            )
        remember(self._process.pid)
        atexit.register(self.close)
        return channel

    def _stop(self) -> None:
        channel, self._channel = self._channel, None
        process, self._process = self._process, None
        if channel is not None:
            channel.close()
        if process is None:
            return
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        forget(process.pid)
        atexit.unregister(self.close)


class _ForkedChild:
    """A child of the fork server: killed and awaited by its pidfd, and reported by its parent."""

    def __init__(self, report: socket.socket) -> None:
        """Raises: OSError if the server does not start it."""
        self._report_socket = report
        self._report: ExitReport | None = None
        self._has_ended = False
        report.settimeout(START_TIMEOUT_S)
        data, descriptors, _, _ = socket.recv_fds(report, PID.size, 1)
        if not descriptors:
            raise ConnectionResetError("the fork server has ended")
        (self.pid,) = PID.unpack(data)
        (self._pidfd,) = descriptors

    def kill(self) -> None:
        if self._has_ended:
            return
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        except ProcessLookupError:
            return
        except PermissionError:
            # It has another user: its fork server kills it.
            with contextlib.suppress(OSError):
                self._report_socket.shutdown(socket.SHUT_WR)

    def wait(self, timeout_s: float) -> bool:
        if self._has_ended:
            return True
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if not poll.poll(max(0.0, timeout_s) * 1000):
            return False
        self._has_ended = True
        os.close(self._pidfd)
        with self._report_socket as report, contextlib.suppress(OSError, msgspec.MsgspecError):
            report.settimeout(REPORT_TIMEOUT_S)
            self._report = msgspec.msgpack.decode(report.recv(MAX_REPORT_BYTES), type=ExitReport)
        return True

    def describe_exit(self) -> str:
        if not self._has_ended:
            return "has not ended"
        report = self._report
        if report is None:
            return "has ended with its fork server"
        return (
            f"{describe_status(report.status)} after {report.cpu_s:.1f} s of processor time, "
            f"with {report.peak_memory_bytes / 1e6:.0f} MB at most"
        )
