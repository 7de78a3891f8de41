"""A push of an encoded stream to a video server: RTSP ANNOUNCE and RECORD, over TLS, from a child process.

The parent judges the child by the packets that it reports as sent. A server that takes none for STALL_S has
failed, whatever it answers.
"""

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic

from drivers.child.connection import KILL_TIMEOUT_S, ChildConnection
from drivers.child.fork_server import ForkServer
from drivers.child.process import CpuMeter
from drivers.errors import DriverError
from drivers.local_wire import pack_message
from drivers.media import Packet, StreamInfo
from drivers.rtsp_push_child import (
    PacketSent,
    PushMessage,
    PushReady,
    PushSettings,
    PushStarted,
    push_decoder,
)

CODECS = ("h264", "hevc")
"""Codecs that the players of an RTSP server know."""
START_TIMEOUT_S = 20.0
"""For the fork server to load its libraries."""
OPEN_TIMEOUT_S = 8.0
"""For the connection, TLS and the server's answers."""
STALL_S = 10.0
"""Longer than OPEN_TIMEOUT_S, so that a server that is silent at the opening is reported as such."""
MAX_CORES = 0.7
POLL_S = 0.2

FORK_SERVER = ForkServer("drivers.rtsp_push_child")
"""Of all pushes."""


class RtspPush:
    """One push. Its methods are for one thread.

    `on_started` is called on another thread, once the server has accepted the stream; `on_sent` too, with the size
    of each packet that was sent.
    """

    def __init__(
        self,
        display_name: str,
        url: str,
        tcp_port: int,
        ca_file: str,
        info: StreamInfo,
        on_started: Callable[[], None],
        on_sent: Callable[[int], None],
    ) -> None:
        """Start the child. `display_name` is in messages; `url` may have a password, and is in none."""
        self._display_name = display_name
        self._on_started = on_started
        self._on_sent = on_sent
        self._lock = threading.Lock()
        self._unsent_bytes: deque[int] = deque()
        self._is_ready = False
        self._progress_s = monotonic()
        self._cpu_meter = CpuMeter(MAX_CORES)
        self._connection: ChildConnection[PushMessage] = ChildConnection(
            display_name,
            PushSettings(
                url=url,
                tcp_port=tcp_port,
                ca_file=ca_file,
                codec=info.codec,
                width_px=info.width_px,
                height_px=info.height_px,
                fps=info.fps,
                open_timeout_s=OPEN_TIMEOUT_S,
            ),
            FORK_SERVER.start_child,
            push_decoder,
            self._handle,
        )

    @property
    def child_pid(self) -> int | None:
        """The child's process."""
        return self._connection.pid

    def wait_ready(self) -> None:
        """Wait until the child can take packets. Raises: DriverError."""
        if not self._connection.wait_for(lambda: self._is_ready, START_TIMEOUT_S):
            raise self._connection.error or DriverError(
                "timeout", f"{self._display_name}: no process for it within {START_TIMEOUT_S:g} s"
            )

    def send(self, packet: Packet, should_stop: Callable[[], bool]) -> None:
        """Hand a packet over to the child. It is incomplete after `should_stop`: close the push then.

        Raises: DriverError if the server or the child has failed.
        """
        with self._lock:
            if not self._unsent_bytes:
                self._progress_s = monotonic()
            self._unsent_bytes.append(len(packet.data))
        data = memoryview(pack_message(packet))
        while data and not should_stop():
            data = data[self._connection.send_stream(data, POLL_S) :]
            self.check()

    def check(self) -> None:
        """Raise DriverError if the server or the child has failed."""
        error = self._connection.error or self._stall_error()
        pid = self._connection.pid
        excess = None if pid is None else self._cpu_meter.excess(pid)
        if error is None and excess is not None:
            error = DriverError("crashed", f"{self._display_name}: its process {excess}")
        if error is not None:
            raise error

    def close(self) -> None:
        """End the push: take leave of the server, or kill the child if that takes long."""
        self._connection.end(graceful=True, kill_timeout_s=KILL_TIMEOUT_S)

    def _handle(self, message: PushMessage) -> None:
        """Handle a message, on the connection's thread. Raises: DriverError."""
        match message:
            case PacketSent():
                with self._lock:
                    if not self._unsent_bytes:
                        raise DriverError(
                            "crashed", f"{self._display_name}: its process sent too much"
                        )
                    size_bytes = self._unsent_bytes.popleft()
                    self._progress_s = monotonic()
                self._on_sent(size_bytes)
            case PushReady():
                self._is_ready = True
            case PushStarted():
                self._on_started()

    def _stall_error(self) -> DriverError | None:
        with self._lock:
            if not self._unsent_bytes or monotonic() - self._progress_s < STALL_S:
                return None
        return DriverError("timeout", f"{self._display_name}: takes no data for {STALL_S:g} s")
