"""All parsers that read what others wrote."""

from tests.fuzz import centres, documents, page_wires, signatures, streams, web_requests
from tests.fuzz.target import FuzzTarget

TARGETS: dict[str, FuzzTarget] = (
    documents.TARGETS
    | signatures.TARGETS
    | streams.TARGETS
    | centres.TARGETS
    | web_requests.TARGETS
    | page_wires.TARGETS
)
