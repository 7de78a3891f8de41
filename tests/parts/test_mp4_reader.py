"""agent.recording.mp4_reader: right on the muxer's output, and one named error on all else."""

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.recording.encryption.keys import SegmentKey
from agent.recording.export.clip import ClipError, ClipSource, write_clip
from agent.recording.export.segment_reader import SegmentReader, decrypt_samples
from agent.recording.mp4_reader import (
    MAX_SAMPLES,
    DamagedFootage,
    iter_boxes,
    parse_moof,
    parse_moov,
    strip_moof_encryption,
    strip_moov_encryption,
)
from agent.recording.muxer import Muxer
from agent.recording.segment_name import PART_SUFFIX
from drivers.media import Packet, StreamInfo

KEY = SegmentKey(bytes(range(16)))
GOP, FRAMES, FPS = 3, 8, 10


def packets(codec: str) -> list[Packet]:
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = 64, 48, "yuv420p"
    context.time_base, context.framerate, context.gop_size = Fraction(1, FPS), Fraction(FPS), GOP
    if codec == "libx264":
        context.options = {"preset": "ultrafast", "tune": "zerolatency", "sc_threshold": "0"}
    noise = np.random.default_rng(2).integers(0, 200, (48, 64, 3), np.uint8)
    made = []
    for index in range(FRAMES):
        picture = noise + np.uint8(index)
        frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = index, Fraction(1, FPS)
        made += context.encode(frame)
    made += context.encode(None)
    return [
        Packet(
            t_ns=0,
            pts_ns=packet.pts * 10**9 // FPS,
            dts_ns=packet.pts * 10**9 // FPS,
            is_key=packet.is_keyframe,
            data=bytes(packet),
        )
        for packet in made
        if packet.pts is not None
    ]


def muxed(codec: str, key: SegmentKey | None) -> bytes:
    encoder = {"h264": "libx264", "mpeg4": "mpeg4"}[codec]
    out = bytearray()
    info = StreamInfo(codec=codec, width_px=64, height_px=48, fps=FPS)
    muxer = Muxer(info, out.extend, key)
    for packet in packets(encoder):
        muxer.add(packet)
    muxer.close()
    return bytes(out)


FILES = {
    (codec, sealed): muxed(codec, KEY if sealed else None)
    for codec in ("h264", "mpeg4")
    for sealed in (False, True)
}


def parts(data: bytes, kind: bytes) -> list[bytes]:
    return [
        data[box.offset : box.end] for box in iter_boxes(data, 0, len(data)) if box.kind == kind
    ]


@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
def test_the_header_of_an_encrypted_file_matches_the_plain_one_and_names_the_key(
    codec: str,
) -> None:
    plain = parse_moov(parts(FILES[codec, False], b"moov")[0])
    sealed = parse_moov(parts(FILES[codec, True], b"moov")[0])
    assert (plain.timescale, plain.width_px, plain.height_px) == (90_000, 64, 48)
    assert plain.kid is None
    assert sealed.kid == KEY.kid
    assert sealed.sample_entry == plain.sample_entry


@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
def test_samples_are_listed_alike_encrypted_or_plain(codec: str) -> None:
    plain, sealed = (parts(FILES[codec, s], b"moof") for s in (False, True))
    assert len(plain) == len(sealed) == 3
    for one, other in zip(plain, sealed, strict=True):
        a, b = parse_moof(one, encrypted=False), parse_moof(other, encrypted=True)
        assert (
            a.base_decode_time,
            a.sizes.tolist(),
            a.durations.tolist(),
            a.composition_offsets.tolist(),
        ) == (
            b.base_decode_time,
            b.sizes.tolist(),
            b.durations.tolist(),
            b.composition_offsets.tolist(),
        )
        assert len(b.encryption) == len(b.sizes)
    runs = [parse_moof(moof, encrypted=False) for moof in plain]
    assert [run.base_decode_time for run in runs] == [0, 27_000, 54_000]
    assert [len(run.sizes) for run in runs] == [3, 3, 2]


@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
def test_decrypted_samples_equal_the_plain_ones(codec: str) -> None:
    plain, sealed = (parts(FILES[codec, s], b"mdat") for s in (False, True))
    for moof, data, expected in zip(parts(FILES[codec, True], b"moof"), sealed, plain, strict=True):
        run = parse_moof(moof, encrypted=True)
        samples = bytearray(data[8:])
        assert samples != expected[8:]
        decrypt_samples(samples, run, KEY)
        assert samples == expected[8:]


def test_each_sample_has_its_own_initialization_vector() -> None:
    moofs = parts(FILES["h264", True], b"moof")
    vectors = [seal.iv for moof in moofs for seal in parse_moof(moof, encrypted=True).encryption]
    assert len(set(vectors)) == len(vectors) == FRAMES


def test_a_decrypted_mp4_box_keeps_its_length_and_no_trace_of_encryption() -> None:
    data = FILES["h264", True]
    for kind, made_plain in ((b"moov", strip_moov_encryption), (b"moof", strip_moof_encryption)):
        for box in parts(data, kind):
            plain = made_plain(box)
            assert len(plain) == len(box)
            assert not [k for k in (b"encv", b"sinf", b"senc", b"saiz", b"saio") if k in plain]
    assert parse_moov(strip_moov_encryption(parts(data, b"moov")[0])).kid is None


