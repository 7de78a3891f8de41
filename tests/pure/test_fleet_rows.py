"""centre.fleet.rows and wire_text: lines of exactly the table's width, whatever a box sends."""

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from agent.base.count_proof import count_validation
from agent.base.message import MessageData
from agent.reporting.mqtt.packets import ReceivedPublish
from agent.reporting.payloads import Message
from centre.client import decode_received, to_json_line
from centre.fleet.fleet_view import FleetView
from centre.fleet.rows import (
    box_row,
    choose_columns,
    detail_lines,
    format_age,
    format_cell,
    heading_row,
    totals_line,
)
from centre.fleet.wire_text import MAX_MARKS, clean_text
from tests.count_proofs import count_proof
from tests.fleet_messages import NOW, arrival, event, fault, health, minute, status

HOSTILE = [
    "Depot\x1b[2J\r\n\x9b2J\a",
    "[bold]Depot[/bold] :cd:",
    "\u202ereversed\u202c\u200b",
    "e" + "\u0301" * 500,
    "x" * 100_000,
    "交差点" * 100,
    "الرباط، شارع محمد الخامس",
    "👩‍👩‍👧‍👦 🇲🇦",
]

HOSTILE_NUMBERS = [2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64, -(2**64), 10**400, -(10**400)]
FIGURES: dict[str, tuple[Message, str, tuple[str | int, ...]]] = {
    "free for footage": (health(), "health", ("vitals", "footage_free_bytes")),
    "free for the state": (health(), "health", ("vitals", "state_free_bytes")),
    "temperature": (health(), "health", ("vitals", "soc_celsius")),
    "uptime": (health(), "health", ("uptime_s",)),
    "queued": (health(), "health", ("outbox", "depth")),
    "stream rate": (health(), "health", ("cameras", 0, "stream_fps")),
    "since": (health(faults=(fault(),)), "health", ("faults", 0, "since_ns")),
    "session": (status(), "status", ("session",)),
    "acknowledged": (status(), "status", ("acked_upto",)),
    "track": (event(), "event/north/dwell", ("track",)),
    "revision": (event(), "event/north/dwell", ("rev",)),
    "counts": (minute(1), "flow/north", ("lines", 0, "counts", "forward", "car")),
    "begin of a minute": (minute(1), "flow/north", ("begin_ns",)),
}


def with_number(message: Message, path: tuple[str | int, ...], number: int) -> bytes:
    """Encode a message with another number in its data."""
    document = json.loads(msgspec.json.encode(message))
    node: Any = document["data"]
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = number
    return json.dumps(document).encode()


def fleet_with(site: str) -> FleetView:
    fleet = FleetView()
    faults = (fault(subject=site, title=site),)
    for message in (
        status(site=site, faults=faults),
        health(faults=faults),
        event(name=site),
        minute(1, name=site),
    ):
        fleet.update(message, arrival())
    return fleet


@pytest.mark.parametrize("width", [20, 80, 112, 250])
@pytest.mark.parametrize("text", HOSTILE)
def test_a_row_has_the_width_of_the_table_and_obeys_no_text_of_a_box(width: int, text: str) -> None:
    views = fleet_with(text).ranked()
    columns = choose_columns(width, views)
    row = box_row(views[0], columns, NOW)
    assert cell_len(row.plain) == cell_len(heading_row(columns).plain)
    if width >= 80:
        assert cell_len(row.plain) <= width
    printed = "".join([row.plain, *(line.plain for line in detail_lines(views[0]))])
    assert not {char for char in printed if not char.isprintable()} - {"\N{LEFT-TO-RIGHT MARK}"}
    assert len(printed) < 10_000


@pytest.mark.parametrize(
    "number", HOSTILE_NUMBERS, ids=lambda number: f"{number.bit_length()} bits"
)
@pytest.mark.parametrize("name", FIGURES)
def test_a_number_of_a_box_is_shown_or_is_outside_the_contract(name: str, number: int) -> None:
    message, subtopic, path = FIGURES[name]
    payload = with_number(message, path, number)
    topic = f"vigie/v1/pole-17/up/{subtopic}"
    received = ReceivedPublish(topic=topic, payload=payload, retained=True, properties=())
    item = decode_received(received, NOW)
    assert to_json_line(item)
    assert (item.message is None) == (item.problem is not None)
    fleet = FleetView()
    fleet.update(status(), arrival())
    if item.message is not None:
        fleet.update(item.message, arrival())
    views = fleet.ranked()
    printed = [box_row(views[0], choose_columns(250, views), NOW), *detail_lines(views[0])]
    assert all(line.plain.isprintable() for line in printed)


