"""drivers.camera.replay beyond the contract: two paces, loops, and damaged videos."""

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from drivers.errors import DriverError
from drivers.media import Frame, Packet, Plane, Point
from tests.conftest import ManualClock
from tests.turned_film import CLOCKWISE, ONE, Matrix, write_with_matrix

from .conftest import VIDEO_FPS, VIDEO_FRAMES, boottime_ns, open_driver, read_media


def play(path: Path, **how: Any) -> list[Packet | Frame]:
    """Everything that a video gives in fast pace, to its end."""
    camera = open_driver("replay", {"path": str(path), "pace": "fast"}, **how)
    found: list[Packet | Frame] = []

    def to_the_end() -> None:
        while True:
            media = camera.read(1.0)
            assert media is not None
            found.append(media)

    for _ in range(2):
        with pytest.raises(DriverError, match="played to its end") as caught:
            to_the_end()
        assert caught.value.kind == "ended"
    camera.close()
    return found


@pytest.mark.parametrize("kind", ["h264", "reordered", "mjpeg", "mpeg4", "422"])
def test_at_fast_pace_time_is_the_videos_and_every_picture_comes(
    videos: dict[str, Path], kind: str
) -> None:
    media = play(videos[kind])
    frames = [m for m in media if isinstance(m, Frame)]
    packets = [m for m in media if isinstance(m, Packet)]
    assert [f.t_ns for f in frames] == [n * 1_000_000_000 // VIDEO_FPS for n in range(VIDEO_FRAMES)]
    assert [f.seq for f in frames] == list(range(VIDEO_FRAMES))
    assert sorted(p.pts_ns for p in packets) == [f.t_ns for f in frames]


def test_two_runs_give_the_same_packets_and_frames(videos: dict[str, Path]) -> None:
    first, second = (play(videos["reordered"], frames_fps=3) for _ in range(2))
    assert [(m.t_ns, type(m)) for m in first] == [(m.t_ns, type(m)) for m in second]
    for one, other in zip(first, second, strict=True):
        if isinstance(one, Frame) and isinstance(other, Frame):
            assert one.y.tobytes() == other.y.tobytes()


@pytest.mark.parametrize("kind", ["h264", "mjpeg"])
def test_frames_keep_their_numbers_at_a_reduced_rate(videos: dict[str, Path], kind: str) -> None:
    frames = play(videos[kind], frames_fps=2, packets=False)
    assert [f.seq for f in frames if isinstance(f, Frame)] == list(range(0, VIDEO_FRAMES, 5))


class Watch:
    """Answers for each keyframe in turn; True after the last one."""

    def __init__(self, *answers: bool) -> None:
        self._answers = iter(answers)
        self.watched: list[Frame] = []

    def __call__(self, frame: Frame) -> bool:
        self.watched.append(frame)
        return next(self._answers, True)


@pytest.mark.parametrize("kind", ["h264", "reordered", "mpeg4", "422"])
def test_motion_at_a_keyframe_brings_all_pictures_since_the_one_before(
    videos: dict[str, Path], kind: str
) -> None:
    all_frames = [m for m in play(videos[kind]) if isinstance(m, Frame)]
    watch = Watch(False, True, False, False)
    frames = [m for m in play(videos[kind], keyframe_watch=watch) if isinstance(m, Frame)]
    # The third keyframe stops the decoding, and what is left at the video's end is decoded.
    assert [f.seq for f in frames] == [*range(21), *range(30, 40)]
    assert [f.seq for f in watch.watched] == [0, 10, 20, 30]
    for frame in frames:
        whole = all_frames[frame.seq]
        assert frame.t_ns == whole.t_ns
        assert np.array_equal(frame.y, whole.y)
    late = [f.seq for f in frames if f.is_late and f.seq <= 20]
    assert late[0] == 1
    assert 20 not in late, "at twice the stream's pace it has caught up after another group"


def test_recorded_packets_come_as_if_every_picture_was_decoded(videos: dict[str, Path]) -> None:
    def packets(watch: Watch | None) -> list[Packet]:
        media = play(videos["reordered"], frames_fps=4, keyframe_watch=watch)
        return [m for m in media if isinstance(m, Packet)]

    assert packets(Watch(False, True, False)) == packets(None)


def test_a_group_of_more_than_four_seconds_is_decoded_unasked(videos: dict[str, Path]) -> None:
    watch = Watch(False)
    frames = [m for m in play(videos["one keyframe"], keyframe_watch=watch) if isinstance(m, Frame)]
    assert [f.seq for f in frames] == list(range(VIDEO_FRAMES))
    assert len(watch.watched) == 1


@pytest.mark.parametrize("kind", ["h264", "reordered"])
def test_a_still_loop_gives_its_keyframes_and_the_rest_of_each_end(
    videos: dict[str, Path], kind: str
) -> None:
    camera = open_driver(
        "replay",
        {"path": str(videos[kind]), "pace": "fast", "loop": True},
        packets=False,
        keyframe_watch=lambda _frame: False,
    )
    frames = read_media(camera, Frame, 26)
    camera.close()
    once = [0, 10, 20, *range(30, 40)]
    assert [f.seq for f in frames] == [*once, *(seq + VIDEO_FRAMES for seq in once)]
    assert all(b.t_ns > a.t_ns for a, b in pairwise(frames))


def test_at_real_pace_no_frame_comes_before_its_time(
    videos: dict[str, Path], clock: ManualClock
) -> None:
    began_ns = clock.now_ns
    camera = open_driver(
        "replay", {"path": str(videos["h264"])}, frames_fps=5, clock_ns=clock.boottime_ns
    )
    first = [camera.read(0.0), camera.read(0.0), camera.read(0.0)]
    assert [type(m) for m in first] == [Packet, Frame, type(None)]
    clock.advance_s(0.1)
    assert camera.read(0.0) is None, "a packet waits for the next picture that is wanted"
    clock.advance_s(0.1)
    burst = [camera.read(0.0) for _ in range(4)]
    assert [type(m) for m in burst] == [Packet, Packet, Frame, type(None)]
    due_s = [round((m.t_ns - began_ns) / 1e9, 3) for m in burst if m is not None]
    assert due_s == [0.1, 0.2, 0.2]
    camera.close()


def test_packets_without_frames_come_in_bursts_of_half_a_second(
    videos: dict[str, Path], clock: ManualClock
) -> None:
    camera = open_driver(
        "replay", {"path": str(videos["h264"])}, frames_fps=0, clock_ns=clock.boottime_ns
    )
    assert camera.read(0.0) is None
    clock.advance_s(0.49)
    assert camera.read(0.0) is None
    clock.advance_s(0.01)
    burst = [camera.read(0.0) for _ in range(7)]
    assert [m is None for m in burst] == [False] * 6 + [True]
    camera.close()


@pytest.mark.parametrize("kind", ["h264", "reordered", "mpeg4"])
def test_a_loop_continues_without_a_gap(videos: dict[str, Path], kind: str) -> None:
    camera = open_driver("replay", {"path": str(videos[kind]), "pace": "fast", "loop": True})
    frames: list[Frame] = []
    packets: list[Packet] = []
    while len(frames) < 3 * VIDEO_FRAMES:
        media = camera.read(1.0)
        (frames if isinstance(media, Frame) else packets).append(media)  # type: ignore[arg-type]
    camera.close()
    steps = {b.t_ns - a.t_ns for a, b in pairwise(frames)}
    step_ns = 1_000_000_000 // VIDEO_FPS
    # Where pictures are reordered, decoding begins before the first picture is due.
    assert steps <= ({step_ns} if kind != "reordered" else {step_ns, 2 * step_ns, 3 * step_ns})
    assert all(b.dts_ns > a.dts_ns for a, b in pairwise(packets))


def test_a_truncated_video_ends_after_its_whole_part(
    videos: dict[str, Path], tmp_path: Path
) -> None:
    whole = videos["streamable"].read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: int(len(whole) * 0.7)])
    frames = [m for m in play(cut) if isinstance(m, Frame)]
    assert VIDEO_FRAMES / 4 < len(frames) < VIDEO_FRAMES


