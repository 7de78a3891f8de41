"""The parent's side of the child: its process, its channels, and the thread that reads them.

The thread reads independently of the camera's reader: media that is not read in time is dropped and
counted, so that a query for masks never waits behind it.
"""

import contextlib
import os
import socket
import threading
from collections.abc import Callable

from drivers.contracts import CameraReadings, StreamRequest
from drivers.csi import messages
from drivers.csi.bounded_queue import MediaQueue
from drivers.csi.frame_memory import FrameMemory, create_memory
from drivers.csi.options import Options
from drivers.csi.process import ChildProcess, ChildStarter
from drivers.errors import DriverError, MaskError
from drivers.media import Frame, Packet

GRACEFUL_STOP_S = 2.0
"""For a child that is asked to stop: hundredths of a second if nothing hangs."""

KILL_TIMEOUT_S = 5.0
"""For a child that was sent SIGKILL. One that still runs then is held by the kernel."""

MAX_QUEUED_FRAMES = 8

_JOIN_TIMEOUT_S = 1.0


class ChildConnection:
    """A child process from its start to its end.

    Invariant: the thread that started the child lives as long as the child, because the kernel kills
    the child with that thread (PR_SET_PDEATHSIG of prctl(2)).
    """

    def __init__(
        self,
        display_name: str,
        options: Options,
        request: StreamRequest,
        clock_ns: Callable[[], int],
        start_process: ChildStarter,
    ) -> None:
        """Starts the child; a failure is in `error`."""
        self._display_name = display_name
        self._request = request
        self._clock_ns = clock_ns
        self._start_process = start_process
        self._setup = messages.Setup(
            display_name=display_name,
            options=options,
            packets=request.packets,
            frames_fps=request.frames_fps,
            masks=request.masks,
            query_masks=request.current_masks is not None,
            parent_pid=os.getpid(),
        )
        self.queue: MediaQueue[Packet | Frame] = MediaQueue(MAX_QUEUED_FRAMES)
        self.readings: CameraReadings | None = None
        self.error: DriverError | None = None
        self.ended_silently = False
        """The child ended without an error message."""
        self.last_received_ns: dict[type[Packet | Frame], int] = {}
        self._opened: messages.Opened | None = None
        self._changed = threading.Condition()
        self._end_lock = threading.Lock()
        self._has_ended: bool | None = None
        self._finished = threading.Event()
        self._child: ChildProcess | None = None
        self._memory: FrameMemory | None = None
        self._stream, self._child_stream = socket.socketpair()
        self._control, self._child_control = socket.socketpair(type=socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        self._memory_fd = create_memory()
        self._thread = threading.Thread(target=self._run, name=f"read {display_name}", daemon=True)
        self._thread.start()

    def wait_opened(self, timeout_s: float) -> messages.Opened | None:
        """Return how the camera was opened, or None if it failed or takes longer."""
        with self._changed:
            self._changed.wait_for(lambda: self._opened or self.error, timeout_s)
            return None if self.error else self._opened

    def end(self, *, graceful: bool, kill_timeout_s: float) -> bool:
        """End the child. Return False if it still runs; a second call returns the same.

        `graceful` gives it time to stop its camera first.
        """
        with self._end_lock:
            if self._has_ended is not None:
                return self._has_ended
            with contextlib.suppress(OSError):
                self._stream.shutdown(socket.SHUT_RDWR)
            child = self._child
            self._has_ended = child is None or (graceful and child.wait(GRACEFUL_STOP_S))
            if child is not None and not self._has_ended:
                child.kill()
                self._has_ended = child.wait(kill_timeout_s)
            self.queue.close()
            self._finished.set()
            self._thread.join(_JOIN_TIMEOUT_S)
            return self._has_ended

    def describe_child(self) -> str:
        """Return how the child ended, for a message."""
        child = self._child
        if child is None:
            return "it was not started"
        if self._has_ended:
            return f"its process {child.pid} {child.describe_exit()}"
        return f"its process {child.pid} is still there after SIGKILL"

    def _run(self) -> None:
        """Start the child and read its messages, on the connection's thread."""
        with self._control, self._stream:
            try:
                self._start_child()
                self._read_messages()
            finally:
                self.ended_silently = self.error is None
                self._set_error(
                    DriverError("protocol", f"{self._display_name}: its process has ended")
                )
                self.queue.close()
                self._finished.wait()
                if self._memory is not None:
                    self._memory.close()
                os.close(self._memory_fd)

    def _start_child(self) -> None:
        with self._child_stream as stream, self._child_control as control:
            self._control.send(messages.pack_parent_message(self._setup))
            try:
                child = self._start_process((stream.fileno(), control.fileno(), self._memory_fd))
            except OSError as error:
                self._set_error(
                    DriverError("absent", f"{self._display_name}: no process for it: {error}")
                )
                return
        with self._changed:
            self._child = child

    def _read_messages(self) -> None:
        # A killed child may have left its end in any state.
        with self._stream.makefile("rb") as file, contextlib.suppress(OSError):
            while (message := messages.read_child_message(file)) is not None:
                self._handle(message)

    def _handle(self, message: messages.ChildMessage) -> None:
        match message:
            case messages.EncodedPacket(packet=packet):
                self._deliver(packet)
            case messages.FrameReady() if self._memory is not None:
                self._deliver(self._copy_frame(message, self._memory))
            case messages.MasksQuery(number=number):
                masks = self._request.current_masks() if self._request.current_masks else ()
                self._send(messages.MasksReply(number=number, masks=masks))
            case messages.ReadingsUpdate(readings=readings):
                self.readings = readings
            case messages.Opened():
                self._on_opened(message)
            case messages.Failed():
                refused = MaskError(message.message)
                self._set_error(
                    refused if message.is_mask_error else DriverError(message.kind, message.message)
                )

    def _deliver(self, media: Packet | Frame) -> None:
        self.last_received_ns[type(media)] = self._clock_ns()
        self.queue.put(media)

    def _copy_frame(self, ready: messages.FrameReady, memory: FrameMemory) -> Frame:
        y, u, v = memory.copy_planes(ready.slot)
        self._send(messages.SlotFree(slot=ready.slot))
        return Frame(seq=ready.seq, t_ns=ready.t_ns, y=y, u=u, v=v)

    def _send(self, message: messages.ParentMessage) -> None:
        """Send a datagram. At most one for each slot and one answer are in flight, so there is room.

        An error is ignored: the child has ended, which the reading thread reports.
        """
        with contextlib.suppress(OSError):
            self._control.send(messages.pack_parent_message(message))

    def _on_opened(self, opened: messages.Opened) -> None:
        if self._request.frames_fps > 0:
            self._memory = FrameMemory(
                self._memory_fd, opened.frame_width_px, opened.frame_height_px, opened.slots
            )
        now_ns = self._clock_ns()
        with self._changed:
            self.last_received_ns = {Packet: now_ns, Frame: now_ns}
            self._opened = opened
            self._changed.notify_all()

    def _set_error(self, error: DriverError) -> None:
        """Keep the first failure."""
        with self._changed:
            self.error = self.error or error
            self._changed.notify_all()
