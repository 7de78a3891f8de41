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
from agent.recording.encryption.keys import KeyFor
from agent.recording.export.clip import (
    CannotCut,
    ClipInfo,
    ClipSource,
    utc_source,
    write_clip_to_fd,
)
from agent.recording.export.clip_request import (
    MOST_LINE_BYTES,
    MOST_SEGMENTS,
    ClipAnswer,
    ClipDone,
    ClipRefused,
    ClipRequest,
)
from agent.recording.segment_name import parse_segment_name

log = logging.getLogger(__name__)

SOCKET = "clip.sock"
TURN_S = 1.0
LINE_S = 1.0
"""So long a line may take to come."""

CUT_S = 25.0
"""So long a cut may take: less than a stage may go without a turn."""

ANSWER_S = 60.0
"""So long who asks waits: for another one's clip, and for its own."""

_WAITING_MOST = 4
_REQUEST = msgspec.json.Decoder(ClipRequest)
_ANSWER: msgspec.json.Decoder[ClipAnswer] = msgspec.json.Decoder(ClipAnswer)


class _Refusal(Exception):
    """Why somebody gets no clip, in one sentence."""


class ClipServer:
    """The stage that cuts on request, one request at a time.

    `keys` are the cameras that are recorded, and what gives their segments' keys. `on_view` is told
    of the request and of who asks before anything is given; where it raises OSError nothing is.
    """

    name = "clips"

    def __init__(
        self,
        state: Path,
        footage: Path,
        keys: Mapping[str, KeyFor],
        clock_ns: Callable[[], int],
        on_view: Callable[[ClipRequest, str], None],
    ) -> None:
        self._footage = footage
        self._keys = dict(keys)
        self._clock_ns = clock_ns
        self._on_view = on_view
        self._listener = UnixListener(state, SOCKET, _WAITING_MOST)

    def run_once(self, stopping: threading.Event) -> None:
        """Answer one who asks, or wait a second for one."""
        connection = self._listener.accept(TURN_S)
        if connection is not None:
            with connection:
                self._serve(connection, stopping)

    def close(self) -> None:
        """Nobody can ask from here on."""
        self._listener.close()

    def _serve(self, connection: socket.socket, stopping: threading.Event) -> None:
        answer: ClipAnswer
        try:
            answer = ClipDone(cut=self._answer(connection, stopping))
        except (_Refusal, CannotCut) as error:
            answer = ClipRefused(why=str(error))
        except TimeoutError:
            answer = ClipRefused(why=f"no whole line within {LINE_S:g} s")
        except OSError as error:
            answer = ClipRefused(why=f"{error.filename or 'clip'}: {error.strerror or error}")
        if isinstance(answer, ClipRefused):
            log.warning("no clip: %s", answer.why)
        with suppress(OSError):  # who asked has gone
            connection.settimeout(LINE_S)
            connection.sendall(msgspec.json.encode(answer) + b"\n")

    def _answer(self, connection: socket.socket, stopping: threading.Event) -> ClipInfo:
        """Cut what is asked for. Raises _Refusal, CannotCut and OSError."""
        peer = unix_socket.peer_credentials(connection)
        if not peer.is_allowed:
            raise _Refusal(f"user {peer.user} may not ask")
        with self._received(connection) as (line, handle):
            request = _decoded(line)
            sources, key_for = self._looked_up(request)
            _check_file(handle)
            self._on_view(request, f"process {peer.process} of user {peer.user}")
            end_ns = self._clock_ns() + int(CUT_S * 1e9)
            cut = write_clip_to_fd(
                sources,
                request.begin_ns,
                request.end_ns,
                handle,
                key_for,
                lambda: not stopping.is_set() and self._clock_ns() < end_ns,
            )
        log.info(
            "%s: cut a clip of %.1f s from %s on, for process %d of user %d",
            request.camera,
            cut.duration_ns / 1e9,
            cut.segments[0],
            peer.process,
            peer.user,
        )
        return cut

    @contextmanager
    def _received(self, connection: socket.socket) -> Iterator[tuple[bytes, int]]:
        """The line, and the file that came along with its first byte."""
        end_ns = self._clock_ns() + int(LINE_S * 1e9)
        connection.settimeout(LINE_S)
        data, handles, _, _ = socket.recv_fds(
            connection, MOST_LINE_BYTES, 1, socket.MSG_CMSG_CLOEXEC
        )
        try:
            received = bytearray(data)
            while data and b"\n" not in data:
                left_s = (end_ns - self._clock_ns()) / 1e9
                if left_s <= 0:
                    raise TimeoutError
                connection.settimeout(left_s)
                data = connection.recv(MOST_LINE_BYTES)
                received += data
                if len(received) > MOST_LINE_BYTES:
                    raise _Refusal(f"a line of more than {MOST_LINE_BYTES} bytes")
            line, newline, rest = received.partition(b"\n")
            if not newline or rest:
                raise _Refusal("allowed: one line, which ends")
            if len(handles) != 1:
                raise _Refusal("no open file came along")
            yield bytes(line), handles[0]
        finally:
            for handle in handles:
                os.close(handle)

    def _looked_up(self, request: ClipRequest) -> tuple[list[ClipSource], KeyFor]:
        """The segments' files, in the order of recording, and what gives their keys."""
        key_for = self._keys.get(request.camera)
        if key_for is None:
            raise _Refusal(f"camera {request.camera!r}: none of that name is recorded")
        folder = self._footage / request.camera
        sources = []
        for text in sorted(set(request.segments)):
            name = parse_segment_name(text)
            if name is None:
                raise _Refusal(f"segment {text!r}: no segment's name")
            sources.append(utc_source(folder / text, name))
        return sources, key_for


