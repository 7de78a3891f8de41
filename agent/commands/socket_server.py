"""The box's own door for commands: a Unix socket in its state folder, for its own user alone.

In comes one line, `{"verb": "ptz", "args": {...}}`, and out go the replies, a line each, up to the
last one. Who asks is an operator by the name of his user, as the kernel knows it.
"""

import logging
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from agent.base import unix_socket
from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.base.model import CommandDone, CommandRefused, Reply
from agent.base.unix_socket import UnixListener
from agent.commands.command import MAX_COMMAND_BYTES, CommandId
from agent.commands.dispatcher import IncomingCommand
from agent.config import toml_decode

log = logging.getLogger(__name__)

SOCKET_NAME = "commands.sock"
POLL_TIMEOUT_S = 1.0
REQUEST_TIMEOUT_S = 1.0
"""So long a line may take to come."""
REPLY_TIMEOUT_S = 600.0
"""So long a door stays open for the last reply. No command takes longer."""
COMMAND_LIFETIME_S = 60.0
MAX_CLIENTS = 16
_READ_BYTES = 65_536

_REPLY_DECODER: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)


class LocalCommand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line that comes in. `id` is for who may have to repeat it."""

    verb: str
    args: Any
    id: CommandId | None = None


class _SocketClient:
    """One connection. The stage reads and closes it; any thread may answer."""

    def __init__(
        self, connection: socket.socket, peer: unix_socket.PeerCredentials, deadline_ns: int
    ) -> None:
        self.connection = connection
        self.peer = peer
        self.deadline_ns = deadline_ns
        self.received = bytearray()
        self.is_request_received = False
        self._lock = threading.Lock()
        self._is_open = True

    def send_reply(self, reply: Reply) -> None:
        """Say something; after the last the other end sees the end. Who does not read is left."""
        with self._lock:
            if not self._is_open:
                return
            with suppress(OSError):
                self.connection.send(msgspec.json.encode(reply) + b"\n")
            if isinstance(reply, CommandDone | CommandRefused):
                self._shut_down()

    @property
    def is_finished(self) -> bool:
        """Whether the last was said."""
        return not self._is_open

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            self._is_open = False
            self.connection.close()

    def _shut_down(self) -> None:
        """The stage is woken by that, and closes it."""
        self._is_open = False
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


class CommandSocketServer:
    """The stage behind the socket. `take` is that of the desk; `new_id` makes an id of a `t_ns`."""

    name = "command socket"

    def __init__(
        self,
        state_dir: Path,
        submit: Callable[[IncomingCommand], None],
        clock: Clock,
        new_id: Callable[[int], str],
    ) -> None:
        self._submit = submit
        self._clock = clock
        self._new_id = new_id
        self._selector: selectors.BaseSelector | None = None
        self._listener = UnixListener(state_dir, SOCKET_NAME, MAX_CLIENTS)
        self._clients: dict[socket.socket, _SocketClient] = {}

    def run_once(self, stopping: threading.Event) -> None:
        """Hear those who ask, or wait a second for one."""
        selector = self._open_selector()
        for key, _ in selector.select(POLL_TIMEOUT_S):
            if key.data is None:
                self._accept(selector)
            else:
                self._read(selector, key.data)
        now_ns = self._clock.boottime_ns()
        for client in [
            c for c in self._clients.values() if now_ns >= c.deadline_ns or c.is_finished
        ]:
            if not client.is_request_received:
                client.send_reply(_build_malformed(f"no whole line within {REQUEST_TIMEOUT_S:g} s"))
            self._drop_client(selector, client)

    def close(self) -> None:
        """Nobody can ask from here on, and nobody is answered."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        if self._selector is not None:
            self._selector.close()
            self._selector = None
        self._listener.close()

    def _open_selector(self) -> selectors.BaseSelector:
        listen_socket = self._listener.ensure_listening()
        if self._selector is None:
            self._selector = selectors.DefaultSelector()
            self._selector.register(listen_socket, selectors.EVENT_READ)
        return self._selector

    def _accept(self, selector: selectors.BaseSelector) -> None:
        connection = self._listener.accept(0.0)
        if connection is None:
            return
        connection.setblocking(False)
        deadline_ns = self._clock.boottime_ns() + int(REQUEST_TIMEOUT_S * 1e9)
        client = _SocketClient(connection, unix_socket.peer_credentials(connection), deadline_ns)
        reason = None
        if not client.peer.is_allowed:
            reason = f"user {client.peer.uid} may not ask"
        elif len(self._clients) >= MAX_CLIENTS:
            reason = f"{MAX_CLIENTS} ask already"
        if reason is not None:
            log.warning("a local command is refused: %s", reason)
            client.send_reply(
                CommandRefused(
                    command=None,
                    verb="",
                    code="busy" if client.peer.is_allowed else "forbidden",
                    message=reason,
                )
            )
            client.close()
            return
        self._clients[connection] = client
        selector.register(connection, selectors.EVENT_READ, client)

    def _read(self, selector: selectors.BaseSelector, client: _SocketClient) -> None:
        try:
            data = client.connection.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if client.is_request_received:
            # It has no more to say, and may still be listening.
            selector.unregister(client.connection)
            return
        if not data:
            self._drop_client(selector, client)
            return
        client.received += data
        line, newline, rest = bytes(client.received).partition(b"\n")
        if len(client.received) > MAX_COMMAND_BYTES:
            client.send_reply(_build_malformed(f"a line of more than {MAX_COMMAND_BYTES} bytes"))
        elif newline and rest:
            client.send_reply(_build_malformed("allowed: one line"))
        elif newline:
            client.is_request_received = True
            client.deadline_ns = self._clock.boottime_ns() + int(REPLY_TIMEOUT_S * 1e9)
            self._submit_request(client, line)

    def _submit_request(self, client: _SocketClient, line: bytes) -> None:
        try:
            request = toml_decode.convert(msgspec.json.decode(line), LocalCommand, "command")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            client.send_reply(_build_malformed(f"not JSON: {error}"))
            return
        except UserError as error:
            client.send_reply(_build_malformed(str(error)))
            return
        now_ns = self._clock.boottime_ns()
        expires = self._clock.utc(now_ns) + timedelta(seconds=COMMAND_LIFETIME_S)
        command = {
            "id": request.id or self._new_id(now_ns),
            "expires": expires,
            "by": client.peer.user_name,
            "role": "operator",
            "args": request.args,
        }
        self._submit(
            IncomingCommand(
                verb=request.verb,
                payload=msgspec.json.encode(command),
                via="the local socket",
                send_reply=client.send_reply,
            )
        )

    def _drop_client(self, selector: selectors.BaseSelector, client: _SocketClient) -> None:
        with suppress(KeyError):
            selector.unregister(client.connection)
        del self._clients[client.connection]
        client.close()


