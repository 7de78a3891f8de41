"""Segment writer: writes one camera's packets to segments, each with its receipts."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from agent import __version__
from agent.base.clock import Clock, boot_id, rfc3339
from agent.base.health_model import FootageHealth
from agent.base.model import Segment
from agent.config.recording import RecordConfig
from agent.recording import quarantine
from agent.recording.camera_recovery import (
    SegmentProvenance,
    build_close_receipt,
    recover_camera,
)
from agent.recording.custody.receipts import SegmentOpened
from agent.recording.encryption.key_wrapping import Sealer
from agent.recording.gop import MAX_GOP_BYTES, MAX_GOP_NS
from agent.recording.muxer import NoKeyframe
from agent.recording.open_segment import ClosedSegment, OpenSegment
from agent.recording.recovery import StoredSegment
from agent.recording.retention.retention_stage import RetentionStage
from agent.recording.segment_age import short_boot
from agent.recording.segment_name import SegmentName
from drivers.media import Packet, StreamInfo

FindProvenance: TypeAlias = Callable[[int], SegmentProvenance]
"""Returns the provenance of footage since a time. Called on the recorder's thread."""


_DEFAULT_PROVENANCE = SegmentProvenance(software=f"vigie {__version__}")


class SegmentTarget(msgspec.Struct, frozen=True):
    """Place, settings and provenance of the segments of one camera.

    They are in the folder of the camera's name in `footage_dir`, encrypted if there is a `sealer`, and `retention` makes
    room for them.
    """

    camera: str
    footage_dir: Path
    settings: RecordConfig
    retention: RetentionStage
    provenance: FindProvenance = lambda _begin_ns: _DEFAULT_PROVENANCE
    sealer: Sealer | None = None


