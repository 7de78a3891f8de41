"""Write docs/asyncapi.json from the structs of the wire contract: `python -m scripts.asyncapi`."""

import inspect
import json
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as types

from agent.app.event_types import EVENT_TYPES
from agent.authority.revocation import RevocationList
from agent.authority.signed_message import JwsMessage
from agent.commands.command import build_command_struct
from agent.commands.signed_command import build_claims_struct
from agent.config.broker import BrokerConfig
from agent.config.desired_config import DesiredConfig, PlainDesiredConfig
from agent.faults.registry import FAULTS
from agent.incident.order import IncidentOrder, UnsignedIncidentOrder
from agent.reporting import centre_payloads, payloads
from agent.reporting.mqtt.connection import WILL_DELAY_S
from agent.reporting.mqtt.packet_properties import MAX_PACKET_BYTES
from scripts.command_types import find_command_types
from scripts.field_docstrings import read_field_docstrings

OUTPUT_FILE = Path(__file__).parents[1] / "docs" / "asyncapi.json"
Document = dict[str, Any]

BOX_PARAMETER = {
    "box": {"description": "The box's id; also its certificate's name and its client id."}
}
CAMERA_PARAMETER = {
    "camera": {"description": "A camera of the box, by its name in the configuration."}
}
CENTRE_PARAMETER = {
    "centre": {"description": "The name of the centre: lower case letters, digits, `-` and `_`."}
}
KIND_PARAMETER = {"kind": {"description": "The kind of event, as in its data."}}
INCIDENT_PARAMETER = {"id": {"description": "The id of the incident, as in its order."}}

UP_CHANNELS: tuple[tuple[str, str, type, bool, Document], ...] = (
    ("status", "vigie/v1/{box}/up/status", payloads.StatusMessage, True, BOX_PARAMETER),
    (
        "declaration",
        "vigie/v1/{box}/up/declaration",
        payloads.DeclarationMessage,
        True,
        BOX_PARAMETER,
    ),
    ("config", "vigie/v1/{box}/up/config", payloads.ConfigMessage, True, BOX_PARAMETER),
    (
        "configContent",
        "vigie/v1/{box}/up/config/content",
        payloads.ConfigContentMessage,
        True,
        BOX_PARAMETER,
    ),
    (
        "configRehearsal",
        "vigie/v1/{box}/up/config/rehearsal",
        payloads.ConfigRehearsalMessage,
        True,
        BOX_PARAMETER,
    ),
    ("health", "vigie/v1/{box}/up/health", payloads.HealthMessage, True, BOX_PARAMETER),
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
    "incidentSnapshot": "vigie/v1/{box}/up/snapshot/{camera}/incident",
    "live": "vigie/v1/{box}/up/live/{camera}",
}
SERVERS: Document = {
    "broker": {
        "host": "broker.example.org:8883",
        "protocol": "secure-mqtt",
        "protocolVersion": "5",
        "description": "The city's broker. docs/centre.md has its configuration and access list.",
        "security": [
            {"$ref": "#/components/securitySchemes/certificate"},
            {"$ref": "#/components/securitySchemes/password"},
        ],
        "bindings": {
            "mqtt": {
                "cleanSession": False,
                "keepAlive": BrokerConfig(url="").keepalive_s,
                "sessionExpiryInterval": WILL_DELAY_S,
                "maximumPacketSize": MAX_PACKET_BYTES,
                "bindingVersion": "0.2.0",
            }
        },
    },
    "bench": {
        "host": "localhost:1883",
        "protocol": "mqtt",
        "protocolVersion": "5",
        "description": "A broker on the same machine, as of the demonstration: no TLS, no names.",
    },
}
SECURITY_SCHEMES: Document = {
    "certificate": {
        "type": "X509",
        "description": "A client certificate. Its common name is the user name, of a box and a centre also the client id, and in the "
        "topics the box's id or the centre's name; the broker's access list is by that name.",
    },
    "password": {
        "type": "userPassword",
        "description": "For a broker that asks for a password instead of a certificate, over TLS.",
    },
}
REPLY_ADDRESSES: tuple[tuple[str, str | None, str, Document], ...] = (
    (
        "replyBelow",
        "vigie/v1/{box}/up/reply/{subtopic}",
        "Below `up/reply`, where the response topic of a command says so.",
        {
            **BOX_PARAMETER,
            "subtopic": {
                "description": "One level or more, with `/` between them, such as the requester's client id."
            },
        },
    ),
    (
        "replyTo",
        None,
        "The response topic of a command: `up/reply` of the same box, or below it; any other is ignored.",
        {},
    ),
)
"""Channels of replies in addition to `up/reply`, with the same message."""
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
    (
        "ack",
        "vigie/v1/{box}/down/ack/{centre}",
        centre_payloads.Ack,
        False,
        {**BOX_PARAMETER, **CENTRE_PARAMETER},
    ),
    (
        "desiredConfig",
        "vigie/v1/{box}/down/config",
        PlainDesiredConfig,
        True,
        BOX_PARAMETER,
    ),
    (
        "centreState",
        "vigie/v1/centre/{centre}/state",
        centre_payloads.CentreState,
        True,
        CENTRE_PARAMETER,
    ),
    ("revocations", "vigie/v1/centre/revocations", JwsMessage, True, {}),
    ("incident", "vigie/v1/incident/{id}", UnsignedIncidentOrder, True, INCIDENT_PARAMETER),
)
SIGNED_CLAIMS: Document = {
    "desiredConfig": DesiredConfig,
    "ack": centre_payloads.SignedAck,
    "centreState": centre_payloads.CentreState,
    "incident": IncidentOrder,
}
"""Messages that people and centres sign, if the box has a control authority."""


