"""Decoding of JSON that may be damaged or hostile: state files, receipts, messages, replies.

msgspec raises three unrelated kinds of errors for malformed bytes. Here they are one, so that no
caller forgets the second and third; `make lint` allows msgspec's own decoder nowhere else.
"""

import json
from types import UnionType
from typing import Any, Generic, TypeVar

import msgspec

from drivers.local_wire import printable_line

DocumentT = TypeVar("DocumentT")


class MalformedJson(ValueError):
    """Bytes are not the JSON document that was expected. `str(error)` is one line, and bounded.

    msgspec quotes unknown keys as they are: one may be long, or have line breaks and control characters.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(printable_line(reason))


class JsonDecoder(Generic[DocumentT]):
    """Decodes documents of one type. Thread-safe."""

    def __init__(self, document_type: type[DocumentT] | UnionType) -> None:
        self._decoder = msgspec.json.Decoder(document_type)  # noqa: TID251 - the one place

    def decode(self, data: bytes | bytearray | memoryview | str) -> DocumentT:
        """Decode and validate one document. Raises: MalformedJson."""
        try:
            document: DocumentT = self._decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedJson(str(error)) from error
        return document


def decode_json(
    data: bytes | bytearray | memoryview | str, document_type: type[DocumentT]
) -> DocumentT:
    """Decode and validate one document. Raises: MalformedJson."""
    return JsonDecoder(document_type).decode(data)


def decode_any_json(data: bytes | bytearray | memoryview | str) -> Any:
    """Decode a document of unknown type. Raises: MalformedJson."""
    return JsonDecoder[Any](Any).decode(data)


def decode_unique_json(data: bytes) -> Any:
    """Decode a document of which no object has two members of one name. Raises: MalformedJson.

    Parsers differ in which of the two they take, so that a signed document could mean two things.
    """
    document = decode_any_json(data)
    try:
        json.loads(data, object_pairs_hook=_refuse_repeats)  # noqa: TID251 - the one place
    except (ValueError, RecursionError) as error:
        raise MalformedJson(str(error)) from error
    return document


def _refuse_repeats(members: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in members]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the member {repeated!r} is there twice")
