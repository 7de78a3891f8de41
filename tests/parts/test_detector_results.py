"""bench.detector_results on a small film: a run that was stopped continues, and a change is detected again."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest

from agent.config.configuration import DetectConfig
from agent.detection import image
from agent.detection.tflite import TfliteDetector, open_detector
from bench.accuracy import read_frames
from bench.detector_results import SETTINGS, ResultCache, pipeline_digest, pipeline_sources
from drivers.media import NS_PER_S, Frame

PICTURES = 12


@pytest.fixture(scope="module")
def detector() -> TfliteDetector:
    return open_detector(DetectConfig().model)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    write_film(path, speed_px=3)
    return path


def write_film(path: Path, speed_px: int) -> None:
    """A grey street with a light rectangle that moves."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 352, 288, "yuv420p"
        for number in range(PICTURES):
            rgb = np.full((288, 352, 3), 90, np.uint8)
            left = 40 + speed_px * number
            rgb[120:160, left : left + 60] = 210
            picture = av.VideoFrame.from_ndarray(rgb, "rgb24")
            picture.pts, picture.time_base = number, Fraction(1, 10)
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))


def test_results_are_kept_and_are_the_same(
    detector: TfliteDetector, film: Path, tmp_path: Path
) -> None:
    first = ResultCache(detector, tmp_path / "kept")
    results = list(first.results(film, b"forward", lambda: read_frames(film)))
    assert first.detected == 1
    assert len(results) == PICTURES
    second = ResultCache(detector, tmp_path / "kept")
    again = list(second.results(film, b"forward", lambda: read_frames(film)))
    assert second.detected == 0
    assert [one.tracks for one in again] == [one.tracks for one in results]
    for result, frame in zip(again, read_frames(film), strict=True):
        luma = image.downscale_luma(frame.y, SETTINGS.gate_width_px)
        assert np.array_equal(result.gate_luma, luma)


def test_the_view_is_that_of_a_camera_that_has_shown_other_frames_before(
    detector: TfliteDetector, film: Path, tmp_path: Path
) -> None:
    cache = ResultCache(detector, tmp_path / "kept")

    def capped() -> Iterator[Frame]:
        frame = next(iter(read_frames(film)))
        black = np.full_like(frame.y, 16)
        for second in range(-20, 0):
            yield msgspec.structs.replace(frame, y=black, t_ns=second * NS_PER_S)

    first = next(cache.results(film, b"after a cap", lambda: read_frames(film), capped))
    assert first.view is not None
    assert first.view.state == "dark"


def test_another_case_and_another_film_are_detected(
    detector: TfliteDetector, film: Path, tmp_path: Path
) -> None:
    cache = ResultCache(detector, tmp_path / "kept")
    list(cache.results(film, b"forward", lambda: read_frames(film)))
    list(cache.results(film, b"other", lambda: read_frames(film)))
    assert cache.detected == 2
    other = tmp_path / "other.mp4"
    write_film(other, speed_px=2)
    list(cache.results(other, b"forward", lambda: read_frames(other)))
    assert cache.detected == 3


def test_results_of_other_pictures_are_not_taken(
    detector: TfliteDetector, film: Path, tmp_path: Path
) -> None:
    cache = ResultCache(detector, tmp_path / "kept")
    list(cache.results(film, b"forward", lambda: read_frames(film)))

    def without_the_first() -> Iterator[Frame]:
        frames = read_frames(film)
        next(frames)
        return frames

    assert len(list(cache.results(film, b"forward", without_the_first))) == PICTURES - 1
    assert cache.detected == 2


def test_a_result_that_was_not_written_to_its_end_is_not_there(
    detector: TfliteDetector, film: Path, tmp_path: Path
) -> None:
    cache = ResultCache(detector, tmp_path / "kept")
    broken = cache.results(film, b"forward", lambda: iter([next(iter(read_frames(film))), None]))
    with pytest.raises(AttributeError):
        next(broken)
    assert not list((tmp_path / "kept").glob("*.results"))


def test_the_digest_of_the_pipeline_is_of_its_source() -> None:
    names = {path.stem for path in pipeline_sources()}
    assert {"pipeline", "tracker", "contrast_stretch", "motion_gate", "tflite"} <= names
    assert not {"stopped", "road_users", "rule_engine"} & names
    assert len(pipeline_digest()) == 32
