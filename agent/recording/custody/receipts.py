"""Receipts of actions on footage, and the line format of each. Pure.

A line is the base64 of an Ed25519 signature (RFC 8032), a space, a JSON object and a newline. The
signature is over the JSON bytes exactly as stored, and their SHA-256 is the receipt's hash; nothing
is re-encoded before it is checked. See docs/custody.md.
"""

import base64
import binascii
from typing import Annotated, Literal, TypeAlias

import msgspec

from agent.base.clock import ClockTrust
from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.base.sha256 import Sha256, sha256_hex

GENESIS_SHA256 = "0" * 64
"""`prev_sha256` of the first receipt."""

SIGNATURE_BYTES = 64
_SIGNATURE_CHARS = 88

_DATE_PATTERN = (
    r"(?!0000)(?:[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    r"|[0-9]{4}-(?:0[13-9]|1[0-2])-(?:29|30)"
    r"|[0-9]{4}-(?:0[13578]|1[02])-31"
    r"|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
)
_TIME_PATTERN = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}"

UtcText = Annotated[str, msgspec.Meta(pattern=rf"^{_DATE_PATTERN}T{_TIME_PATTERN}Z$(?!\n)")]
"""RFC 3339, UTC, milliseconds: a moment of the calendar, from year 1, without hour 24 or second 60.

Parsers differ in what they make of 30 February or hour 24, so that no parser sees them.
"""
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""An integer that every language reads alike. msgspec accepts no fraction and no exponent."""
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Seq = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
"""Number of a receipt."""


class BadReceipt(ValueError):
    """A line is not a receipt, or a receipt could not be parsed again."""


class AgentStarted(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="started"):
    """The agent has started. `public_key` is the base64 of its 32 bytes.

    `recipients` are the ids of the recipients that footage is sealed for; empty if it is plain.
    """

    public_key: str
    versions: dict[str, str]
    recipients: tuple[str, ...]


class SegmentOpened(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="opened"):
    """A segment was begun. `segment` is its name."""

    camera: str
    segment: str


class SegmentClosed(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="closed"):
    """A segment is complete and never changes from now on.

    `sha256` and `size_bytes` are of the file on the disk. `software`, `model`, `mask` and `config` are
    versions or hashes, None if there is none. `mask_applied` is where the mask is burnt in;
    `recovered`: the file was repaired after a power cut.
    """

    camera: str
    segment: str
    sha256: Sha256
    size_bytes: Count
    begin_ns: Int64
    duration_ns: Count
    begin_time: UtcText
    software: str
    model: str | None
    mask: str | None
    config: str | None
    sealed: bool
    mask_applied: Literal["camera", "export", "none"]
    recovered: bool


class FootageGap(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="gap"):
    """A span was not recorded."""

    camera: str
    begin_ns: Int64
    end_ns: Int64
    reason: str


class HoldPlaced(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="held"):
    """Footage of this span is protected from eviction until `expires`.

    `case` is the requester's reference, None for the hold of an event.
    """

    hold_id: str
    camera: str
    begin_time: UtcText
    end_time: UtcText
    owner: str
    reason: str
    case: str | None
    expires: UtcText


class HoldReleased(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="released"):
    """A hold has ended."""

    hold_id: str
    by: str
    reason: str


class FootageEvicted(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="evicted"):
    """Segments or quarantined files were deleted.

    `oldest_time` is the begin of the footage left. A quarantined file is listed as `quarantine/`
    and its name, escaped as in `FileQuarantined`.
    """

    camera: str
    segments: tuple[str, ...]
    reason: Literal["bytes", "age", "space"]
    oldest_time: UtcText | None

    def __post_init__(self) -> None:
        """Escape the names: a quarantined file may have any."""
        msgspec.structs.force_setattr(self, "segments", tuple(map(_escape_non_utf8, self.segments)))


class FootageExported(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="exported"):
    """Footage was exported; `sha256` is of the export's manifest."""

    camera: str
    begin_time: UtcText
    end_time: UtcText
    by: str
    purpose: str
    segments: tuple[str, ...]
    sha256: Sha256


class FootageViewed(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="viewed"):
    """Footage was viewed."""

    camera: str
    begin_time: UtcText
    end_time: UtcText
    by: str
    purpose: str


