"""The contract's page, its machine-readable twin and the code say the same."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from agent.app import selftest_command
from agent.capture import snapshot_command
from agent.commands.command import build_command_struct
from agent.gpio import gpio_command
from agent.ptz import ptz_command
from agent.reporting import topics
from agent.reporting.payloads import Ack, CentreState, Message, SnapshotHeader

VERBS: tuple[Any, ...] = (gpio_command, ptz_command, selftest_command, snapshot_command)
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "wire-contract.md").read_text(encoding="utf-8")
DOCUMENT = json.loads((ROOT / "docs" / "asyncapi.json").read_text(encoding="utf-8"))
EXAMPLES = re.findall(r"^```json (\w+)\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_document_is_what_the_structs_give() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "asyncapi.py"))
    assert json.loads(script["render"]()) == DOCUMENT, "run `make docs`"


def test_every_reference_of_the_document_leads_somewhere() -> None:
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


def test_every_channel_has_an_example_on_the_page() -> None:
    assert {name for name, _ in EXAMPLES} == set(DOCUMENT["channels"])


@pytest.mark.parametrize(("name", "text"), EXAMPLES)
def test_an_example_is_valid_by_its_schema(name: str, text: str) -> None:
    message = DOCUMENT["components"]["messages"][name]
    schema = message["headers"] if name == "snapshot" else message["payload"]
    jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(
        json.loads(text)
    )


@pytest.mark.parametrize(("name", "text"), EXAMPLES)
def test_an_example_is_read_and_written_back_as_it_was(name: str, text: str) -> None:
    kinds: dict[str, Any] = {"ack": Ack, "centreState": CentreState, "snapshot": SnapshotHeader}
    kinds |= {
        f"command{verb.VERB.title()}": build_command_struct(verb.VERB, verb.Args) for verb in VERBS
    }
    decoded = msgspec.json.decode(text, type=kinds.get(name, Message))
    assert msgspec.json.encode(decoded).decode() == text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"v": 2}, "v"),
        ({"seq": 0}, "seq"),
        ({"time": "yesterday"}, "time"),
        ({"clock": {"synced": "yes"}}, "synced"),
    ],
)
def test_what_the_schema_refuses_the_reader_refuses_too(change: dict[str, Any], said: str) -> None:
    text = next(text for name, text in EXAMPLES if name == "event")
    broken = {**json.loads(text), **change}
    schema = DOCUMENT["components"]["messages"]["event"]["payload"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(
            broken
        )
    with pytest.raises(ValueError, match=said):
        topics.decode(
            topics.UpTopic(box="pole-17", kind="event", sublevels=()),
            json.dumps(broken).encode(),
            {},
        )


def test_the_page_names_every_topic() -> None:
    for channel in DOCUMENT["channels"].values():
        tail = channel["address"].removeprefix("vigie/v1/{box}/").replace("{", "<")
        assert f"`{tail.replace('}', '>')}`" in PAGE
