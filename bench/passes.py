"""Passes of the detector by the window that they search, and how many a joining of small windows could save.

The films are the labelled ones at several rates of pictures, and the busy streets of the benches. Small windows are those
that the detector's input enlarges by more than a third; up to four of one picture would fit into one input, each at half its
side. Run: `python -m bench.passes`.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import msgspec

from agent.config.configuration import DetectConfig
from agent.detection.detector import SearchedRegion
from agent.detection.image import Region, full_region
from agent.detection.model_card import ModelCard
from agent.detection.pipeline import DetectionPipeline
from agent.detection.tflite import TfliteDetector, open_detector
from bench import on_demand, videos
from bench.accuracy import clip_path, labelled_clips, read_frames
from bench.film_conditions import FilmCondition, degrade_film
from drivers.media import Frame

RATES_FPS = (5.0, 7.5, on_demand.FPS, 25.0)
SMALL_RATIO = 0.75
JOINED = 4


class PassShares(msgspec.Struct, frozen=True, kw_only=True):
    """The passes of a film, and shares of them: of the whole picture, of small windows, of those that joining saves, and of
    windows next to the whole picture.
    """

    passes: int
    whole: float
    small: float
    saved_by_joining: float
    next_to_whole: float


def pass_shares(
    searched: Iterable[tuple[Region, Sequence[Region]]], input_width_px: int
) -> PassShares:
    """Count the windows of pictures: each with its whole region, and the regions that were searched in it."""
    passes = whole = small = saved = next_to_whole = 0
    for picture, regions in searched:
        small_here = sum(region.w <= SMALL_RATIO * input_width_px for region in regions)
        passes += len(regions)
        small += small_here
        saved += small_here - -(-small_here // JOINED)
        if picture in regions:
            whole += 1
            next_to_whole += len(regions) - 1
    of = max(1, passes)
    return PassShares(
        passes=passes,
        whole=whole / of,
        small=small / of,
        saved_by_joining=saved / of,
        next_to_whole=next_to_whole / of,
    )


class RecordingDetector:
    """A detector that keeps the regions it was asked for."""

    def __init__(self, detector: TfliteDetector) -> None:
        self._detector = detector
        self.searched: list[tuple[Region, Sequence[Region]]] = []

    @property
    def card(self) -> ModelCard:
        """The model's card."""
        return self._detector.card

    @property
    def inference_count(self) -> int:
        """The number of inferences so far."""
        return self._detector.inference_count

    @property
    def cpu_ns(self) -> int:
        """The CPU time so far."""
        return self._detector.cpu_ns

    def input_width_px(self, frame_width_px: int) -> int:
        """Return the width of the model's input."""
        return self._detector.input_width_px(frame_width_px)

    def search(self, frame: Frame, regions: Sequence[Region]) -> tuple[SearchedRegion, ...]:
        """Search the regions of a frame."""
        self.searched.append((full_region(frame), regions))
        return self._detector.search(frame, regions)


def films() -> Iterator[tuple[str, Sequence[Path], float]]:
    """Yield sets of films, with their rate of pictures."""
    labelled = [clip_path(name) for name in labelled_clips()]
    for fps in RATES_FPS:
        yield "labelled films", labelled, fps
    for video in (videos.BUSY_SUB, videos.BUSY_MAIN):
        yield video.name, [videos.video_path(video)], min(on_demand.FPS, video.fps)


def main() -> None:
    """Print a row for each set of films."""
    cv2.setNumThreads(1)
    detector = open_detector(DetectConfig().model)
    for name, paths, fps in films():
        recording = RecordingDetector(detector)
        for path in paths:
            pipeline = DetectionPipeline(recording)
            for frame in degrade_film(read_frames(path), FilmCondition("fps", fps)):
                pipeline.process(frame)
        shares = pass_shares(recording.searched, detector.input_size_px[0])
        print(
            f"{name}, {fps:g} pictures/s: {shares.passes} passes, whole picture {shares.whole:.2f}, small {shares.small:.2f}, "
            f"saved by joining {shares.saved_by_joining:.3f}, next to the whole picture {shares.next_to_whole:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
