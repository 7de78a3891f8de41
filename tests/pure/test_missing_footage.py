"""agent.recording.missing_footage and silence_gaps: what is missing, and why."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.recording.chain_notes import Absence, AbsenceReason, ChainNotes, EvictedSegment
from agent.recording.missing_footage import MIN_MISSING, MissingSpan, find_missing
from agent.recording.segment_name import SegmentName
from agent.recording.silence_gaps import (
    CAMERA_LOST_REASON,
    FIRST_PART_S,
    MASKED_REASON,
    SilenceGap,
    SilenceGaps,
)

START = datetime(2026, 11, 25, tzinfo=UTC)
NO_NOTES = ChainNotes()
NS = 1_000_000_000


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def name(counter: int, begin_s: float) -> SegmentName:
    return SegmentName(
        counter=counter, boot="0000000a", begin_ms=int(begin_s * 1000), utc=at(begin_s), synced=True
    )


def absence(begin_s: float, end_s: float, reason: AbsenceReason = "camera_lost") -> Absence:
    return Absence(begin=at(begin_s), end=at(end_s), reason=reason, detail="why")


def missing(
    *recorded: tuple[float, float], notes: ChainNotes = NO_NOTES, until_s: float = 100
) -> list[tuple[float, float, str]]:
    spans = find_missing(
        [(at(begin), at(end)) for begin, end in recorded],
        [name(50, 50)],
        notes,
        START,
        at(until_s),
        10_000,
    )
    return [
        ((span.begin - START).total_seconds(), (span.end - START).total_seconds(), span.reason)
        for span in spans
    ]


def test_a_span_that_is_recorded_has_nothing_missing_and_two_seconds_are_none() -> None:
    assert missing((0, 100)) == []
    assert missing((0, 40), (41.9, 100)) == []


def test_what_no_receipt_explains_is_unknown() -> None:
    assert missing((0, 40), (60, 90)) == [(40, 60, "unknown"), (90, 100, "unknown")]


def test_a_receipt_explains_its_own_span_and_the_rest_stays_unknown() -> None:
    notes = ChainNotes(absences=(absence(45, 55), absence(70, 80, "masked")))
    assert missing((0, 40), (60, 100), notes=notes) == [
        (40, 45, "unknown"),
        (45, 55, "camera_lost"),
        (55, 60, "unknown"),
    ]


def test_an_evicted_segment_lasted_until_the_next_one_of_its_boot() -> None:
    evicted = tuple(
        EvictedSegment(name=name(counter, begin_s), reason="age")
        for counter, begin_s in ((48, 30), (49, 39.5))
    )
    # The one after it, on the disk, begins at 50 s; half a second more is no span of its own.
    assert missing((0, 30), (50, 100), notes=ChainNotes(evicted=evicted)) == [(30, 50, "evicted")]


def test_an_eviction_counts_before_a_gap_and_a_gap_before_a_stopped_agent() -> None:
    notes = ChainNotes(
        absences=(absence(30, 60, "agent_stopped"), absence(35, 45, "not_recorded")),
        evicted=(EvictedSegment(name=name(49, 40), reason="bytes"),),
    )
    assert missing((0, 30), (60, 100), notes=notes) == [
        (30, 35, "agent_stopped"),
        (35, 40, "not_recorded"),
        (40, 50, "evicted"),
        (50, 60, "agent_stopped"),
    ]


seconds = st.integers(0, 200)
intervals = st.tuples(seconds, seconds).map(sorted)


@given(st.lists(intervals, max_size=6), st.lists(intervals, max_size=6))
def test_recorded_and_missing_spans_together_are_the_whole_span_and_none_overlap(
    recorded: list[list[int]], gaps: list[list[int]]
) -> None:
    notes = ChainNotes(absences=tuple(absence(*gap) for gap in gaps if gap[0] < gap[1]))
    covered = [(at(begin), at(end)) for begin, end in recorded if begin < end]
    spans = find_missing(covered, [], notes, START, at(200), 10_000)
    for earlier, later in pairwise(spans):
        assert earlier.end <= later.begin
    for second in range(200):
        moment = at(second + 0.5)
        is_recorded = any(begin <= moment < end for begin, end in covered)
        is_missing = any(span.begin <= moment < span.end for span in spans)
        assert not (is_recorded and is_missing)
        assert is_recorded or is_missing or _is_short(covered, moment)


def _is_short(covered: list[tuple[datetime, datetime]], moment: datetime) -> bool:
    """A hole of less than MIN_MISSING around a moment."""
    begin = max((end for _, end in covered if end <= moment), default=START)
    end = min((begin for begin, _ in covered if begin > moment), default=at(200))
    return end - begin < MIN_MISSING


def test_neighbours_of_one_reason_are_one_span() -> None:
    notes = ChainNotes(absences=(absence(40, 50), absence(50, 60)))
    assert missing((0, 40), (60, 100), notes=notes) == [(40, 60, "camera_lost")]
    assert isinstance(find_missing([], [], notes, START, at(60), 1)[0], MissingSpan)


def test_a_silent_camera_is_a_gap_in_parts_while_it_lasts() -> None:
    gaps = SilenceGaps(since_ns=0)
    assert gaps.step(5 * NS, 4 * NS, is_masked=False) is None
    assert gaps.step(20 * NS, 5 * NS, is_masked=False) is None
    part_ns = int((20 + FIRST_PART_S) * NS)
    assert gaps.step(part_ns, 5 * NS, is_masked=False) == SilenceGap(
        begin_ns=5 * NS, end_ns=part_ns, reason=CAMERA_LOST_REASON
    )
    assert gaps.step(part_ns + NS, 5 * NS, is_masked=False) is None
    back_ns = part_ns + 30 * NS
    assert gaps.step(back_ns + NS, back_ns, is_masked=False) == SilenceGap(
        begin_ns=part_ns, end_ns=back_ns, reason=CAMERA_LOST_REASON
    )
    assert gaps.step(back_ns + 2 * NS, back_ns + NS, is_masked=False) is None


def test_a_camera_that_masks_keep_closed_is_a_gap_of_its_own() -> None:
    gaps = SilenceGaps(since_ns=0)
    assert gaps.step(12 * NS, None, is_masked=True) is None
    changed = gaps.step(30 * NS, None, is_masked=False)
    assert changed == SilenceGap(begin_ns=0, end_ns=30 * NS, reason=MASKED_REASON)
    ended = gaps.step(41 * NS, 40 * NS, is_masked=False)
    assert ended == SilenceGap(begin_ns=30 * NS, end_ns=40 * NS, reason=CAMERA_LOST_REASON)
