"""A camera whose work is done in a child process."""

import logging
import threading
from collections.abc import Callable, Mapping
from time import monotonic

import msgspec

from drivers.child import messages
from drivers.child.bounded_queue import MediaQueue
from drivers.child.connection import KILL_TIMEOUT_S, ChildConnection
from drivers.child.frame_memory import FrameMemory, create_memory
from drivers.child.process import ChildStarter, CpuMeter
from drivers.contracts import CameraReadings, StreamRequest
from drivers.errors import DriverError, DriverErrorKind, MaskError
from drivers.masking import MaskPainter
from drivers.media import NS_PER_S, Frame, Packet, Planes, SensorInference, StreamInfo

log = logging.getLogger(__name__)

MAX_QUEUED_FRAMES = 8
MASKS_TIMEOUT_NS = NS_PER_S
"""Time within which a child takes other masks."""
MAX_LOADING_NS = 900 * NS_PER_S
"""A network goes to the sensor over a slow bus: minutes, once for each new one."""
LOADING_GRACE_NS = 3 * NS_PER_S
"""Its progress is reported each second."""
MAX_FPS = 1000.0
MAX_EXTRADATA_BYTES = 65_536
MAX_CODEC_CHARS = 32
MAX_AHEAD_NS = NS_PER_S
"""A driver may put two pictures of one time a tick apart."""


class ChildPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How a camera's child is judged.

    `silence_limits_ns`: the time without media of a type, `object` for any message, after which the child has
    failed with `silence_kind`, as after `open_timeout_s`. `max_cores`: a use of the processor above it ends
    the child; None is no limit. `masks_in_child`: it paints the masks; otherwise they are painted here.
    """

    open_timeout_s: float
    silence_limits_ns: Mapping[type, int]
    silence_kind: DriverErrorKind
    masks_in_child: bool
    max_cores: float | None = None
    kill_timeout_s: float = KILL_TIMEOUT_S


class ChildCamera:
    """It is a Camera and a ReadingsSource.

    The parent judges a child by the age of what it last sent: its own report that it is well proves
    nothing.
    """

    def __init__(
        self,
        display_name: str,
        options: msgspec.Struct,
        request: StreamRequest,
        clock_ns: Callable[[], int],
        start_process: ChildStarter,
        policy: ChildPolicy,
    ) -> None:
        """Starts the child, and waits until its camera runs. Raises: DriverError, MaskError."""
        self._display_name = display_name
        self._request = request
        self._clock_ns = clock_ns
        self._policy = policy
        self._closed = False
        self._failure: DriverError | None = None
        self._lock = threading.Lock()
        # Masks that cannot be drawn are refused before the child is started.
        painter = MaskPainter(request.masks, display_name, request.current_masks)
        self._painter = None if policy.masks_in_child else painter
        self._keyframe_painter = (
            None
            if policy.masks_in_child
            else MaskPainter(request.masks, display_name, request.current_masks)
        )
        """For the connection's thread, which answers the queries of keyframes."""
        self._current_masks = request.current_masks if policy.masks_in_child else None
        self._sent_masks = request.masks if policy.masks_in_child else ()
        if self._current_masks is not None and request.masks_may_lag:
            self._sent_masks = self._current_masks(clock_ns())
        self._sent_number = self._taken_number = 0
        self._sent_ns = 0
        self._queue: MediaQueue[Packet | Frame] = MediaQueue(MAX_QUEUED_FRAMES)
        self._readings: CameraReadings | None = None
        self._opened: messages.Opened | None = None
        self._opened_ns = 0
        self._loaded_tenths = -1
        self._slots = 0
        self._memory: FrameMemory | None = None
        self._memory_fd = create_memory()
        self._checks = MediaChecks(display_name, clock_ns)
        self._last_received_ns: dict[type, int] = {}
        self._cpu_meter = None if policy.max_cores is None else CpuMeter(policy.max_cores)
        self._connection: ChildConnection[messages.MediaMessage] = ChildConnection(
            display_name,
            messages.MediaSettings(
                options=messages.to_raw(options),
                packets=request.packets,
                frames_fps=request.frames_fps,
                masks=self._sent_masks,
                query_masks=self._current_masks is not None and not request.masks_may_lag,
                query_keyframes=request.keyframe_watch is not None,
                network=request.network,
            ),
            start_process,
            messages.media_decoder,
            self._handle,
            on_end=self._on_child_end,
            memory_fd=self._memory_fd,
        )
        self.opened = self._wait_opened()
        """The child's report of how it was opened."""

    @property
    def info(self) -> StreamInfo:
        """The main stream's parameters, or the frames' if no packets are requested."""
        info = self.opened.info
        is_masked = info.masked or self._current_masks is not None
        return msgspec.structs.replace(info, masked=is_masked)

    @property
    def child_pid(self) -> int | None:
        """The child's process."""
        return self._connection.pid

    def readings(self) -> CameraReadings:
        """Return the sensor's readings of the last second, with the drops of parent and child."""
        readings = self._readings or CameraReadings()
        return msgspec.structs.replace(
            readings,
            dropped_frames=readings.dropped_frames + self._queue.dropped_frames,
            dropped_packets=readings.dropped_packets + self._queue.dropped_packets,
        )

    def read(self, timeout_s: float) -> Packet | Frame | None:
        """Return the next packet or frame, or None.

        Raises: DriverError of the child, of its silence or its end; `stuck` if it cannot be ended.
        """
        deadline_s = monotonic() + timeout_s
        while True:
            if self._closed:
                raise DriverError("closed", f"{self._display_name}: is closed")
            if self._failure is not None:
                raise self._failure
            self._check_cpu()
            self._send_changed_masks()
            left_s = max(0.0, deadline_s - monotonic())
            media = self._queue.get(min(left_s, self._silence_left_s()))
            if media is not None:
                return self._masked(media) if isinstance(media, Frame) else media
            error = self._connection.error or self._silence_error()
            if error is not None and not self._closed:
                raise self._end_with_error(error)
            if left_s <= 0:
                return None

    def close(self) -> None:
        """Stop the child, and kill it if it does not end."""
        with self._lock:
            self._closed = True
            if not self._end_child(graceful=True):
                log.error("%s: %s", self._display_name, self._connection.describe_child())

    def _wait_opened(self) -> messages.Opened:
        timeout_s = self._policy.open_timeout_s
        self._connection.wait_for(lambda: self._opened is not None, timeout_s)
        error = self._connection.error
        if self._opened is not None and error is None:
            return self._opened
        raise self._end_with_error(
            error
            or DriverError(
                self._policy.silence_kind,
                f"{self._display_name}: did not open within {timeout_s:g} s",
            )
        )

    def _handle(self, message: messages.MediaMessage) -> None:
        """Handle a message, on the connection's thread. Raises: DriverError."""
        self._last_received_ns[object] = self._clock_ns()
        match message:
            case messages.EncodedPacket(packet=packet):
                self._checks.check_packet(packet)
                self._deliver(packet)
            case messages.FrameReady():
                self._checks.check_frame(message, self._slots)
                self._deliver_frame(message)
            case messages.KeyframeQuery():
                self._answer_keyframe(message)
            case messages.MasksQuery(number=number, t_ns=t_ns):
                masks = self._request.current_masks(t_ns) if self._request.current_masks else ()
                self._connection.send(messages.MasksReply(number=number, masks=masks))
            case messages.MasksTaken(number=number):
                self._taken_number = number
            case messages.ReadingsUpdate(readings=readings):
                self._readings = readings
            case messages.DecoderFailed(reason=reason):
                self._on_decoder_failure(reason)
            case messages.Opened():
                self._on_opened(message)
            case messages.Loading():
                self._checks.check_loading(has_network=self._request.network is not None)
                self._on_loading(message)

    def _deliver(self, media: Packet | Frame) -> None:
        self._last_received_ns[type(media)] = self._clock_ns()
        self._queue.put(media)

    def _deliver_frame(self, ready: messages.FrameReady) -> None:
        if self._memory is None:
            return
        self._deliver(
            _frame(
                self._take_planes(self._memory, ready.slot),
                seq=ready.seq,
                t_ns=ready.t_ns,
                is_late=ready.is_late,
                # Of a driver that reads foreign streams it could only be forged.
                inference=ready.inference if self._request.network else None,
            )
        )

    def _answer_keyframe(self, query: messages.KeyframeQuery) -> None:
        """Raises: DriverError if no keyframe is watched, MaskError if its masks cannot be drawn."""
        watch = self._request.keyframe_watch
        self._checks.check_keyframe(query, 0 if watch is None else self._slots)
        if watch is None or self._memory is None:
            return
        planes = self._take_planes(self._memory, query.slot)
        if self._keyframe_painter is not None:
            planes = self._keyframe_painter.paint_planes(planes, query.t_ns)
        is_wanted = watch(_frame(planes, seq=0, t_ns=query.t_ns))
        self._connection.send(messages.KeyframeReply(number=query.number, is_wanted=is_wanted))

    def _take_planes(self, memory: FrameMemory, slot: int) -> Planes:
        """Return copies of the planes of a slot, and free it."""
        planes = memory.copy_planes(slot)
        self._connection.send(messages.SlotFree(slot=slot))
        return planes

    def _on_opened(self, opened: messages.Opened) -> None:
        self._checks.check_opened(opened, is_first=self._opened is None)
        if self._request.frames_fps > 0:
            FrameMemory.seal(self._memory_fd)
            self._memory = FrameMemory(
                self._memory_fd, opened.frame_width_px, opened.frame_height_px, opened.slots
            )
            self._slots = opened.slots
        now_ns = self._clock_ns()
        self._last_received_ns = dict.fromkeys((Packet, Frame, object), now_ns)
        self._opened, self._opened_ns = opened, now_ns

    def _on_loading(self, loading: messages.Loading) -> None:
        """A camera whose sensor is being loaded is not silent, for MAX_LOADING_NS."""
        now_ns = self._clock_ns()
        if now_ns - self._opened_ns < MAX_LOADING_NS:
            self._last_received_ns = dict.fromkeys(
                (Packet, Frame, object), now_ns + LOADING_GRACE_NS
            )
        tenths = 10 * loading.done_bytes // loading.total_bytes if loading.total_bytes else 0
        if tenths != self._loaded_tenths:
            self._loaded_tenths = tenths
            log.info("%s: the sensor's network is loaded to %d %%", self._display_name, 10 * tenths)

    def _on_decoder_failure(self, _reason: str) -> None:
        """The child has given a hardware decoder up. Raises: DriverError, as a driver without one takes none."""
        self._checks.refuse_decoder_failure()

    def _on_child_end(self) -> None:
        """Wake the reader, on the connection's thread."""
        if self._memory is not None:
            self._memory.close()
        self._queue.close()

    def _masked(self, frame: Frame) -> Frame:
        if self._painter is None:
            return frame
        try:
            y, u, v = self._painter.paint_planes((frame.y, frame.u, frame.v), frame.t_ns)
        except MaskError as error:
            raise self._end_with_error(error) from error
        return msgspec.structs.replace(frame, y=y, u=u, v=v)

    def _silence_left_s(self) -> float:
        now_ns = self._clock_ns()
        left_ns = (
            limit_ns - (now_ns - self._last_received_ns[kind])
            for kind, limit_ns in self._policy.silence_limits_ns.items()
        )
        return max(0.0, min(left_ns) / NS_PER_S)

    def _send_changed_masks(self) -> None:
        """Raises: DriverError if the child does not take them: it is opened again with them."""
        if self._current_masks is None or not self._request.masks_may_lag:
            return
        now_ns = self._clock_ns()
        masks = self._current_masks(now_ns)
        if masks is not self._sent_masks:
            self._sent_masks, self._sent_ns = masks, now_ns
            self._sent_number += 1
            self._connection.send(messages.MasksReply(number=self._sent_number, masks=masks))
        elif self._taken_number < self._sent_number and now_ns - self._sent_ns >= MASKS_TIMEOUT_NS:
            raise self._end_with_error(
                DriverError("timeout", f"{self._display_name}: its process takes no masks")
            )

    def _check_cpu(self) -> None:
        """Raises: DriverError if the child uses too much of the processor."""
        pid = self._connection.pid
        if self._cpu_meter is None or pid is None:
            return
        excess = self._cpu_meter.excess(pid)
        if excess is not None:
            raise self._end_with_error(
                DriverError("crashed", f"{self._display_name}: its process {excess}")
            )

    def _silence_error(self) -> DriverError | None:
        now_ns = self._clock_ns()
        for kind, limit_ns in self._policy.silence_limits_ns.items():
            if now_ns - self._last_received_ns[kind] >= limit_ns:
                limit = f"for {limit_ns / NS_PER_S:g} s"
                reason = (
                    f"its process hangs: silent {limit}"
                    if kind is object
                    else f"gave no {kind.__name__.lower()} {limit}"
                )
                return DriverError(self._policy.silence_kind, f"{self._display_name}: {reason}")
        return None

    def _end_with_error(self, error: DriverError) -> DriverError:
        """End the child, and return the error that each further call raises."""
        with self._lock:
            if not self._end_child(graceful=False):
                error = DriverError(
                    "stuck", f"{self._display_name}: {self._connection.describe_child()}"
                )
            elif error is self._connection.error and self._connection.ended_silently:
                error = DriverError(error.kind, f"{error}: {self._connection.describe_child()}")
            self._failure = error
            return error

    def _end_child(self, *, graceful: bool) -> bool:
        has_ended = self._connection.end(
            graceful=graceful, kill_timeout_s=self._policy.kill_timeout_s
        )
        self._queue.close()
        return has_ended


