"""Calibration pictures: frames of street clips, whole and in crops, as the agent would feed them."""

from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

Rgb = npt.NDArray[np.uint8]

FRAME_COUNT = 60
"""Of all clips together; each gives as many."""

CROP_RATIO = 0.5
"""The side of a crop, of the picture's shorter side."""


def read_pictures(clips: list[Path], size_px: int) -> Iterator[Rgb]:
    """Yield frames of each clip, evenly spread: the whole frame, then two crops of it."""
    for path in clips:
        for rgb in _spread_frames(path, FRAME_COUNT // len(clips)):
            yield _resize(rgb, size_px)
            for crop in _crops(rgb):
                yield _resize(crop, size_px)


def _spread_frames(path: Path, count: int) -> list[Rgb]:
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    picks = np.linspace(0, len(frames) - 1, count + 2).round().astype(int)[1:-1]
    return [np.asarray(frames[i], np.uint8) for i in picks]


def _crops(rgb: Rgb) -> Iterator[Rgb]:
    """Yield a square from the middle of the picture's lower half and one from its upper right."""
    height, width = rgb.shape[:2]
    side = int(min(height, width) * CROP_RATIO)
    middle = (width - side) // 2
    yield rgb[height - side :, middle : middle + side]
    yield rgb[height // 4 : height // 4 + side, width - side :]


def _resize(rgb: Rgb, size_px: int) -> Rgb:
    return np.asarray(cv2.resize(rgb, (size_px, size_px), interpolation=cv2.INTER_LINEAR), np.uint8)
