"""One camera's footage on disk: packets become segments in a folder, each with its receipts."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import av
import msgspec

from agent.base.clock import Clock, boot_id
from agent.base.health_model import FootageHealth
from agent.base.model import Segment
from agent.config.configuration import RecordConfig
from agent.recording.custody.receipts import Closed, Opened
from agent.recording.encryption.seal import Sealer
from agent.recording.gop import LONGEST_NS, MOST_BYTES
from agent.recording.muxer import NoKeyframe
from agent.recording.open_segment import ClosedSegment, OpenSegment
from agent.recording.recovery import SET_ASIDE, StoredSegment, recover
from agent.recording.retention.retention_stage import RetentionStage
from agent.recording.retention.segment_age import short_boot
from agent.recording.segment_name import KEYS, SegmentName, rfc3339
from drivers.media import Packet, StreamInfo

_US_NS = 1000


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """What a segment's receipt says of its making: versions or hashes, None where there is none."""

    software: str
    model: str | None = None
    mask: str | None = None
    config: str | None = None
    mask_applied: Literal["camera", "export", "none"] = "none"


class SegmentWriter:
    """The segments of one camera. One thread writes.

    The folder is made whole before the first packet, and again after each failure. A failed call
    raises OSError or CannotRecord and leaves the ring fit for the next packet; the file that was
    open then is abandoned, and mended by that.

    Invariant: a closed segment has its receipt before it has its name, and one that goes has the
    receipt of that before it is deleted. What stands in the folder is accounted for whenever the
    power goes.
    """

    def __init__(
        self,
        camera: str,
        folder: Path,
        settings: RecordConfig,
        clock: Clock,
        keeper: RetentionStage,
        provenance: Provenance,
        sealer: Sealer | None,
        on_segment: Callable[[Segment], None],
    ) -> None:
        self._camera = camera
        self._folder = folder
        self._settings = settings
        self._clock = clock
        self._keeper = keeper
        self._provenance = provenance
        self._sealer = sealer
        self._on_segment = on_segment
        self._boot = short_boot(boot_id())
        self._whole = False
        self._next_counter = 1
        self._part: OpenSegment | None = None
        self._masked = False
        self._begin_time = ""
        self._told_bytes = -1
        self._abandoned: OpenSegment | None = None
        self._lost_ns: int | None = None

    def open(self) -> None:
        """Make the folder whole and count what it holds; nothing happens where that is done."""
        if self._whole:
            return
        aside = self._quarantined_names()
        found = recover(self._folder, self._record_recovered)
        self._count_loss(found)
        self._keeper.record_quarantine(self._camera, sorted(self._quarantined_names() - aside))
        if found:
            self._next_counter = max(self._next_counter, found[-1].name.counter + 1)
        self._keeper.register_folder(self._camera, self._folder, found)
        self._whole = True

    def add(self, packet: Packet, info: StreamInfo) -> bool:
        """Write a packet; False where it was left out, because a file begins with a keyframe.

        Where the open group has become too long the file is closed with it, and NoKeyframe raised.
        """
        self.open()
        if self._part is not None:
            if not self._part.groups.take(packet):
                self.close_segment()
                raise NoKeyframe(
                    f"the stream has no keyframes: none for {LONGEST_NS / 1e9:g} s or "
                    f"{MOST_BYTES / 1e6:g} MB"
                )
            if self._part.is_due(packet, self._settings.segment_s):
                self.close_segment()
        if self._part is None and not packet.is_key:
            return False
        is_new = self._part is None
        try:
            part = self._part or self._begin(packet, info)
            part.add(packet)
            if is_new:
                # Not before: a disk that refuses it is tried again and again.
                opened = Opened(camera=self._camera, segment=str(part.name))
                self._keeper.notary.append(opened, packet.t_ns)
            if part.size_bytes != self._told_bytes:
                self._told_bytes = part.size_bytes
                self._keeper.on_bytes_written(self._camera, self._begin_time, part.size_bytes)
        except BaseException:
            self._abandon()
            raise
        return True

    def flush(self) -> None:
        """Make durable what is due, also while no packet comes."""
        if self._part is None:
            return
        try:
            self._part.flush()
        except BaseException:
            self._abandon()
            raise

    def close_segment(self) -> None:
        """Close the open file, if there is one."""
        if self._part is None:
            return
        try:
            finished = self._part.finish(self._record_closed)
            self._part = None
            segment = StoredSegment(name=finished.name, size_bytes=finished.size_bytes)
            self._keeper.on_segment_closed(self._camera, segment)
        except BaseException:
            self._abandon()
            raise
        self._on_segment(self._announcement(finished))

    def pop_loss_begin_ns(self) -> int | None:
        """Since when pictures that were taken are missing, as an abandoned file was left or mended;
        None where none are. It is told once.
        """
        if self._abandoned is not None:
            self._note_loss(self._abandoned, self._abandoned.size_bytes)
        lost_ns, self._lost_ns = self._lost_ns, None
        return lost_ns

    def health(self, gaps: int) -> FootageHealth:
        """What lies on the disk now."""
        return self._keeper.health(self._camera, gaps)

    def _begin(self, packet: Packet, info: StreamInfo) -> OpenSegment:
        name = self._new_name(packet)
        part = OpenSegment(
            self._folder, name, info, self._clock, self._settings.flush_s, self._sealer
        )
        self._part, self._told_bytes = part, -1
        self._begin_time = rfc3339(name.utc)
        self._masked = info.masked
        return part

    def _new_name(self, packet: Packet) -> SegmentName:
        name = SegmentName(
            counter=self._next_counter,
            boot=self._boot,
            begin_ms=packet.t_ns // 1_000_000,
            utc=self._clock.utc(packet.t_ns),
            synced=self._clock.trust().synced,
        )
        self._next_counter += 1
        return name

    def _announcement(self, finished: ClosedSegment) -> Segment:
        return Segment(
            camera=self._camera,
            path=str(finished.path),
            begin_ns=finished.begin_ns,
            duration_ns=finished.duration_ns,
            size_bytes=finished.size_bytes,
            begin_utc=rfc3339(finished.name.utc),
            clock_synced=finished.name.synced,
        )

    def _record_closed(self, finished: ClosedSegment) -> None:
        self._append_close_receipt(finished, recovered=False)

    def _record_recovered(self, name: SegmentName, part: Path) -> None:
        """The receipt of a file that was mended; its hash is of what is left."""
        with part.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        finished = ClosedSegment(
            path=part,
            name=name,
            begin_ns=name.begin_ms * 1_000_000,
            duration_ns=_duration_ns(part),
            size_bytes=part.stat().st_size,
            sha256=sha256,
            encrypted=(self._folder / (str(name) + KEYS)).exists(),
        )
        self._append_close_receipt(finished, recovered=True)

    def _append_close_receipt(self, finished: ClosedSegment, *, recovered: bool) -> None:
        made = self._provenance
        body = Closed(
            camera=self._camera,
            segment=str(finished.name),
            sha256=finished.sha256,
            size_bytes=finished.size_bytes,
            begin_ns=finished.begin_ns,
            duration_ns=max(0, finished.duration_ns),
            begin_time=rfc3339(finished.name.utc),
            software=made.software,
            model=made.model,
            mask=made.mask,
            config=made.config,
            sealed=finished.encrypted,
            mask_applied="camera" if self._masked and not recovered else made.mask_applied,
            recovered=recovered,
        )
        self._keeper.notary.append(body, self._clock.boottime_ns())

    def _abandon(self) -> None:
        part, self._part = self._part, None
        self._whole = False
        if part is not None:
            self._abandoned = part
            part.abandon()

    def _count_loss(self, found: Sequence[StoredSegment]) -> None:
        """The folder was made whole: look what is missing of the file that was abandoned."""
        if self._abandoned is None:
            return
        name = str(self._abandoned.name)  # what is read from a folder knows milliseconds alone
        kept = (each.size_bytes for each in reversed(found) if str(each.name) == name)
        self._note_loss(self._abandoned, next(kept, 0))

    def _note_loss(self, part: OpenSegment, kept_bytes: int) -> None:
        lost_ns = part.groups.lost_since_ns(kept_bytes)
        self._lost_ns = lost_ns if self._lost_ns is None else self._lost_ns
        self._abandoned = None

    def _quarantined_names(self) -> set[str]:
        return _names(self._folder / SET_ASIDE)


def _names(folder: Path) -> set[str]:
    if not folder.is_dir():
        return set()
    return {path.name for path in folder.iterdir()}


def _duration_ns(path: Path) -> int:
    """How long a mended file is, as its fragments say; 0 where they do not."""
    try:
        with av.open(str(path)) as container:
            return (container.duration or 0) * _US_NS
    except av.FFmpegError:
        return 0
