"""centre.cloudevents: each message of the contract is a CloudEvent by the rules of its specification."""

import base64
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.reporting.mqtt.packets import ReceivedPublish
from centre.client import decode_received, encode_line
from centre.cloudevents import to_cloud_event

PAGE = (Path(__file__).parents[2] / "docs" / "wire-contract.md").read_text(encoding="utf-8")
EXAMPLES = [
    (name, text)
    for name, text in re.findall(r"^```json (\w+)\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
    if '"epoch":' in text and '"box":' in text
]
PICTURES = {
    "snapshot": "snapshot/north",
    "live": "live/north",
    "incidentSnapshot": "snapshot/north/incident",
}
JPEG = b"\xff\xd8 picture"


def received(name: str, text: str) -> ReceivedPublish:
    """The example as it comes from the broker."""
    fields = msgspec.json.decode(text)
    kinds = {"custodyHead": "receipt", "flow": "flow/north", "event": "event/north/wrong_way"}
    topic = f"vigie/v1/{fields['box']}/up/{(kinds | PICTURES).get(name, name)}"
    if name not in PICTURES:
        return ReceivedPublish(topic=topic, payload=text.encode(), retained=False, properties=())
    properties = tuple(
        (key, value if isinstance(value, str) else msgspec.json.encode(value).decode())
        for key, value in fields.items()
    )
    return ReceivedPublish(topic=topic, payload=JPEG, retained=False, properties=properties)


def convert(name: str, text: str) -> dict[str, Any]:
    item = decode_received(received(name, text), datetime(2026, 11, 3, tzinfo=UTC))
    assert item.problem is None
    event = to_cloud_event(item)
    assert event is not None
    line = encode_line(event)
    assert b"\n" not in line
    decoded: dict[str, Any] = msgspec.json.decode(line)
    return decoded


@pytest.mark.parametrize(("name", "text"), EXAMPLES)
def test_each_message_is_a_cloud_event(name: str, text: str) -> None:
    event = convert(name, text)
    message = msgspec.json.decode(text)
    assert event["specversion"] == "1.0"
    assert (event["id"], event["source"]) == (message["id"], "vigie/v1/pole-17")
    assert event["time"] == message["time"]
    # Section 3.1 of the specification: names, and no attribute that is null.
    for attribute, value in event.items():
        if attribute not in ("data", "data_base64"):
            assert re.fullmatch("[a-z0-9]{1,20}", attribute)
            assert isinstance(value, str | bool)
            assert value != ""
    assert event.get("sequence") == (None if message["seq"] is None else str(message["seq"]))
    if name in PICTURES:
        assert base64.b64decode(event["data_base64"]) == JPEG
        assert event["datacontenttype"] == "image/jpeg"
    else:
        assert event["data"] == message["data"]
        assert event["datacontenttype"] == "application/json"


@pytest.mark.parametrize(
    ("name", "expected_types"),
    [
        ("status", {"vigie.status.online", "vigie.status.lost", "vigie.status.stopped"}),
        ("health", {"vigie.health"}),
        ("event", {"vigie.event.wrong_way"}),
        ("custodyHead", {"vigie.receipt.custody_head"}),
        ("snapshot", {"vigie.snapshot"}),
    ],
)
def test_the_type_names_the_kind(name: str, expected_types: set[str]) -> None:
    types = {convert(each, text)["type"] for each, text in EXAMPLES if each == name}
    assert expected_types <= types


def test_an_event_and_its_picture_share_an_attribute() -> None:
    found = {convert(*each)["event"] for each in EXAMPLES if each[0] in ("event", "snapshot")}
    assert "019a4901-3c62-7d2a-9f0e-000000000001" in found


def test_fields_of_a_newer_box_are_kept() -> None:
    text = next(text for name, text in EXAMPLES if name == "event")
    newer = text.replace('"rev":1', '"rev":1,\n"later":[1]', 1)
    assert convert("event", newer)["data"]["later"] == [1]


def test_a_message_that_is_not_of_the_contract_is_left_out() -> None:
    publish = ReceivedPublish(
        topic="vigie/v1/pole-17/up/event/a/b", payload=b"{}", retained=False, properties=()
    )
    item = decode_received(publish, datetime(2026, 11, 3, tzinfo=UTC))
    assert to_cloud_event(item) is None


def test_the_documentation_names_each_attribute() -> None:
    page = (Path(__file__).parents[2] / "docs" / "centre.md").read_text(encoding="utf-8")
    section = page.split("## Other formats")[1]
    shown = {key for each in EXAMPLES for key in convert(*each)} - {"specversion", "data_base64"}
    for attribute in shown:
        assert f"`{attribute}`" in section
