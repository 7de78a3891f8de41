"""Sockets of the box itself, in its state folder, for its own user alone: unix(7)."""

import os
import pwd
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

_UCRED = struct.Struct("3i")
"""`struct ucred` of unix(7): process, user, group."""


class PeerCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """The process and the user at the other end, as the kernel knows them."""

    pid: int
    uid: int

    @property
    def is_allowed(self) -> bool:
        """Whether it is our own user, or root."""
        return self.uid in (os.geteuid(), 0)

    @property
    def user_name(self) -> str:
        """The user's name, or its number where it has none."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"uid-{self.uid}"


class UnixListener:
    """A door: a socket in a folder, which is there from the first wait for somebody until `close`.

    Nobody can connect before its mode is set, and one that a killed process has left is replaced.
    """

    def __init__(self, folder: Path, name: str, backlog: int) -> None:
        self._folder = folder
        self._name = name
        self._backlog = backlog
        self._socket: socket.socket | None = None

    def ensure_listening(self) -> socket.socket:
        """The socket that listens. Raises OSError."""
        if self._socket is None:
            self._socket = self._bind_and_listen()
        return self._socket

    def accept(self, timeout_s: float) -> socket.socket | None:
        """Who comes within `timeout_s` seconds, None where nobody does or he has gone again. Raises
        OSError where there can be no door.
        """
        listener = self.ensure_listening()
        listener.settimeout(timeout_s)
        try:
            connection, _ = listener.accept()
        except (TimeoutError, BlockingIOError, ConnectionAbortedError):
            return None
        return connection

    def close(self) -> None:
        """Nobody can come from here on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            with suppress(FileNotFoundError):
                (self._folder / self._name).unlink()

    def _bind_and_listen(self) -> socket.socket:
        path = self._folder / self._name
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with socket_address(self._folder, self._name) as address:
                listener.bind(address)
            path.chmod(0o600)
            listener.listen(self._backlog)
        except BaseException:
            listener.close()
            raise
        return listener


@contextmanager
def socket_address(folder: Path, name: str) -> Iterator[str]:
    """A socket's address by its folder's descriptor: unix(7) allows 107 bytes, and a path may be
    longer. Raises OSError.
    """
    dir_fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{dir_fd}/{name}"
    finally:
        os.close(dir_fd)


def peer_credentials(connection: socket.socket) -> PeerCredentials:
    """Who is at the other end."""
    ucred = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _ = _UCRED.unpack(ucred)
    return PeerCredentials(pid=pid, uid=uid)
