"""agent.reporting.topics and payloads, as values."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.clock import ClockTrust
from agent.base.model import BoundingBox, Event, FlowCounts, LineCounts, TrafficCounts
from agent.base.sha256 import sha256_hex
from agent.reporting import centre_payloads, centre_topics, outgoing_messages, payloads, topics
from agent.reporting.centre_payloads import MAX_ALSO_RANGES

CLOCK = ClockTrust(synced=True, source="ntp", error_s=0.012)
STAMP = topics.EnvelopeFields(
    id="0193a8e0-7d3c-7000-8000-000000000001",
    box="pole-17",
    epoch="5a0c6f7e-7f1f-4c0f-9d0b-2f3a4b5c6d7e",
    seq=42,
    boot="c0ffee00-0000-4000-8000-000000000000",
    time="2026-11-03T07:41:05.250Z",
    clock=CLOCK,
)
BEGIN = datetime(2026, 11, 3, 7, 41, 5, 250_000, tzinfo=UTC)
CROSSING = Event(
    event="0193a8e0-7d3c-7000-8000-000000000002",
    rev=1,
    kind="line",
    phase="moment",
    camera="north",
    t_ns=5_000_000_000,
    begin_ns=5_000_000_000,
    name="stop line",
    label="car",
    track=7,
    score=0.81,
    box=BoundingBox(0.1, 0.2, 0.3, 0.4),
    direction="towards centre",
    position=0.4,
)


@pytest.mark.parametrize(
    ("topic", "parts"),
    [
        ("vigie/v1/pole-17/up/status", ("pole-17", "status", ())),
        ("vigie/v1/pole-17/up/event/north/line", ("pole-17", "event", ("north", "line"))),
        ("vigie/v1/pole-17/down/ack/city", None),
        ("vigie/v1/centre/city/state", None),
        ("vigie/v1/up/status", None),
        ("vigie/v1//up/status", None),
        ("vigie/v2/pole-17/up/status", None),
        ("pole-17/up/status", None),
        ("", None),
    ],
)
def test_a_boxs_topic_is_parsed(topic: str, parts: tuple[str, str, tuple[str, ...]] | None) -> None:
    got = topics.parse_up_topic(topic)
    assert (got and (got.box, got.kind, got.sublevels)) == parts


def test_an_event_line_contains_every_field_even_null_ones() -> None:
    bare = Event(
        event="e", rev=1, kind="view_dark", phase="begin", camera="north", t_ns=1, begin_ns=1
    )
    got = msgspec.json.decode(outgoing_messages.encode_event(bare, STAMP, begin=BEGIN))
    assert {"v", "id", "box", "epoch", "seq", "boot", "time", "clock", "type", "data"} == set(got)
    wanted = [
        "event",
        "rev",
        "kind",
        "phase",
        "camera",
        "name",
        "label",
        "track",
        "score",
        "box",
        "direction",
    ]
    assert set(wanted) <= set(got["data"])
    assert "t_s" not in got["data"]


def test_a_replay_adds_the_clips_time() -> None:
    got = msgspec.json.decode(outgoing_messages.encode_event(CROSSING, STAMP, begin=BEGIN, t_s=1.5))
    assert got["data"]["t_s"] == 1.5
    assert got["data"]["box"] == [0.1, 0.2, 0.3, 0.4]


def test_an_event_message_reads_back_as_it_was() -> None:
    payload = outgoing_messages.encode_event(CROSSING, STAMP, begin=BEGIN, thumbnail="ab" * 32)
    topic = topics.parse_up_topic(topics.up_topic("pole-17", "event/north/line"))
    assert topic is not None
    message = topics.decode(topic, payload, {})
    assert isinstance(message, payloads.EventMessage)
    assert message.seq == 42
    assert message.data.begin_time == "2026-11-03T07:41:05.250Z"
    assert message.data.thumbnail == "ab" * 32


def test_a_stored_draft_encodes_to_the_same_bytes_as_a_direct_message() -> None:
    draft = outgoing_messages.build_event_message(
        outgoing_messages.build_event_data(CROSSING, begin=BEGIN)
    )
    assert topics.encode(draft.type, STAMP, draft.data) == outgoing_messages.encode_event(
        CROSSING, STAMP, begin=BEGIN
    )


@pytest.mark.parametrize(
    ("is_emergency", "priority"),
    [(False, outgoing_messages.Priority.EVENT), (True, outgoing_messages.Priority.EMERGENCY)],
)
def test_the_topic_of_an_event_has_its_kind(
    is_emergency: bool, priority: outgoing_messages.Priority
) -> None:
    data = outgoing_messages.build_event_data(CROSSING, begin=BEGIN)
    draft = outgoing_messages.build_event_message(data, is_emergency=is_emergency)
    assert (draft.priority, draft.topic) == (priority, "event/north/line")


def test_a_minute_of_traffic_counts_has_utc_times() -> None:
    flow = TrafficCounts(
        camera="north",
        begin_ns=0,
        end_ns=60_000_000_000,
        observed_s=60.0,
        trusted=True,
        untrusted_reasons=(),
        lines=(LineCounts(name="stop line", counts={"in": {"car": 3}}),),
        zones=(),
        flows=(FlowCounts(name="n-e", origin="north", destination="east", counts={"bus": 2}),),
    )
    draft = outgoing_messages.build_traffic_counts_message(
        flow, begin=BEGIN, end=BEGIN + timedelta(minutes=1)
    )
    data = msgspec.json.decode(draft.data, type=payloads.TrafficCountsData)
    assert (data.begin_time, data.end_time) == (
        "2026-11-03T07:41:05.250Z",
        "2026-11-03T07:42:05.250Z",
    )
    assert data.lines[0].counts == {"in": {"car": 3}}
    assert json.loads(draft.data)["flows"] == [
        {"name": "n-e", "from": "north", "to": "east", "counts": {"bus": 2}}
    ]


def test_a_pictures_envelope_travels_in_user_properties() -> None:
    draft = outgoing_messages.build_snapshot_message("north", b"\xff\xd8jpeg", 5, event_id="e1")
    assert draft.header is not None
    properties = dict(topics.snapshot_user_properties(STAMP, draft.header))
    topic = topics.parse_up_topic("vigie/v1/pole-17/up/snapshot/north")
    assert topic is not None
    message = topics.decode(topic, draft.data, properties)
    assert isinstance(message, payloads.SnapshotHeader)
    assert (message.seq, message.clock, message.data.event) == (42, CLOCK, "e1")
    assert message.data.sha256 == sha256_hex(draft.data)


def test_a_live_picture_has_no_number_and_replaces_one_that_waits() -> None:
    draft = outgoing_messages.build_live_message("north", bytes(60_000), 5)
    assert (draft.topic, draft.newest_only) == ("live/north", True)
    assert draft.expiry_s == outgoing_messages.LIVE_EXPIRY_S
    assert draft.header is not None
    unstored = msgspec.structs.replace(STAMP, seq=None)
    properties = dict(topics.snapshot_user_properties(unstored, draft.header))
    topic = topics.parse_up_topic("vigie/v1/pole-17/up/live/north")
    assert topic is not None
    message = topics.decode(topic, draft.data, properties)
    assert isinstance(message, payloads.SnapshotHeader)
    assert (message.seq, message.data.size_bytes) == (None, 60_000)
    envelope = topics.decode_envelope(topic, draft.data, properties)
    assert envelope is not None
    assert envelope.seq is None


def test_a_picture_that_would_delay_emergencies_is_refused() -> None:
    with pytest.raises(ValueError, match="20001 bytes; allowed: at most 20000"):
        outgoing_messages.build_snapshot_message("north", bytes(20_001), 5, event_id=None)


@pytest.mark.parametrize(
    ("payload", "expected_message"),
    [
        (b"", "not a message"),
        (b"{", "not a message"),
        (b"\xff\xfe", "not a message"),
        (b'{"type":"event"}', "missing required field"),
        (b'{"type":"poem"}', "poem"),
        (b"[]", "not a message"),
    ],
)
def test_an_invalid_message_gives_a_one_line_error(payload: bytes, expected_message: str) -> None:
    with pytest.raises(ValueError, match=expected_message) as caught:
        topics.decode(topics.UpTopic(box="b", kind="event", sublevels=()), payload, {})
    assert "\n" not in str(caught.value)


def test_a_box_cannot_publish_for_another() -> None:
    payload = outgoing_messages.encode_event(CROSSING, STAMP, begin=BEGIN)
    with pytest.raises(ValueError, match="'pole-17' in a message on the topic of 'pole-18'"):
        topics.decode(topics.UpTopic(box="pole-18", kind="event", sublevels=()), payload, {})


@given(
    st.integers(0, 2**53),
    st.lists(st.tuples(st.integers(1, 2**53), st.integers(1, 2**53)), max_size=5),
)
def test_an_acknowledgement_reads_back(upto: int, ranges: list[tuple[int, int]]) -> None:
    also = tuple(payloads.SeqRange(first, last) for first, last in ranges)
    ack = centre_payloads.Ack(epoch="e", upto=upto, also=also)
    assert topics.decode_as(centre_payloads.Ack, msgspec.json.encode(ack)) == ack


@given(st.binary(max_size=60))
def test_no_bytes_crash_the_decoders(payload: bytes) -> None:
    topics.decode_as(centre_payloads.Ack, payload)
    topics.decode_as(centre_payloads.CentreState, payload)
    for what in ("event", "snapshot"):
        with pytest.raises(ValueError, match="not a message"):
            topics.decode(topics.UpTopic(box="b", kind=what, sublevels=()), payload, {})


def test_unknown_fields_of_a_newer_centre_are_accepted() -> None:
    assert topics.decode_as(
        centre_payloads.Ack, b'{"epoch":"e","upto":3,"new":1}'
    ) == centre_payloads.Ack(epoch="e", upto=3)


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("vigie/v1/centre/city/state", "city"),
        ("vigie/v1/centre/state", None),
        ("vigie/v1/centre//state", None),
        ("vigie/v1/centre/City/state", None),
        ("vigie/v1/centre/a/b/state", None),
        ("vigie/v1/centre/+/state", None),
        (f"vigie/v1/centre/{'x' * 64}/state", None),
        ("vigie/v2/centre/city/state", None),
        ("vigie/v1/pole-17/down/ack/city", None),
    ],
)
def test_a_centres_state_has_its_name_in_the_topic(topic: str, expected: str | None) -> None:
    assert centre_topics.parse_centre_state_topic(topic) == expected


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("vigie/v1/pole-17/down/ack/city", "city"),
        ("vigie/v1/pole-17/down/ack", None),
        ("vigie/v1/pole-17/down/ack/", None),
        ("vigie/v1/pole-17/down/ack/a b", None),
        ("vigie/v1/pole-17/down/ack/city/x", None),
        ("vigie/v1/pole-18/down/ack/city", None),
        ("vigie/v1/centre/city/state", None),
    ],
)
def test_an_acknowledgement_has_its_centre_in_the_topic(topic: str, expected: str | None) -> None:
    assert centre_topics.parse_ack_topic("pole-17", topic) == expected


def test_an_acknowledgement_of_too_many_ranges_is_refused_before_it_is_used() -> None:
    also = tuple(payloads.SeqRange(n, n) for n in range(1, 2 * MAX_ALSO_RANGES + 3, 2))
    ack = centre_payloads.Ack(epoch="e", upto=0, also=also)
    assert topics.decode_as(centre_payloads.Ack, msgspec.json.encode(ack)) is None
