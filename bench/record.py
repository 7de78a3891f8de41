"""What recording costs: the ring, plain and sealed, beside bare demuxing, bare stream copy, and ffmpeg's segmenter.

CPU time, one 1080p25 stream of 4 Mbit/s with a keyframe a second, 250 s of it read as fast as it
goes; the recorder's clock goes with the stream, so that it makes its bytes durable as often as
it would live. Its receipts go into a real chain of custody. All take turns on one core and write
into an empty folder; reading the film is in each number, deleting what was written in none.

Stream copy neither hashes its file nor makes it durable, and the kernel's later work for it is
charged to nobody. What the library alone costs with the recorder's promises (segments of 10 s,
their SHA-256, fdatasync at each keyframe, sealing) is measured too: no recorder on PyAV can cost
less. Run: `python -m bench.record`.
"""

import hashlib
import os
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
import av.video.stream
import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.base.clock import ClockTrust, boot_id
from agent.base.device_identity import DeviceIdentity
from agent.config.configuration import HoldConfig, Recipient, RecordConfig
from agent.faults.registry import FaultRegistry
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.encryption.key_wrapping import KEY_RING_CAPACITY, Sealer
from agent.recording.encryption.keys import KeyRing, encode_public_key
from agent.recording.record_stage import POLL_INTERVAL_S, RecordStage
from agent.recording.retention.hold_store import HoldStore
from agent.recording.retention.retention_stage import RetentionStage
from agent.runtime.queues import PacketQueue
from bench.cpu import TurnTimes, Work, cpu_s, one_core, run_in_turns
from bench.table import Row
from drivers.av_stream import VideoPacket, open_video_source, to_media_packet

FPS = 25
FILM_S = 25
LOOPS = 10
TURNS = 5
BIT_RATE = 4_000_000
SEGMENT_S = 10
LONG_FLUSH_S = 60.0
"""Longer than a segment: its bytes are made durable once, at its end."""

FRAGMENT_OPTIONS = {"movflags": "empty_moov+frag_keyframe+default_base_moof", "flush_packets": "1"}
ENCRYPTION_OPTIONS = {
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": "11" * 16,
    "encryption_kid": "22" * 16,
}


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


class NeverStopping(threading.Event):
    """Of a stage that is not to stop. The stream's time passes by itself: nobody waits for it."""

    def wait(self, timeout: float | None = None) -> bool:
        """Not set, at once."""
        return False


def write_short_film(path: Path) -> None:
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


def count_packets(film: Path) -> int:
    """Read the packets, and nothing more."""
    count = 0
    with av.open(str(film)) as source:
        for packet in source.demux(video=0):
            count += packet.size > 0
    return count


def stream_copy(film: Path, folder: Path) -> None:
    """Stream copy with the library alone, into one fragmented file."""
    with (
        av.open(str(film)) as source,
        av.open(str(folder / "copy.mp4"), "w", options=FRAGMENT_OPTIONS) as out,
    ):
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)


class BareSegment:
    """A segment that the library writes alone, hashed as it is written."""

    def __init__(
        self, path: Path, template: av.video.stream.VideoStream, options: dict[str, str]
    ) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o640)
        self._sha256 = hashlib.sha256()
        self._container = av.open(self, "w", format="mp4", options=options, buffer_size=1 << 18)
        self._stream = self._container.add_stream_from_template(template)

    def write(self, data: bytes) -> int:
        """Called by the library."""
        self._sha256.update(data)
        return os.write(self._handle, data)

    def add(self, packet: VideoPacket) -> None:
        """Copy a packet. With a keyframe what went before it becomes durable."""
        packet.stream = self._stream
        self._container.mux(packet)
        if packet.is_keyframe:
            os.fdatasync(self._handle)

    def close(self) -> None:
        """Write the rest and make it durable."""
        self._container.close()
        os.fsync(self._handle)
        os.close(self._handle)


def write_durable_segments(film: Path, folder: Path, options: dict[str, str]) -> None:
    """Stream copy with the library alone, with what the recorder promises of its files."""
    with av.open(str(film)) as source:
        template = source.streams.video[0]
        segments: list[BareSegment] = []
        keyframes = 0
        for packet in source.demux(template):
            if packet.is_keyframe and keyframes % SEGMENT_S == 0:
                if segments:
                    segments[-1].close()
                segments.append(BareSegment(folder / f"{keyframes}.mp4", template, options))
            keyframes += packet.is_keyframe
            if packet.size:
                segments[-1].add(packet)
        segments[-1].close()


