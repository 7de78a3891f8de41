"""Snapshot of the footage of a span, before it is exported."""

from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from agent.recording import catalogue
from agent.recording.catalogue import FootageEntry
from agent.recording.custody.chain import ChainHead
from agent.recording.custody.custody_log import CustodyLog


class SpanSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Footage of a span, `misdated` segments of it, and the chain's head before.

    The box keeps recording: segments that it closes or evicts later are in the exported chain, but not
    part of the export. A verifier checks completeness against this head.
    """

    head: ChainHead
    entries: tuple[FootageEntry, ...]
    misdated: dict[str, str]

    @property
    def exportable(self) -> list[FootageEntry]:
        """The segments that are closed and not evicted."""
        return [entry for entry in self.entries if entry.closed is not None and not entry.evicted]

    @property
    def excluded(self) -> dict[str, str]:
        """The other segments of the span, each with the reason why it is left out."""
        excluded = {entry.segment_name: _exclusion_reason(entry) for entry in self.entries}
        excluded |= self.misdated
        for entry in self.exportable:
            del excluded[entry.segment_name]
        return excluded


def snapshot_span(
    custody: CustodyLog, footage_dir: Path, camera: str, begin: datetime, end: datetime
) -> SpanSnapshot:
    """List the footage of a span. Raises OSError."""
    head = custody.head()
    # A manifest has milliseconds: the span must include the whole millisecond of `begin`.
    begin -= timedelta(microseconds=begin.microsecond % 1000)
    return SpanSnapshot(
        head=head,
        entries=tuple(
            catalogue.find_segments(
                footage_dir, custody.folder, [camera], begin, end, custody.is_own_line
            )
        ),
        misdated=catalogue.find_misdated(footage_dir / camera, begin, end),
    )


def _exclusion_reason(entry: FootageEntry) -> str:
    if entry.is_being_written:
        return "is still being written"
    return "was just evicted" if entry.evicted else "has no receipt of its close"
