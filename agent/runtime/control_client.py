"""Client of the control socket: how programs on the box reach the running agent."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from agent.base.errors import UserError
from agent.base.message import Message, message_of
from agent.base.model import CommandRefused
from agent.runtime.control_socket import SOCKET_NAME
from drivers.local_wire import (
    LocalConnection,
    MessageDecoder,
    PeerCredentials,
    connect,
    peer_credentials,
)

CONNECT_TIMEOUT_S = 1.0
MAX_REPLY_BYTES = 1 << 24
T = TypeVar("T")


class AgentRefused(UserError):
    """The agent refuses a request. `str(error)` is the reason in one sentence."""

    def __init__(self, refused: CommandRefused) -> None:
        super().__init__(refused.message)
        self.code = refused.code


def request_one(
    state_dir: Path,
    request: msgspec.Struct,
    reply_type: type[T],
    timeout_s: float,
    fd: int | None = None,
) -> T | None:
    """Send a request that has one reply, and return it, or None if no agent runs.

    Raises AgentRefused, UserError if there is no answer in time, and PermissionError as `call`.
    """
    decoder: MessageDecoder[T | CommandRefused] = MessageDecoder(reply_type | CommandRefused)
    replies = call(state_dir, request, decoder, timeout_s, fd)
    reply = None if replies is None else next(replies)
    if isinstance(reply, CommandRefused):
        raise AgentRefused(reply)
    return reply


def call(
    state_dir: Path,
    request: msgspec.Struct,
    decoder: MessageDecoder[T],
    timeout_s: float,
    fd: int | None = None,
) -> Iterator[T] | None:
    """Send a request to the agent of a state folder, and return its replies.

    Returns None if no agent runs. Each reply may take `timeout_s`. The caller stops at the last
    reply: after it, and if there is none in time, UserError is raised. Raises PermissionError if
    the socket is another user's.
    """
    try:
        connection = connect(state_dir / SOCKET_NAME, timeout_s, MAX_REPLY_BYTES)
    except TimeoutError as error:
        raise UserError(
            Message("the agent accepted no request for {timeout_s:g} s", timeout_s=timeout_s)
        ) from error
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        return None
    return _exchange(connection, request, decoder, timeout_s, () if fd is None else (fd,))


def find_agent(state_dir: Path) -> PeerCredentials | None:
    """Return the process that listens on the socket, or None if it cannot be reached."""
    try:
        with connect(state_dir / SOCKET_NAME, CONNECT_TIMEOUT_S, MAX_REPLY_BYTES) as connection:
            return peer_credentials(connection.socket)
    except OSError:
        return None


def _exchange(
    connection: LocalConnection,
    request: msgspec.Struct,
    decoder: MessageDecoder[T],
    timeout_s: float,
    fds: tuple[int, ...],
) -> Iterator[T]:
    with connection:
        try:
            yield from connection.replies(request, decoder, timeout_s, fds)
        except OSError as error:
            raise UserError(
                Message("the agent gave no answer: {error}", error=message_of(error))
            ) from error
    raise UserError(Message("the agent gave no answer: it ended meanwhile"))
