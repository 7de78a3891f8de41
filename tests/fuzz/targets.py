"""All parsers that read what others wrote."""

from tests.fuzz import (
    box_files,
    centres,
    configurations,
    local_wires,
    messages,
    signatures,
    streams,
    web_requests,
)
from tests.fuzz.target import FuzzTarget

TARGETS: dict[str, FuzzTarget] = (
    configurations.TARGETS
    | messages.TARGETS
    | box_files.TARGETS
    | signatures.TARGETS
    | streams.TARGETS
    | centres.TARGETS
    | web_requests.TARGETS
    | local_wires.TARGETS
)
