"""Sockets of the box itself, in its state folder, for its own user alone: unix(7)."""

import os
import pwd
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

_CREDENTIALS = struct.Struct("3i")
"""`struct ucred` of unix(7): process, user, group."""


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """The process and the user at the other end, as the kernel knows them."""

    process: int
    user: int

    @property
    def may_ask(self) -> bool:
        """Whether it is our own user, or root."""
        return self.user in (os.geteuid(), 0)

    @property
    def user_name(self) -> str:
        """The user's name, or its number where it has none."""
        try:
            return pwd.getpwuid(self.user).pw_name
        except KeyError:
            return f"uid-{self.user}"


def listen(folder: Path, name: str, waiting_most: int) -> socket.socket:
    """Listen on a socket in a folder, in place of one that a killed process has left. Nobody can
    connect before its mode is set. Raises OSError.
    """
    with suppress(FileNotFoundError):
        (folder / name).unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with address(folder, name) as where:
            listener.bind(where)
        (folder / name).chmod(0o600)
        listener.listen(waiting_most)
    except BaseException:
        listener.close()
        raise
    return listener


@contextmanager
def address(folder: Path, name: str) -> Iterator[str]:
    """A socket's address by its folder's descriptor: unix(7) allows 107 bytes, and a path may be
    longer. Raises OSError.
    """
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}/{name}"
    finally:
        os.close(handle)


def peer(connection: socket.socket) -> Peer:
    """Who is at the other end."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    process, user, _ = _CREDENTIALS.unpack(data)
    return Peer(process=process, user=user)
