"""The local wire: messages between the processes of one box, over unix(7) sockets.

A message is a header, with its length and the number of open files that come along, and a struct in MessagePack. Its
reader bounds both before it reads on. `MessageBuffer` cuts received bytes into messages and does no I/O;
`LocalConnection` is one end of a stream of them, with a deadline for each whole message.
"""

import os
import pwd
import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from types import UnionType
from typing import Generic, Self, TypeVar

import msgspec

MAX_ERROR_CHARS = 300
HEADER = struct.Struct("<IB")
"""Bytes of the struct, and open files."""
_READ_BYTES = 65_536
_TIMEVAL = struct.Struct("ll")
"""`struct timeval` of SO_SNDTIMEO, socket(7): seconds, microseconds."""
_UCRED = struct.Struct("3i")
"""`struct ucred` of unix(7): process, user, group."""
T = TypeVar("T")


class MalformedMessage(ConnectionError, ValueError):
    """The peer has sent no message that was expected. `str(error)` is one line, of at most MAX_ERROR_CHARS characters."""

    def __init__(self, reason: str) -> None:
        super().__init__(printable_line(reason))


class MessageDecoder(Generic[T]):
    """Decodes messages of one type. Thread-safe."""

    def __init__(self, message_type: type[T] | UnionType) -> None:
        self._decoder = msgspec.msgpack.Decoder(message_type)

    def decode(self, data: bytes) -> T:
        """Decode and validate one message. Raises: MalformedMessage."""
        try:
            message: T = self._decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedMessage(str(error)) from error
        return message


def pack_message(message: object, files: int = 0) -> bytes:
    """Encode a message after its header."""
    data = msgspec.msgpack.encode(message)
    return HEADER.pack(len(data), files) + data


def unpack_header(data: bytes | bytearray, max_bytes: int, max_files: int = 0) -> tuple[int, int]:
    """Return the bytes and the open files of the message whose header is first in `data`.

    Raises: MalformedMessage if one is above its maximum.
    """
    length, files = HEADER.unpack_from(data)
    if length > max_bytes:
        raise MalformedMessage(f"a message of {length} bytes; allowed: {max_bytes}")
    if files > max_files:
        raise MalformedMessage(f"a message with {files} open files; allowed: {max_files}")
    return length, files


class MessageBuffer:
    """Received bytes as messages. Holds one message, and the bytes of one read."""

    def __init__(self, max_bytes: int, max_files: int = 0) -> None:
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._received = bytearray()

    @property
    def is_empty(self) -> bool:
        """True between two messages."""
        return not self._received

    def add(self, data: bytes) -> None:
        """Add received bytes."""
        self._received += data

    def next(self) -> tuple[bytes, int] | None:
        """Return the next message and the number of its files, or None if it is not whole. Raises: MalformedMessage."""
        if len(self._received) < HEADER.size:
            return None
        length, files = unpack_header(self._received, self._max_bytes, self._max_files)
        end = HEADER.size + length
        if len(self._received) < end:
            return None
        message = bytes(memoryview(self._received)[HEADER.size : end])
        del self._received[:end]
        return message, files


