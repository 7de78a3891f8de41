"""The recorder's stage: packets from the queue into the ring, whatever the disk does."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent import __version__
from agent.base.clock import Clock
from agent.base.health_model import FootageHealth
from agent.base.model import Segment
from agent.config.configuration import RecordConfig
from agent.faults.registry import FaultRegistry
from agent.recording.encryption.seal import Sealer
from agent.recording.muxer import CannotRecord, NoKeyframe, check_stream
from agent.recording.retention.retention_stage import RetentionStage
from agent.recording.segment_writer import Provenance, SegmentWriter
from agent.runtime.queues import PacketQueue
from drivers.media import Packet, StreamInfo

log = logging.getLogger(__name__)

BATCH_S = 0.2
"""Five times a second the stage looks whether a keyframe has come: that completes a fragment."""

LONGEST_BATCH_NS = 1_000_000_000
"""Other packets wait in the queue for so long at most. They are no safer in the muxer, which holds
a fragment back until the next keyframe completes it, and a batch costs more than a packet.
"""

RETRY_NS = 5_000_000_000
"""After a failure, packets are dropped for so long before the next try."""

LONGEST_RETRY_NS = 60_000_000_000
"""A disk that fails again before a file was closed is left alone for twice as long, up to this: each
try writes, and what it writes has receipts.
"""


UNTOLD = Provenance(software=f"vigie {__version__}")


class _Opening(msgspec.Struct, frozen=True, kw_only=True):
    """The camera was opened; `before` are the packets that waited from before."""

    info: StreamInfo
    before: list[Packet]


class RecordStage:
    """Records one camera.

    A disk that fails raises the fault STO-02 and is tried again; a stream that MP4 cannot carry
    raises it until the camera is opened with another, one without keyframes until there is one.
    None of these ends the stage. `on_gap` is told
    the begin and end of what was not recorded, `on_segment` of each file that was closed; both
    are called in the stage's thread. While `rests` says that nothing will come, no file stays open.
    """

    def __init__(  # noqa: PLR0913 - one seam to the wiring, all but the first six by name
        self,
        camera: str,
        queue: PacketQueue,
        settings: RecordConfig,
        folder: Path,
        clock: Clock,
        faults: FaultRegistry,
        *,
        keeper: RetentionStage | None = None,
        provenance: Provenance = UNTOLD,
        sealer: Sealer | None = None,
        on_gap: Callable[[int, int], None],
        on_segment: Callable[[Segment], None],
        rests: Callable[[], bool] = lambda: False,
    ) -> None:
        self.name = f"record {camera}"
        self._camera = camera
        self._queue = queue
        self._clock = clock
        self._faults = faults
        self._on_gap = on_gap
        self._rests = rests
        self._sealed = sealer is not None
        keeper = keeper or RetentionStage.alone(camera, folder, settings, clock, faults)
        self._ring = SegmentWriter(
            camera, folder / camera, settings, clock, keeper, provenance, sealer, self._on_closed
        )
        self._on_segment = on_segment
        self._lock = threading.Lock()
        self._openings: list[_Opening] = []
        self._info: StreamInfo | None = None
        self._refused = False
        self._retry_ns: int | None = None
        self._disk_wait_ns = RETRY_NS
        self._drained_ns = clock.boottime_ns()
        self._gap_begin_ns: int | None = None
        self._gaps = 0
        # Replaced whole, so that any thread may read it.
        self._footage = self._ring.health(0)

    def stream_opened(self, info: StreamInfo) -> None:
        """The camera was opened: what is put into the queue from now on is this stream.

        Called by the thread that fills the queue, before the stream's first packet.
        """
        with self._lock:
            self._openings.append(_Opening(info=info, before=self._queue.take_all()))

    def run_once(self, stopping: threading.Event) -> None:
        """Wait a little, then write what has come, if it is time."""
        stopping.wait(BATCH_S)
        waited_ns = self._clock.boottime_ns() - self._drained_ns
        if self._queue.keyframe_waits or waited_ns >= LONGEST_BATCH_NS or stopping.is_set():
            self._drain()
        else:
            self._tries(self._ring.flush)

    def close(self) -> None:
        """Write what is left and close the file. What is missing by then is told: nobody can later."""
        self._drain()
        self._queue.end()
        self._tries(self._ring.close_segment)
        if self._retry_ns is not None:
            self._tell_loss(self._clock.boottime_ns())
        self._footage = self._ring.health(self._gaps)

    def note_gap(self, begin_ns: int, end_ns: int) -> None:
        """Something was not recorded, here or in the queue before. Any thread may tell."""
        with self._lock:
            self._gaps += 1
        self._on_gap(begin_ns, end_ns)

    def footage(self) -> FootageHealth:
        """What lies on the disk, as of the last turn. Any thread may ask."""
        return self._footage

    def _drain(self) -> None:
        self._drained_ns = self._clock.boottime_ns()
        # Under the lock no opening can slip between the two, so each packet meets its stream.
        with self._lock:
            openings, self._openings = self._openings, []
            packets = self._queue.take_all()
        if self._may_try():
            self._tries(self._ring.open)
        for opening in openings:
            self._write(opening.before)
            self._begin(opening.info)
        self._write(packets)
        if not packets and self._rests():
            self._tries(self._ring.close_segment)
        self._footage = self._ring.health(self._gaps)

    def _begin(self, info: StreamInfo) -> None:
        """Go on with another stream, if it can be recorded."""
        self._tries(self._ring.close_segment)
        self._info = info
        if self._refused:
            self._refused = False
            self._faults.clear("STO-02", self._camera)
        try:
            check_stream(info, sealed=self._sealed)
        except CannotRecord as error:
            self._refused = True
            self._raise_fault(error)

    def _write(self, packets: list[Packet]) -> None:
        for packet in packets:
            self._write_one(packet)

    def _write_one(self, packet: Packet) -> None:
        info = self._info
        if info is None or self._refused:
            return
        if self._may_try():
            try:
                written = self._ring.add(packet, info)
            except (OSError, CannotRecord) as error:
                self._fail(error)
            else:
                if written and self._retry_ns is not None:
                    self._recover(packet)
        if self._retry_ns is not None and self._gap_begin_ns is None:
            self._gap_begin_ns = packet.t_ns

    def _may_try(self) -> bool:
        return self._retry_ns is None or self._clock.boottime_ns() >= self._retry_ns

    def _tries(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (OSError, CannotRecord) as error:
            self._fail(error)

    def _fail(self, error: OSError | CannotRecord) -> None:
        self._retry_ns = self._clock.boottime_ns() + self._wait_ns(error)
        self._raise_fault(error)

    def _wait_ns(self, error: OSError | CannotRecord) -> int:
        if isinstance(error, NoKeyframe):
            return 0  # the next one is as good as any
        if isinstance(error, CannotRecord):
            return RETRY_NS
        wait_ns = self._disk_wait_ns
        self._disk_wait_ns = min(2 * wait_ns, LONGEST_RETRY_NS)
        return wait_ns

    def _on_closed(self, segment: Segment) -> None:
        self._disk_wait_ns = RETRY_NS
        self._on_segment(segment)

    def _raise_fault(self, error: OSError | CannotRecord) -> None:
        log.error("%s: cannot record: %s", self.name, error)
        self._faults.raise_fault("STO-02", self._camera, str(error))

    def _recover(self, packet: Packet) -> None:
        """A packet was written again, the first after a failure."""
        self._retry_ns = None
        self._faults.clear("STO-02", self._camera)
        log.info("%s: recording again", self.name)
        self._tell_loss(packet.t_ns)

    def _tell_loss(self, end_ns: int) -> None:
        """The gap since the first picture that is missing: of a group that was not written to its end,
        or of a packet that was not taken.
        """
        lost_ns, dropped_ns = self._ring.pop_loss_begin_ns(), self._gap_begin_ns
        self._gap_begin_ns = None
        begin_ns = min((t_ns for t_ns in (lost_ns, dropped_ns) if t_ns is not None), default=end_ns)
        if begin_ns < end_ns:
            self.note_gap(begin_ns, end_ns)
