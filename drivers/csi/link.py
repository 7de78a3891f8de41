"""The parent's side of the child: its process, its channels, and the thread that reads them.

The thread reads on whatever the camera's reader does: what it does not take in time is dropped
here, and counted, so that a question for masks is never behind it.
"""

import contextlib
import os
import socket
import threading
from collections.abc import Callable

from drivers.contracts import CameraReadings, Wanted
from drivers.csi import messages
from drivers.csi.bounded_queue import Backlog
from drivers.csi.frame_memory import FrameMemory, open_memory
from drivers.csi.options import Options
from drivers.csi.process import Child, StartChild
from drivers.errors import DriverError, MaskRefused
from drivers.media import Frame, Packet

POLITE_S = 2.0
"""For a child that is told to stop: hundredths of a second where nothing hangs."""

KILL_S = 5.0
"""For one that was sent SIGKILL. What is there then is in the kernel's hands."""

MAX_FRAMES = 8

_JOIN_S = 1.0


class Link:
    """A child from its start to its end.

    Invariant: the thread that started the child lives as long as the child, because the kernel
    kills the child with it (PR_SET_PDEATHSIG of prctl(2) means the thread).
    """

    def __init__(
        self,
        what: str,
        options: Options,
        wanted: Wanted,
        clock_ns: Callable[[], int],
        start: StartChild,
    ) -> None:
        """Starts the child; what goes wrong with that is told by `failed`."""
        self._what = what
        self._wanted = wanted
        self._clock_ns = clock_ns
        self._start = start
        self._setup = messages.Setup(
            what=what,
            options=options,
            packets=wanted.packets,
            frames_fps=wanted.frames_fps,
            masks=wanted.masks,
            ask_masks=wanted.masks_now is not None,
            parent_pid=os.getpid(),
        )
        self.ready: Backlog[Packet | Frame] = Backlog(MAX_FRAMES)
        self.readings: CameraReadings | None = None
        self.failed: DriverError | None = None
        self.died = False
        """It ended without a last word."""
        self.last_ns: dict[type[Packet | Frame], int] = {}
        self._opened: messages.Opened | None = None
        self._changed = threading.Condition()
        self._ending = threading.Lock()
        self._gone: bool | None = None
        self._over = threading.Event()
        self._child: Child | None = None
        self._memory: FrameMemory | None = None
        self._stream, self._childs_stream = socket.socketpair()
        self._desk, self._childs_desk = socket.socketpair(type=socket.SOCK_SEQPACKET)
        self._desk.setblocking(False)
        self._memory_fd = open_memory()
        self._thread = threading.Thread(target=self._run, name=f"read {what}", daemon=True)
        self._thread.start()

    def wait_opened(self, timeout_s: float) -> messages.Opened | None:
        """How the camera was opened; None where it failed, or takes longer."""
        with self._changed:
            self._changed.wait_for(lambda: self._opened or self.failed, timeout_s)
            return None if self.failed else self._opened

    def end(self, *, polite: bool, kill_s: float) -> bool:
        """End the child; politely it is first given time to stop its camera. False where it is
        still there. A second call tells the same.
        """
        with self._ending:
            if self._gone is not None:
                return self._gone
            with contextlib.suppress(OSError):
                self._stream.shutdown(socket.SHUT_RDWR)
            child = self._child
            self._gone = child is None or (polite and child.wait(POLITE_S))
            if child is not None and not self._gone:
                child.kill()
                self._gone = child.wait(kill_s)
            self.ready.end()
            self._over.set()
            self._thread.join(_JOIN_S)
            return self._gone

    def child_said(self) -> str:
        """What is to be said of the child after its end."""
        child = self._child
        if child is None:
            return "it was not started"
        if self._gone:
            return f"its process {child.pid} {child.ended_by()}"
        return f"its process {child.pid} is still there after SIGKILL"

    def _run(self) -> None:
        """The own thread."""
        with self._desk, self._stream:
            try:
                self._begin()
                self._read_on()
            finally:
                self.died = self.failed is None
                self._fail(DriverError("protocol", f"{self._what}: its process has ended"))
                self.ready.end()
                self._over.wait()
                if self._memory is not None:
                    self._memory.close()
                os.close(self._memory_fd)

    def _begin(self) -> None:
        with self._childs_stream as stream, self._childs_desk as desk:
            self._desk.send(messages.pack_down(self._setup))
            try:
                child = self._start((stream.fileno(), desk.fileno(), self._memory_fd))
            except OSError as error:
                self._fail(DriverError("absent", f"{self._what}: no process for it: {error}"))
                return
        with self._changed:
            self._child = child

    def _read_on(self) -> None:
        # A child that was killed may have left its end in any state.
        with self._stream.makefile("rb") as file, contextlib.suppress(OSError):
            while (message := messages.read_up(file)) is not None:
                self._take(message)

    def _take(self, message: messages.Up) -> None:
        match message:
            case messages.Encoded(packet=packet):
                self._give(packet)
            case messages.Pictured() if self._memory is not None:
                self._give(self._frame(message, self._memory))
            case messages.MasksAsked(number=number):
                masks = self._wanted.masks_now() if self._wanted.masks_now else ()
                self._tell(messages.MasksAre(number=number, masks=masks))
            case messages.Read(readings=readings):
                self.readings = readings
            case messages.Opened():
                self._on_opened(message)
            case messages.Failed():
                refused = MaskRefused(message.message)
                self._fail(refused if message.masks else DriverError(message.kind, message.message))

    def _give(self, media: Packet | Frame) -> None:
        self.last_ns[type(media)] = self._clock_ns()
        self.ready.put(media)

    def _frame(self, pictured: messages.Pictured, memory: FrameMemory) -> Frame:
        y, u, v = memory.copy(pictured.slot)
        self._tell(messages.SlotFree(slot=pictured.slot))
        return Frame(seq=pictured.seq, t_ns=pictured.t_ns, y=y, u=u, v=v)

    def _tell(self, message: messages.Down) -> None:
        """Send a datagram. There are never more on their way than slots and one answer, so there is
        room; a child that has gone is told of by its end.
        """
        with contextlib.suppress(OSError):
            self._desk.send(messages.pack_down(message))

    def _on_opened(self, opened: messages.Opened) -> None:
        if self._wanted.frames_fps > 0:
            self._memory = FrameMemory(
                self._memory_fd, opened.frame_width_px, opened.frame_height_px, opened.slots
            )
        now_ns = self._clock_ns()
        with self._changed:
            self.last_ns = {Packet: now_ns, Frame: now_ns}
            self._opened = opened
            self._changed.notify_all()

    def _fail(self, error: DriverError) -> None:
        """The first failure counts."""
        with self._changed:
            self.failed = self.failed or error
            self._changed.notify_all()
