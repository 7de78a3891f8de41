"""Throughput of the heads' codecs, against a loop that looks at each byte."""

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from bench.cpu import one_core, run_in_turns
from bench.table import Row
from drivers import visca_codec
from drivers.pelco_codec import (
    AddressedMessage,
    PelcoDecoder,
    PelcoDialect,
    PelcoMessage,
    PelcoMotion,
    PositionCommand,
    PositionQuery,
    PositionReport,
    PresetAction,
    encode_frame,
)
from drivers.visca_codec import ReplyDecoder
from simulation.heads.pty_serial_line import LineNoise

MESSAGES = 20_000
CHUNK_BYTES = 16
"""Bytes per read of an adapter, no multiple of a frame's length."""
BIT_FLIPS = LineNoise(flip=0.01)
"""Share of bytes with a wrong bit: one in a hundred."""
LINE_BYTES_S = 11_520
"""Bytes per second of a line of 115,200 baud."""

PELCO_MESSAGES: tuple[PelcoMessage, ...] = (
    PelcoMotion(pan=20, tilt=-7),
    PositionQuery(axis="pan"),
    PositionReport(axis="pan", value=12_345),
    PositionCommand(axis="tilt", value=35_000),
    PresetAction(action="call", number=7),
    PelcoMotion(),
)
VISCA_REPLIES = (
    bytes.fromhex("9041ff"),
    bytes.fromhex("9051ff"),
    bytes.fromhex("90500f0c010800010203ff"),
    bytes.fromhex("905002030405ff"),
    bytes.fromhex("906103ff"),
)
"""An ACK, a completion, a pan and tilt, a zoom, and an error."""
VISCA_ORDERS: tuple[Callable[[], bytes], ...] = (
    lambda: visca_codec.pan_tilt_drive(1, 12, -3),
    lambda: visca_codec.pan_tilt_absolute(1, 1200, -300, pan_speed=10, tilt_speed=10),
    lambda: visca_codec.zoom_drive(1, 3),
    lambda: visca_codec.pan_tilt_inquiry(1),
    lambda: visca_codec.preset_recall(1, 3),
)


class FrameDecoder(Protocol):
    """A parser: bytes in, messages out."""

    def feed(self, data: bytes) -> Sequence[Any]:
        """Return the messages that these bytes complete."""
        ...


class CodecCase(msgspec.Struct, frozen=True, kw_only=True):
    """One protocol: its messages as bytes, its parser, and its message builder."""

    name: str
    frames: tuple[bytes, ...]
    decoder: Callable[[], FrameDecoder]
    encoders: tuple[Callable[[], bytes], ...]


def _pelco_case(dialect: PelcoDialect) -> CodecCase:
    addressed_messages = [
        AddressedMessage(address=1, message=message) for message in PELCO_MESSAGES
    ]
    return CodecCase(
        name=f"Pelco-{dialect}",
        frames=tuple(encode_frame(dialect, telegram) for telegram in addressed_messages),
        decoder=lambda: PelcoDecoder(dialect),
        encoders=tuple(
            (lambda message=message: encode_frame(dialect, message))  # type: ignore[misc]
            for message in addressed_messages
        ),
    )


CODECS = (
    _pelco_case("D"),
    _pelco_case("P"),
    CodecCase(
        name="VISCA",
        frames=VISCA_REPLIES,
        decoder=lambda: ReplyDecoder(1),
        encoders=VISCA_ORDERS,
    ),
)


def rows() -> list[Row]:
    """Return two rows for each protocol."""
    with one_core():
        return [row for codec in CODECS for row in _rows(codec)]


def _rows(codec: CodecCase) -> list[Row]:
    clean = b"".join(itertools.islice(itertools.cycle(codec.frames), MESSAGES))
    noisy = BIT_FLIPS.apply(clean, random.Random(1))
    decoded_counts = _count_decoded(codec, clean), _count_decoded(codec, noisy)
    if decoded_counts[0] != MESSAGES:
        raise RuntimeError(f"{codec.name}: {decoded_counts[0]} of {MESSAGES} messages were found")
    turns = run_in_turns(
        {
            "clean": lambda: _count_decoded(codec, clean) and None,
            "noisy": lambda: _count_decoded(codec, noisy) and None,
            "encode": lambda: _encode_all(codec),
            "read": lambda: _touch_bytes(clean),
        },
        turns=5,
    )

    def per_s(name: str) -> float:
        return 1000 / turns.ms(name, MESSAGES)

    line = 100 * LINE_BYTES_S * turns.ms("clean", len(clean)) / 1000
    return [
        Row(
            name=f"{codec.name}, messages decoded",
            value=per_s("clean"),
            unit="/s",
            target="-",
            note=f"of CPU; with a wrong bit in 1 % of the bytes {per_s('noisy'):.0f} of those sent, "
            f"{100 * decoded_counts[1] / MESSAGES:.0f} % of which come through; a full line of 115,200 baud "
            f"takes {line:.1f} % of a core",
        ),
        Row(
            name=f"{codec.name}, decoding / reading each byte",
            value=turns.ratio("clean", "read"),
            unit="ratio",
            target="-",
            note=f"a loop over the same bytes in pieces of {CHUNK_BYTES}; encoded: "
            f"{per_s('encode'):.0f} messages/s",
        ),
    ]


def _count_decoded(codec: CodecCase, stream: bytes) -> int:
    """Count the messages found."""
    decoder, found = codec.decoder(), 0
    for at in range(0, len(stream), CHUNK_BYTES):
        found += len(decoder.feed(stream[at : at + CHUNK_BYTES]))
    return found


def _encode_all(codec: CodecCase) -> None:
    for make in itertools.islice(itertools.cycle(codec.encoders), MESSAGES):
        make()


def _touch_bytes(stream: bytes) -> None:
    """Touch each byte: the floor of every byte-wise parser."""
    for at in range(0, len(stream), CHUNK_BYTES):
        for _byte in stream[at : at + CHUNK_BYTES]:
            pass