def send_command(
    state_dir: Path, verb: str, args: object, timeout_s: float
) -> Iterator[Reply] | None:
    """Ask the agent of a state folder, and hear its replies up to the last; None where no agent is
    there to ask. Each reply may take `timeout_s`. Raises PermissionError where only somebody else
    may ask; UserError comes from the replies, where there is no answer.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        with unix_socket.socket_address(state_dir, SOCKET_NAME) as socket_path:
            connection.connect(socket_path)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise
    return _read_replies(connection, msgspec.json.encode({"verb": verb, "args": args}) + b"\n")


def _read_replies(connection: socket.socket, line: bytes) -> Iterator[Reply]:
    with connection:
        try:
            with suppress(BrokenPipeError):  # it has refused already, and says why
                connection.sendall(line)
            with connection.makefile("rb") as reader:
                for reply_line in reader:
                    reply = _REPLY_DECODER.decode(reply_line)
                    yield reply
                    if isinstance(reply, CommandDone | CommandRefused):
                        return
        except (OSError, msgspec.MsgspecError) as error:
            raise UserError(f"the agent gave no answer: {error}") from error
    raise UserError("the agent gave no answer: it ended meanwhile")


def _build_malformed(message: str) -> CommandRefused:
    return CommandRefused(command=None, verb="", code="malformed", message=message)
