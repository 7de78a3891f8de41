"""centre.fleet.hour_counts: the counts of the newest hour, each minute once, bounded whatever a box sends."""

import msgspec
import pytest

from agent.base.count_proof import UnvalidatedCounts, ValidatedCounts, count_validation
from agent.base.model import FlowCounts, LineCounts, SpeedCounts
from agent.reporting.payloads import TrafficCountsMessage
from centre.counts_text import describe_validation
from centre.fleet.hour_counts import MAX_COUNT, MAX_ROWS, HourCounts
from tests.count_proofs import count_proof, light_proof
from tests.fleet_messages import minute

LATER = "2026-11-03T08:00:00.000Z"


def hour_of(*messages: TrafficCountsMessage) -> HourCounts:
    counts = HourCounts()
    for message in messages:
        counts = counts.add(message)
    return counts


def cars(*messages: TrafficCountsMessage) -> int:
    return hour_of(*messages).rows[1].counts["car"]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ((minute(1), minute(2)), 20),
        ((minute(1), minute(2), minute(1), minute(2)), 20),
        ((minute(1), minute(2, LATER)), 10),
        # A repeat of the hour before does not end the hour that runs.
        ((minute(1), minute(2, LATER), minute(1), minute(3, LATER)), 20),
        # The clock was a year ahead, and was set.
        ((minute(1, "2027-11-03T07:40:00.000Z"), minute(2), minute(3)), 20),
        ((minute(7), minute(1, epoch="new")), 20),
    ],
)
def test_each_minute_of_the_newest_hour_counts_once(
    messages: tuple[TrafficCountsMessage, ...], expected: int
) -> None:
    assert cars(*messages) == expected


def test_the_hour_begins_at_its_full_hour() -> None:
    assert hour_of(minute(1)).begin == "07:00"


def test_a_turning_flow_has_a_row_without_speeds() -> None:
    flow = FlowCounts(name="left", origin="a", destination="b", counts={"car": 2})
    first = hour_of(minute(1, flows=(flow,)), minute(2, flows=(flow,))).rows[0]
    assert (first.name, first.counts, first.speeds) == ("flow 'left'", {"car": 4}, None)


def test_v85_is_that_of_the_hour_and_not_of_the_minute() -> None:
    hour = hour_of(*(minute(seq, bands={"car": {40: 10}}) for seq in range(1, 6)))
    speeds = hour.rows[1].speeds
    assert speeds is not None
    assert speeds.bands == {"car": {40: 50}}
    assert speeds.v85_km_h is not None
    assert hour_of(minute(1)).rows[1].speeds is None


def test_an_hour_has_the_largest_measured_error_and_the_minutes_that_are_not_validated() -> None:
    proofs = [count_proof(light_proof(f1=low, f1_low=low)) for low in (0.9, 0.8, 0.85)]
    validations = [count_validation(proof, None, "day") for proof in proofs]
    validations.append(count_validation(proofs[0], None, "night"))
    messages = [
        with_fields(minute(seq), validation=one) for seq, one in enumerate(validations, start=1)
    ]
    row = hour_of(*messages, minute(9)).rows[0]
    assert row.validated is not None
    assert (row.validated.f1_low, row.validated.clips) == (0.8, 7)
    assert row.unvalidated == UnvalidatedCounts(light="night", reason="light")
    assert (row.unvalidated_minutes, row.minutes) == (2, 5)


def test_a_turning_flow_is_not_validated() -> None:
    flow = FlowCounts(name="left", origin="a", destination="b", counts={"car": 2})
    proved = count_validation(count_proof(), None, "day")
    first = hour_of(with_fields(minute(1, flows=(flow,)), validation=proved)).rows[0]
    assert (first.name, first.validated, first.unvalidated_minutes) == ("flow 'left'", None, 1)


def with_fields(message: TrafficCountsMessage, **fields: object) -> TrafficCountsMessage:
    data = msgspec.structs.replace(message.data, **fields)
    return msgspec.structs.replace(message, data=data)


def test_a_hostile_minute_is_bounded() -> None:
    huge = 10**300
    speeds = SpeedCounts(v85_km_h=1e300, bands={"car": {0: -huge, 30: huge, 31: 5, huge: 1}})
    lines = tuple(
        LineCounts(
            name=f"{index}" * 1000, counts={"x": {"car": huge, "bus": -1}}, speeds={"x": speeds}
        )
        for index in range(MAX_ROWS + 5)
    )
    proved = count_validation(count_proof(), None, "day")
    assert isinstance(proved, ValidatedCounts)
    proved = msgspec.structs.replace(
        proved, f1=1e300, f1_low=-1e300, f1_high=1e300, clips=huge, by="x" * 1_000_000
    )
    message = with_fields(minute(1), lines=lines, validation=proved)
    rows = hour_of(message, minute(2)).rows
    assert len(rows) == MAX_ROWS
    assert len(rows[0].name) <= 201
    assert rows[0].counts == {"car": MAX_COUNT}
    assert rows[0].validated is not None
    assert len(describe_validation(rows[0].validated)) < 100
    assert rows[0].validated.by == ""
    assert rows[0].speeds is not None
    assert rows[0].speeds.bands == {"car": {30: MAX_COUNT}}
