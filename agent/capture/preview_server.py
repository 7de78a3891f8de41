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
from agent.capture.lens_aim import LensAim, downscale, measure_aim
from agent.capture.snapshot_command import CameraAccess
from agent.commands.requester import CommandRejected, Requester
from agent.faults.registry import FaultRegistry
from drivers.media import Frame, Plane

log = logging.getLogger(__name__)

SOCKET_NAME = "service.sock"
ACCEPT_TIMEOUT_S = 1.0
IO_TIMEOUT_S = 1.0
FRAME_TIMEOUT_S = 5.0
"""So long the camera's next frame is waited for."""
REPLY_TIMEOUT_S = 15.0
MAX_LINE_BYTES = 1000
DEFAULT_COLUMNS, DEFAULT_ROWS = 160, 90
MAX_COLUMNS, MAX_ROWS = 640, 480
_BACKLOG = 4


class PreviewRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A line that comes in: who wants to see which camera, and in how many means."""

    camera: str
    by: str
    columns: Annotated[int, msgspec.Meta(ge=1, le=MAX_COLUMNS)] = DEFAULT_COLUMNS
    rows: Annotated[int, msgspec.Meta(ge=1, le=MAX_ROWS)] = DEFAULT_ROWS


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


PreviewReply: TypeAlias = PreviewFrame | PreviewRefused

_REQUEST_DECODER = msgspec.json.Decoder(PreviewRequest)
_REPLY_DECODER: msgspec.json.Decoder[PreviewReply] = msgspec.json.Decoder(PreviewReply)


class PreviewUnavailable(Exception):
    """Why nothing can be shown, in one sentence."""


class PreviewServer:
    """The stage `service`. Each camera's frames are shown to `offer`."""

    name = "preview"

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
        self._listener = UnixListener(state, SOCKET_NAME, _BACKLOG)
        self._condition = threading.Condition()
        self._wanted_camera: str | None = None
        self._frame: Frame | None = None

    def offer(self, camera: str, frame: Frame) -> None:
        """A frame of a camera, from its own thread. Costs nothing where nobody waits for it."""
        if camera != self._wanted_camera:
            return
        with self._condition:
            if camera == self._wanted_camera:
                self._frame, self._wanted_camera = frame, None
                self._condition.notify()

    def run_once(self, stopping: threading.Event) -> None:
        """Show one who asks, or wait a second for one."""
        self._update_lockout_fault()
        connection = self._listener.accept(ACCEPT_TIMEOUT_S)
        if connection is not None:
            with connection:
                self._serve(connection)

    def close(self) -> None:
        """Nobody can ask from here on."""
        self._listener.close()

    def _update_lockout_fault(self) -> None:
        self._lockout.reload()
        remaining_s = self._lockout.remaining_s()
        if remaining_s > 0:
            detail = f"{self._lockout.failures} wrong answers in a row, {remaining_s:.0f} s to wait"
            self._faults.raise_fault("SVC-01", "console", detail)
        else:
            self._faults.clear("SVC-01", "console")

    def _serve(self, connection: socket.socket) -> None:
        reply: PreviewReply
        try:
            reply = self._capture_preview(connection)
        except (PreviewUnavailable, CommandRejected) as error:
            reply = PreviewRefused(why=str(error))
        except OSError as error:
            reply = PreviewRefused(why=f"no whole line came: {error}")
        with suppress(OSError):  # who asked has gone
            connection.settimeout(IO_TIMEOUT_S)
            connection.sendall(msgspec.json.encode(reply) + b"\n")

    def _capture_preview(self, connection: socket.socket) -> PreviewFrame:
        peer = unix_socket.peer_credentials(connection)
        if not peer.is_allowed:
            raise PreviewUnavailable(f"user {peer.uid} may not ask")
        request = _read_request(connection)
        access = self._cameras.get(request.camera)
        if access is None:
            raise PreviewUnavailable(f"camera {request.camera!r}: none of that name")
        access.check(request.camera, Requester(id=request.by, role="operator"))
        with self._condition:
            self._frame, self._wanted_camera = None, request.camera
            self._condition.wait_for(lambda: self._frame is not None, FRAME_TIMEOUT_S)
            frame, self._frame, self._wanted_camera = self._frame, None, None
        if frame is None:
            raise PreviewUnavailable(
                f"camera {request.camera!r}: the agent has got no picture for {FRAME_TIMEOUT_S:g} s"
            )
        luma = downscale(frame.y, request.columns, request.rows)
        return PreviewFrame(
            width_px=frame.width_px,
            height_px=frame.height_px,
            columns=luma.shape[1],
            rows=luma.shape[0],
            luma=luma.tobytes(),
            aim=measure_aim(frame.y),
        )


def request_preview(
    state: Path, camera: str, by: str, columns: int = DEFAULT_COLUMNS, rows: int = DEFAULT_ROWS
) -> PreviewFrame | None:
    """Ask the agent of a state folder what a camera sees; None where no agent is there to ask.

    Raises NoPicture where it shows nothing, and says why.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(REPLY_TIMEOUT_S)
        try:
            with unix_socket.socket_address(state, SOCKET_NAME) as address:
                connection.connect(address)
        except OSError:
            return None
        try:
            request = PreviewRequest(camera=camera, by=by, columns=columns, rows=rows)
            connection.sendall(msgspec.json.encode(request) + b"\n")
            with connection.makefile("rb") as reader:
                reply = _REPLY_DECODER.decode(reader.readline())
        except (OSError, msgspec.MsgspecError) as error:
            raise PreviewUnavailable(f"the agent gave no answer: {error}") from error
    if isinstance(reply, PreviewRefused):
        raise PreviewUnavailable(reply.why)
    return reply


def _read_request(connection: socket.socket) -> PreviewRequest:
    """One line. Raises NoPicture and OSError."""
    connection.settimeout(IO_TIMEOUT_S)
    line = b"".join(_receive_chunks(connection))
    try:
        return _REQUEST_DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PreviewUnavailable(f"not understood: {error}") from error


def _receive_chunks(connection: socket.socket) -> Iterator[bytes]:
    remaining = MAX_LINE_BYTES
    while remaining > 0 and (data := connection.recv(remaining)):
        yield data
        remaining -= len(data)
        if data.endswith(b"\n"):
            return
