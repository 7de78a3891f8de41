"""agent.recording.record_stage: gaps are reported from the first missing picture on, for any cause."""

import itertools
import shutil
import textwrap
from pathlib import Path

import av
import msgspec
import pytest

from agent.recording import gop
from agent.recording.gop import MAX_GOP_NS
from agent.recording.record_stage import MIN_RETRY_S
from drivers.media import Packet, StreamInfo
from tests.conftest import ManualClock
from tests.whole.small_disk import run_on_small_disk
from tests.whole.test_record_stage import GOP, X264, Recording, encode, packets_of, pictures

NS = 10**9


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """H.264 as a camera sends it: a keyframe a second, no B-frames."""
    return encode(tmp_path_factory.mktemp("video") / "video.mp4", "libx264", "yuv420p", X264)


def starts(video: Path, folder: Path, **settings: float) -> tuple[Recording, list[Packet]]:
    info, packets = packets_of(video)
    recording = Recording(folder, ManualClock(), **settings)
    recording.stage.on_stream_opened(info)
    # No camera's pictures come at whole milliseconds, the resolution of a file's name.
    return recording, [msgspec.structs.replace(each, t_ns=each.t_ns + 1234) for each in packets]


def test_a_gap_begins_with_the_group_that_was_not_written_to_its_end(
    video: Path, tmp_path: Path
) -> None:
    recording, packets = starts(video, tmp_path, segment_s=60)
    recording.put(packets[:25])
    torn = msgspec.structs.replace(packets[25], data=b"\xff" * 9)
    recording.put([torn])
    recording.clock.now_ns += int(MIN_RETRY_S * 1e9)
    recording.put(packets[26:])
    recording.stage.close()
    played = pictures([str(video)])
    assert pictures(recording.files()) == played[:20] + played[30:]
    assert recording.gaps == [(packets[20].t_ns, packets[30].t_ns)]


def test_a_gap_starts_at_the_first_picture_that_could_not_be_recovered(
    video: Path, tmp_path: Path
) -> None:
    recording, packets = starts(video, tmp_path, segment_s=2)
    recording.put(packets[:35])
    for part in recording.folder.glob("*.part"):
        part.unlink()  # a group had been written to it, the next one had not
    recording.put(packets[35:42])
    assert recording.codes() == ["STO-02"]
    recording.clock.now_ns += int(MIN_RETRY_S * 1e9)
    recording.put(packets[42:])
    recording.stage.close()
    assert recording.gaps == [(packets[20].t_ns, packets[50].t_ns)]


def test_a_completely_recovered_file_is_not_a_gap(video: Path, tmp_path: Path) -> None:
    recording, packets = starts(video, tmp_path, segment_s=2)
    recording.put(packets[:20])
    (part,) = recording.folder.glob("*.part")
    in_the_way = part.with_name(part.name.removesuffix(".part"))
    in_the_way.mkdir()
    recording.put(packets[20:22])  # written and durable, and cannot have its name
    assert recording.codes() == ["STO-02"]
    in_the_way.rmdir()
    recording.clock.now_ns += int(MIN_RETRY_S * 1e9)
    recording.put(packets[22:])
    recording.stage.close()
    played = pictures([str(video)])
    assert pictures(recording.files()) == played[:20] + played[30:]
    assert recording.gaps == [(packets[20].t_ns, packets[30].t_ns)]


def test_a_failure_until_the_stop_is_a_gap_up_to_the_stop(video: Path, tmp_path: Path) -> None:
    recording, packets = starts(video, tmp_path, segment_s=60)
    recording.put(packets[:25])
    recording.put([msgspec.structs.replace(packets[25], data=b"\xff" * 9), *packets[26:29]])
    recording.clock.advance_s(0.5)
    recording.stage.close()
    assert recording.gaps == [(packets[20].t_ns, recording.clock.now_ns)]
    assert recording.stage.footage_health().gaps == 1


def without_keyframes(packets: list[Packet], seconds: int) -> list[Packet]:
    """A keyframe, and then a packet a second that is none."""
    key, *others = packets[:GOP]
    return [
        msgspec.structs.replace(each, t_ns=t_s * NS, pts_ns=t_s * NS, dts_ns=t_s * NS)
        for t_s, each in enumerate([key, *(others * seconds)[:seconds]])
    ]


@pytest.mark.raises_fault("STO-02")
def test_a_stream_without_keyframes_is_closed_at_the_maximum_group_and_is_a_fault(
    video: Path, tmp_path: Path
) -> None:
    recording, packets = starts(video, tmp_path)
    longest_s = MAX_GOP_NS // NS
    recording.put(without_keyframes(packets, longest_s - 1))
    assert recording.codes() == []
    recording.put(without_keyframes(packets, longest_s + 300)[longest_s:])
    assert recording.codes() == ["STO-02"]
    assert "none for 60 s" in recording.faults.active()[0].detail
    assert [each.duration_ns // NS for each in recording.segments] == [longest_s - 1]
    key_s = longest_s + 301
    key = msgspec.structs.replace(packets[0], t_ns=key_s * NS, pts_ns=key_s * NS, dts_ns=key_s * NS)
    recording.put([key])
    assert recording.codes() == []
    assert (recording.gaps[0][0], recording.gaps[-1][1]) == (MAX_GOP_NS, key_s * NS)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(recording.gaps))
    assert "no keyframes" in recording.gap_reasons[-1]
    recording.stage.close()
    assert len(recording.files()) == 2


