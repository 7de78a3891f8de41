"""Write docs/asyncapi.json from the structs of the wire contract: `python scripts/asyncapi.py`."""

import inspect
import json
from pathlib import Path
from typing import Any

import msgspec

from agent.app import selftest_command
from agent.app.event_types import EVENT_TYPES
from agent.authority.revocation import RevocationList
from agent.authority.signed_message import JwsMessage
from agent.capture import live_command, snapshot_command
from agent.commands.command import build_command_struct
from agent.commands.signed_command import build_claims_struct
from agent.faults.registry import FAULTS
from agent.gpio import gpio_command
from agent.ptz import ptz_command
from agent.reporting import payloads

OUTPUT_FILE = Path(__file__).parents[1] / "docs" / "asyncapi.json"
Document = dict[str, Any]

BOX_PARAMETER = {
    "box": {"description": "The box's id; also its certificate's name and its client id."}
}
CAMERA_PARAMETER = {
    "camera": {"description": "A camera of the box, by its name in the configuration."}
}
KIND_PARAMETER = {"kind": {"description": "The kind of event, as in its data."}}

UP_CHANNELS: tuple[tuple[str, str, type, bool, Document], ...] = (
    ("status", "vigie/v1/{box}/up/status", payloads.StatusMessage, True, BOX_PARAMETER),
    (
        "declaration",
        "vigie/v1/{box}/up/declaration",
        payloads.DeclarationMessage,
        True,
        BOX_PARAMETER,
    ),
    ("health", "vigie/v1/{box}/up/health", payloads.HealthMessage, False, BOX_PARAMETER),
    (
        "event",
        "vigie/v1/{box}/up/event/{camera}/{kind}",
        payloads.EventMessage,
        False,
        {**BOX_PARAMETER, **CAMERA_PARAMETER, **KIND_PARAMETER},
    ),
    (
        "flow",
        "vigie/v1/{box}/up/flow/{camera}",
        payloads.TrafficCountsMessage,
        False,
        {**BOX_PARAMETER, **CAMERA_PARAMETER},
    ),
    ("receipt", "vigie/v1/{box}/up/receipt", payloads.ReceiptMessage, False, BOX_PARAMETER),
    (
        "custodyHead",
        "vigie/v1/{box}/up/receipt/head",
        payloads.ReceiptMessage,
        False,
        BOX_PARAMETER,
    ),
    ("reply", "vigie/v1/{box}/up/reply", payloads.ReplyMessage, False, BOX_PARAMETER),
)
PICTURE_ADDRESSES = {
    "snapshot": "vigie/v1/{box}/up/snapshot/{camera}",
    "live": "vigie/v1/{box}/up/live/{camera}",
}
COMMAND_HEADERS: Document = {
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
DOWN_CHANNELS: tuple[tuple[str, str, type, bool, Document], ...] = (
    ("ack", "vigie/v1/{box}/down/ack", payloads.Ack, False, BOX_PARAMETER),
    ("centreState", "vigie/v1/centre/state", payloads.CentreState, True, {}),
    ("revocations", "vigie/v1/centre/revocations", JwsMessage, True, {}),
)


HANDLERS = (
    gpio_command,
    live_command,
    ptz_command,
    selftest_command,
    snapshot_command,
)
"""The module of each command."""
COMMANDS = {module.VERB: build_command_struct(module.VERB, module.Args) for module in HANDLERS}
CLAIMS = {module.VERB: build_claims_struct(module.VERB, module.Args) for module in HANDLERS}
"""What is signed of each command, if the box has a control authority."""
RESULTS = {module.VERB: module.Result for module in HANDLERS}
"""The type of `result` in the reply to each command."""


def build_document() -> Document:
    """The AsyncAPI 3.0 document, from the box's point of view: it sends `up`, it receives `down`."""
    kinds = [kind for _, _, kind, _, _ in (*UP_CHANNELS, *DOWN_CHANNELS)] + [
        payloads.SnapshotHeader
    ]
    kinds += [*COMMANDS.values(), *CLAIMS.values(), *RESULTS.values(), RevocationList]
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    codes = f"One of the runbook's: {', '.join(sorted(FAULTS))}."
    schemas["Fault"]["properties"]["code"]["description"] = codes
    _close_event_kinds(schemas["EventData"]["properties"])
    channels: Document = {}
    operations: Document = {}
    messages: Document = {}
    for action, rows in (("send", UP_CHANNELS), ("receive", DOWN_CHANNELS)):
        for name, address, kind, retained, parameters in rows:
            channels[name] = _channel(name, address, parameters)
            operations[name] = _operation(name, action, retained=retained)
            messages[name] = {
                "name": name,
                "summary": _first_line(kind),
                "contentType": "application/json",
                "payload": _schema_ref(kind),
            }
    messages["revocations"]["x-claims"] = _schema_ref(RevocationList)
    for verb, kind in COMMANDS.items():
        name = f"command{verb.title()}"
        address = f"vigie/v1/{{box}}/down/command/{verb}"
        signed = f"{name}Signed"
        channels[name] = _channel(name, address, BOX_PARAMETER, signed)
        operations[name] = {
            **_operation(name, "receive", signed, retained=False),
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
            "headers": COMMAND_HEADERS,
            "payload": _schema_ref(kind),
            "x-result": _schema_ref(RESULTS[verb]),
        }
        messages[signed] = {
            **messages[name],
            "name": signed,
            "summary": f"The same, signed: the only form that a box with `control.ca` accepts. {_first_line(JwsMessage)}",
            "contentType": "application/jose+json",
            "payload": _schema_ref(JwsMessage),
            "x-claims": _schema_ref(CLAIMS[verb]),
        }
    for name, address in PICTURE_ADDRESSES.items():
        channels[name] = _channel(name, address, {**BOX_PARAMETER, **CAMERA_PARAMETER})
        operations[name] = _operation(name, "send", retained=False)
        messages[name] = {
            "name": name,
            "summary": "A JPEG picture. Its envelope is in MQTT user properties, given here as headers: "
            "`v`, `seq`, `clock` and `data` are JSON in the text of their property.",
            "contentType": "image/jpeg",
            "headers": _schema_ref(payloads.SnapshotHeader),
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
        "components": {"messages": messages, "schemas": _clean_descriptions(schemas)},
    }


def _close_event_kinds(properties: Document) -> None:
    """Put the kinds that the rules and the other sources declare into the schema of an event."""
    properties["kind"] = {
        "enum": list(EVENT_TYPES),
        "description": "; ".join(
            f"{event_type.kind}: {event_type.title} ({event_type.severity})"
            for event_type in EVENT_TYPES.values()
        ),
    }


def render() -> str:
    """Render the document as the text of its file."""
    return json.dumps(build_document(), indent=2, ensure_ascii=False) + "\n"


def _channel(name: str, address: str, parameters: Document, *others: str) -> Document:
    channel: Document = {
        "address": address,
        "messages": {
            message: {"$ref": f"#/components/messages/{message}"} for message in (name, *others)
        },
    }
    if parameters:
        channel["parameters"] = parameters
    return channel


def _operation(name: str, action: str, *others: str, retained: bool) -> Document:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [
            {"$ref": f"#/channels/{name}/messages/{message}"} for message in (name, *others)
        ],
        "bindings": {"mqtt": {"qos": 1, "retain": retained, "bindingVersion": "0.2.0"}},
    }


def _clean_descriptions(node: Any) -> Any:
    """The same with docstrings as Python 3.13 keeps them; older ones keep their indentation."""
    if isinstance(node, dict):
        return {
            key: inspect.cleandoc(value)
            if key == "description" and isinstance(value, str)
            else _clean_descriptions(value)
            for key, value in node.items()
        }
    return [_clean_descriptions(item) for item in node] if isinstance(node, list) else node


def _schema_ref(kind: type) -> Document:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _first_line(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


if __name__ == "__main__":
    OUTPUT_FILE.write_text(render(), encoding="utf-8")