def _frame(
    planes: Planes,
    *,
    seq: int,
    t_ns: int,
    is_late: bool = False,
    inference: SensorInference | None = None,
) -> Frame:
    y, u, v = planes
    return Frame(seq=seq, t_ns=t_ns, y=y, u=u, v=v, is_late=is_late, inference=inference)


class MediaChecks:
    """The contract of a Camera, as far as a parser that was taken over could break it.

    Each method raises DriverError `crashed`. Times are of CLOCK_BOOTTIME, and none is in the future: a forged
    one would end up in the names and the receipts of footage.
    """

    def __init__(self, display_name: str, clock_ns: Callable[[], int]) -> None:
        self._display_name = display_name
        self._clock_ns = clock_ns
        self._last_packet_ns = 0
        self._last_dts_ns = -1
        self._last_frame_ns = 0
        self._last_seq = -1

    def check_opened(self, opened: messages.Opened, *, is_first: bool) -> None:
        """Check the parameters of a stream."""
        info = opened.info
        self._require(
            is_first
            and 0 < info.fps <= MAX_FPS
            and 0 < info.width_px <= messages.MAX_SIDE_PX
            and 0 < info.height_px <= messages.MAX_SIDE_PX
            and len(info.extradata) <= MAX_EXTRADATA_BYTES
            and len(info.codec) <= MAX_CODEC_CHARS
            and info.codec.replace("_", "").isalnum(),
            "parameters",
        )

    def check_packet(self, packet: Packet) -> None:
        """Check a packet's times."""
        self._require(
            self._last_dts_ns < packet.dts_ns <= packet.pts_ns
            and self._last_packet_ns <= packet.t_ns <= self._latest_ns(),
            "times of a packet",
        )
        self._last_dts_ns, self._last_packet_ns = packet.dts_ns, packet.t_ns

    def check_frame(self, ready: messages.FrameReady, slots: int) -> None:
        """Check a frame's place and times; `slots` is 0 if no frame was requested."""
        self._require(ready.slot < slots, "place of a frame")
        self._require(
            self._last_seq < ready.seq and self._last_frame_ns <= ready.t_ns <= self._latest_ns(),
            "times of a frame",
        )
        self._last_seq, self._last_frame_ns = ready.seq, ready.t_ns

    def check_keyframe(self, query: messages.KeyframeQuery, slots: int) -> None:
        """Check a keyframe's place and time; `slots` is 0 if no keyframe is watched."""
        self._require(query.slot < slots, "place of a keyframe")
        self._require(query.t_ns <= self._latest_ns(), "time of a keyframe")

    def check_loading(self, *, has_network: bool) -> None:
        """Check that a network was to be loaded: meanwhile a silent camera is no fault, and the progress is logged."""
        self._require(has_network, "progress of a network")

    def refuse_decoder_failure(self) -> None:
        """Refuse the failure of a hardware decoder that the child does not have."""
        self._require(holds=False, what="failure of a decoder")

    def _latest_ns(self) -> int:
        return self._clock_ns() + MAX_AHEAD_NS

    def _require(self, holds: bool, what: str) -> None:  # noqa: FBT001 - a condition
        if not holds:
            raise DriverError("crashed", f"{self._display_name}: its process sends wrong {what}")
