"""What recording costs: the ring, plain and sealed, beside bare demuxing, bare stream copy, and ffmpeg's segmenter.

CPU time, one 1080p25 stream of 4 Mbit/s with a keyframe a second, 250 s of it read as fast as it
goes; the recorder's clock goes with the stream, so that it makes its bytes durable as often as
it would live. Run: `python -m bench.record`.
"""

import resource
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.clock import ClockTrust
from agent.config import Recipient, RecordConfig
from agent.faults import FaultBoard
from agent.handoff import PacketQueue
from agent.record.keys import KeyRing, public_key_text
from agent.record.recorder import BATCH_S, RecordStage
from agent.record.seal import KEPT_KEYS, Sealer
from bench.table import Row
from drivers.av_stream import media_packet, open_source

FPS = 25
FILM_S = 25
LOOPS = 10
BIT_RATE = 4_000_000
ROUNDS = 3


class StreamClock:
    """Boot time that goes with the stream."""

    def __init__(self) -> None:
        self.now_ns = 0

    def boottime_ns(self) -> int:
        """Where the stream is."""
        return self.now_ns

    def utc(self, t_ns: int) -> datetime:
        """Some day."""
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=t_ns // 1000)

    def trust(self) -> ClockTrust:
        """Full trust."""
        return ClockTrust(synced=True, source="bench", error_s=None)


def encode(path: Path) -> None:
    """A film whose packets are as large as a camera's."""
    rng = np.random.default_rng(1)
    noise = rng.integers(90, 130, (1080 + 64, 1920 + 64), np.uint8)
    with av.open(str(path), "w") as out:
        options = {"preset": "ultrafast", "sc_threshold": "0", "bf": "0", "threads": "1"}
        stream = out.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        stream.codec_context.gop_size = FPS
        stream.bit_rate = BIT_RATE
        for index in range(FILM_S * FPS):
            at = index * 7 % 64
            gray = np.ascontiguousarray(noise[at : at + 1080, at : at + 1920])
            frame = av.VideoFrame.from_ndarray(gray, "gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def demux(film: Path) -> int:
    """Read the packets, and nothing more."""
    count = 0
    with av.open(str(film)) as source:
        for packet in source.demux(video=0):
            count += packet.size > 0
    return count


def copy(film: Path, folder: Path) -> None:
    """Stream copy with the library alone, into one fragmented file."""
    options = {"movflags": "empty_moov+frag_keyframe+default_base_moof", "flush_packets": "1"}
    with (
        av.open(str(film)) as source,
        av.open(str(folder / "copy.mp4"), "w", options=options) as out,
    ):
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)


def record(film: Path, folder: Path, flush_s: float, sealer: Sealer | None = None) -> int:
    """The recorder, fed as the capture feeds it. The bytes that it wrote."""
    clock = StreamClock()
    queue = PacketQueue(1 << 26, lambda *_: None)
    stage = RecordStage(
        "bench",
        queue,
        RecordConfig(flush_s=flush_s),
        folder,
        clock,
        FaultBoard(clock.boottime_ns),
        sealer=sealer,
        on_gap=lambda *_: None,
        on_segment=lambda _: None,
    )
    no_wait = threading.Event()
    no_wait.set()
    source = open_source(str(film), "bench")
    stage.stream_opened(source.info)
    batch_ns = int(BATCH_S * 1e9)
    turn_ns = 0
    for packet in source.packets():
        if not packet.size or packet.dts is None or packet.pts is None:
            continue
        clock.now_ns = source.ns(packet.dts)
        queue.put(
            media_packet(
                packet, t_ns=clock.now_ns, pts_ns=source.ns(packet.pts), dts_ns=clock.now_ns
            )
        )
        if clock.now_ns - turn_ns >= batch_ns:
            turn_ns = clock.now_ns
            stage.run_once(no_wait)
    stage.close()
    source.close()
    return stage.footage().bytes


