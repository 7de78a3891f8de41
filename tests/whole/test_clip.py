"""agent.recording.export.clip: clips of real segments, decoded picture for picture against the recording."""

import itertools
import json
import os
import shutil
import subprocess
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from agent.base.errors import UserError
from agent.recording.encryption.key_wrapping import Sealer, unwrap_segment_key
from agent.recording.encryption.keys import KeyRing, SegmentKey, generate_key_pair, read_private_key
from agent.recording.export.clip import (
    Clip,
    ClipError,
    ClipSource,
    clip_source,
    unix_ns,
    write_clip,
    write_clip_to_fd,
)
from agent.recording.export.mp4_writer import Chunk, Mp4Track, build_progressive_header
from agent.recording.export.segment_reader import SegmentReader
from agent.recording.export.unseal import unseal, unseal_all
from agent.recording.mp4_reader import parse_moov
from agent.recording.open_segment import OpenSegment
from agent.recording.segment_name import KEYS_SUFFIX, PART_SUFFIX, SegmentName
from drivers.media import Packet, StreamInfo
from tests.conftest import ManualClock
from tests.whole.test_encryption import Centre, digests, sealer_for
from tests.whole.test_record_stage import FPS, GOP, X264, encode, packets_of

SECOND_NS = 1_000_000_000
BEGIN_NS = 5 * SECOND_NS
SEGMENT_FRAMES = 2 * GOP

Stream = tuple[StreamInfo, list[Packet]]

HEVC = {"preset": "ultrafast", "x265-params": "log-level=none:open-gop=0"}
STREAMS = {
    "h264": (".mp4", "libx264", "yuv420p", X264),
    "h264 with B-frames": (
        ".mp4",
        "libx264",
        "yuv420p",
        {"preset": "ultrafast", "bf": "2", "sc_threshold": "0"},
    ),
    "hevc": (".ts", "libx265", "yuv420p", HEVC),
    "mjpeg": (".avi", "mjpeg", "yuvj420p", {}),
    "mpeg4": (".avi", "mpeg4", "yuv420p", {}),
}


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stream]:
    folder = tmp_path_factory.mktemp("videos")
    return {
        name: packets_of(encode(folder / f"{number}{suffix}", codec, pix_fmt, options))
        for number, (name, (suffix, codec, pix_fmt, options)) in enumerate(STREAMS.items())
    }


@pytest.fixture(scope="module")
def stream(streams: dict[str, Stream]) -> Stream:
    return streams["h264"]


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    return Centre(tmp_path)


def name_at(counter: int, t_ns: int) -> SegmentName:
    utc = ManualClock().boot_utc + timedelta(microseconds=t_ns // 1000)
    return SegmentName(
        counter=counter, boot="1f155cfd", begin_ms=t_ns // 1_000_000, utc=utc, synced=True
    )


def on_boot_time(path: Path, name: SegmentName) -> ClipSource:
    """A segment on the time line of its boot."""
    return ClipSource(path=path, begin_ns=name.begin_ms * 1_000_000)


def record(
    folder: Path, stream: Stream, sealer: Sealer | None = None, pause_s: float = 0.0
) -> list[ClipSource]:
    """The stream in segments of two groups or more; there is a pause before the third."""
    folder.mkdir(exist_ok=True)
    info, packets = stream
    sources: list[ClipSource] = []
    part: OpenSegment | None = None
    for packet in packets:
        if part is None or part.should_rotate(packet, SEGMENT_FRAMES / FPS):
            if part is not None:
                part.finish()
            late_ns = round(pause_s * SECOND_NS) if len(sources) >= 2 else 0
            name = name_at(len(sources) + 1, BEGIN_NS + packet.dts_ns + late_ns)
            part = OpenSegment(folder, name, info, ManualClock(), 60.0, sealer)
            sources.append(on_boot_time(folder / str(name), name))
        part.add(packet)
    assert part is not None
    part.finish()
    return sources


def whole(sources: list[ClipSource], out: Path, keys: KeyRing | None = None) -> Clip:
    key_for = keys.get if keys is not None else KeyRing(0).get
    return write_clip(sources, 0, 10**15, out, key_for)


def recorded(sources: list[ClipSource], keys: KeyRing | None = None) -> list[str]:
    """The digests of all pictures, segment after segment, as libavformat reads them."""
    return [
        digest
        for source in sources
        for digest in digests(source.path, _key_of(source.path, keys) if keys else None)
    ]


def _key_of(path: Path, keys: KeyRing) -> SegmentKey | None:
    kid = json.loads(Path(f"{path}{KEYS_SUFFIX}").read_text())["kid"]
    return keys.get(bytes.fromhex(kid))


def ffprobe(path: Path) -> dict[str, object]:
    command = ["ffprobe", "-v", "warning", "-show_format", "-show_streams", "-of", "json", path]
    done = subprocess.run(command, check=True, capture_output=True)
    assert done.stderr == b"", done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "sealed"])
