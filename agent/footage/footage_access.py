"""The footage of a box as its commands see it: what a requester may see, what is there, what is missing."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

import msgspec

from agent.base.clock import Clock, rfc3339
from agent.commands.requester import CommandRejected, Requester
from agent.config.configuration import InstitutionConfig
from agent.recording import catalogue
from agent.recording.catalogue import MAX_SEGMENT_DURATION, FootageEntry
from agent.recording.chain_notes import read_chain_notes
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import FootageViewed
from agent.recording.missing_footage import Interval, MissingSpan, find_missing
from agent.recording.recorded_span import RecordedSpan, merge_segments
from agent.recording.segment_name import max_length_ms

UtcTime = Annotated[datetime, msgspec.Meta(tz=True)]
"""RFC 3339 with its zone."""
MIN_YEAR, MAX_YEAR = 2000, 2199
"""Of times in commands: no zone and no duration leads out of the calendar."""

_MAX_SEGMENT_MS = round(MAX_SEGMENT_DURATION.total_seconds() * 1000)


class SpanContents(msgspec.Struct, frozen=True, kw_only=True):
    """The footage of a camera in a span, and what is missing of it; both in the order of time."""

    recorded: tuple[RecordedSpan, ...]
    missing: tuple[MissingSpan, ...]

    @property
    def segment_count(self) -> int:
        """The number of segments on the disk."""
        return sum(span.segment_count for span in self.recorded)

    @property
    def size_bytes(self) -> int:
        """The bytes of these segments."""
        return sum(span.size_bytes for span in self.recorded)


class FootageAccess:
    """Thread-safe. `policies` are those of lent cameras, of removed ones too; `cameras` are the recorded ones."""

    def __init__(
        self,
        footage_dir: Path,
        custody: CustodyLog,
        clock: Clock,
        policies: Mapping[str, InstitutionConfig],
        cameras: frozenset[str],
    ) -> None:
        self._footage_dir = footage_dir
        self._custody = custody
        self._clock = clock
        self._policies = dict(policies)
        self._cameras = cameras

    def check_camera(self, camera: str, requester: Requester) -> None:
        """Raise CommandRejected if there is no such camera, or its owner does not name the requester."""
        try:
            known = self._cameras | set(catalogue.list_cameras(self._footage_dir))
        except OSError as error:
            raise CommandRejected("failed", f"the footage cannot be read: {error}") from error
        if camera not in known:
            names = ", ".join(sorted(known)) or "none"
            raise CommandRejected(
                "unknown", f"camera {camera!r}: has no footage here; there are: {names}"
            )
        policy = self._policies.get(camera)
        if policy is not None and not policy.can_view(requester.id):
            raise CommandRejected(
                "forbidden",
                f"camera {camera!r} is another institution's, and {requester.id!r} is not among its "
                "viewers",
            )

    def read_span(self, camera: str, begin: datetime | None, end: datetime | None) -> SpanContents:
        """Return what is there, and what is missing up to now. Raises: CommandRejected if the disk fails.

        Without a `begin`, from the oldest footage on.
        """
        now = self._clock.utc(self._clock.boottime_ns())
        try:
            entries = catalogue.find_segments(
                self._footage_dir, self._custody.folder, [camera], begin, end
            )
            if begin is None and not entries:
                return SpanContents(recorded=(), missing=())
            oldest = min((entry.begin for entry in entries), default=now)
            notes = read_chain_notes(self._custody.folder, camera, begin or oldest)
        except OSError as error:
            raise CommandRejected("failed", f"the footage cannot be read: {error}") from error
        recorded = tuple(sorted(merge_segments(entries), key=lambda span: span.begin))
        missing = find_missing(
            _recorded_intervals(entries, now),
            [entry.name for entry in entries],
            notes,
            begin or oldest,
            now if end is None else min(now, end),
            _MAX_SEGMENT_MS,
        )
        return SpanContents(recorded=recorded, missing=missing)

    def read_closed(self, camera: str, begin: datetime, end: datetime) -> tuple[RecordedSpan, ...]:
        """Return the footage of a span in closed segments. Raises: CommandRejected if the disk fails."""
        try:
            entries = catalogue.find_segments(
                self._footage_dir, self._custody.folder, [camera], begin, end
            )
        except OSError as error:
            raise CommandRejected("failed", f"the footage cannot be read: {error}") from error
        return tuple(merge_segments([entry for entry in entries if entry.closed is not None]))

    def record_view(
        self,
        camera: str,
        begin: datetime,
        end: datetime,
        by: str,
        purpose: str = "the footage was listed",
    ) -> None:
        """Write the receipt of a list or a draw before it is sent. Raises: CommandRejected if that fails."""
        receipt = FootageViewed(
            camera=camera,
            begin_time=rfc3339(begin),
            end_time=rfc3339(end),
            by=by,
            purpose=purpose,
        )
        try:
            self._custody.append(receipt, self._clock.boottime_ns())
        except OSError as error:
            raise CommandRejected(
                "failed", f"nothing is given without its receipt, which cannot be written: {error}"
            ) from error


def _recorded_intervals(entries: Sequence[FootageEntry], now: datetime) -> Iterator[Interval]:
    """Yield the span of each segment; one without a receipt lasted until the next one, at the longest."""
    for entry, next_entry in zip_longest(entries, entries[1:]):
        end = now
        if entry.end is not None:
            end = entry.end
        elif not entry.is_being_written:
            next_name = None if next_entry is None else next_entry.name
            length_ms = max_length_ms(entry.name, next_name, _MAX_SEGMENT_MS)
            end = entry.begin + timedelta(milliseconds=length_ms)
        yield entry.begin, max(entry.begin, end)


def to_utc(time: datetime, argument: str) -> datetime:
    """Return a time of a command in UTC. Raises: CommandRejected if it is out of range."""
    if not MIN_YEAR < time.year < MAX_YEAR:
        raise CommandRejected(
            "malformed",
            f"{argument} = {time.isoformat()}: allowed: a year after {MIN_YEAR} and before {MAX_YEAR}",
        )
    return time.astimezone(UTC)


def check_order(begin: datetime | None, end: datetime | None) -> None:
    """Raise CommandRejected if the span has no length."""
    if begin is not None and end is not None and end <= begin:
        raise CommandRejected(
            "malformed", f"end = {rfc3339(end)}: allowed: after begin = {rfc3339(begin)}"
        )
