"""Client of the control socket: how programs on the box reach the running agent."""

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from agent.base.errors import UserError
from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.base.message import Message, message_of
from agent.runtime.control_socket import PeerCredentials, peer_credentials, socket_address

CONNECT_TIMEOUT_S = 1.0
_TIMEVAL = struct.Struct("ll")
"""`struct timeval` of SO_SNDTIMEO, socket(7): seconds, microseconds."""
T = TypeVar("T")


def call(
    state_dir: Path,
    request: msgspec.Struct,
    decoder: JsonDecoder[T],
    timeout_s: float,
    fd: int | None = None,
) -> Iterator[T] | None:
    """Send a request to the agent of a state folder, and return its replies.

    Returns None if no agent runs. Each reply may take `timeout_s`. The caller stops at the last
    reply: after it, and if there is none in time, UserError is raised. Raises PermissionError if
    the socket is another user's.
    """
    try:
        connection = _connect(state_dir, timeout_s)
    except BlockingIOError as error:
        raise UserError(
            Message("the agent accepted no request for {timeout_s:g} s", timeout_s=timeout_s)
        ) from error
    if connection is None:
        return None
    return _exchange(connection, msgspec.json.encode(request) + b"\n", decoder, fd)


def find_agent(state_dir: Path) -> PeerCredentials | None:
    """Return the process that listens on the socket, or None if it cannot be reached."""
    try:
        connection = _connect(state_dir, CONNECT_TIMEOUT_S)
    except OSError:
        return None
    if connection is None:
        return None
    with connection:
        return peer_credentials(connection)


def _connect(state_dir: Path, timeout_s: float) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # A socket with Python's timeout does not block, and connect(2) of one that does not block fails
    # at once while the listener's queue is full.
    timeval = _TIMEVAL.pack(*divmod(int(timeout_s * 1e6), 1_000_000))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
    try:
        with socket_address(state_dir) as address:
            connection.connect(address)
        connection.settimeout(timeout_s)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise
    return connection


def _exchange(
    connection: socket.socket, line: bytes, decoder: JsonDecoder[T], fd: int | None
) -> Iterator[T]:
    with connection:
        try:
            with suppress(BrokenPipeError):  # the agent has refused already, and says why
                sent = socket.send_fds(connection, [line], [] if fd is None else [fd])
                connection.sendall(line[sent:])
            with connection.makefile("rb") as reader:
                for reply_line in reader:
                    yield decoder.decode(reply_line)
        except (OSError, MalformedJson) as error:
            raise UserError(
                Message("the agent gave no answer: {error}", error=message_of(error))
            ) from error
    raise UserError(Message("the agent gave no answer: it ended meanwhile"))
