"""Record stage: writes the packets of one camera from its queue to segments."""

import logging
import threading
from collections.abc import Callable

import msgspec

from agent.base.clock import Clock
from agent.base.health_model import FootageHealth
from agent.base.model import Segment
from agent.faults.registry import FaultRegistry
from agent.recording.muxer import MuxerError, NoKeyframe, check_stream
from agent.recording.segment_writer import SegmentTarget, SegmentWriter
from agent.runtime.backoff import Backoff
from agent.runtime.pause import Pause
from agent.runtime.queues import PacketQueue
from drivers.media import Packet, StreamInfo

log = logging.getLogger(__name__)

MAX_BATCH_NS = 1_500_000_000
"""The longest wait of packets in the queue without a keyframe, which completes a fragment and is taken at once.
They would be no safer in the muxer, which keeps a fragment in memory until then, and a batch costs less than
single packets. A second and a half: the keyframe of each second comes first, though it be late.
"""

MIN_RETRY_S = 5.0
"""The shortest wait after a failure; packets are dropped meanwhile."""

MAX_RETRY_S = 60.0
"""The longest wait. It doubles if the disk fails again before a file was closed: each attempt writes,
and has receipts.
"""


FIRST_GAP_PART_S, MAX_GAP_PART_S = 60.0, 3600.0
"""A gap is reported while it lasts, so that a power cut cannot erase it: after a minute, then after twice as
long each time, up to an hour. A stream that is refused may last for weeks.
"""

OVERFLOW_REASON = "the disk or the recorder did not keep up"


class _StreamChange(msgspec.Struct, frozen=True, kw_only=True):
    """The camera was opened; `pending` are the queued packets of the previous stream."""

    info: StreamInfo
    pending: list[Packet]


