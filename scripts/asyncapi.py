"""Write docs/asyncapi.json from the structs of the wire contract: `python scripts/asyncapi.py`."""

import inspect
import json
from pathlib import Path
from typing import Any

import msgspec

from agent.app import selftest_command
from agent.capture import snapshot_command
from agent.commands.command import command_type
from agent.faults.registry import FAULTS
from agent.gpio import gpio_command
from agent.ptz import ptz_command
from agent.reporting import payloads

TARGET = Path(__file__).parents[1] / "docs" / "asyncapi.json"
Document = dict[str, Any]

BOX = {"box": {"description": "The box's id; also its certificate's name and its client id."}}
CAMERA = {"camera": {"description": "A camera of the box, by its name in the configuration."}}
KIND = {"kind": {"description": "The kind of event, as in its data."}}

UP: tuple[tuple[str, str, type, bool, Document], ...] = (
    ("status", "vigie/v1/{box}/up/status", payloads.StatusMessage, True, BOX),
    (
        "declaration",
        "vigie/v1/{box}/up/declaration",
        payloads.DeclarationMessage,
        True,
        BOX,
    ),
    ("health", "vigie/v1/{box}/up/health", payloads.HealthMessage, False, BOX),
    (
        "event",
        "vigie/v1/{box}/up/event/{camera}/{kind}",
        payloads.EventMessage,
        False,
        {**BOX, **CAMERA, **KIND},
    ),
    ("flow", "vigie/v1/{box}/up/flow/{camera}", payloads.FlowMessage, False, {**BOX, **CAMERA}),
    ("receipt", "vigie/v1/{box}/up/receipt", payloads.ReceiptMessage, False, BOX),
    ("custodyHead", "vigie/v1/{box}/up/receipt/head", payloads.ReceiptMessage, False, BOX),
    ("reply", "vigie/v1/{box}/up/reply", payloads.ReplyMessage, False, BOX),
)
SNAPSHOT = "vigie/v1/{box}/up/snapshot/{camera}"
HEADERS: Document = {
    "type": "object",
    "description": "MQTT 5 properties of the message; both may be left out.",
    "properties": {
        "responseTopic": {
            "type": "string",
            "description": "Where to reply: `up/reply` of this box, or below it. Others are ignored.",
        },
        "correlationData": {"type": "string", "description": "Comes back with each reply."},
    },
}
DOWN: tuple[tuple[str, str, type, bool, Document], ...] = (
    ("ack", "vigie/v1/{box}/down/ack", payloads.Ack, False, BOX),
    ("centreState", "vigie/v1/centre/state", payloads.CentreState, True, {}),
)


HANDLERS = (gpio_command, ptz_command, selftest_command, snapshot_command)
COMMANDS = {module.VERB: command_type(module.VERB, module.Args) for module in HANDLERS}
RESULTS = {module.VERB: module.Result for module in HANDLERS}
"""What stands in `result` of a reply."""


def document() -> Document:
    """The AsyncAPI 3.0 document, from the box's point of view: it sends `up`, it receives `down`."""
    kinds = [kind for _, _, kind, _, _ in (*UP, *DOWN)] + [payloads.SnapshotHeader]
    kinds += [*COMMANDS.values(), *RESULTS.values()]
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    codes = f"One of the runbook's: {', '.join(sorted(FAULTS))}."
    schemas["Fault"]["properties"]["code"]["description"] = codes
    channels: Document = {}
    operations: Document = {}
    messages: Document = {}
    for action, rows in (("send", UP), ("receive", DOWN)):
        for name, address, kind, retained, parameters in rows:
            channels[name] = _channel(name, address, parameters)
            operations[name] = _operation(name, action, retained=retained)
            messages[name] = {
                "name": name,
                "summary": _first_line(kind),
                "contentType": "application/json",
                "payload": _ref(kind),
            }
    for verb, kind in COMMANDS.items():
        name = f"command{verb.title()}"
        address = f"vigie/v1/{{box}}/down/command/{verb}"
        channels[name] = _channel(name, address, BOX)
        operations[name] = {
            **_operation(name, "receive", retained=False),
            "reply": {
                "address": {"location": "$message.header#/responseTopic"},
                "channel": {"$ref": "#/channels/reply"},
            },
        }
        messages[name] = {
            "name": name,
            "summary": _first_line(kind),
            "contentType": "application/json",
            "correlationId": {"location": "$message.header#/correlationData"},
            "headers": HEADERS,
            "payload": _ref(kind),
            "x-result": _ref(RESULTS[verb]),
        }
    channels["snapshot"] = _channel("snapshot", SNAPSHOT, {**BOX, **CAMERA})
    operations["snapshot"] = _operation("snapshot", "send", retained=False)
    messages["snapshot"] = {
        "name": "snapshot",
        "summary": "A JPEG picture. Its envelope is in MQTT user properties, given here as headers: "
        "`v`, `seq`, `clock` and `data` are JSON in the text of their property.",
        "contentType": "image/jpeg",
        "headers": _ref(payloads.SnapshotHeader),
        "payload": {"type": "string", "format": "binary"},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Vigie: the wire contract of a camera box",
            "version": str(payloads.WIRE_VERSION),
            "description": "MQTT 5, QoS 1. docs/wire-contract.md says it for people.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": _cleaned(schemas)},
    }


def text() -> str:
    """The document as it stands in the file."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _channel(name: str, address: str, parameters: Document) -> Document:
    channel: Document = {
        "address": address,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }
    if parameters:
        channel["parameters"] = parameters
    return channel


def _operation(name: str, action: str, *, retained: bool) -> Document:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
        "bindings": {"mqtt": {"qos": 1, "retain": retained, "bindingVersion": "0.2.0"}},
    }


def _cleaned(node: Any) -> Any:
    """The same with docstrings as Python 3.13 keeps them; older ones keep their indentation."""
    if isinstance(node, dict):
        return {
            key: inspect.cleandoc(value)
            if key == "description" and isinstance(value, str)
            else _cleaned(value)
            for key, value in node.items()
        }
    return [_cleaned(item) for item in node] if isinstance(node, list) else node


def _ref(kind: type) -> Document:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _first_line(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