class BenchRecorder:
    """The recorder with its keeper and a chain of custody, fed as the capture feeds it."""

    def __init__(self, folder: Path, flush_s: float, sealer: Sealer | None) -> None:
        self._clock = clock = StreamClock()
        self._queue = PacketQueue(1 << 26, lambda *_: None)
        settings = RecordConfig(flush_s=flush_s, segment_s=SEGMENT_S)
        faults = FaultRegistry(clock.boottime_ns)
        identity = DeviceIdentity.load_or_create(folder / "identity")
        custody = CustodyLog.open(folder / "custody", "bench", boot_id(), clock, identity)
        retention = RetentionStage(
            folder / "footage",
            settings,
            HoldConfig(),
            clock,
            boot_id(),
            faults,
            HoldStore(folder / "holds", clock, boot_id(), str),
            ReceiptQueue(custody.append, faults),
            cameras=["bench"],
            on_hold_broken=lambda _hold: None,
        )
        self._stage = RecordStage(
            "bench",
            self._queue,
            settings,
            folder / "footage",
            clock,
            faults,
            retention=retention,
            sealer=sealer,
            on_gap=lambda *_: None,
            on_segment=lambda _: None,
        )
        self._receipts = custody.head

    def record(self, film: Path) -> None:
        """The whole film."""
        clock, queue, stage = self._clock, self._queue, self._stage
        running = NeverStopping()
        source = open_video_source(str(film), "bench")
        stage.on_stream_opened(source.info)
        batch_ns = int(POLL_INTERVAL_S * 1e9)
        last_turn_ns = 0
        for packet in source.packets():
            if not packet.size or packet.dts is None or packet.pts is None:
                continue
            clock.now_ns = source.ticks_to_ns(packet.dts)
            queue.put(
                to_media_packet(
                    packet,
                    t_ns=clock.now_ns,
                    pts_ns=source.ticks_to_ns(packet.pts),
                    dts_ns=clock.now_ns,
                )
            )
            if clock.now_ns - last_turn_ns >= batch_ns:
                last_turn_ns = clock.now_ns
                stage.run_once(running)
        stage.close()
        source.close()

    def written_bytes(self) -> int:
        """What lies on the disk. All must be there, each with the receipts of its begin and end."""
        footage = self._stage.footage_health()
        assert footage.segments == FILM_S * LOOPS // SEGMENT_S
        assert self._receipts().seq == 2 * footage.segments
        return footage.bytes


def segment_with_ffmpeg(film: Path, folder: Path) -> None:
    """What a camera box would do without us."""
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(film), "-c", "copy", "-f", "segment"]
    command += ["-segment_time", str(SEGMENT_S), "-segment_format", "mp4", "%04d.mp4"]
    subprocess.run(command, check=True, cwd=folder)


def timed_work(
    work: Callable[[Path, Path], object], film: Path, usage_target: int = resource.RUSAGE_SELF
) -> Work:
    """A work into a folder of its own, which is deleted outside of the measured time."""

    def measure() -> float:
        with tempfile.TemporaryDirectory(prefix="vigie-bench-") as folder:
            start_s = cpu_s(usage_target)
            work(film, Path(folder))
            return cpu_s(usage_target) - start_s

    return measure


def recorder_work(
    film: Path, flush_s: float, sealer: Sealer | None, written_bytes: list[int]
) -> Work:
    """The recorder's work. Setting it up is not in it: a box does that once."""

    def measure() -> float:
        with tempfile.TemporaryDirectory(prefix="vigie-bench-") as folder:
            recorder = BenchRecorder(Path(folder), flush_s, sealer)
            start_s = cpu_s()
            recorder.record(film)
            cpu_used_s = cpu_s() - start_s
            written_bytes.append(recorder.written_bytes())
            return cpu_used_s

    return measure


