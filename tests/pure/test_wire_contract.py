"""docs/wire-contract.md, docs/asyncapi.json and the code agree."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from msgspec import inspect

from agent.authority.signed_message import JwsMessage
from agent.commands.command import build_command_struct
from agent.config.desired_config import PlainDesiredConfig
from agent.incident.order import UnsignedIncidentOrder
from agent.reporting import topics
from agent.reporting.centre_payloads import Ack, CentreState
from agent.reporting.payloads import Message, SnapshotHeader
from scripts import asyncapi, contract_page
from scripts.command_types import find_command_types, insert_declarations

ROOT = Path(__file__).parents[2]
COMMAND_TYPES = find_command_types()
PAGE = (ROOT / "docs" / "wire-contract.md").read_text(encoding="utf-8")
COMMANDS_PAGE = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
DOCUMENT = json.loads((ROOT / "docs" / "asyncapi.json").read_text(encoding="utf-8"))
EXAMPLES = re.findall(r"^```json (?!claims)(\w+)\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
"""Of messages. What is signed is in another file, see test_signed_examples."""


def test_the_document_equals_the_generated_one() -> None:
    assert json.loads(asyncapi.render()) == DOCUMENT, "run `make docs`"


def test_every_reference_of_the_document_resolves() -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if "$ref" in node else []
            return own + [ref for value in node.values() for ref in references(value)]
        if isinstance(node, list):
            return [ref for value in node for ref in references(value)]
        return []

    found = references(DOCUMENT)
    assert found
    for reference in found:
        node = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


COMMANDS = {f"command{command.verb.title()}" for command in COMMAND_TYPES}
"""The channels of commands. docs/commands.md has an example of each verb, see test_examples."""
REPLY_CHANNELS = {"replyBelow", "replyTo"}
"""Other topics of the message on the channel `reply`."""


def test_every_channel_has_an_example_on_the_page() -> None:
    shown = {name for name, _ in EXAMPLES}
    assert shown <= set(DOCUMENT["channels"])
    assert shown | COMMANDS | REPLY_CHANNELS == set(DOCUMENT["channels"])
    assert shown & COMMANDS


@pytest.mark.parametrize(("name", "text"), EXAMPLES)
def test_an_example_is_valid_against_its_schema(name: str, text: str) -> None:
    message = DOCUMENT["components"]["messages"][name]
    is_picture = message["contentType"] == "image/jpeg"
    schema = message["headers"] if is_picture else message["payload"]
    jsonschema.Draft7Validator({**schema, "components": DOCUMENT["components"]}).validate(
        json.loads(text)
    )


def without_unknown(written: Any, example: Any) -> Any:
    """Drop fields that the example leaves out and that are unknown: a new field may be left out."""
    if isinstance(written, dict) and isinstance(example, dict):
        return {
            key: without_unknown(value, example.get(key))
            for key, value in written.items()
            if key in example or value is not None
        }
    if isinstance(written, list) and isinstance(example, list):
        return [without_unknown(*pair) for pair in zip(written, example, strict=True)]
    return written


@pytest.mark.parametrize(("name", "text"), EXAMPLES)
def test_an_example_is_read_and_written_back_as_it_was(name: str, text: str) -> None:
    kinds: dict[str, Any] = {
        "ack": Ack,
        "centreState": CentreState,
        "incident": UnsignedIncidentOrder,
        "incidentSnapshot": SnapshotHeader,
        "revocations": JwsMessage,
        "desiredConfig": PlainDesiredConfig,
        "snapshot": SnapshotHeader,
        "live": SnapshotHeader,
    }
    kinds |= {
        f"command{command.verb.title()}": build_command_struct(command.verb, command.args)
        for command in COMMAND_TYPES
    }
    decoded = msgspec.json.decode(text, type=kinds.get(name, Message))
    written = json.loads(msgspec.json.encode(decoded))
    assert without_unknown(written, json.loads(text)) == json.loads(text)


@pytest.mark.parametrize(
    ("change", "expected_message"),
    [
        ({"v": 2}, "v"),
        ({"seq": 0}, "seq"),
        ({"time": "yesterday"}, "time"),
        ({"clock": {"synced": "yes"}}, "synced"),
    ],
)
def test_the_decoder_refuses_every_value_that_the_schema_refuses(
    change: dict[str, Any], expected_message: str
) -> None:
    text = next(text for name, text in EXAMPLES if name == "event")
    broken = {**json.loads(text), **change}
    schema = DOCUMENT["components"]["messages"]["event"]["payload"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator({**schema, "components": DOCUMENT["components"]}).validate(
            broken
        )
    with pytest.raises(ValueError, match=expected_message):
        topics.decode(
            topics.UpTopic(box="pole-17", kind="event", sublevels=()),
            json.dumps(broken).encode(),
            {},
        )


def test_each_integer_of_a_box_fits_64_bits() -> None:
    """A centre stores, encodes and divides them: a larger one raises OverflowError there."""
    unbounded: list[str] = []
    seen: set[type] = set()

    def visit(node: Any, path: str) -> None:
        if isinstance(node, inspect.IntType):
            if node.ge is None or node.le is None:
                unbounded.append(path)
        elif isinstance(node, inspect.StructType):
            if node.cls not in seen:
                seen.add(node.cls)
                for field in node.fields:
                    visit(field.type, f"{node.cls.__name__}.{field.name}")
        elif isinstance(node, inspect.Type):
            for name in node.__struct_fields__:
                inner = getattr(node, name)
                for each in inner if isinstance(inner, tuple) else (inner,):
                    visit(each, path)

    visit(inspect.type_info(Message), "")
    assert unbounded == []


@pytest.mark.parametrize("number", [-1, 2**53 + 1, 2**63, 10**20])
@pytest.mark.parametrize("field", ["acked_upto", "acked_upto_by_centre"])
def test_the_floor_of_a_birth_has_the_bounds_of_a_number(field: str, number: int) -> None:
    birth = json.loads(next(text for name, text in EXAMPLES if name == "status"))
    birth["data"][field] = {"city": number} if field.endswith("centre") else number
    with pytest.raises(ValueError, match=field):
        topics.decode(
            topics.UpTopic(box=birth["box"], kind="status", sublevels=()),
            json.dumps(birth).encode(),
            {},
        )


@pytest.mark.parametrize("size_bytes", [2**63, 10**20])
def test_a_size_of_a_picture_fits_64_bits(size_bytes: int) -> None:
    header = next(json.loads(text) for name, text in EXAMPLES if name == "snapshot")
    header["data"]["size_bytes"] = size_bytes
    properties = {
        name: json.dumps(value) if name in ("v", "seq", "clock", "data") else value
        for name, value in header.items()
    }
    with pytest.raises(ValueError, match="size_bytes"):
        topics.decode(
            topics.UpTopic(box=header["box"], kind="snapshot", sublevels=("north",)),
            b"",
            properties,
        )


def test_the_page_names_every_topic() -> None:
    for name, channel in DOCUMENT["channels"].items():
        if name in COMMANDS | REPLY_CHANNELS:
            continue
        tail = channel["address"].removeprefix("vigie/v1/{box}/").replace("{", "<")
        assert f"`{tail.replace('}', '>')}`" in PAGE


def test_the_table_and_the_examples_of_commands_are_those_of_the_declarations() -> None:
    assert insert_declarations(COMMANDS_PAGE) == COMMANDS_PAGE, "run `make docs`"
    assert {"ptz", "clip"} < {command.verb for command in COMMAND_TYPES}


def test_an_incident_has_a_signed_form_as_a_command_has() -> None:
    channel = DOCUMENT["channels"]["incident"]
    assert set(channel["messages"]) == {"incident", "incidentSigned"}
    message = DOCUMENT["components"]["messages"]["incidentSigned"]
    assert message["x-claims"] == {"$ref": "#/components/schemas/IncidentOrder"}


def test_no_schema_has_what_asyncapi_understands_otherwise() -> None:
    def keys(node: Any) -> set[str]:
        if isinstance(node, dict):
            return set(node) | {key for value in node.values() for key in keys(value)}
        return {key for item in node for key in keys(item)} if isinstance(node, list) else set()

    assert not keys(DOCUMENT["components"]["schemas"]) & {"discriminator", "prefixItems", "$defs"}


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("ack", {"epoch": "e", "upto": 1, "also": [[3]]}),
        ("ack", {"epoch": "e", "upto": 1, "also": [[0, 1]]}),
        ("centreState", {"state": "gone"}),
    ],
)
def test_a_wrong_document_is_refused_by_its_schema(name: str, broken: dict[str, Any]) -> None:
    schema = DOCUMENT["components"]["messages"][name]["payload"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator({**schema, "components": DOCUMENT["components"]}).validate(
            broken
        )


def test_each_alternative_of_a_message_is_told_apart_by_its_own_word() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    alternatives = schemas["StatusMessage"]["properties"]["data"]["oneOf"]
    words = [
        schemas[each["$ref"].rpartition("/")[2]]["properties"]["state"]["enum"]
        for each in alternatives
    ]
    assert words == [["online"], ["lost"], ["stopped"]]


def test_the_reference_page_equals_the_generated_one() -> None:
    page = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    assert contract_page.render() == page, "run `make docs`"


def test_each_link_of_the_reference_page_leads_to_one_title() -> None:
    page = contract_page.render()
    titles = [
        title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    ]
    assert len(titles) == len(set(titles))
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= set(titles)