class RecordStage:
    """Records one camera.

    A failing disk raises the fault STO-02 and is retried; a stream that MP4 cannot carry raises it until
    the camera is opened with another one, a stream without keyframes until the next keyframe. None of
    these ends the stage, and each is a gap. `on_gap` gets the begin, the end and the reason of each gap
    and `on_segment` each closed segment; both are called on the stage's thread. While `is_suspended`
    returns True no file stays open.
    """

    def __init__(
        self,
        target: SegmentTarget,
        queue: PacketQueue,
        clock: Clock,
        faults: FaultRegistry,
        *,
        on_gap: Callable[[int, int, str], None],
        on_segment: Callable[[Segment], None],
        is_suspended: Callable[[], bool] = lambda: False,
    ) -> None:
        self.name = f"record {target.camera}"
        self._camera = target.camera
        self._queue = queue
        self._clock = clock
        self._faults = faults
        self._on_gap = on_gap
        self._is_suspended = is_suspended
        self._sealed = target.sealer is not None
        self._writer = SegmentWriter(target, clock, self._on_segment_closed)
        self._on_segment = on_segment
        self._lock = threading.Lock()
        self._stream_changes: list[_StreamChange] = []
        self._info: StreamInfo | None = None
        self._is_stream_refused = False
        self._is_failing = False
        self._retry_pause = Pause()
        self._disk_backoff = Backoff(MIN_RETRY_S, MAX_RETRY_S)
        self._last_drain_ns = clock.boottime_ns()
        self._gap_begin_ns: int | None = None
        self._gap_reported_ns: int | None = None
        """Up to this time the gap has been reported."""
        self._gap_reason = OVERFLOW_REASON
        self._gap_part_pause = Pause()
        self._gap_part_backoff = Backoff(FIRST_GAP_PART_S, MAX_GAP_PART_S)
        self._gap_count = 0
        # Replaced as a whole: any thread may read it.
        self._footage_health = self._writer.footage_health(0)

    def on_stream_opened(self, info: StreamInfo) -> None:
        """Start a new stream: all packets queued from now on belong to it.

        Called on the thread that fills the queue, before the stream's first packet.
        """
        with self._lock:
            self._stream_changes.append(_StreamChange(info=info, pending=self._queue.drain()))

    def run_once(self, stopping: threading.Event) -> None:
        """Wait for a keyframe, or until other packets or a sync are due, and write."""
        due_ns = self._last_drain_ns + MAX_BATCH_NS
        sync_due_ns = self._writer.sync_due_ns
        if sync_due_ns is not None:
            due_ns = min(due_ns, sync_due_ns)
        wait_s = max(0.0, (due_ns - self._clock.boottime_ns()) / 1e9)
        self._queue.wait_for_keyframe(wait_s, stopping)
        if stopping.is_set():
            self._drain()
        self.write_due()

    def wake(self) -> None:
        """End the wait of `run_once` if it is to stop. Thread-safe."""
        self._queue.wake()

    def write_due(self) -> None:
        """Write the queued packets if a keyframe is among them or they are due, and sync if that is due."""
        since_drain_ns = self._clock.boottime_ns() - self._last_drain_ns
        if self._queue.has_keyframe or since_drain_ns >= MAX_BATCH_NS:
            self._drain()
        self._attempt(self._writer.flush)

    def close(self) -> None:
        """Write the rest, close the file, and report an open gap."""
        self._drain()
        self._queue.close()
        self._attempt(self._writer.close_segment)
        if self._is_failing:
            self._report_gap(self._clock.boottime_ns())
        self._footage_health = self._writer.footage_health(self._gap_count)

    def record_gap(self, begin_ns: int, end_ns: int, reason: str = OVERFLOW_REASON) -> None:
        """Count and report a gap, of this stage or of the queue before it. Thread-safe."""
        with self._lock:
            self._gap_count += 1
        self._on_gap(begin_ns, end_ns, reason)

    def footage_health(self) -> FootageHealth:
        """Return the footage on the disk as of the last run. Thread-safe."""
        return self._footage_health

    def _drain(self) -> None:
        self._last_drain_ns = self._clock.boottime_ns()
        # The lock keeps an opening from coming between the two: each packet meets its stream.
        with self._lock:
            stream_changes, self._stream_changes = self._stream_changes, []
            packets = self._queue.drain()
        if self._can_retry():
            self._attempt(self._writer.prepare_folder)
        for change in stream_changes:
            self._write_packets(change.pending)
            self._switch_stream(change.info)
        self._write_packets(packets)
        self._report_gap_part()
        if not packets and self._is_suspended():
            self._attempt(self._writer.close_segment)
        self._footage_health = self._writer.footage_health(self._gap_count)

    def _switch_stream(self, info: StreamInfo) -> None:
        """Switch to another stream; one that MP4 cannot carry raises STO-02 and begins a gap."""
        self._attempt(self._writer.close_segment)
        self._info = info
        try:
            check_stream(info, sealed=self._sealed)
        except MuxerError as error:
            self._is_stream_refused = True
            self._begin_gap(self._clock.boottime_ns(), error)
            self._raise_fault(error)
        else:
            self._is_stream_refused = False

    def _write_packets(self, packets: list[Packet]) -> None:
        for packet in packets:
            self._write_packet(packet)

    def _write_packet(self, packet: Packet) -> None:
        info = self._info
        if info is None or self._is_stream_refused:
            return
        if not self._is_failing or self._can_retry():
            try:
                written = self._writer.add(packet, info)
            except (OSError, MuxerError) as error:
                self._on_failure(error)
            else:
                if written and self._is_failing:
                    self._on_recovered(packet)
        if self._is_failing and self._gap_begin_ns is None:
            self._open_gap(packet.t_ns)

    def _can_retry(self) -> bool:
        return self._retry_pause.is_over(self._clock.boottime_ns())

    def _attempt(self, operation: Callable[[], None]) -> None:
        try:
            operation()
        except (OSError, MuxerError) as error:
            self._on_failure(error)

    def _on_failure(self, error: OSError | MuxerError) -> None:
        if not self._is_failing:
            self._gap_reason = _gap_reason(error)
        self._is_failing = True
        self._retry_pause.begin(self._clock.boottime_ns(), self._retry_after_s(error))
        self._raise_fault(error)

    def _retry_after_s(self, error: OSError | MuxerError) -> float:
        if isinstance(error, NoKeyframe):
            return 0.0  # recording may resume at the very next keyframe
        return MIN_RETRY_S if isinstance(error, MuxerError) else self._disk_backoff.next_s()

    def _on_segment_closed(self, segment: Segment) -> None:
        self._disk_backoff.reset()
        self._on_segment(segment)

    def _raise_fault(self, error: OSError | MuxerError) -> None:
        log.error("%s: cannot record: %s", self.name, error)
        self._faults.raise_fault("STO-02", self._camera, error)

    def _on_recovered(self, packet: Packet) -> None:
        """Handle the first packet written after a failure."""
        self._is_failing = False
        self._faults.clear("STO-02", self._camera)
        log.info("%s: recording again", self.name)
        self._report_gap(packet.t_ns)

    def _begin_gap(self, t_ns: int, error: MuxerError) -> None:
        """Begin a gap, unless one is open."""
        if not self._is_failing:
            self._is_failing = True
            self._gap_reason = _gap_reason(error)
        if self._gap_begin_ns is None:
            self._open_gap(t_ns)

    def _open_gap(self, t_ns: int) -> None:
        self._gap_begin_ns, self._gap_reported_ns = t_ns, None
        self._gap_part_backoff.reset()
        self._gap_part_pause.begin(t_ns, self._gap_part_backoff.next_s())

    def _report_gap_part(self) -> None:
        """Report a gap that lasts, up to now."""
        now_ns = self._clock.boottime_ns()
        if self._gap_begin_ns is None or not self._gap_part_pause.is_over(now_ns):
            return
        self._gap_part_pause.begin(now_ns, self._gap_part_backoff.next_s())
        begin_ns, self._gap_reported_ns = self._gap_reported_ns or self._gap_begin_ns, now_ns
        if begin_ns < now_ns:
            self.record_gap(begin_ns, now_ns, self._gap_reason)

    def _report_gap(self, end_ns: int) -> None:
        """Report the gap since the first frame that is missing or was dropped, less its earlier parts."""
        loss_begin_ns, drop_begin_ns = self._writer.pop_loss_begin_ns(), self._gap_begin_ns
        reported_ns, self._gap_begin_ns = self._gap_reported_ns, None
        self._gap_reported_ns = None
        begin_ns = min(
            (t_ns for t_ns in (loss_begin_ns, drop_begin_ns) if t_ns is not None), default=end_ns
        )
        if reported_ns is None or drop_begin_ns is None:
            gaps = [(begin_ns, end_ns)]
        else:
            gaps = [(begin_ns, drop_begin_ns), (reported_ns, end_ns)]
        for gap_begin_ns, gap_end_ns in gaps:
            if gap_begin_ns < gap_end_ns:
                self.record_gap(gap_begin_ns, gap_end_ns, self._gap_reason)


def _gap_reason(error: OSError | MuxerError) -> str:
    """Return a reason without a file's name, which may be no text."""
    if isinstance(error, OSError):
        return f"the disk failed: {error.strerror or type(error).__name__}"
    return str(error)