class LocalConnection:
    """One end of a connection. One thread receives; each message is sent by one thread at a time.

    It closes the open files that come along with a message, unless they are taken before the next one is received.
    """

    def __init__(self, connection: socket.socket, max_bytes: int, max_files: int = 0) -> None:
        self.socket = connection
        self._max_files = max_files
        self._buffer = MessageBuffer(max_bytes, max_files)
        self._unassigned: deque[int] = deque()
        """Files that have come, of a message that is not whole yet."""
        self._files: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def has_more(self) -> bool:
        """True if a part of another message has been received already."""
        return not self._buffer.is_empty

    def fileno(self) -> int:
        """Return the socket's descriptor, for a selector."""
        return self.socket.fileno()

    def send(self, message: object, timeout_s: float | None, files: Sequence[int] = ()) -> None:
        """Send a message with open files, within `timeout_s`; with 0, only if the peer's buffer takes it whole.

        Raises: OSError; then the connection is of no more use.
        """
        data = pack_message(message, len(files))
        deadline_s = None if timeout_s is None else monotonic() + timeout_s
        self.socket.settimeout(timeout_s)
        sent = socket.send_fds(self.socket, [data], files)
        if sent < len(data):
            self.socket.settimeout(_remaining_s(deadline_s))
            self.socket.sendall(memoryview(data)[sent:])

    def end_sending(self) -> None:
        """Send no more, which the peer sees as an end. Raises: OSError."""
        self.socket.shutdown(socket.SHUT_WR)

    def receive(self, decoder: MessageDecoder[T], timeout_s: float | None) -> T | None:
        """Return the next message, or None at the peer's end. Raises as `receive_bytes`."""
        message = self.receive_bytes(timeout_s)
        return None if message is None else decoder.decode(message)

    def receive_request(self, decoder: MessageDecoder[T], timeout_s: float) -> T:
        """Return the next message of a peer that has to send one. Raises as `receive_bytes`."""
        message = self.receive(decoder, timeout_s)
        if message is None:
            raise MalformedMessage("the peer has ended without a request")
        return message

    def receive_bytes(self, timeout_s: float | None) -> bytes | None:
        """Return the next message before it is decoded, or None if the peer has ended before it.

        `timeout_s` is for the whole message. After it the connection may be asked again for the rest.
        Raises: MalformedMessage, TimeoutError and other OSErrors.
        """
        deadline_s = None if timeout_s is None else monotonic() + timeout_s
        self._close(self._files)
        while (found := self._buffer.next()) is None:
            if len(self._unassigned) > self._max_files:
                raise MalformedMessage("more open files than its header names")
            self.socket.settimeout(_remaining_s(deadline_s))
            if not self._read():
                if self._buffer.is_empty:
                    return None
                raise MalformedMessage("the peer has ended within a message")
        message, files = found
        if len(self._unassigned) < files or (
            self._buffer.is_empty and len(self._unassigned) > files
        ):
            raise MalformedMessage("other open files than its header names")
        self._files = [self._unassigned.popleft() for _ in range(files)]
        return message

    def replies(
        self,
        request: object,
        decoder: MessageDecoder[T],
        timeout_s: float,
        files: Sequence[int] = (),
    ) -> Iterator[T]:
        """Send a request and yield its replies, up to the peer's end. Each may take `timeout_s`. Raises as `receive`."""
        # A peer that has ended its side has refused already, and its reply says why.
        with suppress(BrokenPipeError):
            self.send(request, timeout_s, files)
        while (reply := self.receive(decoder, timeout_s)) is not None:
            yield reply

    def take_files(self) -> list[int]:
        """Return the files of the last message: the caller closes them."""
        files, self._files = self._files, []
        return files

    def close(self) -> None:
        """Close the connection, and the files that were not taken."""
        self._close(self._files)
        self._close(self._unassigned)
        self.socket.close()

    def _read(self) -> bool:
        """Read once; False at the peer's end."""
        try:
            # One read returns the files of one call of the peer at most: unix(7).
            data, files, flags, _ = socket.recv_fds(
                self.socket, _READ_BYTES, self._max_files, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError as error:
            raise TimeoutError("timed out") from error
        self._unassigned.extend(files)
        if flags & socket.MSG_CTRUNC:
            raise MalformedMessage(f"more than {self._max_files} open files")
        self._buffer.add(data)
        return bool(data)

    @staticmethod
    def _close(files: list[int] | deque[int]) -> None:
        while files:
            os.close(files.pop())


class PeerCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """Process and user at the other end of a connection, as the kernel knows them."""

    pid: int
    uid: int

    @property
    def is_allowed(self) -> bool:
        """True if it is the own user, or root."""
        return self.uid in (os.geteuid(), 0)

    @property
    def user_name(self) -> str:
        """The user's name, or `uid-<number>` if it has none."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"uid-{self.uid}"


def peer_credentials(connection: socket.socket) -> PeerCredentials:
    """Return the process and the user at the other end of a connection."""
    ucred = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _ = _UCRED.unpack(ucred)
    return PeerCredentials(pid=pid, uid=uid)


def connect(path: Path, timeout_s: float, max_bytes: int, max_files: int = 0) -> LocalConnection:
    """Connect to the socket at `path`, for messages of up to `max_bytes` with up to `max_files`.

    Raises: TimeoutError if its queue stays full, and other OSErrors.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # A socket with Python's timeout does not block, and connect(2) of one that does not block fails
    # at once while the listener's queue is full.
    timeval = _TIMEVAL.pack(*divmod(int(timeout_s * 1e6), 1_000_000))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
    try:
        with _address_of(path) as address:
            connection.connect(address)
    except BlockingIOError as error:
        connection.close()
        raise TimeoutError(f"no connection for {timeout_s:g} s") from error
    except BaseException:
        connection.close()
        raise
    return LocalConnection(connection, max_bytes, max_files)


def listen(path: Path, mode: int, backlog: int) -> socket.socket:
    """Listen at `path`, with its permissions. The socket of a process that was killed is replaced. Raises: OSError."""
    # The name appears after listen(2): before it each connection is refused.
    temp_path = path.with_name(f".{path.name}.making")
    temp_path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _address_of(temp_path) as address:
            listener.bind(address)
        temp_path.chmod(mode)
        listener.listen(backlog)
        temp_path.replace(path)
    except BaseException:
        listener.close()
        with suppress(OSError):
            temp_path.unlink(missing_ok=True)
        raise
    return listener


@contextmanager
def _address_of(path: Path) -> Iterator[str]:
    """Yield the address of a socket by its folder's descriptor: unix(7) allows 107 bytes, and a path may be longer."""
    dir_fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{dir_fd}/{path.name}"
    finally:
        os.close(dir_fd)


def _remaining_s(deadline_s: float | None) -> float | None:
    return None if deadline_s is None else max(0.0, deadline_s - monotonic())


def printable_line(text: str) -> str:
    """Return the first MAX_ERROR_CHARS characters of a text, with escapes for what is not printable."""
    shown = text[:MAX_ERROR_CHARS]
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown
    )[:MAX_ERROR_CHARS]
