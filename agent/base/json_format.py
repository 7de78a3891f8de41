"""JSON for files that people read too."""

import msgspec


def encode_indented(value: object) -> bytes:
    """Encode a value as JSON, a line for each field, with a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
