"""centre.fleet.hour_counts: the counts of the newest hour, each minute once, bounded whatever a box sends."""

import msgspec
import pytest

from agent.base.model import FlowCounts, LineCounts, SpeedCounts
from agent.reporting.payloads import TrafficCountsMessage
from centre.fleet.hour_counts import MAX_COUNT, MAX_ROWS, HourCounts
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


def test_a_hostile_minute_is_bounded() -> None:
    huge = 10**300
    speeds = SpeedCounts(v85_km_h=1e300, bands={"car": {0: -huge, 30: huge, 31: 5, huge: 1}})
    lines = tuple(
        LineCounts(
            name=f"{index}" * 1000, counts={"x": {"car": huge, "bus": -1}}, speeds={"x": speeds}
        )
        for index in range(MAX_ROWS + 5)
    )
    message = minute(1)
    message = msgspec.structs.replace(
        message, data=msgspec.structs.replace(message.data, lines=lines)
    )
    rows = hour_of(message, minute(2)).rows
    assert len(rows) == MAX_ROWS
    assert len(rows[0].name) <= 201
    assert rows[0].counts == {"car": MAX_COUNT}
    assert rows[0].speeds is not None
    assert rows[0].speeds.bands == {"car": {30: MAX_COUNT}}
