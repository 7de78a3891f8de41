"""The running agent cuts clips of what it has sealed, for `vigie footage export` beside it.

It alone has the keys, in memory, and they stay there. Asked is over a Unix socket in the state
folder that its own user alone may open. Who asks brings the file that the clip goes into, open
and empty, so the agent opens nothing but its own segments: their names and the camera's are
looked up and never taken as paths.
"""

import fcntl
import logging
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from agent.base import unix_socket
from agent.base.unix_socket import UnixListener
from agent.recording.encryption.keys import KeyLookup
from agent.recording.export.clip import (
    ClipError,
    ClipInfo,
    ClipSource,
    clip_source,
    write_clip_to_fd,
)
from agent.recording.export.clip_request import (
    MAX_CLIP_SEGMENTS,
    MAX_LINE_BYTES,
    ClipDone,
    ClipRefused,
    ClipReply,
    ClipRequest,
)
from agent.recording.segment_name import parse_segment_name

log = logging.getLogger(__name__)

SOCKET_NAME = "clip.sock"
ACCEPT_TIMEOUT_S = 1.0
REQUEST_TIMEOUT_S = 1.0
"""So long a line may take to come."""

MAX_CUT_S = 25.0
"""So long a cut may take: less than a stage may go without a turn."""

REPLY_TIMEOUT_S = 60.0
"""So long who asks waits: for another one's clip, and for its own."""

_BACKLOG = 4
_REQUEST_DECODER = msgspec.json.Decoder(ClipRequest)
_REPLY_DECODER: msgspec.json.Decoder[ClipReply] = msgspec.json.Decoder(ClipReply)


class _ClipRejected(Exception):
    """Why somebody gets no clip, in one sentence."""