def test_a_video_damaged_in_the_middle_is_refused_at_the_damage(
    videos: dict[str, Path], tmp_path: Path
) -> None:
    data = bytearray(videos["streamable"].read_bytes())
    middle = len(data) * 6 // 10
    data[middle : middle + 400] = bytes(400)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    camera = open_driver("replay", {"path": str(damaged), "pace": "fast"})
    with pytest.raises(DriverError, match=r"damaged\.mp4': is damaged before \d") as caught:
        read_media(camera, Frame, VIDEO_FRAMES)
    assert caught.value.kind == "protocol"
    camera.close()


def test_a_file_that_is_not_a_video_is_refused_in_one_line(
    videos: dict[str, Path], tmp_path: Path
) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("no video\n" * 500)
    headless = tmp_path / "headless.mp4"
    headless.write_bytes(videos["h264"].read_bytes()[:2000])
    empty = tmp_path / "empty.mp4"
    empty.touch()
    for path, kind in (
        (tmp_path / "gone.mp4", "absent"),
        (tmp_path, "protocol"),
        (text, "protocol"),
        (headless, "protocol"),
        (empty, "protocol"),
    ):
        with pytest.raises(DriverError) as caught:
            open_driver("replay", {"path": str(path)})
        assert caught.value.kind == kind, path
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_video_without_a_picture_is_unsupported(tmp_path: Path) -> None:
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(DriverError, match="no video stream") as caught:
        open_driver("replay", {"path": str(sound)})
    assert caught.value.kind == "unsupported"


