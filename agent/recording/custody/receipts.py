"""Receipts of what happens to footage: their words and the line that each is kept in. Pure.

A line is the base64 of an Ed25519 signature (RFC 8032), a space, a JSON object and a newline. The
signature is over the JSON bytes exactly as they stand, and their SHA-256 is the receipt's hash;
nothing is ever put into another form before it is checked. docs/custody.md says it for people.
"""

import base64
import binascii
import hashlib
from typing import Annotated, Literal, TypeAlias

import msgspec

from agent.base.clock import ClockTrust
from agent.base.signed_manifest import Sha256

GENESIS_SHA256 = "0" * 64
"""The hash that stands where no receipt goes before."""

SIGNATURE_BYTES = 64
_SIGNATURE_CHARS = 88

UtcText = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$(?!\n)")]
"""RFC 3339, UTC, milliseconds."""
Count = Annotated[int, msgspec.Meta(ge=0)]


class BadReceipt(ValueError):
    """A line that is no receipt, and why, in one line."""


class AgentStarted(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="started"):
    """The agent has started. `public_key` is the base64 of the raw 32 bytes; `recipients` are the
    ids of those that footage is sealed for, none where it lies plain.
    """

    public_key: str
    versions: dict[str, str]
    recipients: tuple[str, ...]


class SegmentOpened(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="opened"):
    """A footage file was begun. `segment` is its name."""

    camera: str
    segment: str


class SegmentClosed(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="closed"):
    """A footage file is whole, and from now on never changes.

    `sha256` and `size_bytes` are of the file as it lies on the disk. `software`, `model`, `mask`
    and `config` are versions or hashes, None where there is none. `mask_applied` tells where the
    mask is burnt in; `recovered` that the file was mended after a cut.
    """

    camera: str
    segment: str
    sha256: Sha256
    size_bytes: Count
    begin_ns: int
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
    """This span was not recorded."""

    camera: str
    begin_ns: int
    end_ns: int
    reason: str


class HoldPlaced(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="held"):
    """Footage of this span is kept from eviction until `expires`; `hold` is the hold's id."""

    hold_id: str
    camera: str
    begin_time: UtcText
    end_time: UtcText
    owner: str
    reason: str
    expires: UtcText


class HoldReleased(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="released"):
    """A hold has ended."""

    hold_id: str
    by: str
    reason: str


class FootageEvicted(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="evicted"):
    """Footage files were deleted, or what had been set aside (`quarantine/` and its name, written as in
    `SetAside`); `oldest_time` is where the footage that is left begins.
    """

    camera: str
    segments: tuple[str, ...]
    reason: Literal["bytes", "age", "space"]
    oldest_time: UtcText | None

    def __post_init__(self) -> None:
        """What was set aside may have any name."""
        msgspec.structs.force_setattr(self, "segments", tuple(map(_escape_non_utf8, self.segments)))


class FootageExported(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="exported"):
    """Footage was taken out of the box; `sha256` is of the export's manifest."""

    camera: str
    begin_time: UtcText
    end_time: UtcText
    by: str
    purpose: str
    segments: tuple[str, ...]
    sha256: Sha256


class FootageViewed(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="viewed"):
    """Somebody has looked at footage."""

    camera: str
    begin_time: UtcText
    end_time: UtcText
    by: str
    purpose: str


class FileQuarantined(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="quarantined"
):
    r"""A file that is no footage was moved out of the way, or the torn end of the chain itself,
    which belongs to no camera. Bytes of the name that are not UTF-8 stand as `\udcXX`.
    """

    camera: str | None
    name: str

    def __post_init__(self) -> None:
        """A file's name may be any bytes, JSON may not."""
        msgspec.structs.force_setattr(self, "name", _escape_non_utf8(self.name))


class FootageAttested(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="attested"):
    """What of a camera's footage lies on the disk, and since when."""

    camera: str
    oldest_time: UtcText | None
    segment_count: Count
    size_bytes: Count


class ReceiptsPruned(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="pruned"):
    """The receipts of these numbers were deleted: none of their footage is left."""

    first_seq: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    last_seq: Annotated[int, msgspec.Meta(ge=1, le=2**53)]


class ServiceAction(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="service_action"
):
    """A technician at the box, or somebody who claimed to be one, did something at its console."""

    by: str
    action: str


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
)


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """One receipt. The order of the fields is that of the JSON.

    `seq` counts from 1 without holes; `prev` is the hash of the receipt before. `t_ns` is of the
    boot `boot` and never goes back within it; `time` is the same in UTC, which is worth what
    `clock` says.
    """

    v: Literal[1] = 1
    box: str
    seq: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    prev_sha256: Sha256
    boot: str
    t_ns: Count
    time: UtcText
    clock: ClockTrust
    body: ReceiptBody


class ReceiptLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the chain, taken apart; its signature is not checked yet."""

    signature: bytes
    json: bytes
    receipt: Receipt

    @property
    def sha256(self) -> str:
        """The receipt's hash."""
        return receipt_hash(self.json)


_RECEIPT_DECODER = msgspec.json.Decoder(Receipt)


def _escape_non_utf8(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def encode_receipt(receipt: Receipt) -> bytes:
    """The JSON bytes that are signed and hashed."""
    return msgspec.json.encode(receipt)


def receipt_hash(json: bytes) -> str:
    """The hash of a receipt's JSON bytes, in hexadecimal."""
    return hashlib.sha256(json).hexdigest()


def format_line(signature: bytes, json: bytes) -> bytes:
    """The line, with its newline."""
    return base64.b64encode(signature) + b" " + json + b"\n"


def parse_line(line: bytes) -> ReceiptLine:
    """A line, without or with its newline, taken apart.

    Raises BadReceipt where it is none. Base64 must be the one way to write these bytes.
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
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadReceipt(f"its JSON is no receipt: {error}") from error
    return ReceiptLine(signature=signature, json=json, receipt=receipt)
