"""The video that is recorded, and the position in it that belongs to a segment's name."""

import hashlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

FPS = 10
GOP_FRAMES = 8
FRAMES = 40
FRAME_MS = 1000 // FPS
FIRST_MS = 1_000_000
LIFE_PACKETS = 100_000
"""Each life of a recorder numbers its packets from a new hundred thousand."""


def write_video(path: Path) -> Path:
    """H.264 as a camera sends it; no two pictures are alike."""
    rng = np.random.default_rng(3)
    with av.open(str(path), "w") as out:
        options = {"preset": "ultrafast", "tune": "zerolatency", "sc_threshold": "0"}
        stream = out.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.time_base = Fraction(1, FPS)
        stream.codec_context.gop_size = GOP_FRAMES
        for index in range(FRAMES):
            rgb = rng.integers(0, 60, (96, 128, 3), np.uint8) + np.uint8(index)
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv420p")
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def picture_digests(path: Path, key: bytes | None = None) -> list[str]:
    """The digest of each picture that plays; `key` opens an encrypted file."""
    options = {} if key is None else {"decryption_key": key.hex()}
    with av.open(str(path), options=options) as container:
        return [
            hashlib.sha256(frame.to_ndarray(format="gray").tobytes()).hexdigest()
            for frame in container.decode(video=0)
        ]


def count_packets(path: Path) -> int:
    """The number of pictures in a file, encrypted or not."""
    with av.open(str(path)) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)


def packet_time_ns(index: int) -> int:
    """When packet `index` was taken, by the recorder's clock."""
    return (FIRST_MS + index * FRAME_MS) * 1_000_000


def packet_index(begin_ms: int) -> int:
    """The packet that a segment begins with."""
    return (begin_ms - FIRST_MS) // FRAME_MS