@pytest.mark.parametrize("kind", STREAMS)
def test_a_clip_of_everything_shows_every_picture(
    tmp_path: Path, streams: dict[str, Stream], centre: Centre, kind: str, *, sealed: bool
) -> None:
    keys = KeyRing(100)
    sealer = sealer_for(centre.recipient, keys=keys) if sealed else None
    sources = record(tmp_path / "north", streams[kind], sealer)
    clip = whole(sources, tmp_path / "clip.mp4", keys)
    shown = digests(clip.path)
    assert shown == recorded(sources, keys if sealed else None)
    assert len(shown) == clip.frame_count
    assert clip.size_bytes == clip.path.stat().st_size
    assert clip.segments == tuple(source.path.name for source in sources)
    assert not list(tmp_path.glob("*.part"))


def test_a_clip_of_encrypted_footage_equals_that_of_plain_footage(
    tmp_path: Path, stream: Stream, centre: Centre
) -> None:
    keys = KeyRing(100)
    plain = whole(record(tmp_path / "plain", stream), tmp_path / "plain.mp4")
    sources = record(tmp_path / "sealed", stream, sealer_for(centre.recipient, keys=keys))
    sealed = whole(sources, tmp_path / "sealed.mp4", keys)
    assert sealed.path.read_bytes() == plain.path.read_bytes()


def test_a_clip_into_an_open_file_is_the_same_and_can_be_cancelled(
    tmp_path: Path, stream: Stream
) -> None:
    sources = record(tmp_path / "north", stream)
    clip = whole(sources, tmp_path / "clip.mp4")
    with (tmp_path / "open.mp4").open("xb") as file:
        made = write_clip_to_fd(sources, 0, 10**15, file.fileno(), KeyRing(0).get, lambda: True)
    assert (tmp_path / "open.mp4").read_bytes() == clip.path.read_bytes()
    assert (made.begin_ns, made.duration_ns, made.frame_count, made.size_bytes, made.segments) == (
        clip.begin_ns,
        clip.duration_ns,
        clip.frame_count,
        clip.size_bytes,
        clip.segments,
    )
    turns = iter([True, True, False])
    with (tmp_path / "half.mp4").open("xb") as file, pytest.raises(ClipError, match="cancelled"):
        write_clip_to_fd(sources, 0, 10**15, file.fileno(), KeyRing(0).get, lambda: next(turns))


@pytest.mark.parametrize(
    ("begin_s", "end_s", "first", "last"),
    [
        (0.0, 0.5, 0, 10),
        (0.95, 1.05, 0, 20),
        (1.0, 2.0, 10, 20),
        (1.5, 4.2, 10, 50),
        (2.0, 9.5, 20, 95),
        (9.0, 99.0, 90, 95),
        (-5.0, 0.1, 0, 10),
    ],
)
def test_a_clip_spans_from_a_keyframe_to_the_end_of_a_group(
    tmp_path: Path, stream: Stream, begin_s: float, end_s: float, first: int, last: int
) -> None:
    sources = record(tmp_path / "north", stream)
    span = (round(BEGIN_NS + s * SECOND_NS) for s in (begin_s, end_s))
    clip = write_clip(sources, *span, tmp_path / "clip.mp4", KeyRing(0).get)
    assert digests(clip.path) == recorded(sources)[first:last]
    assert clip.begin_ns == BEGIN_NS + first * SECOND_NS // FPS
    assert clip.duration_ns == pytest.approx((last - first) / FPS * SECOND_NS, abs=1e6)