class SegmentWriter:
    """Writes the segments of one camera. Not thread-safe.

    The folder is recovered before the first packet and after each failure. A failed call raises OSError
    or MuxerError and leaves the writer ready for the next packet; the open file is abandoned, and
    recovery repairs it.

    Invariant: a closed segment has its receipt before its name, and an evicted one has its receipt
    before it is deleted. The folder is accounted for whenever the power fails.
    """

    def __init__(
        self, target: SegmentTarget, clock: Clock, on_segment: Callable[[Segment], None]
    ) -> None:
        self._camera = target.camera
        self._folder = target.footage_dir / target.camera
        self._settings = target.settings
        self._clock = clock
        self._retention = target.retention
        self._provenance = target.provenance
        self._sealer = target.sealer
        self._on_segment = on_segment
        self._boot = short_boot(boot_id())
        self._is_folder_recovered = False
        self._next_counter = 1
        self._open_segment: OpenSegment | None = None
        self._masked_by_driver = False
        self._open_begin_time = ""
        self._reported_bytes = -1
        self._abandoned: OpenSegment | None = None
        self._loss_begin_ns: int | None = None

    def prepare_folder(self) -> None:
        """Recover the folder and register its content, unless that is done."""
        if self._is_folder_recovered:
            return
        recovered = recover_camera(
            self._camera,
            self._folder,
            self._retention.receipt_queue,
            self._clock,
            # Of an earlier run: it may show what any mask of this one hides.
            lambda _name: self._provenance(0),
        )
        self._note_abandoned_loss(recovered)
        # The quarantine too: the order of counters is that of the boots, also of one whose only file was torn.
        used = [*(segment.name for segment in recovered), *quarantine.segment_names(self._folder)]
        self._next_counter = max([self._next_counter, *(name.counter + 1 for name in used)])
        self._retention.register_folder(self._camera, self._folder, recovered)
        self._is_folder_recovered = True

    def add(self, packet: Packet, info: StreamInfo) -> bool:
        """Write a packet.

        Returns False if it is dropped because a file must begin with a keyframe. Raises
        NoKeyframe, after the file was closed, if the open group of pictures is too long.
        """
        self.prepare_folder()
        if self._open_segment is not None:
            if not self._open_segment.gops.can_append(packet):
                self.close_segment()
                raise NoKeyframe(
                    f"the stream has no keyframes: none for {MAX_GOP_NS / 1e9:g} s or "
                    f"{MAX_GOP_BYTES / 1e6:g} MB"
                )
            if self._open_segment.should_rotate(packet, self._settings.segment_s):
                self.close_segment()
        if self._open_segment is None and not packet.is_key:
            return False
        is_new = self._open_segment is None
        try:
            segment = self._open_segment or self._start_segment(packet, info)
            segment.add(packet)
            if is_new:
                # Only now: a failing disk is retried many times.
                opened = SegmentOpened(camera=self._camera, segment=str(segment.name))
                self._retention.receipt_queue.append(opened, packet.t_ns)
            if segment.size_bytes != self._reported_bytes:
                self._reported_bytes = segment.size_bytes
                self._retention.on_bytes_written(
                    self._camera, self._open_begin_time, segment.size_bytes
                )
        except BaseException:
            self._abandon()
            raise
        return True

    @property
    def sync_due_ns(self) -> int | None:
        """The boot time at which `flush` has to sync, or None if there is nothing to sync."""
        return None if self._open_segment is None else self._open_segment.sync_due_ns

    def flush(self) -> None:
        """Sync the open file if it is due."""
        if self._open_segment is None:
            return
        try:
            self._open_segment.flush()
        except BaseException:
            self._abandon()
            raise

    def close_segment(self) -> None:
        """Close the open segment, if there is one."""
        if self._open_segment is None:
            return
        try:
            closed = self._open_segment.finish(self._record_closed)
            self._open_segment = None
            segment = StoredSegment(name=closed.name, size_bytes=closed.size_bytes)
            self._retention.on_segment_closed(self._camera, segment)
        except BaseException:
            self._abandon()
            raise
        self._on_segment(self._to_segment(closed))

    def pop_loss_begin_ns(self) -> int | None:
        """Return and clear the begin of the frames lost in an abandoned file, or None."""
        if self._abandoned is not None:
            self._note_loss(self._abandoned, self._abandoned.size_bytes)
        loss_begin_ns, self._loss_begin_ns = self._loss_begin_ns, None
        return loss_begin_ns

    def footage_health(self, gaps: int) -> FootageHealth:
        """Return the camera's footage on the disk."""
        return self._retention.footage_health(self._camera, gaps)

    def _start_segment(self, packet: Packet, info: StreamInfo) -> OpenSegment:
        name = self._next_name(packet)
        segment = OpenSegment(
            self._folder, name, info, self._clock, self._settings.flush_s, self._sealer
        )
        self._open_segment, self._reported_bytes = segment, -1
        self._open_begin_time = rfc3339(name.utc)
        self._masked_by_driver = info.masked
        return segment

    def _next_name(self, packet: Packet) -> SegmentName:
        name = SegmentName(
            counter=self._next_counter,
            boot=self._boot,
            begin_ms=packet.t_ns // 1_000_000,
            utc=self._clock.utc(packet.t_ns),
            synced=self._clock.trust().synced,
        )
        self._next_counter += 1
        return name

    def _to_segment(self, closed: ClosedSegment) -> Segment:
        return Segment(
            camera=self._camera,
            path=str(closed.path),
            begin_ns=closed.begin_ns,
            duration_ns=closed.duration_ns,
            size_bytes=closed.size_bytes,
            begin_utc=rfc3339(closed.name.utc),
            clock_synced=closed.name.synced,
        )

    def _record_closed(self, closed: ClosedSegment) -> None:
        provenance = self._provenance(closed.begin_ns)
        if self._masked_by_driver and provenance.mask is not None:
            provenance = msgspec.structs.replace(provenance, mask_applied="camera")
        body = build_close_receipt(self._camera, closed, provenance, recovered=False)
        self._retention.receipt_queue.append(body, self._clock.boottime_ns())

    def _abandon(self) -> None:
        segment, self._open_segment = self._open_segment, None
        self._is_folder_recovered = False
        if segment is not None:
            self._abandoned = segment
            segment.abandon()

    def _note_abandoned_loss(self, recovered: Sequence[StoredSegment]) -> None:
        """Determine after a recovery which frames of the abandoned file are lost."""
        if self._abandoned is None:
            return
        name = str(self._abandoned.name)  # parsed names have milliseconds only
        kept_bytes = (each.size_bytes for each in reversed(recovered) if str(each.name) == name)
        self._note_loss(self._abandoned, next(kept_bytes, 0))

    def _note_loss(self, segment: OpenSegment, kept_bytes: int) -> None:
        loss_begin_ns = segment.gops.first_incomplete_ns(kept_bytes)
        self._loss_begin_ns = loss_begin_ns if self._loss_begin_ns is None else self._loss_begin_ns
        self._abandoned = None
