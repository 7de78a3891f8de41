"""One page of the flight recorder: some seconds of the box, whole or not there. Pure.

A page is PAGE_BYTES long, what a disk writes at once. It begins with its own check, so a page that a
power cut has torn is told from one that was never written, and both from a good one.
"""

import struct
import zlib
from typing import Literal

import msgspec

from agent.base.health_model import FlightSample

PAGE_BYTES = 4096
_HEADER = struct.Struct("<4sIHxx")
"""Magic, CRC-32 of what follows, its length."""
_MAGIC = b"VFL1"
MAX_BODY_BYTES = PAGE_BYTES - _HEADER.size
_MAX_INFLATED_BYTES = 1_000_000

PageKind = Literal["began", "flight", "stopped"]
"""What a page is for: the agent has begun, it flies, it was asked to stop and has."""


class FlightPage(msgspec.Struct, frozen=True, kw_only=True):
    """`number` counts over restarts, `run` names one run of the agent, `boot` the kernel's boot.

    `why` is of a stop. `time` is the UTC of the page's end, RFC 3339.
    """

    number: int
    boot: str
    run: str
    kind: PageKind
    time: str
    samples: tuple[FlightSample, ...] = ()
    reason: str = ""


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(FlightPage)


def encode(page: FlightPage) -> bytes:
    """The bytes of a page, always PAGE_BYTES. Samples that do not fit are thinned, every second of
    them goes first, and then their cameras, faults and stages; the newest one stays.
    """
    while True:
        body = zlib.compress(_ENCODER.encode(page), 6)
        if len(body) <= MAX_BODY_BYTES:
            break
        samples = page.samples[-1::-2][::-1]
        if len(page.samples) <= 1:
            samples = tuple(
                msgspec.structs.replace(sample, fps={}, faults=(), stalled_stages=())
                for sample in page.samples
            )
            page = msgspec.structs.replace(page, reason=page.reason[:200])
        page = msgspec.structs.replace(page, samples=samples)
    return (_HEADER.pack(_MAGIC, zlib.crc32(body), len(body)) + body).ljust(PAGE_BYTES, b"\0")


def decode(data: bytes) -> FlightPage | None:
    """The page that the bytes are; None where they are none, or were torn."""
    if len(data) < _HEADER.size:
        return None
    magic, crc, length = _HEADER.unpack_from(data)
    body = data[_HEADER.size : _HEADER.size + length]
    if magic != _MAGIC or len(body) != length or zlib.crc32(body) != crc:
        return None
    inflate = zlib.decompressobj()
    try:
        return _DECODER.decode(inflate.decompress(body, _MAX_INFLATED_BYTES))
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