def ask(state: Path, request: ClipRequest, out: Path) -> ClipInfo | None:
    """Have the agent of a state folder cut into the new file `out`, which is durable when this
    returns; None where no agent is there to ask.

    Raises CannotCut where it refuses or does not answer, and OSError where `out` cannot be written;
    then there is no `out`.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            with unix_socket.socket_path(state, SOCKET) as address:
                connection.connect(address)
        except OSError:
            return None
        if len(request.segments) > MOST_SEGMENTS:
            raise CannotCut(f"sealed, and of more than {MOST_SEGMENTS} segments: ask for less")
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            cut = _asked(connection, request, handle)
            os.fsync(handle)
        except BaseException:
            out.unlink()
            raise
        finally:
            os.close(handle)
    return cut


def _asked(connection: socket.socket, request: ClipRequest, handle: int) -> ClipInfo:
    """What the agent has cut. Raises CannotCut where it refuses or does not answer."""
    line = msgspec.json.encode(request) + b"\n"
    connection.settimeout(ANSWER_S)
    try:
        with suppress(BrokenPipeError):  # it has refused already, and says why
            sent = socket.send_fds(connection, [line], [handle])
            if sent < len(line):
                connection.sendall(line[sent:])
        with connection.makefile("rb") as reader:
            answer = _ANSWER.decode(reader.readline(MOST_LINE_BYTES))
    except (OSError, msgspec.DecodeError) as error:
        raise CannotCut(f"the agent, which has the keys, gave no answer: {error}") from error
    if isinstance(answer, ClipRefused):
        raise CannotCut(answer.why)
    return answer.cut


def _decoded(line: bytes) -> ClipRequest:
    try:
        return _REQUEST.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Refusal(f"not a request for a clip: {error}") from error


def _check_file(handle: int) -> None:
    """Only what a clip can be written into: no pipe, which could hold the agent up, and no file
    that has something in it.
    """
    status = os.fstat(handle)
    flags = fcntl.fcntl(handle, fcntl.F_GETFL)
    if not stat.S_ISREG(status.st_mode) or status.st_size or os.lseek(handle, 0, os.SEEK_CUR):
        raise _Refusal("allowed: an empty file")
    if flags & os.O_ACCMODE == os.O_RDONLY:
        raise _Refusal("the file is not open for writing")
