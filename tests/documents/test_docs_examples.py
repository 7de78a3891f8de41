"""Every JSON example of the documentation is valid by the schema of what it shows."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from agent.base.model import IncidentReport
from agent.recording.encryption.key_wrapping import WrappedKeyFile
from agent.reporting.payloads import ReportedConfig, ReportedContent
from agent.update.feed import Feed
from scripts.command_types import find_command_types

DOCS = Path(__file__).parents[2] / "docs"
CONTRACT = json.loads((DOCS / "asyncapi.json").read_text(encoding="utf-8"))
MESSAGES = CONTRACT["components"]["messages"]
COMMAND_TYPES = find_command_types()
OTHER_DOCUMENTS: dict[str, Any] = {
    "feed": Feed,
    "keyFile": WrappedKeyFile,
}
"""Documents that are not messages, by the name behind ```json."""
FENCE = re.compile(r"^```json *([a-zA-Z ]*)\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
PUBLISHED = re.compile(r"mosquitto_pub [^\n]*-t (\S+) -m '(\{.*?\})'$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(\{\"[^`…]*\})`")


def contract_schema(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "components": CONTRACT["components"]}


def schema_of(name: str, page: str) -> dict[str, Any]:
    """The schema of the examples behind ```json NAME: a verb's arguments or its result, a type, or a message,
    which comes first on the page of the messages.
    """
    for command_type in COMMAND_TYPES if page != "wire-contract.md" else ():
        message = MESSAGES[f"command{command_type.verb.title()}"]
        if name == f"result {command_type.verb}":
            return contract_schema(message["x-result"])
        if name == command_type.verb:
            command = message["payload"]["$ref"].rpartition("/")[2]
            args = CONTRACT["components"]["schemas"][command]["properties"]["args"]
            return contract_schema(args)
    if name.startswith("claims"):
        return contract_schema(MESSAGES[f"command{name.removeprefix('claims')}Signed"]["x-claims"])
    if name in CONTRACT["components"]["schemas"]:
        return contract_schema(CONTRACT["components"]["schemas"][name])
    if name in MESSAGES:
        message = MESSAGES[name]
        is_picture = message["contentType"] == "image/jpeg"
        return contract_schema(message["headers"] if is_picture else message["payload"])
    return msgspec.json.schema(OTHER_DOCUMENTS[name])


def documents_in(text: str) -> list[Any]:
    """One document, or one on each line."""
    try:
        return [json.loads(text)]
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines()]


EXAMPLES = [
    pytest.param(name.strip(), page.name, document, id=f"{page.name} {name.strip()} {number}")
    for page in sorted(DOCS.glob("**/*.md"))
    for number, (name, text) in enumerate(FENCE.findall(page.read_text(encoding="utf-8")))
    for document in documents_in(text)
]


@pytest.mark.parametrize(("name", "page", "document"), EXAMPLES)
def test_an_example_is_valid_by_its_schema(name: str, page: str, document: Any) -> None:
    assert name, "an example needs the name of its schema: ```json NAME"
    jsonschema.Draft7Validator(schema_of(name, page)).validate(document)


REPORTS: dict[str, Any] = {
    "IncidentReport": IncidentReport,
    "ReportedConfig": ReportedConfig,
    "ReportedContent": ReportedContent,
}


@pytest.mark.parametrize(
    ("name", "document"),
    [
        (name, document)
        for name, _, document in (example.values for example in EXAMPLES)
        if name in REPORTS
    ],
)
def test_an_example_of_a_report_is_complete(name: str, document: Any) -> None:
    report = msgspec.convert(document, REPORTS[name])
    assert msgspec.json.decode(msgspec.json.encode(report)) == document


@pytest.mark.parametrize(
    ("topic", "payload"), PUBLISHED.findall((DOCS / "commands.md").read_text(encoding="utf-8"))
)
def test_an_example_of_a_publication_is_valid_by_its_topic(topic: str, payload: str) -> None:
    verb = topic.rpartition("/")[2]
    schema = contract_schema(MESSAGES[f"command{verb.title()}"]["payload"])
    jsonschema.Draft7Validator(schema).validate(json.loads(payload))


def test_an_example_within_a_sentence_is_valid() -> None:
    page = (DOCS / "centre.md").read_text(encoding="utf-8")
    found = [json.loads(text) for text in INLINE.findall(page)]
    assert {"state": "listening"} in found
    for document in found:
        jsonschema.Draft7Validator(schema_of("centreState", "centre.md")).validate(document)


def test_the_examples_are_found() -> None:
    names = {str(example.values[0]) for example in EXAMPLES}
    assert {
        "status",
        "event",
        "ack",
        "centreState",
        "ptz",
        "result ptz",
        *REPORTS,
        *OTHER_DOCUMENTS,
    } <= names
    assert PUBLISHED.search((DOCS / "commands.md").read_text(encoding="utf-8"))