def read_all(path: Path) -> int:
    """All that the reader can do with a file; how many samples it found."""
    count = 0
    with SegmentReader(path) as file:
        for fragment in file.iter_fragments():
            data = file.read(fragment.data_offset, fragment.data_end)
            if file.header.kid is not None:
                decrypt_samples(data, fragment.run, KEY)
            strip_moof_encryption(fragment.moof)
            count += len(fragment.run.sizes)
        strip_moov_encryption(file.moov)
    sources = [ClipSource(path=path, begin_ns=begin_ns) for begin_ns in (0, 10**9)]
    clip = write_clip(sources, -1, 10**40, path.with_name("clip.mp4"), lambda _: KEY)
    assert clip.frame_count == 2 * count
    return count


def samples_or_refusal(path: Path) -> int | str:
    try:
        return read_all(path)
    except (DamagedFootage, ClipError) as error:
        return str(error)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("boxes")


@pytest.mark.parametrize("name", ["a.mp4", f"a.mp4{PART_SUFFIX}"])
def test_files_of_the_muxer_are_read_completely(place: Path, name: str) -> None:
    for data in FILES.values():
        (place / name).write_bytes(data)
        assert read_all(place / name) == FRAMES


def damaged(change: Callable[[st.DataObject, bytearray], None]) -> Callable[..., None]:
    """A property: a file of ours with some damage is read, or refused in one line."""

    @given(data=st.data(), which=st.sampled_from(sorted(FILES)), growing=st.booleans())
    def holds(place: Path, data: st.DataObject, which: tuple[str, bool], growing: bool) -> None:
        content = bytearray(FILES[which])
        change(data, content)
        path = place / ("a.mp4" + PART_SUFFIX * growing)
        path.write_bytes(content)
        reported = samples_or_refusal(path)
        if isinstance(reported, int):
            assert reported <= FRAMES
        else:
            assert "\n" not in reported

    return holds


def _boxes_end(content: bytearray) -> int:
    """Return the offset of the first fragment's pictures: all before it is MP4 boxes."""
    return bytes(content).index(b"mdat")


@damaged
def test_files_with_flipped_bytes_are_read_or_refused(
    data: st.DataObject, content: bytearray
) -> None:
    places = st.integers(0, _boxes_end(content))
    for at in data.draw(st.lists(places, min_size=1, max_size=4)):
        content[at] ^= data.draw(st.integers(1, 255))


@damaged
def test_files_with_extreme_numbers_are_read_or_refused(
    data: st.DataObject, content: bytearray
) -> None:
    wild = st.sampled_from([0, 1, 7, 8, 2**31 - 1, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1)
    at = data.draw(st.integers(0, _boxes_end(content) // 4)) * 4
    struct.pack_into(">I", content, at, data.draw(wild))


@damaged
def test_truncated_files_are_read_or_refused(data: st.DataObject, content: bytearray) -> None:
    del content[data.draw(st.integers(0, len(content))) :]


@damaged
def test_files_with_a_hole_are_read_or_refused(data: st.DataObject, content: bytearray) -> None:
    at = data.draw(st.integers(0, len(content)))
    del content[at : at + data.draw(st.integers(1, 400))]


@given(content=st.binary(max_size=200))
def test_garbage_is_refused(place: Path, content: bytes) -> None:
    path = place / "garbage.mp4"
    path.write_bytes(content)
    with pytest.raises(DamagedFootage, match=r"^garbage\.mp4: "):
        read_all(path)


@given(content=st.binary(max_size=300), sealed=st.booleans())
def test_garbage_in_an_mp4_box_is_refused(content: bytes, *, sealed: bool) -> None:
    box = struct.pack(">I4s", 8 + len(content), b"moof") + content
    with pytest.raises(DamagedFootage):
        parse_moov(box)
    with pytest.raises(DamagedFootage):
        parse_moof(box, encrypted=sealed)


def test_an_unbounded_sample_count_is_refused() -> None:
    """If all samples are alike a run needs no bytes for each, so its number alone is a claim."""
    tfhd = _full(b"tfhd", 0x20018, struct.pack(">III", 1, 3000, 1))
    tfdt = _full(b"tfdt", 0, struct.pack(">I", 0))
    for count in (MAX_SAMPLES, MAX_SAMPLES + 1, 2**32 - 1):
        trun = _full(b"trun", 1, struct.pack(">II", count, 200))
        moof = _box(b"moof", _box(b"traf", tfhd, tfdt, trun))
        if count == MAX_SAMPLES:
            assert len(parse_moof(moof, encrypted=False).sizes) == count
        else:
            with pytest.raises(DamagedFootage, match=f"a run of {count} samples"):
                parse_moof(moof, encrypted=False)


def _full(kind: bytes, flags: int, content: bytes) -> bytes:
    return _box(kind, struct.pack(">I", flags), content)


def _box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body
