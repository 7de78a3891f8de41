"""The running agent at the technician's service: it shows his console what its cameras see, which it
alone has open, and raises a fault while the console is locked.

Asked is over a Unix socket in the state folder, for the agent's own user alone. What a mask hides is
hidden in what is shown. Who looks is in the chain of custody by then: the console sees to it.
"""

import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
import numpy as np

from agent.base import unix_socket
from agent.base.clock import Clock
from agent.base.lockout import Lockout
from agent.base.unix_socket import UnixListener
from agent.capture.lens_aim import LensAim, measure, small
from agent.capture.snapshot_command import CameraAccess
from agent.commands.requester import CommandRejected, Requester
from agent.faults.registry import FaultRegistry
from drivers.media import Frame, Plane

log = logging.getLogger(__name__)

SOCKET = "service.sock"
TURN_S = 1.0
LINE_S = 1.0
FRAME_S = 5.0
"""So long the camera's next frame is waited for."""
ANSWER_S = 15.0
MOST_LINE_BYTES = 1000
COLUMNS, ROWS = 160, 90
MOST_COLUMNS, MOST_ROWS = 640, 480
_WAITING_MOST = 4


class PreviewRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A line that comes in: who wants to see which camera, and in how many means."""

    camera: str
    by: str
    columns: Annotated[int, msgspec.Meta(ge=1, le=MOST_COLUMNS)] = COLUMNS
    rows: Annotated[int, msgspec.Meta(ge=1, le=MOST_ROWS)] = ROWS


class PreviewFrame(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="seen"):
    """The picture in `columns` x `rows` means, a byte each, and what the whole one says."""

    width_px: int
    height_px: int
    columns: int
    rows: int
    luma: bytes
    aim: LensAim

    @property
    def plane(self) -> Plane:
        """The small picture."""
        return np.frombuffer(self.luma, np.uint8).reshape(self.rows, self.columns)


class PreviewRefused(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="not_seen"):
    """Why there is none, in one sentence."""

    why: str


Answer: TypeAlias = PreviewFrame | PreviewRefused

_GLANCE = msgspec.json.Decoder(PreviewRequest)
_ANSWER: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


class NoPicture(Exception):
    """Why nothing can be shown, in one sentence."""


class PreviewServer:
    """The stage `service`. Each camera's frames are shown to `offer`."""

    name = "service"

    def __init__(
        self,
        state: Path,
        cameras: Mapping[str, CameraAccess],
        clock: Clock,
        boot: str,
        faults: FaultRegistry,
    ) -> None:
        self._cameras = dict(cameras)
        self._faults = faults
        self._lockout = Lockout(state, clock, boot)
        self._listener = UnixListener(state, SOCKET, _WAITING_MOST)
        self._changed = threading.Condition()
        self._wanted: str | None = None
        self._frame: Frame | None = None

    def offer(self, camera: str, frame: Frame) -> None:
        """A frame of a camera, from its own thread. Costs nothing where nobody waits for it."""
        if camera != self._wanted:
            return
        with self._changed:
            if camera == self._wanted:
                self._frame, self._wanted = frame, None
                self._changed.notify()

    def run_once(self, stopping: threading.Event) -> None:
        """Show one who asks, or wait a second for one."""
        self._tell_lock()
        connection = self._listener.accept(TURN_S)
        if connection is not None:
            with connection:
                self._serve(connection)

    def close(self) -> None:
        """Nobody can ask from here on."""
        self._listener.close()

    def _tell_lock(self) -> None:
        self._lockout.refresh()
        left_s = self._lockout.left_s()
        if left_s > 0:
            detail = f"{self._lockout.failures} wrong answers in a row, {left_s:.0f} s to wait"
            self._faults.raise_fault("SVC-01", "console", detail)
        else:
            self._faults.clear("SVC-01", "console")

    def _serve(self, connection: socket.socket) -> None:
        answer: Answer
        try:
            answer = self._seen(connection)
        except (NoPicture, CommandRejected) as error:
            answer = PreviewRefused(why=str(error))
        except OSError as error:
            answer = PreviewRefused(why=f"no whole line came: {error}")
        with suppress(OSError):  # who asked has gone
            connection.settimeout(LINE_S)
            connection.sendall(msgspec.json.encode(answer) + b"\n")

    def _seen(self, connection: socket.socket) -> PreviewFrame:
        peer = unix_socket.peer_credentials(connection)
        if not peer.is_allowed:
            raise NoPicture(f"user {peer.user} may not ask")
        glance = _read(connection)
        shown = self._cameras.get(glance.camera)
        if shown is None:
            raise NoPicture(f"camera {glance.camera!r}: none of that name")
        shown.check(glance.camera, Requester(id=glance.by, role="operator"))
        with self._changed:
            self._frame, self._wanted = None, glance.camera
            self._changed.wait_for(lambda: self._frame is not None, FRAME_S)
            frame, self._frame, self._wanted = self._frame, None, None
        if frame is None:
            raise NoPicture(
                f"camera {glance.camera!r}: the agent has got no picture for {FRAME_S:g} s"
            )
        luma = small(frame.y, glance.columns, glance.rows)
        return PreviewFrame(
            width_px=frame.width_px,
            height_px=frame.height_px,
            columns=luma.shape[1],
            rows=luma.shape[0],
            luma=luma.tobytes(),
            aim=measure(frame.y),
        )


def ask(
    state: Path, camera: str, by: str, columns: int = COLUMNS, rows: int = ROWS
) -> PreviewFrame | None:
    """Ask the agent of a state folder what a camera sees; None where no agent is there to ask.

    Raises NoPicture where it shows nothing, and says why.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_S)
        try:
            with unix_socket.socket_path(state, SOCKET) as address:
                connection.connect(address)
        except OSError:
            return None
        try:
            glance = PreviewRequest(camera=camera, by=by, columns=columns, rows=rows)
            connection.sendall(msgspec.json.encode(glance) + b"\n")
            with connection.makefile("rb") as reader:
                answer = _ANSWER.decode(reader.readline())
        except (OSError, msgspec.MsgspecError) as error:
            raise NoPicture(f"the agent gave no answer: {error}") from error
    if isinstance(answer, PreviewRefused):
        raise NoPicture(answer.why)
    return answer


def _read(connection: socket.socket) -> PreviewRequest:
    """One line. Raises NoPicture and OSError."""
    connection.settimeout(LINE_S)
    line = b"".join(_chunks(connection))
    try:
        return _GLANCE.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NoPicture(f"not understood: {error}") from error


def _chunks(connection: socket.socket) -> Iterator[bytes]:
    left = MOST_LINE_BYTES
    while left > 0 and (data := connection.recv(left)):
        yield data
        left -= len(data)
        if data.endswith(b"\n"):
            return
