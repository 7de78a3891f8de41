"""agent.recording.record_stage on real streams and a real disk: every packet plays, in order and in
budget.
"""

import hashlib
import os
import random
import textwrap
import threading
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest

from agent.base.model import Segment
from agent.config.recording import MAX_SEGMENT_S, RecordConfig
from agent.faults.registry import FaultRegistry
from agent.recording.quarantine import QUARANTINE_DIR
from agent.recording.record_stage import MAX_BATCH_NS, MIN_RETRY_S, RecordStage
from agent.recording.recovery import recover_folder, valid_prefix_bytes
from agent.recording.retention.retention_stage import RetentionStage
from agent.recording.segment_writer import SegmentTarget
from agent.runtime.queues import PacketQueue
from drivers.camera.replay import Options, open_camera
from drivers.contracts import StreamRequest
from drivers.errors import DriverError
from drivers.media import NS_PER_S, Packet, StreamInfo
from drivers.timeline import StreamTimeline
from tests.conftest import ManualClock
from tests.contracts.peer_memory import peak_memory_bytes, reset_peak_memory
from tests.recording_rig import retention_alone
from tests.whole.small_disk import run_on_small_disk

FPS = 10
GOP = 10
FRAMES = 95


def encode(
    path: Path, codec: str, pix_fmt: str, options: dict[str, str], width_px: int = 160
) -> Path:
    """A video of noise on a ramp, so that no two pictures are alike."""
    rng = np.random.default_rng(7)
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = width_px, 96, pix_fmt
        stream.time_base = Fraction(1, FPS)
        stream.codec_context.gop_size = GOP
        for index in range(FRAMES):
            rgb = rng.integers(0, 40, (96, width_px, 3), np.uint8) + np.uint8(index)
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format=pix_fmt)
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


X264 = {"preset": "ultrafast", "tune": "zerolatency", "sc_threshold": "0"}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """H.264 as a camera sends it: a keyframe a second, no B-frames."""
    return encode(tmp_path_factory.mktemp("video") / "video.mp4", "libx264", "yuv420p", X264)


def packets_of(path: Path) -> tuple[StreamInfo, list[Packet]]:
    """A video's packets through the replay camera."""
    camera = open_camera(
        "video",
        Options(path=str(path), pace="fast"),
        StreamRequest(packets=True, frames_fps=0),
        lambda: 0,
    )
    packets: list[Packet] = []

    def read_on() -> None:
        while isinstance(packet := camera.read(1.0), Packet):
            packets.append(packet)

    with pytest.raises(DriverError, match="played to its end"):
        read_on()
    info = camera.info
    camera.close()
    return info, packets


def timed(packet: Packet, t_ns: int, stream_ns: int) -> Packet:
    """A packet at other times."""
    return msgspec.structs.replace(packet, t_ns=t_ns, pts_ns=stream_ns, dts_ns=stream_ns)


def pictures(paths: list[str]) -> list[str]:
    """The digest of each picture that plays, file after file."""
    digests = []
    for path in paths:
        with av.open(path) as container:
            for frame in container.decode(video=0):
                data = frame.to_ndarray(format="gray").tobytes()
                digests.append(hashlib.sha256(data).hexdigest())
    return digests


