"""Write docs/contract.md, docs/asyncapi.json for readers: `python scripts/contract_page.py`.

A page of our own: AsyncAPI's HTML template needs a browser and some hundred MB of packages to write 2 MB of page.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.asyncapi import build_document

OUTPUT_FILE = Path(__file__).parents[1] / "docs" / "contract.md"
Document = dict[str, Any]

_HEAD = """# Contract reference

All topics and types of the [wire contract](wire-contract.md), which explains them and has examples. `make docs` writes
this page and [asyncapi.json](asyncapi.json), which has the same for programs, from the structs of the code.
"""
_MESSAGE_PARTS = {
    "headers": "user properties",
    "x-claims": "what is signed",
    "x-result": "`result` of the reply",
}
_INT64 = {"minimum": -(2**63), "maximum": 2**63 - 1}
_LIMITS = {
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "maximum": "to {}",
    "exclusiveMaximum": "below {}",
    "minLength": "{} characters or more",
    "maxLength": "at most {} characters",
    "minItems": "{} items or more",
    "maxItems": "at most {} items",
    "pattern": "pattern `{}`",
}


def render() -> str:
    """Render the page."""
    document = build_document()
    parts = [
        _HEAD,
        *_server_lines(document),
        *_topic_lines(document),
        *_message_lines(document),
        *_type_lines(document["components"]["schemas"]),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _server_lines(document: Document) -> Iterator[str]:
    yield "## Servers\n\n| Server | Protocol | Authentication | Meaning |\n|---|---|---|---|"
    for name, server in document["servers"].items():
        schemes = " or ".join(_name_of(ref) for ref in server.get("security", ())) or "none"
        protocol = f"`{server['protocol']}` {server['protocolVersion']}"
        yield f"| {name}, such as `{server['host']}` | {protocol} | {schemes} | {server['description']} |"
    yield ""
    for name, scheme in document["components"]["securitySchemes"].items():
        yield f"- **{name}** (`{scheme['type']}`): {scheme['description']}"
    yield ""


def _topic_lines(document: Document) -> Iterator[str]:
    retained = {
        _name_of(operation["channel"]): operation["bindings"]["mqtt"]["retain"]
        for operation in document["operations"].values()
    }
    actions = {
        _name_of(operation["channel"]): operation["action"]
        for operation in document["operations"].values()
    }
    yield "## Topics\n\n| Topic | A box | Retained | Message |\n|---|---|---|---|"
    for name, channel in document["channels"].items():
        if channel["address"] is None:
            continue
        messages = ", ".join(
            f"[{message}](#message-{message.lower()})" for message in channel["messages"]
        )
        action = {"send": "publishes", "receive": "receives"}[actions[name]]
        kept = "yes" if retained[name] else "no"
        yield f"| `{channel['address']}` | {action} | {kept} | {messages} |"
    yield "\n| Level | Meaning |\n|---|---|"
    levels: Document = {}
    for channel in document["channels"].values():
        levels |= channel.get("parameters", {})
    for level, parameter in levels.items():
        yield f"| `{{{level}}}` | {parameter['description']} |"
    yield ""


def _message_lines(document: Document) -> Iterator[str]:
    yield "## Messages\n"
    for name, message in document["components"]["messages"].items():
        yield f"### Message {name}\n\n{message['summary']}\n"
        is_picture = message["contentType"] == "image/jpeg"
        payload = f"`{message['contentType']}`"
        if not is_picture:
            payload += f", {_type(message['payload'])}"
        more = [
            f"{words} {_type(message[key])}"
            for key, words in _MESSAGE_PARTS.items()
            if key in message and (key != "headers" or is_picture)
        ]
        yield "; ".join((f"Payload {payload}", *more)) + ".\n"


def _type_lines(schemas: Document) -> Iterator[str]:
    yield "## Types\n"
    for name, schema in sorted(schemas.items()):
        yield f"### {name}\n"
        if description := schema.get("description"):
            yield f"{_escape(description)}\n"
        if "properties" not in schema:
            yield f"{_type(schema)}{_limits(schema)}.\n"
            continue
        yield "| Field | Type | May be left out |\n|---|---|---|"
        required = schema.get("required", ())
        for field, inner in schema["properties"].items():
            text = " ".join(_escape(inner.get("description", "")).split())
            words = f"{_type(inner)}{_limits(inner)}" + (f". {text}" if text else "")
            yield f"| `{field}` | {words} | {'no' if field in required else 'yes'} |"
        yield ""


def _type(schema: Document) -> str:
    """Describe a type in words, with links to the named ones."""
    match schema:
        case {"$ref": ref}:
            name = _name_of(schema)
            words = f"[{name}](#{name.lower()})" if "/schemas/" in ref else name
        case {"oneOf": alternatives} | {"anyOf": alternatives}:
            words = " or ".join(_type(alternative) for alternative in alternatives)
        case {"enum": values}:
            words = " or ".join(f"`{value}`" for value in values)
        case {"type": "array", "items": list(items)}:
            words = f"list of {', '.join(_type(item) for item in items)}"
        case {"type": "array", "items": items}:
            words = f"list of {_type(items)}"
        case {"type": "object", "additionalProperties": dict(values)}:
            words = f"object with values {_type(values)}"
        case _:
            words = str(schema.get("type", "any value"))
    return words


def _limits(schema: Document) -> str:
    if schema.items() >= _INT64.items():
        return " of 64 bits"
    # msgspec gives a limit as an integer or as a float, by what it has made of the type before.
    words = [
        text.format(str(schema[key]).removesuffix(".0"))
        for key, text in _LIMITS.items()
        if key in schema
    ]
    return "".join(f", {_escape(word)}" for word in words)


def _name_of(reference: Document) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    OUTPUT_FILE.write_text(render(), encoding="utf-8")
