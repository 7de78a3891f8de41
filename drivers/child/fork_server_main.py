"""The fork server's process: `python -P -m drivers.child.fork_server_main MODULE DESCRIPTOR`.

It loads a module of `drivers.child.main`, then forks a child for each request, and reports its end. The descriptor is
its end of a connection to its parent, or a socket that the parent connects to. It ends with that connection, and its
children with it.
"""

import contextlib
import gc
import importlib
import logging
import os
import select
import signal
import socket
import sys
from typing import NoReturn

import msgspec

from drivers.child import confinement, landlock, main, syscall_filter
from drivers.child.fork_server import PID, ExitReport

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 16
MAX_DESCRIPTORS = 8


def run_server() -> None:
    """Serve until the parent closes its end."""
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, signal.SIG_IGN)
    confinement.end_before_agent()
    channel = _open_channel(int(sys.argv[2]))
    if landlock.abi_version() == 0:
        log.warning("%s: the kernel has no Landlock to confine it by", sys.argv[1])
    if syscall_filter.load_library() is None:
        log.warning("%s: there is no libseccomp to confine it by", sys.argv[1])
    gc.disable()
    module: main.ServedModule = importlib.import_module(sys.argv[1])  # type: ignore[assignment]
    module.prepare()
    # Modules stay. A collection in a child would write into the shared memory, and so copy it.
    gc.freeze()
    gc.enable()
    _Server(channel, module).serve()


def _open_channel(descriptor: int) -> socket.socket:
    """Return the connection to the parent. A service gets a socket that listens, from systemd."""
    given = socket.socket(fileno=descriptor)
    if not given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return given
    with given:
        return given.accept()[0]


class _Server:
    """The requests and the running children, by their pidfd."""

    def __init__(self, channel: socket.socket, module: main.ServedModule) -> None:
        self._channel = channel
        self._module = module
        self._pid = os.getpid()
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._children: dict[int, tuple[int, socket.socket]] = {}
        self._pidfds: dict[int, int] = {}
        """The child of each open socket of reports, whose parent closes its end to have it killed."""

    def serve(self) -> None:
        while True:
            # One at a time: what it does may close the next one's descriptor.
            ready, _ = self._poll.poll()[0]
            if ready in self._children:
                self._reap(ready)
            elif ready != self._channel.fileno():
                self._kill(ready)
            else:
                data, descriptors, _, _ = socket.recv_fds(
                    self._channel, MAX_REQUEST_BYTES, MAX_DESCRIPTORS
                )
                if not data:
                    return
                self._start_child(descriptors)

    def _start_child(self, descriptors: list[int]) -> None:
        """Fork a child and report it. Without a report the parent knows that there is none."""
        report = socket.socket(fileno=descriptors[0])
        try:
            pid = os.fork()
        except OSError as error:
            log.error("no process for a child: %s", error)
            pid = None
        if pid == 0:
            report.close()
            self._run_child(descriptors[1:])
        for descriptor in descriptors[1:]:
            os.close(descriptor)
        if pid is None:
            report.close()
            return
        pidfd = os.pidfd_open(pid)
        self._children[pidfd] = (pid, report)
        self._poll.register(pidfd, select.POLLIN)
        self._pidfds[report.fileno()] = pidfd
        self._poll.register(report, select.POLLIN)
        try:
            socket.send_fds(report, [PID.pack(pid)], [pidfd])
        except OSError:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)  # its parent has ended

    def _run_child(self, descriptors: list[int]) -> NoReturn:
        self._channel.close()
        for pidfd, (_, report) in self._children.items():
            os.close(pidfd)
            report.close()
        main.run(self._module.run, self._pid, descriptors)

    def _kill(self, report_fd: int) -> None:
        """Kill a child that its parent may not signal, because it has another user."""
        pidfd = self._pidfds.pop(report_fd, None)
        if pidfd is not None:
            self._poll.unregister(report_fd)
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)

    def _reap(self, pidfd: int) -> None:
        pid, report = self._children.pop(pidfd)
        if self._pidfds.pop(report.fileno(), None) is not None:
            self._poll.unregister(report)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, wait_status, usage = os.wait4(pid, 0)
        message = ExitReport(
            status=os.waitstatus_to_exitcode(wait_status),
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_memory_bytes=usage.ru_maxrss * 1024,
        )
        with report, contextlib.suppress(OSError):  # its parent may have ended
            report.send(msgspec.msgpack.encode(message))


if __name__ == "__main__":
    run_server()
