"""The video that the benches of recording read: packets as large and as regular as a camera's."""

from fractions import Fraction
from pathlib import Path

import av
import av.video.stream
import numpy as np

FPS = 25
VIDEO_S = 25
LOOPS = 10
BIT_RATE = 4_000_000


def write_short_video(path: Path) -> None:
    """Make a video with packets as large as a camera's."""
    rng = np.random.default_rng(1)
    noise = rng.integers(90, 130, (1080 + 64, 1920 + 64), np.uint8)
    with av.open(str(path), "w") as out:
        options = {"preset": "ultrafast", "sc_threshold": "0", "bf": "0", "threads": "1"}
        stream = out.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        stream.codec_context.gop_size = FPS
        stream.bit_rate = BIT_RATE
        for index in range(VIDEO_S * FPS):
            at = index * 7 % 64
            gray = np.ascontiguousarray(noise[at : at + 1080, at : at + 1920])
            frame = av.VideoFrame.from_ndarray(gray, "gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def count_packets(video: Path) -> int:
    """Read the packets, and nothing else."""
    count = 0
    with av.open(str(video)) as source:
        for packet in source.demux(video=0):
            count += packet.size > 0
    return count


def write_looped_video(short: Path, video: Path) -> None:
    """Concatenate the video several times into one file, as a long stream."""
    with av.open(str(video), "w") as out:
        with av.open(str(short)) as source:
            stream = out.add_stream_from_template(source.streams.video[0])
        for loop in range(LOOPS):
            with av.open(str(short)) as source:
                for packet in source.demux(video=0):
                    if packet.size and packet.pts is not None and packet.dts is not None:
                        shift = int(loop * VIDEO_S / packet.time_base)
                        packet.pts += shift
                        packet.dts += shift
                        packet.stream = stream
                        out.mux(packet)


def video_bytes(video: Path) -> int:
    """Return the bytes of the packets alone."""
    with av.open(str(video)) as source:
        return sum(packet.size for packet in source.demux(video=0))
