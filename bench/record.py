"""Cost of recording, plain and encrypted, against demuxing, stream copy and ffmpeg's segmenter.

CPU time for 250 s of one 1080p25 stream of 4 Mbit/s with a keyframe per second, read as fast as possible;
the recorder's clock follows the stream, so that it syncs as often as in real time. Its receipts go into a
real custody log. All take turns on one core and write into an empty folder; reading the video is in each
number, deleting the output in none.

Stream copy neither hashes nor syncs its file, and the kernel's later work for it is charged to no process.
The library's own cost with the recorder's guarantees (segments of 10 s, SHA-256, fdatasync at each
keyframe, encryption) is measured too: the floor of any recorder on PyAV. Run: `python -m bench.record`.
"""

import hashlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import av.video.stream
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.base.clock import ClockTrust, boot_id
from agent.base.device_identity import DeviceIdentity
from agent.config.recording import FootageRules, Recipient, RecordConfig
from agent.faults.registry import FaultRegistry
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.encryption.key_wrapping import KEY_RING_CAPACITY, Sealer
from agent.recording.encryption.keys import KeyRing, encode_public_key
from agent.recording.record_stage import MAX_BATCH_NS, RecordStage
from agent.recording.retention.hold_store import HoldStore
from agent.recording.retention.retention_stage import RetentionRules, RetentionStage
from agent.recording.segment_writer import SegmentTarget
from agent.runtime.queues import PacketQueue
from bench.cpu import TurnTimes, Work, cpu_s, one_core, run_in_turns
from bench.recorded_video import (
    FPS,
    LOOPS,
    VIDEO_S,
    count_packets,
    video_bytes,
    write_looped_video,
    write_short_video,
)
from bench.table import Row
from drivers.av_stream import VideoPacket, open_video_source, to_media_packet

TURNS = 5
SEGMENT_S = 10
LONG_FLUSH_S = 60.0
"""Longer than a segment: its bytes are synced once, at its end."""

FRAGMENT_OPTIONS = {"movflags": "empty_moov+frag_keyframe+default_base_moof", "flush_packets": "1"}
ENCRYPTION_OPTIONS = {
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": "11" * 16,
    "encryption_kid": "22" * 16,
}


class StreamClock:
    """A clock whose boot time follows the stream."""

    def __init__(self) -> None:
        self.now_ns = 0

    def boottime_ns(self) -> int:
        """Return the stream's time."""
        return self.now_ns

    def unsteered_ns(self) -> int:
        """Return the stream's time."""
        return self.now_ns

    def utc(self, t_ns: int) -> datetime:
        """Return the stream's time on a fixed day."""
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=t_ns // 1000)

    def trust(self) -> ClockTrust:
        """Return full trust."""
        return ClockTrust(synced=True, source="bench", error_s=None)


def stream_copy(video: Path, folder: Path) -> None:
    """Copy the stream with the library alone, into one fragmented file."""
    with (
        av.open(str(video)) as source,
        av.open(str(folder / "copy.mp4"), "w", options=FRAGMENT_OPTIONS) as out,
    ):
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)


class BareSegment:
    """A segment written by the library alone, hashed while it is written."""

    def __init__(
        self, path: Path, template: av.video.stream.VideoStream, options: dict[str, str]
    ) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o640)
        self._sha256 = hashlib.sha256()
        self._container = av.open(self, "w", format="mp4", options=options, buffer_size=1 << 18)
        self._stream = self._container.add_stream_from_template(template)

    def write(self, data: bytes) -> int:
        """Take bytes from the library."""
        self._sha256.update(data)
        return os.write(self._handle, data)

    def add(self, packet: VideoPacket) -> None:
        """Copy a packet. A keyframe makes everything before it durable."""
        packet.stream = self._stream
        self._container.mux(packet)
        if packet.is_keyframe:
            os.fdatasync(self._handle)

    def close(self) -> None:
        """Write the rest and make it durable."""
        self._container.close()
        os.fsync(self._handle)
        os.close(self._handle)


def write_durable_segments(video: Path, folder: Path, options: dict[str, str]) -> None:
    """Copy the stream with the library alone, with the recorder's guarantees."""
    with av.open(str(video)) as source:
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
    """The recorder with retention and a custody log, fed as capture feeds it."""

    def __init__(self, folder: Path, flush_s: float, sealer: Sealer | None) -> None:
        self._clock = clock = StreamClock()
        self._queue = PacketQueue(1 << 26, lambda *_: None)
        settings = RecordConfig(flush_s=flush_s, segment_s=SEGMENT_S)
        faults = FaultRegistry(clock.boottime_ns)
        identity = DeviceIdentity.load_or_create(folder / "identity")
        custody = CustodyLog.open(folder / "custody", "bench", boot_id(), clock, identity)
        retention = RetentionStage(
            folder / "footage",
            RetentionRules(FootageRules(record=settings), ["bench"]),
            clock,
            boot_id(),
            faults,
            HoldStore(folder / "holds", clock, boot_id(), str),
            ReceiptQueue(custody.append, faults),
            lambda _hold: None,
        )
        self._stage = RecordStage(
            SegmentTarget("bench", folder / "footage", settings, retention, sealer=sealer),
            self._queue,
            clock,
            faults,
            on_gap=lambda *_: None,
            on_segment=lambda _: None,
        )
        self._receipts = custody.head

    def record(self, video: Path) -> None:
        """Record the whole video."""
        clock, queue, stage = self._clock, self._queue, self._stage
        source = open_video_source(str(video), "bench")
        stage.on_stream_opened(source.info)
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
            # The stage's own wait ends if a keyframe comes or packets are due.
            if queue.has_keyframe or clock.now_ns - last_turn_ns >= MAX_BATCH_NS:
                last_turn_ns = clock.now_ns
                stage.write_due()
        stage.close()
        source.close()

    def written_bytes(self) -> int:
        """Return the bytes on the disk, after a check that every segment has both its receipts."""
        footage = self._stage.footage_health()
        assert footage.segments == VIDEO_S * LOOPS // SEGMENT_S
        assert self._receipts().seq == 2 * footage.segments
        return footage.bytes