COMMAND_TYPES = find_command_types()
COMMANDS = {
    command.verb: build_command_struct(command.verb, command.args) for command in COMMAND_TYPES
}
CLAIMS = {
    command.verb: build_claims_struct(command.verb, command.args) for command in COMMAND_TYPES
}
"""What is signed of each command, if the box has a control authority."""
RESULTS = {command.verb: command.result for command in COMMAND_TYPES}
"""The type of `result` in the reply to each command."""


def build_document() -> Document:
    """The AsyncAPI 3.0 document, from the box's point of view: it sends `up`, it receives `down`."""
    kinds = [kind for _, _, kind, _, _ in (*UP_CHANNELS, *DOWN_CHANNELS)] + [
        payloads.SnapshotHeader
    ]
    kinds += [*COMMANDS.values(), *CLAIMS.values(), *RESULTS.values(), RevocationList]
    kinds += SIGNED_CLAIMS.values()
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    for struct in _struct_types(types.multi_type_info(kinds)):
        for name, sentence in read_field_docstrings(struct).items():
            schemas[struct.__name__]["properties"][name]["description"] = sentence
    codes = f"One of the runbook's: {', '.join(sorted(FAULTS))}."
    schemas["Fault"]["properties"]["code"]["description"] = codes
    _close_event_kinds(schemas["EventData"]["properties"])
    channels: Document = {}
    operations: Document = {}
    messages: Document = {}
    for action, rows in (("send", UP_CHANNELS), ("receive", DOWN_CHANNELS)):
        for name, address, kind, retained, parameters in rows:
            signed = [f"{name}Signed"] if name in SIGNED_CLAIMS else []
            channels[name] = _channel(name, address, parameters, *signed)
            operations[name] = _operation(name, action, *signed, retained=retained)
            messages[name] = {
                "name": name,
                "summary": _first_line(kind),
                "contentType": "application/json",
                "payload": _schema_ref(kind),
            }
    for name, kind in SIGNED_CLAIMS.items():
        messages[f"{name}Signed"] = _sign(messages[name], kind)
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
                "channel": {"$ref": "#/channels/replyTo"},
                "messages": [{"$ref": "#/channels/replyTo/messages/reply"}],
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
        messages[signed] = _sign(messages[name], CLAIMS[verb])
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
    for name, address, description, parameters in REPLY_ADDRESSES:
        channels[name] = {
            **_channel("reply", address, parameters),
            "description": description,
        }
    operations["replyBelow"] = {
        **_operation("reply", "send", retained=False),
        "channel": {"$ref": "#/channels/replyBelow"},
        "messages": [{"$ref": "#/channels/replyBelow/messages/reply"}],
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
        "servers": SERVERS,
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": _to_draft_07(_clean_descriptions(schemas)),
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _struct_types(node: object) -> set[type[msgspec.Struct]]:
    """Return all structs within a type."""
    found: set[type[msgspec.Struct]] = set()
    waiting = [node]
    while waiting:
        match waiting.pop():
            case types.StructType(cls=struct) if struct in found:
                pass
            case types.Type() | types.Field() as part:
                if isinstance(part, types.StructType):
                    found.add(part.cls)
                waiting += [getattr(part, name) for name in part.__struct_fields__]
            case list() | tuple() as parts:
                waiting += parts
    return found


def _sign(message: Document, claims: type) -> Document:
    """Return the signed form of a message."""
    return {
        **message,
        "name": f"{message['name']}Signed",
        "summary": "The same, signed: the only form that a box with `control.ca` accepts. "
        f"{_first_line(JwsMessage)}",
        "contentType": "application/jose+json",
        "payload": _schema_ref(JwsMessage),
        "x-claims": _schema_ref(claims),
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


def _channel(name: str, address: str | None, parameters: Document, *others: str) -> Document:
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


def _to_draft_07(node: Any) -> Any:
    """The same as AsyncAPI has it, whose schemas are JSON Schema draft 07.

    A tuple is `items`. `discriminator` is left out: in AsyncAPI it is the name of a field whose value is the name
    of a schema, and here the values are the wire's own words. Each alternative has its word as the only value
    of that field, so exactly one of them is valid, and nothing is lost.
    """
    if isinstance(node, list):
        return [_to_draft_07(item) for item in node]
    if not isinstance(node, dict):
        return node
    converted = {key: _to_draft_07(value) for key, value in node.items()}
    if "prefixItems" in converted:
        converted["items"] = converted.pop("prefixItems")
    if converted.pop("discriminator", None) is not None:
        converted["oneOf"] = converted.pop("anyOf")
    return converted


def _schema_ref(kind: type) -> Document:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _first_line(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


if __name__ == "__main__":
    OUTPUT_FILE.write_text(render(), encoding="utf-8")
