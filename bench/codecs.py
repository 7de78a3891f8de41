"""How many messages the heads' codecs take in and make, beside a loop that looks at each byte."""

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from bench.cpu import in_turns, one_core
from bench.table import Row
from drivers import visca_codec
from drivers.pelco import (
    Dialect,
    Message,
    Motion,
    PelcoDecoder,
    Place,
    Preset,
    Query,
    Report,
    Telegram,
    encode,
)
from drivers.simulated.pty_head import LineNoise
from drivers.visca_codec import ReplyDecoder

MESSAGES = 20_000
PIECE_BYTES = 16
"""As much as an adapter hands over at a time, and no whole number of frames."""
FLIPS = LineNoise(flip=0.01)
"""Of a hundred bytes one has a wrong bit."""
LINE_BYTES_S = 11_520
"""What a line of 115,200 baud carries."""

PELCO: tuple[Message, ...] = (
    Motion(pan=20, tilt=-7),
    Query(axis="pan"),
    Report(axis="pan", value=12_345),
    Place(axis="tilt", value=35_000),
    Preset(action="call", number=7),
    Motion(),
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


class Decoder(Protocol):
    """Bytes in, messages out."""

    def feed(self, data: bytes) -> Sequence[Any]:
        """The messages that are complete with these bytes."""
        ...


class Codec(msgspec.Struct, frozen=True, kw_only=True):
    """One protocol: its messages as bytes, what takes them in, and what makes one after the other."""

    name: str
    frames: tuple[bytes, ...]
    decoder: Callable[[], Decoder]
    makes: tuple[Callable[[], bytes], ...]


def _pelco(dialect: Dialect) -> Codec:
    telegrams = [Telegram(address=1, message=message) for message in PELCO]
    return Codec(
        name=f"Pelco-{dialect}",
        frames=tuple(encode(dialect, telegram) for telegram in telegrams),
        decoder=lambda: PelcoDecoder(dialect),
        makes=tuple((lambda made=made: encode(dialect, made)) for made in telegrams),  # type: ignore[misc]
    )


CODECS = (
    _pelco("D"),
    _pelco("P"),
    Codec(
        name="VISCA",
        frames=VISCA_REPLIES,
        decoder=lambda: ReplyDecoder(1),
        makes=VISCA_ORDERS,
    ),
)


def rows() -> list[Row]:
    """Two rows for each protocol."""
    with one_core():
        return [row for codec in CODECS for row in _rows(codec)]


def _rows(codec: Codec) -> list[Row]:
    clean = b"".join(itertools.islice(itertools.cycle(codec.frames), MESSAGES))
    noisy = FLIPS.over(clean, random.Random(1))
    found = _decoded(codec, clean), _decoded(codec, noisy)
    if found[0] != MESSAGES:
        raise RuntimeError(f"{codec.name}: {found[0]} of {MESSAGES} messages were found")
    turns = in_turns(
        {
            "clean": lambda: _decoded(codec, clean) and None,
            "noisy": lambda: _decoded(codec, noisy) and None,
            "made": lambda: _made(codec),
            "looked": lambda: _looked(clean),
        },
        turns=5,
    )

    def per_s(name: str) -> float:
        return 1000 / turns.ms(name, MESSAGES)

    line = 100 * LINE_BYTES_S * turns.ms("clean", len(clean)) / 1000
    return [
        Row(
            name=f"{codec.name}, messages taken in",
            value=per_s("clean"),
            unit="/s",
            target="-",
            note=f"of CPU; with a wrong bit in 1 % of the bytes {per_s('noisy'):.0f} of those sent, "
            f"{100 * found[1] / MESSAGES:.0f} % of which come through; a full line of 115,200 baud "
            f"takes {line:.1f} % of a core",
        ),
        Row(
            name=f"{codec.name}, taking in / looking at each byte",
            value=turns.ratio("clean", "looked"),
            unit="ratio",
            target="-",
            note=f"a loop over the same bytes in pieces of {PIECE_BYTES}; made: "
            f"{per_s('made'):.0f} messages/s",
        ),
    ]


def _decoded(codec: Codec, stream: bytes) -> int:
    """How many messages are found."""
    decoder, found = codec.decoder(), 0
    for at in range(0, len(stream), PIECE_BYTES):
        found += len(decoder.feed(stream[at : at + PIECE_BYTES]))
    return found


def _made(codec: Codec) -> None:
    for make in itertools.islice(itertools.cycle(codec.makes), MESSAGES):
        make()


def _looked(stream: bytes) -> None:
    """The floor: whatever takes bytes in as they come touches each of them."""
    for at in range(0, len(stream), PIECE_BYTES):
        for _byte in stream[at : at + PIECE_BYTES]:
            pass