class ClipServer:
    """The stage that cuts on request, one request at a time.

    `keys` are the cameras that are recorded, and what gives their segments' keys. `on_view` is told
    of the request and of who asks before anything is given; where it raises OSError nothing is.
    """

    name = "clips"

    def __init__(
        self,
        state_dir: Path,
        footage_dir: Path,
        key_lookups: Mapping[str, KeyLookup],
        clock_ns: Callable[[], int],
        on_view: Callable[[ClipRequest, str], None],
    ) -> None:
        self._footage_dir = footage_dir
        self._key_lookups = dict(key_lookups)
        self._clock_ns = clock_ns
        self._on_view = on_view
        self._listener = UnixListener(state_dir, SOCKET_NAME, _BACKLOG)

    def run_once(self, stopping: threading.Event) -> None:
        """Answer one who asks, or wait a second for one."""
        connection = self._listener.accept(ACCEPT_TIMEOUT_S)
        if connection is not None:
            with connection:
                self._serve(connection, stopping)

    def close(self) -> None:
        """Nobody can ask from here on."""
        self._listener.close()

    def _serve(self, connection: socket.socket, stopping: threading.Event) -> None:
        reply: ClipReply
        try:
            reply = ClipDone(clip=self._cut_clip(connection, stopping))
        except (_ClipRejected, ClipError) as error:
            reply = ClipRefused(message=str(error))
        except TimeoutError:
            reply = ClipRefused(message=f"no whole line within {REQUEST_TIMEOUT_S:g} s")
        except OSError as error:
            reply = ClipRefused(message=f"{error.filename or 'clip'}: {error.strerror or error}")
        if isinstance(reply, ClipRefused):
            log.warning("no clip: %s", reply.message)
        with suppress(OSError):  # who asked has gone
            connection.settimeout(REQUEST_TIMEOUT_S)
            connection.sendall(msgspec.json.encode(reply) + b"\n")

    def _cut_clip(self, connection: socket.socket, stopping: threading.Event) -> ClipInfo:
        """Cut what is asked for. Raises _Refusal, CannotCut and OSError."""
        peer = unix_socket.peer_credentials(connection)
        if not peer.is_allowed:
            raise _ClipRejected(f"user {peer.uid} may not ask")
        with self._receive_request(connection) as (line, fd):
            request = _decode_request(line)
            sources, find_key = self._resolve_sources(request)
            _check_output_file(fd)
            self._on_view(request, f"process {peer.pid} of user {peer.uid}")
            deadline_ns = self._clock_ns() + int(MAX_CUT_S * 1e9)
            clip = write_clip_to_fd(
                sources,
                request.begin_ns,
                request.end_ns,
                fd,
                find_key,
                lambda: not stopping.is_set() and self._clock_ns() < deadline_ns,
            )
        log.info(
            "%s: cut a clip of %.1f s from %s on, for process %d of user %d",
            request.camera,
            clip.duration_ns / 1e9,
            clip.segments[0],
            peer.pid,
            peer.uid,
        )
        return clip

    @contextmanager
    def _receive_request(self, connection: socket.socket) -> Iterator[tuple[bytes, int]]:
        """The line, and the file that came along with its first byte."""
        deadline_ns = self._clock_ns() + int(REQUEST_TIMEOUT_S * 1e9)
        connection.settimeout(REQUEST_TIMEOUT_S)
        data, fds, _, _ = socket.recv_fds(connection, MAX_LINE_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
        try:
            received = bytearray(data)
            while data and b"\n" not in data:
                remaining_s = (deadline_ns - self._clock_ns()) / 1e9
                if remaining_s <= 0:
                    raise TimeoutError
                connection.settimeout(remaining_s)
                data = connection.recv(MAX_LINE_BYTES)
                received += data
                if len(received) > MAX_LINE_BYTES:
                    raise _ClipRejected(f"a line of more than {MAX_LINE_BYTES} bytes")
            line, newline, trailing = received.partition(b"\n")
            if not newline or trailing:
                raise _ClipRejected("allowed: one line, which ends")
            if len(fds) != 1:
                raise _ClipRejected("no open file came along")
            yield bytes(line), fds[0]
        finally:
            for fd in fds:
                os.close(fd)

    def _resolve_sources(self, request: ClipRequest) -> tuple[list[ClipSource], KeyLookup]:
        """The segments' files, in the order of recording, and what gives their keys."""
        find_key = self._key_lookups.get(request.camera)
        if find_key is None:
            raise _ClipRejected(f"camera {request.camera!r}: none of that name is recorded")
        folder = self._footage_dir / request.camera
        sources = []
        for segment_name in sorted(set(request.segments)):
            name = parse_segment_name(segment_name)
            if name is None:
                raise _ClipRejected(f"segment {segment_name!r}: no segment's name")
            sources.append(clip_source(folder / segment_name, name))
        return sources, find_key


def request_clip(state_dir: Path, request: ClipRequest, out: Path) -> ClipInfo | None:
    """Have the agent of a state folder cut into the new file `out`, which is durable when this
    returns; None where no agent is there to ask.

    Raises CannotCut where it refuses or does not answer, and OSError where `out` cannot be written;
    then there is no `out`.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            with unix_socket.socket_address(state_dir, SOCKET_NAME) as address:
                connection.connect(address)
        except OSError:
            return None
        if len(request.segments) > MAX_CLIP_SEGMENTS:
            raise ClipError(f"sealed, and of more than {MAX_CLIP_SEGMENTS} segments: ask for less")
        fd = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            clip = _exchange(connection, request, fd)
            os.fsync(fd)
        except BaseException:
            out.unlink()
            raise
        finally:
            os.close(fd)
    return clip


def _exchange(connection: socket.socket, request: ClipRequest, fd: int) -> ClipInfo:
    """What the agent has cut. Raises CannotCut where it refuses or does not answer."""
    line = msgspec.json.encode(request) + b"\n"
    connection.settimeout(REPLY_TIMEOUT_S)
    try:
        with suppress(BrokenPipeError):  # it has refused already, and says why
            sent = socket.send_fds(connection, [line], [fd])
            if sent < len(line):
                connection.sendall(line[sent:])
        with connection.makefile("rb") as reader:
            reply = _REPLY_DECODER.decode(reader.readline(MAX_LINE_BYTES))
    except (OSError, msgspec.DecodeError) as error:
        raise ClipError(f"the agent, which has the keys, gave no answer: {error}") from error
    if isinstance(reply, ClipRefused):
        raise ClipError(reply.message)
    return reply.clip


def _decode_request(line: bytes) -> ClipRequest:
    try:
        return _REQUEST_DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _ClipRejected(f"not a request for a clip: {error}") from error


def _check_output_file(fd: int) -> None:
    """Only what a clip can be written into: no pipe, which could hold the agent up, and no file
    that has something in it.
    """
    status = os.fstat(fd)
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    if not stat.S_ISREG(status.st_mode) or status.st_size or os.lseek(fd, 0, os.SEEK_CUR):
        raise _ClipRejected("allowed: an empty file")
    if flags & os.O_ACCMODE == os.O_RDONLY:
        raise _ClipRejected("the file is not open for writing")