@pytest.mark.shared
@pytest.mark.parametrize(
    ("clip", "frames", "codec"),
    [
        ("opencv_vtest.avi", 795, "msmpeg4v3"),
        ("tfl_625_201707211410.mp4", 265, "h264"),
        ("intel_one-by-one-person-detection.mp4", 1394, "h264"),
    ],
)
def test_real_footage_plays_to_its_end(
    shared: Path, clip: str, frames: int, codec: str, tmp_path: Path
) -> None:
    path = tmp_path / clip
    shutil.copy(shared / "footage" / clip, path)
    camera = open_driver(
        "replay", {"path": str(path), "pace": "fast"}, packets=False, clock_ns=boottime_ns
    )
    assert camera.info.codec == codec
    camera.close()
    assert len(play(path, packets=False)) == frames


@pytest.mark.parametrize(
    ("matrix", "displayed"),
    [
        ((0, 1, -1, 0), lambda plane: np.rot90(plane, -1)),
        ((-1, 0, 0, -1), lambda plane: np.rot90(plane, 2)),
        ((0, -1, 1, 0), np.rot90),
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
        ((0, 1, 1, 0), np.transpose),
        ((0, -1, -1, 0), lambda plane: np.rot90(plane.T, 2)),
    ],
)
def test_frames_are_turned_as_the_display_matrix_of_a_phones_film_says(
    matrix: Matrix, displayed: Callable[[Plane], Plane], videos: dict[str, Path], tmp_path: Path
) -> None:
    path = write_with_matrix(videos["h264"], tmp_path / "phone.mp4", matrix)
    stored = [m for m in play(videos["h264"]) if isinstance(m, Frame)]
    frames = [m for m in play(path, packets=False) if isinstance(m, Frame)]
    assert len(frames) == len(stored)
    for frame, original in zip(frames, stored, strict=True):
        for name in ("y", "u", "v"):
            assert np.array_equal(getattr(frame, name), displayed(getattr(original, name)))
            assert getattr(frame, name).flags.c_contiguous


def test_the_size_of_a_turned_film_is_that_of_its_frames(
    videos: dict[str, Path], tmp_path: Path
) -> None:
    path = write_with_matrix(videos["h264"], tmp_path / "phone.mp4", CLOCKWISE)
    camera = open_driver("replay", {"path": str(path), "pace": "fast"}, packets=False)
    assert (camera.info.width_px, camera.info.height_px) == (120, 160)
    camera.close()


def test_masks_of_a_turned_film_are_painted_where_it_is_displayed(
    videos: dict[str, Path], tmp_path: Path
) -> None:
    path = write_with_matrix(videos["h264"], tmp_path / "phone.mp4", CLOCKWISE)
    top = (Point(0, 0), Point(1, 0), Point(1, 0.25), Point(0, 0.25))
    frame = next(m for m in play(path, packets=False, masks=(top,)) if isinstance(m, Frame))
    assert len(np.unique(frame.y[:40])) == 1
    assert len(np.unique(frame.y[40:])) > 1


def test_a_turned_film_is_refused_for_recording(videos: dict[str, Path], tmp_path: Path) -> None:
    path = write_with_matrix(videos["h264"], tmp_path / "phone.mp4", CLOCKWISE)
    with pytest.raises(DriverError, match="its display matrix turns the picture") as caught:
        open_driver("replay", {"path": str(path), "pace": "fast"})
    assert caught.value.kind == "unsupported"


def test_a_display_matrix_that_also_scales_is_refused(
    videos: dict[str, Path], tmp_path: Path
) -> None:
    path = write_with_matrix(videos["h264"], tmp_path / "wide.mp4", CLOCKWISE, scale=ONE * 3 // 2)
    with pytest.raises(DriverError, match="allowed: turns by 90, 180 or 270 degrees"):
        open_driver("replay", {"path": str(path), "pace": "fast"}, packets=False)
