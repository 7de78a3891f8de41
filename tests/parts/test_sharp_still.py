"""The picture of a film that its scene is drawn on: the sharpest of some over the film."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.base.errors import UserError
from centre.film_player import FilmHeader, read_header
from centre.sharp_still import SAMPLES, find_sharpest
from drivers.errors import DriverError
from tests.turned_film import CLOCKWISE, write_with_matrix
from tests.whole.drawn_clip import Planes, write_film

FPS = 10
LENGTH_S = 8
SIZE_PX = (480, 270)


def street(blur_px: float) -> Planes:
    """A picture with edges everywhere, out of focus."""
    rng = np.random.default_rng(1)
    cells = rng.integers(40, 220, (SIZE_PX[1] // 18, SIZE_PX[0] // 24), np.uint8)
    luma = np.kron(cells, np.ones((18, 24), np.uint8)).astype(np.uint8)
    if blur_px:
        luma = cv2.GaussianBlur(luma, (0, 0), blur_px).astype(np.uint8)
    return luma, *(np.full((SIZE_PX[1] // 2, SIZE_PX[0] // 2), 128, np.uint8),) * 2


def grey(level: int) -> Planes:
    """A picture without an edge."""
    _, u, v = street(0)
    return np.full(SIZE_PX[::-1], level, np.uint8), u, v


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Callable[[float], Planes]], Path]:
    def write_pictures(picture_at: Callable[[float], Planes]) -> Path:
        path = tmp_path / "street.mp4"
        write_film(path, (picture_at(index / FPS) for index in range(LENGTH_S * FPS)), FPS)
        return path

    return write_pictures


Write = Callable[[Callable[[float], Planes]], Path]


@pytest.mark.parametrize(("begin_s", "end_s"), [(3.0, 3.6), (0.0, 0.6), (7.4, 8.0)])
def test_the_sharpest_picture_is_found_wherever_it_is(
    write: Write, begin_s: float, end_s: float
) -> None:
    sharp, blurred = street(0), street(3)
    film = write(lambda t_s: sharp if begin_s <= t_s < end_s else blurred)
    still = find_sharpest(film, read_header(film))
    assert begin_s <= still.t_s < end_s
    assert still.frame.y.shape == SIZE_PX[::-1]


def test_of_pictures_without_edges_it_is_the_middle_one(write: Write) -> None:
    film = write(lambda t_s: grey(40 + round(t_s * FPS)))
    still = find_sharpest(film, read_header(film))
    assert abs(still.t_s - LENGTH_S / 2) <= LENGTH_S / SAMPLES
    assert abs(int(np.median(still.frame.y)) - 40 - still.t_s * FPS) <= 1


def test_a_film_whose_header_does_not_name_its_length_is_searched_from_its_begin(
    write: Write,
) -> None:
    sharp, blurred = street(0), street(3)
    film = write(lambda t_s: sharp if 5 <= t_s < 6 else blurred)
    header: FilmHeader = read_header(film)
    still = find_sharpest(
        film,
        FilmHeader(
            duration_s=0.0,
            fps=header.fps,
            width_px=header.width_px,
            height_px=header.height_px,
            creation_time="",
        ),
    )
    assert 5 <= still.t_s < 6


def test_a_phones_film_is_turned(write: Write, tmp_path: Path) -> None:
    film = write_with_matrix(write(lambda _: street(0)), tmp_path / "turned.mp4", CLOCKWISE)
    assert find_sharpest(film, read_header(film)).frame.y.shape == SIZE_PX


def test_a_film_without_a_picture_is_refused_in_one_line(write: Write, tmp_path: Path) -> None:
    film = write(lambda _: street(0))
    header = read_header(film)
    with pytest.raises(DriverError, match="no such file"):
        find_sharpest(tmp_path / "gone.mp4", header)
    late = FilmHeader(
        duration_s=1e6, fps=FPS, width_px=SIZE_PX[0], height_px=SIZE_PX[1], creation_time=""
    )
    with pytest.raises(UserError, match="no picture can be decoded"):
        find_sharpest(film, late)
