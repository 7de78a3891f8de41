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
from agent.commands.command import MOST_BYTES, CommandId
from agent.commands.dispatcher import IncomingCommand
from agent.config import strict

log = logging.getLogger(__name__)

SOCKET = "commands.sock"
TURN_S = 1.0
LINE_S = 1.0
"""So long a line may take to come."""
REPLY_S = 600.0
"""So long a door stays open for the last reply. No command takes longer."""
EXPIRES_S = 60.0
CALLERS_MOST = 16
_READ_BYTES = 65_536

_REPLY: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)


class LocalCommand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line that comes in. `id` is for who may have to repeat it."""

    verb: str
    args: Any
    id: CommandId | None = None


class _Caller:
    """One connection. The stage reads and closes it; any thread may answer."""

    def __init__(
        self, connection: socket.socket, peer: unix_socket.PeerCredentials, end_ns: int
    ) -> None:
        self.connection = connection
        self.peer = peer
        self.end_ns = end_ns
        self.received = bytearray()
        self.asked = False
        self._lock = threading.Lock()
        self._open = True

    def answer(self, reply: Reply) -> None:
        """Say something; after the last the other end sees the end. Who does not read is left."""
        with self._lock:
            if not self._open:
                return
            with suppress(OSError):
                self.connection.send(msgspec.json.encode(reply) + b"\n")
            if isinstance(reply, CommandDone | CommandRefused):
                self._shut()

    @property
    def is_told(self) -> bool:
        """Whether the last was said."""
        return not self._open

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            self._open = False
            self.connection.close()

    def _shut(self) -> None:
        """The stage is woken by that, and closes it."""
        self._open = False
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


class CommandSocketServer:
    """The stage behind the socket. `take` is that of the desk; `new_id` makes an id of a `t_ns`."""

    name = "local commands"

    def __init__(
        self,
        state: Path,
        take: Callable[[IncomingCommand], None],
        clock: Clock,
        new_id: Callable[[int], str],
    ) -> None:
        self._take = take
        self._clock = clock
        self._new_id = new_id
        self._selector: selectors.BaseSelector | None = None
        self._listener = UnixListener(state, SOCKET, CALLERS_MOST)
        self._callers: dict[socket.socket, _Caller] = {}

    def run_once(self, stopping: threading.Event) -> None:
        """Hear those who ask, or wait a second for one."""
        selector = self._opened()
        for key, _ in selector.select(TURN_S):
            if key.data is None:
                self._accept(selector)
            else:
                self._read(selector, key.data)
        now_ns = self._clock.boottime_ns()
        for caller in [c for c in self._callers.values() if now_ns >= c.end_ns or c.is_told]:
            if not caller.asked:
                caller.answer(_refused(f"no whole line within {LINE_S:g} s"))
            self._leave(selector, caller)

    def close(self) -> None:
        """Nobody can ask from here on, and nobody is answered."""
        for caller in self._callers.values():
            caller.close()
        self._callers.clear()
        if self._selector is not None:
            self._selector.close()
            self._selector = None
        self._listener.close()

    def _opened(self) -> selectors.BaseSelector:
        listening = self._listener.opened()
        if self._selector is None:
            self._selector = selectors.DefaultSelector()
            self._selector.register(listening, selectors.EVENT_READ)
        return self._selector

    def _accept(self, selector: selectors.BaseSelector) -> None:
        connection = self._listener.accept(0.0)
        if connection is None:
            return
        connection.setblocking(False)
        end_ns = self._clock.boottime_ns() + int(LINE_S * 1e9)
        caller = _Caller(connection, unix_socket.peer_credentials(connection), end_ns)
        why = None
        if not caller.peer.is_allowed:
            why = f"user {caller.peer.user} may not ask"
        elif len(self._callers) >= CALLERS_MOST:
            why = f"{CALLERS_MOST} ask already"
        if why is not None:
            log.warning("a local command is refused: %s", why)
            caller.answer(
                CommandRefused(
                    command=None,
                    verb="",
                    kind="busy" if caller.peer.is_allowed else "forbidden",
                    why=why,
                )
            )
            caller.close()
            return
        self._callers[connection] = caller
        selector.register(connection, selectors.EVENT_READ, caller)

    def _read(self, selector: selectors.BaseSelector, caller: _Caller) -> None:
        try:
            data = caller.connection.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if caller.asked:
            # It has no more to say, and may still be listening.
            selector.unregister(caller.connection)
            return
        if not data:
            self._leave(selector, caller)
            return
        caller.received += data
        line, newline, rest = bytes(caller.received).partition(b"\n")
        if len(caller.received) > MOST_BYTES:
            caller.answer(_refused(f"a line of more than {MOST_BYTES} bytes"))
        elif newline and rest:
            caller.answer(_refused("allowed: one line"))
        elif newline:
            caller.asked = True
            caller.end_ns = self._clock.boottime_ns() + int(REPLY_S * 1e9)
            self._ask(caller, line)

    def _ask(self, caller: _Caller, line: bytes) -> None:
        try:
            request = strict.into(msgspec.json.decode(line), LocalCommand, "command")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            caller.answer(_refused(f"not JSON: {error}"))
            return
        except UserError as error:
            caller.answer(_refused(str(error)))
            return
        now_ns = self._clock.boottime_ns()
        expires = self._clock.utc(now_ns) + timedelta(seconds=EXPIRES_S)
        command = {
            "id": request.id or self._new_id(now_ns),
            "expires": expires,
            "by": caller.peer.user_name,
            "role": "operator",
            "args": request.args,
        }
        self._take(
            IncomingCommand(
                verb=request.verb,
                payload=msgspec.json.encode(command),
                via="the local socket",
                answer=caller.answer,
            )
        )

    def _leave(self, selector: selectors.BaseSelector, caller: _Caller) -> None:
        with suppress(KeyError):
            selector.unregister(caller.connection)
        del self._callers[caller.connection]
        caller.close()


def ask(state: Path, verb: str, args: object, timeout_s: float) -> Iterator[Reply] | None:
    """Ask the agent of a state folder, and hear its replies up to the last; None where no agent is
    there to ask. Each reply may take `timeout_s`. Raises PermissionError where only somebody else
    may ask; BadInput comes from the replies, where there is no answer.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        with unix_socket.socket_path(state, SOCKET) as address:
            connection.connect(address)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise
    return _replies(connection, msgspec.json.encode({"verb": verb, "args": args}) + b"\n")


def _replies(connection: socket.socket, line: bytes) -> Iterator[Reply]:
    with connection:
        try:
            with suppress(BrokenPipeError):  # it has refused already, and says why
                connection.sendall(line)
            with connection.makefile("rb") as reader:
                for answer in reader:
                    reply = _REPLY.decode(answer)
                    yield reply
                    if isinstance(reply, CommandDone | CommandRefused):
                        return
        except (OSError, msgspec.MsgspecError) as error:
            raise UserError(f"the agent gave no answer: {error}") from error
    raise UserError("the agent gave no answer: it ended meanwhile")


def _refused(why: str) -> CommandRefused:
    return CommandRefused(command=None, verb="", kind="malformed", why=why)