def rows() -> list[Row]:
    """The rows for the table."""
    with tempfile.TemporaryDirectory(prefix="vigie-bench-") as name:
        short, film = Path(name) / "short.ts", Path(name) / "film.ts"
        write_short_film(short)
        write_looped_film(short, film)
        plain: list[int] = []
        sealed: list[int] = []
        works = {
            "demux": timed_work(lambda film, _: count_packets(film), film),
            "copy": timed_work(stream_copy, film),
            "kept": timed_work(
                lambda film, to: write_durable_segments(film, to, FRAGMENT_OPTIONS), film
            ),
            "kept sealed": timed_work(
                lambda film, to: write_durable_segments(
                    film, to, FRAGMENT_OPTIONS | ENCRYPTION_OPTIONS
                ),
                film,
            ),
            "record": recorder_work(film, 1.0, None, plain),
            "lazy": recorder_work(film, LONG_FLUSH_S, None, plain),
            "sealed": recorder_work(film, 1.0, sealer_for_one(), sealed),
        }
        if shutil.which("ffmpeg"):
            works["ffmpeg"] = timed_work(segment_with_ffmpeg, film, resource.RUSAGE_CHILDREN)
        with one_core():
            turns = run_in_turns(works, TURNS)
        count, video = count_packets(film), video_bytes(film)
    return [*cost_rows(turns, count), *size_rows(plain[-1] / video, sealed[-1] / video)]


def cost_rows(turns: TurnTimes, count: int) -> list[Row]:
    """What the recorder costs, what no recorder on the library can cost less than, and the peer."""

    def ratio(name: str, one: str, to: str, target: str, note: str = "") -> Row:
        return make_row(name, turns.ratio(one, to), "ratio", target, note)

    each_ms = turns.ms("record", count)
    live_note = f"{each_ms * FPS / 10:.2f} % of a core at {FPS} fps, durable each second"
    unlike_note = "hashed, receipted, durable each second; the other leaves all that out"
    alike_note = "the library alone: segments, SHA-256, durable each second"
    result = [
        make_row("record, per packet", each_ms, "ms", "-", live_note),
        ratio("record / bare demux", "record", "demux", "-", f"{turns.ms('demux', count):.3f} ms"),
        ratio("record / bare stream copy", "record", "copy", "<= 1.25", unlike_note),
        ratio("same, durable once a segment", "lazy", "copy", "<= 1.25", "hashed, receipted"),
        ratio("same, sealed", "sealed", "copy", "<= 1.25", unlike_note),
        ratio("copy with the same promises / bare stream copy", "kept", "copy", "-", alike_note),
        ratio("same, sealed", "kept sealed", "copy", "-", alike_note),
        ratio("record / copy with the same promises", "record", "kept", "-"),
        ratio("same, sealed", "sealed", "kept sealed", "-"),
    ]
    if "ffmpeg" in turns.seconds:
        result += [
            ratio("record / ffmpeg -f segment", "record", "ffmpeg", "<= 0.7", unlike_note),
            ratio("same, durable once a segment", "lazy", "ffmpeg", "<= 0.7", "hashed, receipted"),
            ratio(
                "copy with the same promises / ffmpeg -f segment", "kept", "ffmpeg", "-", alike_note
            ),
        ]
    return result


def size_rows(plain: float, sealed: float) -> list[Row]:
    """What lies on the disk over what came."""
    return [
        make_row("bytes on disk / of video", plain, "ratio", "<= 1.05", ""),
        make_row("same, sealed", sealed, "ratio", "<= 1.05", ""),
    ]


def sealer_for_one() -> Sealer | None:
    """Sealing for one recipient."""
    public_key = encode_public_key(X25519PrivateKey.generate().public_key())
    centre = Recipient(id="centre", public_key=public_key)
    return Sealer.from_config(
        [centre], box="bench", camera="bench", key_ring=KeyRing(KEY_RING_CAPACITY)
    )


def write_looped_film(short: Path, film: Path) -> None:
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


def make_row(name: str, value: float, unit: str, target: str, note: str) -> Row:
    return Row(name=name, value=value, unit=unit, target=target, note=note)


if __name__ == "__main__":
    for line in rows():
        sys.stdout.write(
            f"{line.name:32} {line.value:8.3f} {line.unit:6} {line.target:8} {line.note}\n"
        )