class Recording:
    """A recorder with everything around it, driven turn by turn."""

    def __init__(
        self,
        folder: Path,
        clock: ManualClock,
        keeper: RetentionStage | None = None,
        **settings: float,
    ) -> None:
        self.clock = clock
        self.faults = FaultRegistry(clock.boottime_ns)
        self.gaps: list[tuple[int, int]] = []
        self.gap_reasons: list[str] = []
        self.segments: list[Segment] = []
        self.queue = PacketQueue(1 << 26, lambda *_: None)
        self.folder = folder / "north"
        record = RecordConfig(**{"segment_s": 2.0, "flush_s": 0.0, **settings})  # type: ignore[arg-type]
        keeper = keeper or retention_alone("north", folder, record, clock, self.faults)
        self.stage = RecordStage(
            SegmentTarget("north", folder, record, keeper),
            self.queue,
            clock,
            self.faults,
            on_gap=self._on_gap,
            on_segment=self.segments.append,
        )
        # Set, so that a turn does not wait for a batch.
        self.stopping = threading.Event()
        self.stopping.set()

    def put(self, packets: list[Packet]) -> None:
        """Feed packets one turn each, and let the clock go with the stream."""
        for packet in packets:
            self.clock.now_ns = max(self.clock.now_ns, packet.t_ns)
            assert self.queue.put(packet)
            self.stage.run_once(self.stopping)

    def _on_gap(self, begin_ns: int, end_ns: int, reason: str) -> None:
        self.gaps.append((begin_ns, end_ns))
        self.gap_reasons.append(reason)

    def files(self) -> list[str]:
        return sorted(str(path) for path in self.folder.glob("*.mp4"))

    def codes(self) -> list[str]:
        return [fault.code for fault in self.faults.active()]


@pytest.mark.parametrize(
    ("suffix", "codec", "pix_fmt", "options"),
    [
        (".mp4", "libx264", "yuv420p", X264),
        (".mkv", "libx264", "yuv420p", {"preset": "ultrafast", "bf": "2", "sc_threshold": "0"}),
        (".ts", "libx264", "yuv420p", X264),
        (".h264", "libx264", "yuv420p", X264),
        (
            ".mp4",
            "libx265",
            "yuv420p",
            {"preset": "ultrafast", "x265-params": "log-level=none:open-gop=0"},
        ),
        (
            ".ts",
            "libx265",
            "yuv420p",
            {"preset": "ultrafast", "x265-params": "log-level=none:open-gop=0"},
        ),
        (".avi", "mjpeg", "yuvj420p", {}),
        (".avi", "mpeg4", "yuv420p", {}),
    ],
)
def test_every_picture_of_a_stream_plays_from_its_segments(
    tmp_path: Path, suffix: str, codec: str, pix_fmt: str, options: dict[str, str]
) -> None:
    source = encode(tmp_path / f"video{suffix}", codec, pix_fmt, options)
    info, packets = packets_of(source)
    recording = Recording(tmp_path / "ring", ManualClock())
    recording.stage.on_stream_opened(info)
    recording.put(packets)
    recording.stage.close()
    assert recording.codes() == []
    assert recording.files() == [segment.path for segment in recording.segments]
    assert pictures(recording.files()) == pictures([str(source)])


def test_segments_begin_at_keyframes_and_follow_without_a_gap(video: Path, tmp_path: Path) -> None:
    info, packets = packets_of(video)
    recording = Recording(tmp_path, ManualClock())
    recording.stage.on_stream_opened(info)
    recording.put(packets)
    recording.stage.close()
    assert [s.duration_ns / 1e9 for s in recording.segments] == pytest.approx([2, 2, 2, 2, 1.5])
    for before, after in zip(recording.segments, recording.segments[1:], strict=False):
        assert before.begin_ns + before.duration_ns == pytest.approx(after.begin_ns, abs=1e6)
    footage = recording.stage.footage_health()
    assert footage.segments == 5
    assert footage.bytes == sum(Path(path).stat().st_size for path in recording.files())
    assert footage.oldest_utc == recording.segments[0].begin_utc == "2026-11-25T00:00:00.000Z"