def ffmpeg(film: Path, folder: Path) -> None:
    """What a camera box would do without us."""
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(film), "-c", "copy", "-f", "segment"]
    command += ["-segment_time", "10", "-segment_format", "mp4", str(folder / "%04d.mp4")]
    subprocess.run(command, check=True)


def cpu_s(work: Callable[[], object], who: int = resource.RUSAGE_SELF) -> float:
    """CPU seconds, in the program and the kernel, of the best of some runs."""
    best = float("inf")
    for _ in range(ROUNDS):
        before = resource.getrusage(who)
        work()
        after = resource.getrusage(who)
        spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        best = min(best, spent)
    return best


def rows() -> list[Row]:
    """The rows for the table."""
    with tempfile.TemporaryDirectory(prefix="vigie-bench-") as name:
        folder = Path(name)
        short, film = folder / "short.ts", folder / "film.ts"
        encode(short)
        repeat(short, film)
        written: list[int] = []

        def once(flush_s: float, sealer: Sealer | None = None) -> None:
            shutil.rmtree(folder / "ring", ignore_errors=True)
            written.append(record(film, folder / "ring", flush_s, sealer))

        count, video = demux(film), video_bytes(film)
        bare = cpu_s(lambda: demux(film))
        copied = cpu_s(lambda: copy(film, folder))
        ours = cpu_s(lambda: once(1.0))
        lazy = cpu_s(lambda: once(60.0))
        sealed = cpu_s(lambda: once(1.0, one_recipient()))
        live = f"{100 * ours / (count / FPS):.2f} % of a core at {FPS} fps, durable each second"
        note = "durable each second; the other leaves that to the kernel"
        result = [
            row("record, per packet", 1e3 * ours / count, "ms", "-", live),
            row("record / bare demux", ours / bare, "ratio", "-", f"{1e3 * bare / count:.3f} ms"),
            row("record / bare stream copy", ours / copied, "ratio", "<= 1.25", note),
            row("same, durable once a segment", lazy / copied, "ratio", "<= 1.25", ""),
            row("same, sealed", sealed / copied, "ratio", "<= 1.25", note),
            row("bytes on disk / of video", written[0] / video, "ratio", "<= 1.05", ""),
            row("same, sealed", written[-1] / video, "ratio", "<= 1.05", ""),
        ]
        if shutil.which("ffmpeg"):
            peer = cpu_s(lambda: ffmpeg(film, folder), resource.RUSAGE_CHILDREN)
            result.append(row("record / ffmpeg -f segment", ours / peer, "ratio", "<= 0.7", note))
            result.append(row("same, durable once a segment", lazy / peer, "ratio", "<= 0.7", ""))
        return result


def one_recipient() -> Sealer | None:
    """Sealing for one recipient."""
    public_key = public_key_text(X25519PrivateKey.generate().public_key())
    centre = Recipient(id="centre", public_key=public_key)
    return Sealer.from_config([centre], box="bench", camera="bench", keys=KeyRing(KEPT_KEYS))


def repeat(short: Path, film: Path) -> None:
    """The same film several times in one file, as a long stream."""
    with av.open(str(film), "w") as out:
        with av.open(str(short)) as source:
            stream = out.add_stream_from_template(source.streams.video[0])
        for loop in range(LOOPS):
            with av.open(str(short)) as source:
                for packet in source.demux(video=0):
                    if packet.size and packet.pts is not None and packet.dts is not None:
                        shift = int(loop * FILM_S / packet.time_base)
                        packet.pts += shift
                        packet.dts += shift
                        packet.stream = stream
                        out.mux(packet)


def video_bytes(film: Path) -> int:
    """The bytes of the packets alone."""
    with av.open(str(film)) as source:
        return sum(packet.size for packet in source.demux(video=0))


def row(name: str, value: float, unit: str, target: str, note: str) -> Row:
    return Row(name=name, value=value, unit=unit, target=target, note=note)


if __name__ == "__main__":
    for line in rows():
        sys.stdout.write(
            f"{line.name:32} {line.value:8.3f} {line.unit:6} {line.target:8} {line.note}\n"
        )