def test_a_group_that_is_too_large_is_closed_too(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording, packets = starts(video, tmp_path, segment_s=60)
    group = packets[:GOP]
    monkeypatch.setattr(gop, "MAX_GOP_BYTES", sum(len(each.data) for each in group[:5]))
    recording.put(group)
    recording.stage.close()
    assert pictures(recording.files()) == pictures([str(video)])[:5]
    assert recording.gaps == [(group[5].t_ns, recording.clock.now_ns)]


@pytest.mark.raises_fault("STO-02")
def test_a_failing_disk_is_retried_with_growing_waits(
    video: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recording, packets = starts(video, tmp_path, segment_s=1)

    def failures_at(seconds: range) -> list[int]:
        """When it was tried in vain, while a keyframe comes each second."""
        found = []
        for second in seconds:
            before = caplog.text.count("cannot record")
            times = dict.fromkeys(("t_ns", "pts_ns", "dts_ns"), second * NS)
            recording.put([msgspec.structs.replace(packets[0], **times)])
            if caplog.text.count("cannot record") > before:
                found.append(second)
        return found

    recording.clock.now_ns = 0
    recording.folder.write_text("what nobody can write into")
    assert failures_at(range(300)) == [0, 5, 15, 35, 75, 135, 195, 255]
    recording.folder.unlink()
    assert failures_at(range(300, 330)) == []
    assert len(recording.segments) == 14, "from second 315 on"
    shutil.rmtree(recording.folder)
    recording.folder.write_text("again")
    assert failures_at(range(330, 350)) == [330, 335, 345]


FILLED_UP = """
    retention_faults = FaultRegistry(clock.boottime_ns)
    told = []
    retention = RetentionStage(
        disk, RetentionRules(FootageRules(), ["north"]), clock, boot_id(), retention_faults,
        HoldStore(disk / "holds", clock, boot_id(), str), ReceiptQueue(lambda body, _: told.append(body),
        retention_faults), print,
    )
    recording = Recording(disk, clock, retention)
    recording.stage.on_stream_opened(info)
    with (disk / "someone-elses.log").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    for second in range(600):
        clock.now_ns = second * 10**9
        recording.put([msgspec.structs.replace(packets[0], t_ns=clock.now_ns)])
    assert recording.codes() == ["STO-02"], recording.codes()
    assert "No space left" in recording.faults.active()[0].detail
    assert len(list((disk / "north").iterdir())) == 1, "the file of the last try"
    assert told == [], told
"""


def test_failed_starts_leave_no_files_on_a_full_disk(video: Path, tmp_path: Path) -> None:
    on_tmpfs("size=2m", FILLED_UP, video, tmp_path)


ON_FEW_INODES = """
    recording = Recording(disk, clock, segment_s=1)
    recording.stage.on_stream_opened(info)
    for turn in range(12):
        recording.put([
            msgspec.structs.replace(each, **{
                field: getattr(each, field) + turn * 10 * 10**9
                for field in ("t_ns", "pts_ns", "dts_ns")
            })
            for each in packets
        ])
        assert recording.codes() == [], recording.faults.active()
    recording.stage.close()
    assert recording.gaps == []
    kept = [each.path for each in recording.segments[-len(recording.files()):]]
    assert recording.files() == kept, "the newest"
    assert len(recording.segments) > 100
    assert 50 < len(kept) < 64, len(kept)
    room = os.statvfs(disk)
    assert room.f_bavail > room.f_blocks // 4, "there were bytes enough"
"""


def test_without_free_inodes_the_oldest_segment_is_evicted(video: Path, tmp_path: Path) -> None:
    on_tmpfs("size=200m,nr_inodes=64", ON_FEW_INODES, video, tmp_path)


PRELUDE = """
import os
import sys
from pathlib import Path

import msgspec

sys.path.insert(0, {project!r})
from agent.base.clock import boot_id
from agent.config.recording import FootageRules
from agent.faults.registry import FaultRegistry
from agent.recording.retention.hold_store import HoldStore
from agent.recording.retention.retention_stage import RetentionRules, RetentionStage
from agent.recording.custody.receipt_queue import ReceiptQueue
from tests.whole.test_record_stage import ManualClock, Recording, packets_of

info, packets = packets_of(Path({video!r}))
disk = Path({disk!r})
clock = ManualClock()
"""


def on_tmpfs(options: str, script: str, video: Path, folder: Path) -> None:
    """Run a script where `disk` is a file system of its own."""
    disk = folder / "disk"
    project = str(Path(__file__).parents[2])
    prelude = PRELUDE.format(project=project, video=str(video), disk=str(disk))
    run_on_small_disk(disk, options, prelude + textwrap.dedent(script), timeout_s=60)


VP8 = StreamInfo(codec="vp8", width_px=160, height_px=96, fps=10)


def gap_of_refused(recording: Recording, seconds: int) -> None:
    """Let a refused stream run, a packet a second."""
    packet = Packet(t_ns=0, pts_ns=0, dts_ns=0, is_key=True, data=b"picture")
    for _ in range(seconds):
        recording.clock.advance_s(1)
        now_ns = recording.clock.now_ns
        recording.put([msgspec.structs.replace(packet, t_ns=now_ns, pts_ns=now_ns, dts_ns=now_ns)])


@pytest.mark.raises_fault("STO-02")
def test_a_stream_that_is_refused_for_weeks_is_reported_in_parts(tmp_path: Path) -> None:
    recording = Recording(tmp_path, ManualClock())
    begin_ns = recording.clock.now_ns
    recording.stage.on_stream_opened(VP8)
    recording.stage.run_once(recording.stopping)
    gap_of_refused(recording, 59)
    assert recording.gaps == []
    gap_of_refused(recording, 2)
    assert recording.gaps == [(begin_ns, begin_ns + 60 * NS)]
    gap_of_refused(recording, 11_000)
    recording.stage.on_stream_opened(VP8)  # a reconnection begins no other gap
    gap_of_refused(recording, 1)
    assert len(recording.gaps) == 8, "after 1, 3, 7, 15, 31, 63, 123 and 183 minutes"
    recording.stage.close()
    assert recording.gaps[0][0] == begin_ns
    assert recording.gaps[-1][1] == recording.clock.now_ns
    for before, after in itertools.pairwise(recording.gaps):
        assert before[1] == after[0]
    assert set(recording.gap_reasons) == {recording.gap_reasons[0]}
    assert "vp8" in recording.gap_reasons[0]


@pytest.mark.raises_fault("STO-02")
def test_parts_of_a_gap_and_what_was_lost_before_it_do_not_overlap(
    video: Path, tmp_path: Path
) -> None:
    recording, packets = starts(video, tmp_path, segment_s=60)
    recording.put(packets[:25])
    recording.put([msgspec.structs.replace(packets[25], data=b"\xff" * 9)])
    shift_ns = 200 * NS
    for second in range(1, 200):
        recording.clock.now_ns = packets[25].t_ns + second * NS
        torn = msgspec.structs.replace(packets[26], t_ns=recording.clock.now_ns)
        recording.put([torn])
    later = [msgspec.structs.replace(each, t_ns=each.t_ns + shift_ns) for each in packets[30:]]
    recording.put(later)
    recording.stage.close()
    assert recording.codes() == []
    gaps = sorted(recording.gaps)
    assert gaps[0][0] == packets[20].t_ns
    assert gaps[-1][1] == later[0].t_ns
    assert all(before[1] == after[0] for before, after in itertools.pairwise(gaps))
    assert len(gaps) > 2


def test_a_refused_stream_at_the_end_is_a_gap_up_to_the_stop(tmp_path: Path) -> None:
    recording = Recording(tmp_path, ManualClock())
    begin_ns = recording.clock.now_ns
    recording.stage.on_stream_opened(VP8)
    recording.put([])
    recording.stage.run_once(recording.stopping)
    recording.clock.advance_s(10)
    recording.stage.close()
    assert recording.gaps == [(begin_ns, begin_ns + 10 * NS)]


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_stream_whose_resolution_changes_continues_in_another_file(
    tmp_path: Path, codec: str
) -> None:
    options = {"preset": "ultrafast", "x265-params": "log-level=none:open-gop=0"}
    if codec == "libx264":
        options = X264
    small, large = (
        encode(tmp_path / f"{width}.ts", codec, "yuv420p", options, width) for width in (160, 320)
    )
    info, packets = packets_of(small)
    _, more = packets_of(large)
    shift_ns = packets[-1].dts_ns + NS // 10 - more[0].dts_ns
    later = [
        msgspec.structs.replace(
            each, **{name: getattr(each, name) + shift_ns for name in ("t_ns", "pts_ns", "dts_ns")}
        )
        for each in more
    ]
    recording = Recording(tmp_path / "ring", ManualClock(), segment_s=60)
    recording.stage.on_stream_opened(info)
    recording.put([*packets, *later])
    recording.stage.close()
    assert recording.codes() == []
    assert recording.gaps == []
    assert [pictures([path]) for path in recording.files()] == [
        pictures([str(small)]),
        pictures([str(large)]),
    ]
    for path, width_px in zip(recording.files(), (160, 320), strict=True):
        with av.open(path) as container:
            sizes = {(frame.width, frame.height) for frame in container.decode(video=0)}
        assert sizes == {(width_px, 96)}