class FileQuarantined(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="quarantined"
):
    r"""A file that is not footage was moved to the quarantine, or a truncated end of the chain itself.

    The latter has no camera. Bytes of the name that are not UTF-8 are written as `\udcXX`.
    """

    camera: str | None
    name: str

    def __post_init__(self) -> None:
        """Escape the name: a file's name may be any bytes, JSON may not."""
        msgspec.structs.force_setattr(self, "name", _escape_non_utf8(self.name))


class FootageAttested(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="attested"):
    """Inventory of a camera's footage on the disk."""

    camera: str
    oldest_time: UtcText | None
    segment_count: Count
    size_bytes: Count


class ReceiptsPruned(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="pruned"):
    """Receipts of these numbers were deleted, because none of their footage is left."""

    first_seq: Seq
    last_seq: Seq


class ServiceAction(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="service_action"
):
    """An action on the box itself: by a technician at its console, or a failed login as one, or by the requester of a
    command or of a configuration.
    """

    by: str
    action: str


class ClockStepped(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="clock_stepped"
):
    """UTC was set from `expected_time` to `found_time`, further than `bound_ms`, which its error bounds explain.

    `time` of earlier receipts is of the clock before the step, that of this receipt and later ones of the clock
    after it.
    """

    expected_time: UtcText
    found_time: UtcText
    bound_ms: Count


class IncidentChanged(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="incident"):
    """An incident began, was extended or changed, or ended on this box.

    `revision` is that of the order in force, `by` and `role` of its signer; `by` is `vigie` if the incident ended
    because its time was over. `detail` has what the box does for it, or the reason of the end.
    """

    incident: str
    change: Literal["begun", "extended", "ended"]
    revision: Count
    by: str
    role: str
    case: str | None
    ends: UtcText
    detail: str


ReceiptBody: TypeAlias = (
    AgentStarted
    | SegmentOpened
    | SegmentClosed
    | FootageGap
    | HoldPlaced
    | HoldReleased
    | FootageEvicted
    | FootageExported
    | FootageViewed
    | FileQuarantined
    | FootageAttested
    | ReceiptsPruned
    | ServiceAction
    | ClockStepped
    | IncidentChanged
)


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """One receipt. The order of the fields is that of the JSON.

    `seq` counts from 1 without gaps; `prev_sha256` is the hash of the previous receipt. `t_ns` is of
    the boot `boot` and never decreases within it; `time` is the same in UTC, as trusted as `clock`.
    """

    v: Literal[1] = 1
    box: str
    seq: Seq
    prev_sha256: Sha256
    boot: str
    t_ns: Count
    time: UtcText
    clock: ClockTrust
    body: ReceiptBody


class ReceiptLine(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed line of the chain. Its signature is not checked yet."""

    signature: bytes
    json: bytes
    receipt: Receipt

    @property
    def sha256(self) -> str:
        """Hash of the receipt."""
        return receipt_hash(self.json)


_RECEIPT_DECODER = JsonDecoder(Receipt)


def _escape_non_utf8(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def encode_receipt(receipt: Receipt) -> bytes:
    """Encode the JSON bytes that are signed and hashed."""
    return msgspec.json.encode(receipt)


def receipt_hash(json: bytes) -> str:
    """Return the hash of a receipt's JSON bytes, in hexadecimal."""
    return sha256_hex(json)


def format_line(signature: bytes, json: bytes) -> bytes:
    """Return the line with its newline."""
    return base64.b64encode(signature) + b" " + json + b"\n"


def parse_line(line: bytes) -> ReceiptLine:
    """Parse a line, with or without its newline. The base64 must be canonical.

    Raises BadReceipt.
    """
    signature_text, _, json = line.removesuffix(b"\n").partition(b" ")
    try:
        signature = base64.b64decode(signature_text, validate=True)
    except binascii.Error as error:
        raise BadReceipt(f"its signature is not base64: {error}") from error
    if len(signature_text) != _SIGNATURE_CHARS or base64.b64encode(signature) != signature_text:
        raise BadReceipt(f"its signature is not {SIGNATURE_BYTES} bytes of base64")
    try:
        receipt = _RECEIPT_DECODER.decode(json)
    except MalformedJson as error:
        raise BadReceipt(f"its JSON is not a receipt: {error}") from error
    return ReceiptLine(signature=signature, json=json, receipt=receipt)
