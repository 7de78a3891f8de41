"""Single pictures of a film at given times: the right ones, masked, whatever the film's index is like."""

from pathlib import Path

import av
import numpy as np
import pytest

from centre.film_stills import read_stills
from drivers.errors import DriverError
from drivers.media import Point
from tests.turned_film import CLOCKWISE, write_with_matrix

FPS, PICTURES = 10, 80
SIZE_PX = (64, 48)


def level(index: int) -> int:
    """The grey of a picture, from which its number can be read."""
    return 30 + 2 * index


def write_numbered_film(path: Path, gop: int, codec: str = "libx264", first_pts: int = 0) -> Path:
    with av.open(str(path), "w") as video:
        stream = video.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = *SIZE_PX, "yuv420p"
        stream.gop_size = gop
        for index in range(PICTURES):
            planes = np.full((SIZE_PX[1] * 3 // 2, SIZE_PX[0]), 128, np.uint8)
            planes[: SIZE_PX[1]] = level(index)
            picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            picture.pts = first_pts + index
            video.mux(stream.encode(picture))
        video.mux(stream.encode(None))
    return path


def read_numbers(film: Path, *times_s: float) -> list[int | None]:
    """Return the number of each picture, None if there is none."""
    return [
        None if frame is None else round((float(np.median(frame.y)) - level(0)) / 2)
        for frame in read_stills(film, (), times_s)
    ]


@pytest.mark.parametrize(
    ("name", "gop", "codec", "first_pts", "tolerance"),
    [
        ("short.mp4", 5, "libx264", 0, 0),
        ("one group.mp4", 500, "libx264", 0, 0),
        ("late.mkv", 20, "libx264", 1000, 0),
        ("old.avi", 12, "mpeg4", 0, 1),  # which changes a grey by more than a step
    ],
)
def test_the_picture_is_that_of_the_time(
    tmp_path: Path, name: str, gop: int, codec: str, first_pts: int, tolerance: int
) -> None:
    film = write_numbered_film(tmp_path / name, gop, codec, first_pts)
    wanted = [0, 6, 6, 30, 30, 72, 79]
    found = read_numbers(film, 0.0, 0.6, 0.6, 3.0, 3.04, 7.2, 7.9)
    for number, at in zip(found, wanted, strict=True):
        assert number == pytest.approx(at, abs=tolerance)


def test_a_time_after_the_end_has_no_picture(tmp_path: Path) -> None:
    film = write_numbered_film(tmp_path / "film.mp4", 10)
    assert read_numbers(film, 1.0, 60.0) == [10, None]


def test_what_is_damaged_has_no_picture_and_the_rest_has(tmp_path: Path) -> None:
    film = write_numbered_film(tmp_path / "film.mkv", 5)
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    first, last = read_numbers(film, 0.5, 7.9)
    assert (first, last) == (5, None)


def test_the_masks_of_the_scene_are_painted(tmp_path: Path) -> None:
    film = write_numbered_film(tmp_path / "film.mp4", 10)
    mask = (Point(0.0, 0.0), Point(0.5, 0.0), Point(0.5, 1.0), Point(0.0, 1.0))
    [frame] = read_stills(film, (mask,), [5.0])
    assert frame is not None
    assert np.unique(frame.y[:, :30]).size == 1
    assert abs(int(frame.y[0, 0]) - level(50)) > 20
    assert abs(int(frame.y[0, -1]) - level(50)) < 5


def test_a_film_of_a_phone_is_turned(tmp_path: Path) -> None:
    film = write_with_matrix(
        write_numbered_film(tmp_path / "film.mp4", 10), tmp_path / "turned.mp4", CLOCKWISE
    )
    [frame] = read_stills(film, (), [1.0])
    assert frame is not None
    assert frame.y.shape == SIZE_PX


def test_a_film_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DriverError, match="no such file"):
        list(read_stills(tmp_path / "gone.mp4", (), [1.0]))