def test_the_time_of_every_picture_is_kept(tmp_path: Path, streams: dict[str, Stream]) -> None:
    for kind, stream in streams.items():
        sources = record(tmp_path / kind.replace(" ", "-"), stream)
        clip = whole(sources, tmp_path / "clip.mp4")
        with av.open(str(clip.path)) as container:
            times = [frame.time for frame in container.decode(video=0)]
        pts = sorted(packet.pts_ns for packet in stream[1])
        assert times == pytest.approx([(t - pts[0]) / 1e9 for t in pts], abs=1e-3), kind


def test_a_pause_in_the_recording_is_kept_in_the_clip(tmp_path: Path, stream: Stream) -> None:
    sources = record(tmp_path / "north", stream, pause_s=7.0)
    clip = whole(sources, tmp_path / "clip.mp4")
    with av.open(str(clip.path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    steps = [round(after - before, 3) for before, after in itertools.pairwise(times)]
    assert steps.count(7.1) == 1
    assert steps[39] == 7.1
    assert set(steps) == {0.1, 7.1}


def test_a_late_packet_makes_no_pause(tmp_path: Path, stream: Stream) -> None:
    for late_s in (-0.3, 0.3):
        sources = record(tmp_path / f"late{late_s}", stream, pause_s=late_s)
        clip = whole(sources, tmp_path / "clip.mp4")
        assert clip.duration_ns == pytest.approx(9.5e9, abs=1e6)


def test_a_clip_may_be_cut_by_utc(tmp_path: Path, stream: Stream) -> None:
    sources = record(tmp_path / "north", stream)
    names = [name_at(n, s.begin_ns) for n, s in enumerate(sources, 1)]
    by_utc = [clip_source(s.path, name) for s, name in zip(sources, names, strict=True)]
    begin = ManualClock().boot_utc + timedelta(seconds=7)
    span = unix_ns(begin), unix_ns(begin + timedelta(seconds=2))
    clip = write_clip(by_utc, *span, tmp_path / "clip.mp4", KeyRing(0).get)
    assert clip.begin_ns == unix_ns(begin)
    assert digests(clip.path) == recorded(sources)[20:40]


def test_a_clip_plays_without_vigie(tmp_path: Path, streams: dict[str, Stream]) -> None:
    for kind, tag in (("h264 with B-frames", "avc1"), ("hevc", "hvc1")):
        clip = whole(record(tmp_path / tag, streams[kind]), tmp_path / "clip.mp4")
        reported = ffprobe(clip.path)
        (only,) = reported["streams"]  # type: ignore[misc]
        assert only["codec_tag_string"] == tag
        assert (only["width"], only["height"], only["nb_frames"]) == (160, 96, "95")
        assert float(only["duration"]) == pytest.approx(9.5, abs=0.01)
        assert Fraction(only["avg_frame_rate"]) == pytest.approx(FPS, rel=0.001)
        # The index is before the pictures, so that it plays while it loads.
        data = clip.path.read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")
        check = ["ffmpeg", "-v", "warning", "-i", clip.path, "-f", "null", "-"]
        done = subprocess.run(check, check=True, capture_output=True)
        assert done.stderr == b""


def test_a_player_can_seek_to_every_keyframe_of_a_clip(tmp_path: Path, stream: Stream) -> None:
    clip = whole(record(tmp_path / "north", stream), tmp_path / "clip.mp4")
    expected = digests(clip.path)
    with av.open(str(clip.path)) as container:
        video = container.streams.video[0]
        for group in range(9, -1, -1):
            container.seek(group * GOP * 9000, stream=video)
            frame = next(container.decode(video))
            assert frame.time == pytest.approx(group * GOP / FPS)
    assert len(expected) == 95


def test_a_clip_can_include_the_open_file(tmp_path: Path, stream: Stream, centre: Centre) -> None:
    info, packets = stream
    keys = KeyRing(1)
    name = name_at(1, BEGIN_NS)
    sealer = sealer_for(centre.recipient, keys=keys)
    part = OpenSegment(tmp_path, name, info, ManualClock(), 0.0, sealer)
    for packet in packets[: 4 * GOP + 3]:
        part.add(packet)
    source = on_boot_time(tmp_path / (str(name) + PART_SUFFIX), name)
    clip = whole([source], tmp_path / "clip.mp4", keys)
    part.abandon()
    assert clip.frame_count == 4 * GOP
    assert clip.segments == (str(name),)
    assert len(digests(clip.path)) == 4 * GOP


def test_after_a_restart_the_box_cannot_cut_clips_of_encrypted_footage(
    tmp_path: Path, stream: Stream, centre: Centre
) -> None:
    sources = record(tmp_path / "north", stream, sealer_for(centre.recipient))
    with pytest.raises(ClipError, match="sealed, and its key is not available") as caught:
        whole(sources, tmp_path / "clip.mp4", KeyRing(100))
    assert f"{sources[0].path.name}{KEYS_SUFFIX}" in str(caught.value)
    assert not list(tmp_path.glob("clip*"))


def test_a_stream_whose_parameters_changed_is_one_clip(
    tmp_path: Path, stream: Stream, streams: dict[str, Stream]
) -> None:
    other = record(tmp_path / "other", streams["h264 with B-frames"])
    one = record(tmp_path / "one", stream)
    moved = [ClipSource(path=s.path, begin_ns=s.begin_ns + 10 * SECOND_NS) for s in other]
    clip = whole([*one, *moved], tmp_path / "clip.mp4")
    assert digests(clip.path) == recorded([*one, *other])


def test_a_changed_codec_within_a_clip_is_reported(
    tmp_path: Path, stream: Stream, streams: dict[str, Stream]
) -> None:
    one = record(tmp_path / "one", stream)
    other = record(tmp_path / "other", streams["hevc"])
    with pytest.raises(ClipError, match=r"stream changes here \(avc1 160x96, then hev1 160x96\)"):
        whole([*one, *other], tmp_path / "clip.mp4")


@pytest.mark.parametrize(("begin_ns", "end_ns"), [(0, BEGIN_NS), (10**12, 2 * 10**12)])
def test_a_time_range_without_footage_is_reported(
    tmp_path: Path, stream: Stream, begin_ns: int, end_ns: int
) -> None:
    sources = record(tmp_path / "north", stream)
    with pytest.raises(ClipError, match="no footage of this span exists"):
        write_clip(sources, begin_ns, end_ns, tmp_path / "clip.mp4", KeyRing(0).get)
    with pytest.raises(ClipError, match="end must be after its begin"):
        write_clip(sources, end_ns, begin_ns, tmp_path / "clip.mp4", KeyRing(0).get)


def test_damage_is_reported_with_its_file_and_offset(tmp_path: Path, stream: Stream) -> None:
    sources = record(tmp_path / "north", stream)
    path = sources[1].path
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ClipError, match=f"damaged footage: {path.name}: .* byte"):
        whole(sources, tmp_path / "clip.mp4")
    path.unlink()
    with pytest.raises(OSError, match="No such file"):
        whole(sources, tmp_path / "clip.mp4")
    assert not list(tmp_path.glob("clip*"))


def test_a_clip_above_four_gigabytes_has_correct_sample_offsets(
    tmp_path: Path, stream: Stream
) -> None:
    source = record(tmp_path / "north", stream)[0]
    with SegmentReader(source.path) as file:
        entry = file.header.sample_entry
    count = 5
    track = Mp4Track(
        timescale=90_000,
        width_px=160,
        height_px=96,
        sample_entries=(entry,),
        chunks=tuple(
            Chunk(sample_count=1, size_bytes=1 << 30, entry_index=0) for _ in range(count)
        ),
        sizes=np.full(count, 100, np.int64),
        durations=np.full(count, 4_000_000_000, np.int64),
        composition_offsets=np.zeros(count, np.int64),
    )
    head = build_progressive_header(track)
    sparse = tmp_path / "large.mp4"
    sparse.write_bytes(head)
    os.truncate(sparse, len(head) + count * (1 << 30))
    with av.open(str(sparse)) as container:
        positions = [packet.pos for packet in container.demux(video=0) if packet.size]
        assert container.duration == pytest.approx(count * 4e9 / 90_000 * 1e6)
    assert positions == [len(head) + index * (1 << 30) for index in range(count)]
    at = head.index(b"moov") - 4
    moov = head[at : at + int.from_bytes(head[at : at + 4], "big")]
    assert parse_moov(moov).sample_entry == entry


def test_the_centre_decrypts_a_segment(tmp_path: Path, stream: Stream, centre: Centre) -> None:
    (tmp_path / "plain").mkdir()
    keys = KeyRing(100)
    for source in record(tmp_path / "north", stream, sealer_for(centre.recipient, keys=keys)):
        sidecar = Path(f"{source.path}{KEYS_SUFFIX}")
        out = tmp_path / "plain" / source.path.name
        unseal(source.path, sidecar, centre.key, out)
        assert digests(out) == digests(source.path, unwrap_segment_key(sidecar, centre.key))
        assert out.stat().st_size == source.path.stat().st_size
        clip = whole([ClipSource(path=out, begin_ns=0)], tmp_path / "a.mp4")
        same = whole([ClipSource(path=source.path, begin_ns=0)], tmp_path / "b.mp4", keys)
        assert digests(clip.path) == digests(same.path)
    done = subprocess.run(
        ["ffmpeg", "-v", "warning", "-i", out, "-f", "null", "-"], check=True, capture_output=True
    )
    assert done.stderr == b""


def test_equal_names_of_two_folders_do_not_overwrite_each_other(
    tmp_path: Path, centre: Centre
) -> None:
    for folder in ("north", "south"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        for suffix in ("", KEYS_SUFFIX):
            (tmp_path / "in" / folder / f"1.mp4{suffix}").touch()
    with pytest.raises(UserError, match="two segments have one name"):
        unseal_all(tmp_path / "in", centre.key, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_failed_decryption_is_reported_and_leaves_no_file(
    tmp_path: Path, stream: Stream, centre: Centre
) -> None:
    sealed = record(tmp_path / "sealed", stream, sealer_for(centre.recipient))
    plain = record(tmp_path / "plain", stream)
    sidecar = Path(f"{sealed[0].path}{KEYS_SUFFIX}")
    generate_key_pair(tmp_path / "other.pem")
    other_key = read_private_key(tmp_path / "other.pem")
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(sealed[0].path.read_bytes()[:-100_000])
    out = tmp_path / "out.mp4"
    for segment, keys_file, key, message in (
        (sealed[0].path, sidecar, other_key, "this private key does not open it"),
        (sealed[1].path, sidecar, centre.key, "is of another segment"),
        (plain[0].path, sidecar, centre.key, "it is not sealed"),
        (torn, sidecar, centre.key, "damaged: torn.mp4: "),
        (tmp_path / "none.mp4", sidecar, centre.key, "No such file"),
        (sealed[0].path, tmp_path / "none.keys", centre.key, "No such file"),
    ):
        with pytest.raises(UserError, match=message):
            unseal(segment, keys_file, key, out)
        assert not list(tmp_path.glob("out*"))


@pytest.mark.shared
def test_real_footage_is_cut_picture_for_picture(
    tmp_path: Path, shared: Path, centre: Centre
) -> None:
    info, packets = packets_of(shared / "footage" / "intel_car-detection.mp4")
    keys = KeyRing(100)
    sealer = sealer_for(centre.recipient, keys=keys)
    sources = record(tmp_path / "north", (info, packets[:250]), sealer)
    clip = whole(sources, tmp_path / "clip.mp4", keys)
    video = shared / "footage" / "intel_car-detection.mp4"
    with av.open(str(video)) as container:
        frames = itertools.islice(container.decode(video=0), clip.frame_count)
        expected = [frame.to_ndarray(format="gray").tobytes() for frame in frames]
    with av.open(str(clip.path)) as container:
        shown = [f.to_ndarray(format="gray").tobytes() for f in container.decode(video=0)]
    assert shown == expected
    shutil.rmtree(tmp_path / "north")