def segment_with_ffmpeg(video: Path, folder: Path) -> None:
    """Run ffmpeg's segmenter, the usual recorder of a camera box."""
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(video), "-c", "copy", "-f", "segment"]
    command += ["-segment_time", str(SEGMENT_S), "-segment_format", "mp4", "%04d.mp4"]
    subprocess.run(command, check=True, cwd=folder)


def timed_work(
    work: Callable[[Path, Path], object], video: Path, usage_target: int = resource.RUSAGE_SELF
) -> Work:
    """Run a work in its own folder, which is deleted outside of the measured time."""

    def measure() -> float:
        with tempfile.TemporaryDirectory(prefix="vigie-bench-") as folder:
            start_s = cpu_s(usage_target)
            work(video, Path(folder))
            return cpu_s(usage_target) - start_s

    return measure


def recorder_work(
    video: Path, flush_s: float, sealer: Sealer | None, written_bytes: list[int]
) -> Work:
    """Run the recorder. Its setup is not measured: a box does that once."""

    def measure() -> float:
        with tempfile.TemporaryDirectory(prefix="vigie-bench-") as folder:
            recorder = BenchRecorder(Path(folder), flush_s, sealer)
            start_s = cpu_s()
            recorder.record(video)
            cpu_used_s = cpu_s() - start_s
            written_bytes.append(recorder.written_bytes())
            return cpu_used_s

    return measure


def rows() -> list[Row]:
    """Return the rows of the table."""
    with tempfile.TemporaryDirectory(prefix="vigie-bench-") as name:
        short, video = Path(name) / "short.ts", Path(name) / "video.ts"
        write_short_video(short)
        write_looped_video(short, video)
        plain: list[int] = []
        sealed: list[int] = []
        works = {
            "demux": timed_work(lambda video, _: count_packets(video), video),
            "copy": timed_work(stream_copy, video),
            "kept": timed_work(
                lambda video, to: write_durable_segments(video, to, FRAGMENT_OPTIONS), video
            ),
            "kept sealed": timed_work(
                lambda video, to: write_durable_segments(
                    video, to, FRAGMENT_OPTIONS | ENCRYPTION_OPTIONS
                ),
                video,
            ),
            "record": recorder_work(video, 1.0, None, plain),
            "lazy": recorder_work(video, LONG_FLUSH_S, None, plain),
            "sealed": recorder_work(video, 1.0, sealer_for_one(), sealed),
        }
        if shutil.which("ffmpeg"):
            works["ffmpeg"] = timed_work(segment_with_ffmpeg, video, resource.RUSAGE_CHILDREN)
        with one_core():
            turns = run_in_turns(works, TURNS)
        count, raw_bytes = count_packets(video), video_bytes(video)
    return [*cost_rows(turns, count), *size_rows(plain[-1] / raw_bytes, sealed[-1] / raw_bytes)]


def cost_rows(turns: TurnTimes, count: int) -> list[Row]:
    """Measure the recorder, the floor of any recorder on the library, and the peer."""

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
            ratio("record / ffmpeg -f segment", "record", "ffmpeg", "aim <= 1.25", unlike_note),
            ratio(
                "same, durable once a segment", "lazy", "ffmpeg", "aim <= 1.25", "hashed, receipted"
            ),
            ratio(
                "copy with the same promises / ffmpeg -f segment", "kept", "ffmpeg", "-", alike_note
            ),
        ]
    return result


def size_rows(plain: float, sealed: float) -> list[Row]:
    """Measure the bytes on the disk relative to those received."""
    return [
        make_row("bytes on disk / of video", plain, "ratio", "<= 1.05", ""),
        make_row("same, sealed", sealed, "ratio", "<= 1.05", ""),
    ]


def sealer_for_one() -> Sealer | None:
    """Return a sealer for one recipient."""
    public_key = encode_public_key(X25519PrivateKey.generate().public_key())
    centre = Recipient(id="centre", public_key=public_key)
    return Sealer.from_config(
        [centre], box="bench", camera="bench", key_ring=KeyRing(KEY_RING_CAPACITY)
    )


def make_row(name: str, value: float, unit: str, target: str, note: str) -> Row:
    return Row(name=name, value=value, unit=unit, target=target, note=note)


if __name__ == "__main__":
    for line in rows():
        sys.stdout.write(
            f"{line.name:32} {line.value:8.3f} {line.unit:6} {line.target:8} {line.note}\n"
        )
