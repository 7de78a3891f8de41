"""Receipts with usual values, and their lines with a signature of zeros."""

import msgspec

from agent.base.clock import ClockTrust
from agent.recording.custody.receipts import (
    GENESIS_SHA256,
    SIGNATURE_BYTES,
    Receipt,
    ReceiptBody,
    SegmentClosed,
    encode_receipt,
    format_line,
)

TIME = "2026-11-25T00:00:00.000Z"
_CLOSED = SegmentClosed(
    camera="north",
    segment="",
    sha256="0" * 64,
    size_bytes=1,
    begin_ns=0,
    duration_ns=10_000_000_000,
    begin_time=TIME,
    software="vigie",
    model=None,
    mask=None,
    config=None,
    sealed=False,
    mask_applied="none",
    recovered=False,
)


def closed_segment(segment: str, **fields: object) -> SegmentClosed:
    """The receipt of a segment's close."""
    return msgspec.structs.replace(_CLOSED, segment=segment, **fields)


def unsigned_line(body: ReceiptBody, seq: int, *, time: str = TIME) -> bytes:
    receipt = Receipt(
        box="pole-17",
        seq=seq,
        prev_sha256=GENESIS_SHA256,
        boot="0000000a",
        t_ns=0,
        time=time,
        clock=ClockTrust(synced=True, source="ntp", error_s=0.01),
        body=body,
    )
    return format_line(bytes(SIGNATURE_BYTES), encode_receipt(receipt))