@pytest.mark.parametrize("speed", [0.0, 0.1, 0.9, 6.0])
def test_a_camera_whose_clock_is_wrong_gets_segments_by_the_clock_of_the_box(
    video: Path, tmp_path: Path, speed: float
) -> None:
    info, (key, *_) = packets_of(video)
    recording = Recording(tmp_path, ManualClock(), segment_s=10)
    recording.stage.on_stream_opened(info)
    timeline = StreamTimeline(NS_PER_S // FPS)
    for second in range(1, 600):
        raw_ns = round(second * speed * NS_PER_S)
        times = timeline.map_packet(raw_ns, raw_ns, second * NS_PER_S)
        t_ns = times.boottime_ns(times.dts_ns)
        recording.clock.now_ns = times.arrival_ns
        recording.put([timed(key, t_ns, times.dts_ns)])
    lengths_s = [
        (after.begin_ns - before.begin_ns) / NS_PER_S
        for before, after in pairwise(recording.segments)
    ]
    assert min(lengths_s) >= 5
    assert max(lengths_s) <= 60
    assert sum(lengths_s) > 500


def test_a_stream_that_is_slower_than_the_box_leaves_no_gap_between_segments(
    video: Path, tmp_path: Path
) -> None:
    info, (key, *_) = packets_of(video)
    recording = Recording(tmp_path, ManualClock(), segment_s=10)
    recording.stage.on_stream_opened(info)
    recording.put([timed(key, n * NS_PER_S, n * NS_PER_S // 2) for n in range(1, 100)])
    assert len(recording.segments) == 9
    for before, after in pairwise(recording.segments):
        assert before.begin_ns + before.duration_ns > after.begin_ns - NS_PER_S


def test_packets_of_one_time_end_a_segment_after_the_longest_that_is_allowed(
    video: Path, tmp_path: Path
) -> None:
    info, (key, *_) = packets_of(video)
    recording = Recording(tmp_path, ManualClock(), segment_s=10)
    recording.stage.on_stream_opened(info)
    for second in range(1, 3 * MAX_SEGMENT_S + 2):
        recording.clock.now_ns = second * NS_PER_S
        recording.put([timed(key, NS_PER_S, second)])
    assert len(recording.segments) == 3


def test_the_ring_stays_in_its_budget_and_keeps_the_newest(video: Path, tmp_path: Path) -> None:
    info, packets = packets_of(video)
    size_bytes = sum(len(packet.data) for packet in packets)
    recording = Recording(tmp_path, ManualClock(), max_bytes=size_bytes // 2)
    recording.stage.on_stream_opened(info)
    for packet in packets:
        recording.put([packet])
        assert recording.stage.footage_health().bytes <= size_bytes // 2
    recording.stage.close()
    kept = recording.files()
    assert kept == [segment.path for segment in recording.segments[-len(kept) :]]
    assert len(kept) in (1, 2)


def test_a_keyframe_writes_the_fragment_before_it_at_the_next_turn(
    video: Path, tmp_path: Path
) -> None:
    info, packets = packets_of(video)
    recording = Recording(tmp_path, ManualClock())
    recording.stage.on_stream_opened(info)
    first, *rest = packets
    (second_key, *_) = [number for number, packet in enumerate(rest) if packet.is_key]
    recording.queue.put(first)
    recording.stage.write_due()
    for packet in rest[:second_key]:
        recording.queue.put(packet)
        recording.stage.write_due()
    head_bytes = recording.stage.footage_health().bytes
    recording.queue.put(rest[second_key])
    recording.stage.write_due()
    assert not recording.queue.drain()
    fragment_bytes = sum(len(packet.data) for packet in packets[: second_key + 1])
    assert recording.stage.footage_health().bytes - head_bytes >= fragment_bytes - len(
        info.extradata
    )


def test_packets_without_a_keyframe_wait_for_a_batch_at_most(video: Path, tmp_path: Path) -> None:
    info, packets = packets_of(video)
    recording = Recording(tmp_path, ManualClock())
    recording.stage.on_stream_opened(info)
    recording.queue.put(packets[0])
    recording.stage.write_due()
    recording.queue.put(packets[1])
    recording.clock.now_ns += MAX_BATCH_NS - 1
    recording.stage.write_due()
    assert recording.queue.drain() == [packets[1]]
    recording.queue.put(packets[1])
    recording.clock.now_ns += 1
    recording.stage.write_due()
    assert recording.queue.drain() == []


def test_a_fragment_becomes_durable_though_no_packet_follows(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info, packets = packets_of(video)
    recording = Recording(tmp_path, ManualClock(), flush_s=5.0, segment_s=60.0)
    durable_bytes: list[int] = []
    fdatasync = os.fdatasync

    def note(handle: int) -> None:
        fdatasync(handle)
        durable_bytes.append(os.fstat(handle).st_size)

    monkeypatch.setattr(os, "fdatasync", note)
    recording.stage.on_stream_opened(info)
    for packet in packets:
        recording.queue.put(packet)
    recording.stage.write_due()
    recording.clock.advance_s(4.9)
    recording.stage.write_due()
    assert durable_bytes == []
    recording.clock.advance_s(0.1)
    recording.stage.write_due()
    recording.stage.write_due()
    assert durable_bytes == [recording.stage.footage_health().bytes]
    assert durable_bytes[0] > 0


def test_a_keyframe_syncs_the_fragment_before_it_and_never_a_header_alone(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info, packets = packets_of(video)
    recording = Recording(tmp_path, ManualClock(), flush_s=1.0, segment_s=60.0)
    durable_bytes: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda fd: durable_bytes.append(os.fstat(fd).st_size))
    recording.stage.on_stream_opened(info)
    (second_key, *_) = [number for number, packet in enumerate(packets[1:], 1) if packet.is_key]
    recording.put(packets[:second_key])
    recording.clock.advance_s(2.0)
    recording.stage.write_due()
    assert durable_bytes == []
    recording.queue.put(packets[second_key])
    recording.stage.write_due()
    assert durable_bytes == [recording.stage.footage_health().bytes]
    assert durable_bytes[0] >= sum(len(packet.data) for packet in packets[:second_key])


def test_a_reopened_camera_starts_a_new_file(video: Path, tmp_path: Path) -> None:
    info, packets = packets_of(video)
    recording = Recording(tmp_path, ManualClock(), segment_s=60)
    recording.stage.on_stream_opened(info)
    for packet in packets[:15]:
        recording.queue.put(packet)
    recording.stage.on_stream_opened(info)  # these fifteen still wait, and are of the first opening
    for packet in packets[:5]:
        recording.queue.put(packet)
    recording.stage.run_once(recording.stopping)
    recording.stage.close()
    played = pictures([str(video)])
    assert [pictures([path]) for path in recording.files()] == [played[:15], played[:5]]


REFUSED_CODECS = [
    "rawvideo",
    "msmpeg4v3",
    "no-such-codec",
    "vp8",
    "theora",
    "flv1",
    "wmv3",
    "h263p",
]


@pytest.mark.parametrize("codec", REFUSED_CODECS)
@pytest.mark.raises_fault("STO-02")
def test_a_stream_that_mp4_cannot_carry_is_a_fault_and_a_gap_until_another_comes(
    video: Path, tmp_path: Path, codec: str
) -> None:
    info, packets = packets_of(video)
    recording = Recording(tmp_path, ManualClock())
    refused = StreamInfo(codec=codec, width_px=160, height_px=96, fps=FPS)
    recording.stage.on_stream_opened(refused)
    recording.put(packets[:20])
    assert recording.codes() == ["STO-02"]
    assert codec in recording.faults.active()[0].detail
    assert recording.files() == []
    refused_ns = recording.clock.now_ns
    recording.stage.on_stream_opened(info)
    recording.put([msgspec.structs.replace(packets[0], t_ns=refused_ns + 1), *packets[1:]])
    assert recording.gaps == [(1_000_000_000, refused_ns + 1)]
    assert codec in recording.gap_reasons[0]
    assert recording.stage.footage_health().gaps == 1
    recording.stage.close()
    assert recording.codes() == []
    assert pictures(recording.files()) == pictures([str(video)])


def test_a_damaged_packet_loses_only_its_group(video: Path, tmp_path: Path) -> None:
    info, packets = packets_of(video)
    broken = packets[25]
    torn = Packet(
        t_ns=0, pts_ns=broken.pts_ns, dts_ns=broken.dts_ns, is_key=False, data=b"\xff" * 9
    )
    recording = Recording(tmp_path, ManualClock(), segment_s=60)
    recording.stage.on_stream_opened(info)
    recording.put([*packets[:25], torn])
    assert recording.codes() == ["STO-02"]
    recording.clock.now_ns += int(MIN_RETRY_S * 1e9)
    recording.put(packets[26:])
    recording.stage.close()
    assert recording.codes() == []
    played = pictures([str(video)])
    assert pictures(recording.files()) == played[:20] + played[30:]


def test_order_does_not_depend_on_utc(video: Path, tmp_path: Path) -> None:
    info, packets = packets_of(video)
    clock = ManualClock()
    recording = Recording(tmp_path, clock)
    recording.stage.on_stream_opened(info)
    for index, packet in enumerate(packets):
        clock.boot_utc += timedelta(days=3650) * (-1 if index % 2 else 1)
        clock.synced = index < 40
        recording.put([packet])
    recording.stage.close()
    again = Recording(tmp_path, ManualClock())
    again.stage.on_stream_opened(info)
    again.put(packets)
    again.stage.close()
    assert pictures(again.files()) == pictures([str(video)]) * 2
    assert [segment.clock_synced for segment in recording.segments] == [True] * 2 + [False] * 3


@pytest.mark.raises_fault("STO-02")
def test_a_folder_that_vanishes_is_a_fault_and_then_a_gap(video: Path, tmp_path: Path) -> None:
    info, packets = packets_of(video)
    recording = Recording(tmp_path, ManualClock())
    recording.stage.on_stream_opened(info)
    recording.put(packets[:15])
    for path in recording.folder.iterdir():
        path.unlink()
    recording.folder.rmdir()
    recording.put(packets[15:22])
    assert recording.codes() == ["STO-02"]
    recording.clock.now_ns += int(MIN_RETRY_S * 1e9)
    recording.put(packets[22:])
    recording.stage.close()
    assert recording.codes() == []
    assert recording.gaps == [(packets[0].t_ns, packets[30].t_ns)]
    assert recording.stage.footage_health().gaps == 1
    assert pictures(recording.files()) == pictures([str(video)])[30:]


def test_a_truncated_file_keeps_its_longest_whole_prefix(video: Path, tmp_path: Path) -> None:
    info, packets = packets_of(video)
    recording = Recording(tmp_path, ManualClock(), segment_s=60)
    recording.stage.on_stream_opened(info)
    recording.put(packets)
    recording.stage.close()
    whole = Path(recording.segments[0].path).read_bytes()
    name = Path(recording.segments[0].path).name
    played = pictures([str(video)])
    rng = random.Random(5)
    cuts = [0, 1, 8, len(whole) - 1, len(whole), *(rng.randrange(len(whole)) for _ in range(30))]
    for number, cut in enumerate(cuts):
        folder = tmp_path / f"cut{number}"
        folder.mkdir()
        (folder / f"{name}.part").write_bytes(whole[:cut])
        found = recover_folder(folder)
        assert recover_folder(folder) == found
        if not found:
            aside = folder / QUARANTINE_DIR / f"{name}.part"
            assert (
                aside.read_bytes() == whole[:cut] if b"moof" in whole[:cut] else not aside.exists()
            )
            continue
        kept = (folder / name).read_bytes()
        assert whole.startswith(kept)
        assert len(kept) <= cut
        shown = pictures([str(folder / name)])
        assert shown == played[: len(shown)]
        assert len(shown) in (*range(GOP, FRAMES, GOP), FRAMES)


def test_zeros_left_by_a_power_cut_end_the_prefix(video: Path, tmp_path: Path) -> None:
    info, packets = packets_of(video)
    recording = Recording(tmp_path, ManualClock(), segment_s=60)
    recording.stage.on_stream_opened(info)
    recording.put(packets)
    (part,) = recording.folder.glob("*.part")
    written = part.stat().st_size
    with part.open("r+b") as file:
        file.truncate(written + 4096)
        assert valid_prefix_bytes(file, written + 4096) == written


def test_a_box_of_a_damaged_size_ends_the_prefix_and_is_not_read(
    video: Path, tmp_path: Path
) -> None:
    info, packets = packets_of(video)
    recording = Recording(tmp_path, ManualClock(), segment_s=60)
    recording.stage.on_stream_opened(info)
    recording.put(packets)
    (part,) = recording.folder.glob("*.part")
    written = part.stat().st_size
    size_bytes = 1 << 30
    with part.open("r+b") as file:
        file.seek(written)
        file.write(size_bytes.to_bytes(4) + b"moof")
        file.truncate(written + size_bytes)
        before_bytes = reset_peak_memory()
        assert valid_prefix_bytes(file, written + size_bytes) == written
        assert peak_memory_bytes() - before_bytes < size_bytes / 4


def test_a_torn_file_in_the_quarantine_counts_for_the_next_counter(
    video: Path, tmp_path: Path
) -> None:
    info, packets = packets_of(video)
    torn = "0000000007_aaaaaaaa_005184000000_20261125T000000.000Z_unsynced.mp4"
    (tmp_path / "north").mkdir()
    (tmp_path / "north" / f"{torn}.part").write_bytes(b"\0\0\0\x10moof, and no more")
    for _ in range(2):  # the first start moves it, the second finds it there
        recording = Recording(tmp_path, ManualClock())
        recording.stage.on_stream_opened(info)
        recording.put(packets)
        recording.stage.close()
        assert Path(recording.files()[0]).name.startswith("0000000008_")
        for path in recording.files():
            Path(path).unlink()


def test_files_that_are_not_footage_are_set_aside_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "north"
    (folder / "holiday").mkdir(parents=True)
    (folder / "holiday" / "beach.jpg").write_bytes(b"sand")
    (folder / "notes.txt").write_bytes(b"one")
    (folder / "link").symlink_to("/etc/hostname")
    assert recover_folder(folder) == []
    (folder / "notes.txt").write_bytes(b"two")
    assert recover_folder(folder) == []
    aside = folder / QUARANTINE_DIR
    assert (aside / "notes.txt").read_bytes() == b"one"
    assert (aside / "notes.txt.1").read_bytes() == b"two"
    assert (aside / "holiday" / "beach.jpg").read_bytes() == b"sand"
    assert (aside / "link").is_symlink()


ON_A_SMALL_DISK = """
    import sys
    from pathlib import Path
    sys.path.insert(0, {project!r})
    from tests.whole.test_record_stage import ManualClock, MIN_RETRY_S, Recording, packets_of, pictures

    info, packets = packets_of(Path({video!r}))
    recording = Recording(Path({disk!r}), ManualClock())
    recording.stage.on_stream_opened(info)
    full = Path({disk!r}, "someone-elses.log")
    recording.put(packets[:25])
    with full.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    recording.put(packets[25:50])
    assert recording.codes() == ["STO-02"], recording.codes()
    assert "No space left" in recording.faults.active()[0].detail
    full.unlink()
    recording.clock.now_ns += int(MIN_RETRY_S * 1e9)
    recording.put(packets[50:])
    recording.stage.close()
    assert recording.codes() == []
    assert len(recording.gaps) == 1
    played = pictures([{video!r}])
    shown = pictures(recording.files())
    assert shown == played[: len(shown) - 45] + played[50:], len(shown)
    assert len(shown) >= 20 + 45
"""


def test_a_full_disk_is_a_fault_and_recording_resumes_when_there_is_room(
    video: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    script = textwrap.dedent(ON_A_SMALL_DISK).format(
        project=str(Path(__file__).parents[2]), video=str(video), disk=str(disk)
    )
    run_on_small_disk(disk, "size=2m", script, timeout_s=60)


def test_without_a_keyframe_nothing_is_recorded_or_reported(video: Path, tmp_path: Path) -> None:
    info, packets = packets_of(video)
    recording = Recording(tmp_path, ManualClock())
    recording.stage.on_stream_opened(info)
    recording.put(packets[1:GOP])
    recording.stage.close()
    assert (recording.files(), recording.codes(), recording.gaps) == ([], [], [])
