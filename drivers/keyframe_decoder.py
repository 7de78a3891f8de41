"""A decoder of keyframes in a child process, for a camera whose frames no driver decodes."""

import queue
from time import monotonic

import numpy as np

from drivers.child.connection import KILL_TIMEOUT_S, ChildConnection
from drivers.child.fork_server import ForkServer
from drivers.errors import DriverError
from drivers.keyframe_child import (
    MAX_SIDE_PX,
    DecodedKeyframe,
    KeyframeMessage,
    KeyframeSettings,
    keyframe_decoder,
)
from drivers.local_wire import pack_message
from drivers.media import Frame, Packet, Plane

CODECS = ("h264", "hevc", "mjpeg")
ANSWER_TIMEOUT_S = 20.0
"""The first answer waits for the fork server to load its libraries."""
POLL_S = 0.2

FORK_SERVER = ForkServer("drivers.keyframe_child")
"""Of all decoders of keyframes."""


class KeyframeDecoder:
    """Decodes one packet after the other. For one thread."""

    def __init__(self, display_name: str, codec: str) -> None:
        """Start the child."""
        self._display_name = display_name
        self._answers: queue.SimpleQueue[DecodedKeyframe | None] = queue.SimpleQueue()
        self._connection: ChildConnection[KeyframeMessage] = ChildConnection(
            display_name,
            KeyframeSettings(codec=codec),
            FORK_SERVER.start_child,
            keyframe_decoder,
            self._handle,
        )
        self._seq = 0

    @property
    def child_pid(self) -> int | None:
        """The child's process."""
        return self._connection.pid

    def decode(self, packet: Packet) -> Frame | None:
        """Return the picture of a keyframe in Annex B, or None if it cannot be decoded alone.

        It has the packet's time, and at most MAX_SIDE_PX at its longer side. Raises: DriverError of the child.
        """
        deadline_s = monotonic() + ANSWER_TIMEOUT_S
        data = memoryview(pack_message(packet))
        while data:
            data = data[self._connection.send_stream(data, POLL_S) :]
            self._check(deadline_s)
        while True:
            try:
                answer = self._answers.get(timeout=POLL_S)
            except queue.Empty:
                self._check(deadline_s)
                continue
            self._seq += 1
            return None if answer is None else self._to_frame(answer, packet.t_ns)

    def close(self) -> None:
        """End the child."""
        self._connection.end(graceful=False, kill_timeout_s=KILL_TIMEOUT_S)

    def _handle(self, message: KeyframeMessage) -> None:
        """Handle a message, on the connection's thread."""
        self._answers.put(message if isinstance(message, DecodedKeyframe) else None)

    def _check(self, deadline_s: float) -> None:
        error = self._connection.error
        if error is None and monotonic() >= deadline_s:
            error = DriverError("crashed", f"{self._display_name}: its decoder hangs")
        if error is not None:
            raise error

    def _to_frame(self, picture: DecodedKeyframe, t_ns: int) -> Frame:
        """Return the frame of an answer. Raises: DriverError if its sizes are wrong."""
        width_px, height_px = picture.width_px, picture.height_px
        half_px = ((height_px + 1) // 2, (width_px + 1) // 2)
        if max(width_px, height_px) > MAX_SIDE_PX:
            raise self._wrong_size()
        return Frame(
            seq=self._seq,
            t_ns=t_ns,
            y=self._to_plane(picture.y, (height_px, width_px)),
            u=self._to_plane(picture.u, half_px),
            v=self._to_plane(picture.v, half_px),
        )

    def _to_plane(self, data: bytes, shape: tuple[int, int]) -> Plane:
        if len(data) != shape[0] * shape[1]:
            raise self._wrong_size()
        return np.frombuffer(data, np.uint8).reshape(shape)

    def _wrong_size(self) -> DriverError:
        return DriverError("crashed", f"{self._display_name}: its decoder sends a wrong size")
