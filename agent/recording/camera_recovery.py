"""Recovery of one camera's folder, with a receipt of each file that was repaired or moved."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import av
import msgspec

from agent.base.clock import Clock, rfc3339
from agent.base.sha256 import file_sha256_hex
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.custody.receipts import (
    AgentStarted,
    BadReceipt,
    FileQuarantined,
    SegmentClosed,
    SegmentOpened,
    parse_line,
)
from agent.recording.open_segment import ClosedSegment
from agent.recording.recovery import StoredSegment, recover_folder
from agent.recording.segment_name import KEYS_SUFFIX, SegmentName

_NS_PER_US = 1000


class SegmentProvenance(msgspec.Struct, frozen=True, kw_only=True):
    """Provenance in a segment's receipt: versions or hashes, None if there is none."""

    software: str
    model: str | None = None
    mask: str | None = None
    config: str | None = None
    mask_applied: Literal["camera", "export", "none"] = "none"


UNKNOWN_PROVENANCE = SegmentProvenance(software="unknown", mask_applied="export")
"""Of a file whose masks are unknown: an export withholds it, and makes no clip of it."""


def recover_camera(
    camera: str,
    folder: Path,
    receipt_queue: ReceiptQueue,
    clock: Clock,
    find_provenance: Callable[[SegmentName], SegmentProvenance],
) -> list[StoredSegment]:
    """Create or repair a camera's folder and list its footage in the order of recording.

    The receipt of a repaired file precedes its name, as that of any closed segment, and the receipt of a
    quarantined file its move: if the power fails in between, the file has two. Raises OSError.
    """

    def record_recovered(name: SegmentName, part: Path) -> None:
        closed = _repaired_segment(folder, name, part)
        body = build_close_receipt(camera, closed, find_provenance(name), recovered=True)
        receipt_queue.append(body, clock.boottime_ns())

    def record_quarantined(target: Path) -> None:
        receipt_queue.append(FileQuarantined(camera=camera, name=target.name), clock.boottime_ns())

    return recover_folder(folder, record_recovered, record_quarantined)


def build_close_receipt(
    camera: str, closed: ClosedSegment, provenance: SegmentProvenance, *, recovered: bool
) -> SegmentClosed:
    """Return the receipt of a closed or repaired segment."""
    return SegmentClosed(
        camera=camera,
        segment=str(closed.name),
        sha256=closed.sha256,
        size_bytes=closed.size_bytes,
        begin_ns=closed.begin_ns,
        duration_ns=max(0, closed.duration_ns),
        begin_time=rfc3339(closed.name.utc),
        software=provenance.software,
        model=provenance.model,
        mask=provenance.mask,
        config=provenance.config,
        sealed=closed.encrypted,
        mask_applied=provenance.mask_applied,
        recovered=recovered,
    )


def logged_provenance(
    lines_backwards: Iterable[bytes], camera: str, segment: str
) -> SegmentProvenance:
    """Return the provenance of a torn segment whose camera is not recorded any more.

    It is that of the camera's last closed segment in the same run of the agent: a configuration does not
    change within a run. UNKNOWN_PROVENANCE if the custody log has none.
    """
    segment_name = segment.encode()
    is_of_run = False
    for line in lines_backwards:
        if not is_of_run and segment_name not in line:
            continue
        try:
            body = parse_line(line).receipt.body
        except BadReceipt:
            continue
        if isinstance(body, SegmentOpened) and (body.camera, body.segment) == (camera, segment):
            is_of_run = True
        elif is_of_run and isinstance(body, AgentStarted):
            break
        elif is_of_run and isinstance(body, SegmentClosed) and body.camera == camera:
            return SegmentProvenance(
                software=body.software,
                model=body.model,
                mask=body.mask,
                config=body.config,
                mask_applied="none" if body.mask is None else "export",
            )
    return UNKNOWN_PROVENANCE


def _repaired_segment(folder: Path, name: SegmentName, part: Path) -> ClosedSegment:
    """Return a repaired file; its hash is that of the repaired bytes."""
    return ClosedSegment(
        path=part,
        name=name,
        begin_ns=name.begin_ms * 1_000_000,
        duration_ns=_probe_duration_ns(part),
        size_bytes=part.stat().st_size,
        sha256=file_sha256_hex(part),
        encrypted=(folder / (str(name) + KEYS_SUFFIX)).exists(),
    )


def _probe_duration_ns(path: Path) -> int:
    """Return the duration of a repaired file by its fragments; 0 if unknown."""
    try:
        with av.open(str(path)) as container:
            return (container.duration or 0) * _NS_PER_US
    except av.FFmpegError:
        return 0