@pytest.mark.parametrize("sentence", ["{", "{x}", "{0}", "{x.y}", "{x:9999999999}"])
def test_a_fault_of_a_box_is_shown_in_its_own_words_and_no_sentence_of_it_is_formatted(
    sentence: str,
) -> None:
    hostile = msgspec.structs.replace(fault(), detail_message=MessageData(sentence, {}))
    fleet = FleetView()
    fleet.update(health(faults=(hostile,)), arrival())
    (view,) = fleet.ranked()
    assert view.health is not None
    assert view.health.cameras[0].words.endswith("no such device")


def test_markup_is_shown_as_it_is() -> None:
    views = fleet_with("[bold]Depot[/bold]").ranked()
    assert "[bold]Depot[/bold]" in box_row(views[0], choose_columns(250, views), NOW).plain


def test_text_from_right_to_left_does_not_take_the_next_cell_with_it() -> None:
    assert format_cell("الرباط", 8).plain == "الرباط  \N{LEFT-TO-RIGHT MARK}"
    assert format_cell("Rabat", 8).plain == "Rabat   "


def test_marks_on_one_letter_are_bounded_and_arabic_keeps_its_own() -> None:
    assert clean_text("e" + "\u0301" * 100) == "e" + "\u0301" * MAX_MARKS
    assert clean_text("محمَّد") == "محمَّد"


@given(st.text(max_size=300), st.integers(min_value=1, max_value=60))
def test_a_cell_has_its_width(text: str, width: int) -> None:
    cell = format_cell(clean_text(text), width)
    assert cell_len(cell.plain) == width


def test_columns_of_numbers_give_way_in_a_narrow_terminal() -> None:
    views = fleet_with("corner").ranked()
    names = [column.heading for column in choose_columns(130, views)]
    assert names == ["box", "state", "since", "site", "health", "queued", "faults", "last event"]
    names = [column.heading for column in choose_columns(112, views)]
    assert names == ["box", "state", "since", "site", "queued", "faults", "last event"]
    names = [column.heading for column in choose_columns(80, views)]
    assert names == ["box", "state", "since", "site", "faults", "last event"]


def test_a_row_has_what_the_box_is_and_reports() -> None:
    views = fleet_with("corner").ranked()
    row = box_row(views[0], choose_columns(200, views), NOW).plain
    for words in (
        "pole-17",
        "online",
        "4 h",
        "corner",
        "15.0 fps 48 °C 12.3 GB",
        "CAM-01",
        "07:44:00 dwell",
    ):
        assert words in row


def test_the_details_say_when_a_box_was_lost_and_when_it_had_connected() -> None:
    fleet = FleetView()
    fleet.update(status("lost"), arrival())
    (view,) = fleet.ranked()
    lines = [line.plain for line in detail_lines(view)]
    assert lines[1] == ("lost since 2026-11-03T11:59:30Z; it had connected at 2026-11-03T07:41:05Z")


def test_the_details_have_the_counts_of_the_hour_with_speeds_and_v85() -> None:
    fleet = FleetView()
    for number in range(5):
        fleet.update(minute(number + 1, bands={"car": {40: 10}, "bus": {30: 1}}), arrival())
    fleet.update(minute(6, trusted=False, bands={}), arrival())
    (view,) = fleet.ranked()
    speeds = "speeds: 55, V85 46 km/h (km/h: 30-40 5, 40-50 50)"
    untrusted = "not to be trusted in 1 of 6 minutes; not validated"
    assert [line.plain for line in detail_lines(view)][-2:] == [
        f"since 07:00 at north, line 'street', backward: 0; {untrusted}",
        f"since 07:00 at north, line 'street', forward: 66 (bus 6, car 60); {speeds}; {untrusted}",
    ]


def test_the_details_name_the_measured_error_of_the_counts() -> None:
    fleet = FleetView()
    for seq in (1, 2, 3):
        message = minute(seq)
        validation = count_validation(count_proof(), None, "night" if seq == 3 else "day")
        data = msgspec.structs.replace(message.data, validation=validation)
        fleet.update(msgspec.structs.replace(message, data=data), arrival())
    (view,) = fleet.ranked()
    line = list(detail_lines(view))[-1].plain
    assert line.endswith(
        "; F1 95.6% (89.6% to 98.2%) by day, 7 clips, 11.4% unverifiable; "
        "not validated (at night: light) in 1 of 3 minutes"
    )


def test_the_totals_name_the_worst_first_and_the_filter() -> None:
    assert totals_line({"lost": 2, "good": 648}, 650, "").plain == "650 boxes: 2 lost, 648 good"
    assert totals_line({"good": 1}, 0, " x\x1b ").plain == "1 box: 1 good; 0 with 'x\\\\x1b'"


@pytest.mark.parametrize(
    ("age_s", "text"),
    [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "1 h"), (86_400 * 3, "3 d")],
)
def test_an_age_is_in_its_largest_unit(age_s: int, text: str) -> None:
    assert format_age(NOW - timedelta(seconds=age_s), NOW) == text
