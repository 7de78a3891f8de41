"""Page format of the flight recorder: some seconds of samples, valid as a whole or not at all. Pure.

A page is PAGE_BYTES long, the unit that a disk writes at once. It begins with its checksum, so that a
page torn by a power cut, one never written and a good one can be told apart.
"""

import struct
import zlib
from typing import Literal

import msgspec

from agent.base.health_model import FlightSample

PAGE_BYTES = 4096
_HEADER = struct.Struct("<4sIHxx")
"""Magic, CRC-32 of the body, length of the body."""
_MAGIC = b"VFL1"
MAX_BODY_BYTES = PAGE_BYTES - _HEADER.size
_MAX_INFLATED_BYTES = 1_000_000

PageKind = Literal["began", "flight", "stopped"]
"""began: the agent started; flight: samples of a run; stopped: the agent stopped in order."""


class FlightPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page. `number` counts over restarts; `run` names a run of the agent, `boot` the kernel's boot.

    `reason` is that of a stop. `time` is the UTC of the page's end, RFC 3339.
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
    """Encode a page to exactly PAGE_BYTES.

    If the samples do not fit, every second one is dropped, down to the newest; then its cameras,
    faults and stages are.
    """
    while True:
        body = zlib.compress(_ENCODER.encode(page), 6)
        if len(body) <= MAX_BODY_BYTES:
            break
        samples = page.samples[-1::-2][::-1]
        if len(page.samples) <= 1:
            samples = tuple(
                msgspec.structs.replace(
                    sample, stream_fps={}, detect_fps={}, faults=(), stalled_stages=()
                )
                for sample in page.samples
            )
            page = msgspec.structs.replace(page, reason=page.reason[:200])
        page = msgspec.structs.replace(page, samples=samples)
    return (_HEADER.pack(_MAGIC, zlib.crc32(body), len(body)) + body).ljust(PAGE_BYTES, b"\0")


def decode(data: bytes) -> FlightPage | None:
    """Decode a page. Return None if the bytes are no page, or a torn one."""
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
