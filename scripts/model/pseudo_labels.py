"""Label frames of street clips with the shipped models, as a teacher for `finetune.py`.

Writes CLIP.npz for each clip: `frames` (RGB) and `labels`, one row for each box: number of the frame,
x0, y0, x1, y1 in pixels, class (as the card of `nanodet` numbers them). Runs in the project's own environment.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self

import av
import cv2
import numpy as np
import numpy.typing as npt

from agent.base.model import Label
from agent.detection.model_card import load_card, read_verified_model, with_score_floor
from agent.detection.tflite import TfliteDetector

Array = npt.NDArray[np.float64]
Rgb = npt.NDArray[np.uint8]
Window = tuple[int, int, int, int]

TEACHERS = ("nanodet", "ssdlite_mobilenet_v2")
SCORE_FLOOR = 0.15
FRAMES_OF_CLIP = 60
CROP_RATIO = 0.55
"""The sides of a crop, of the picture's; six of them lie over the picture."""

EDGE_RATIO = 0.01
"""A box this near to the edge of a crop is cut by it, and is no label."""

SAME_OBJECT_IOU = 0.55
NEXT_FRAME_IOU = 0.3
AGREED, AGREED_BY_FEWER, BETWEEN_AGREED = (0.45, 3), (0.6, 2), (0.3, 2)
"""Least score and number of views: of what a frame agrees on, and of what lies between two such."""

ALONE_SCORE_MIN = 0.55
"""Of what has no neighbour in time."""

PURITY_MIN = 0.5
"""Of a track's votes, the share that its class must have."""


@dataclass
class Candidate:
    """One object of one frame, as several views saw it; the box is their mean by score."""

    box: Array
    score: float
    views: set[tuple[str, int]]
    votes: Array
    score_sum: float
    earlier: Self | None = None
    later: Self | None = None

    def join(self, other: Self) -> None:
        """Take in what another view saw."""
        self.score_sum += other.score_sum
        self.box = self.box + (other.box - self.box) * other.score_sum / self.score_sum
        self.score = max(self.score, other.score)
        self.views |= other.views
        self.votes = self.votes + other.votes

    def is_agreed(self) -> bool:
        """Whether enough views of this frame have it."""
        return self._is_seen(AGREED) or self._is_seen(AGREED_BY_FEWER)

    def is_label(self) -> bool:
        """Whether its views or its neighbours in time bear it out."""
        neighbours = (self.earlier, self.later)
        agreed = [other is not None and other.is_agreed() for other in neighbours]
        if self.is_agreed():
            return any(agreed) or self.score >= ALONE_SCORE_MIN
        return all(agreed) and self._is_seen(BETWEEN_AGREED)

    def _is_seen(self, least: tuple[float, int]) -> bool:
        score_min, views_min = least
        return self.score >= score_min and len(self.views) >= views_min


def overlap(one: Array, other: Array) -> float:
    """Return the intersection of two boxes over their union."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    if (sides <= 0).any():
        return 0.0
    shared = sides.prod()
    return float(shared / ((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - shared))


def read_frames(path: Path) -> list[Rgb]:
    """Return some `FRAMES_OF_CLIP` frames of the clip, evenly spread."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        step = max(4, stream.frames // FRAMES_OF_CLIP)
        return [
            np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            for number, frame in enumerate(container.decode(stream))
            if number % step == 0
        ]


def windows_of(rgb: Rgb) -> list[Window]:
    """Return the whole picture, then six crops over it."""
    height, width = rgb.shape[:2]
    crop_w, crop_h = int(width * CROP_RATIO), int(height * CROP_RATIO)
    return [(0, 0, width, height)] + [
        (x, y, x + crop_w, y + crop_h)
        for y in (0, height - crop_h)
        for x in (0, (width - crop_w) // 2, width - crop_w)
    ]


def detect_in(
    detector: TfliteDetector, rgb: Rgb, window: Window, *, mirrored: bool = False
) -> Iterator[tuple[Array, float, Label]]:
    """Yield box (pixels of the picture), score and label of what is whole in the window."""
    x0, y0, x1, y1 = window
    height, width = rgb.shape[:2]
    crop = rgb[y0:y1, x0:x1]
    if mirrored:
        crop = np.ascontiguousarray(crop[:, ::-1])
    for found in detector.detect(crop):
        left, top = found.box.x, found.box.y
        if mirrored:
            left = 1 - left - found.box.w
        right, bottom = left + found.box.w, top + found.box.h
        cut = (
            (left < EDGE_RATIO and x0 > 0)
            or (top < EDGE_RATIO and y0 > 0)
            or (right > 1 - EDGE_RATIO and x1 < width)
            or (bottom > 1 - EDGE_RATIO and y1 < height)
        )
        if not cut:
            corners = np.array([[left, top], [right, bottom]]) * [x1 - x0, y1 - y0] + [x0, y0]
            yield corners.ravel(), found.score, found.label


def find_candidates(teachers: dict[str, TfliteDetector], rgb: Rgb) -> list[Candidate]:
    """Join what the teachers see in the views of one frame."""
    windows = windows_of(rgb)
    found = [
        ((name, number), *detection)
        for number, window in enumerate(windows)
        for name, detector in teachers.items()
        for detection in detect_in(detector, rgb, window)
    ]
    first = TEACHERS[0]
    mirrored = detect_in(teachers[first], rgb, windows[0], mirrored=True)
    found += [((first, len(windows)), *detection) for detection in mirrored]
    numbers = teachers[first].card.labels
    candidates: list[Candidate] = []
    for view, box, score, label in sorted(found, key=lambda detection: -detection[2]):
        votes = np.zeros(len(numbers))
        votes[numbers[label]] = score
        one = Candidate(box, score, {view}, votes, score)
        shares = [overlap(known.box, box) for known in candidates]
        if max(shares, default=0) > SAME_OBJECT_IOU:
            candidates[int(np.argmax(shares))].join(one)
        else:
            candidates.append(one)
    return candidates


def link(frames: list[list[Candidate]]) -> None:
    """Join the candidates of neighbouring frames, nearest first."""
    for before, after in pairwise(frames):
        pairs = [(overlap(one.box, other.box), one, other) for one in before for other in after]
        for share, one, other in sorted(pairs, key=lambda pair: -pair[0]):
            if share < NEXT_FRAME_IOU:
                break
            if one.later is None and other.earlier is None:
                one.later, other.earlier = other, one


def track_votes(candidate: Candidate) -> Array:
    """Return the votes of the whole track that the candidate is of."""
    while candidate.earlier is not None:
        candidate = candidate.earlier
    votes = candidate.votes.copy()
    while candidate.later is not None:
        candidate = candidate.later
        votes += candidate.votes
    return votes


def label_frames(frames: list[list[Candidate]]) -> Array:
    """Return the rows of `labels`."""
    link(frames)
    rows = []
    for number, candidates in enumerate(frames):
        for candidate in candidates:
            votes = track_votes(candidate)
            if candidate.is_label() and votes.max() >= PURITY_MIN * votes.sum():
                rows.append([number, *candidate.box, votes.argmax()])
    return np.array(rows).reshape(-1, 6)


def main() -> None:
    """Label the clips of a list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("footage", type=Path, help="folder of the clips")
    parser.add_argument("clips", type=Path, help="file with the clips' names, one a line")
    parser.add_argument("output", type=Path, help="folder of the .npz files")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    args.output.mkdir(parents=True, exist_ok=True)
    teachers = {}
    for name in TEACHERS:
        card = load_card(name)
        teachers[name] = TfliteDetector(
            with_score_floor(card, SCORE_FLOOR), read_verified_model(card)
        )
    for clip in args.clips.read_text().split():
        frames = read_frames(args.footage / clip)
        labels = label_frames([find_candidates(teachers, rgb) for rgb in frames])
        np.savez(args.output / Path(clip).with_suffix(".npz"), frames=frames, labels=labels)
        print(f"{clip}: {len(frames)} frames, {len(labels)} labels", flush=True)


if __name__ == "__main__":
    main()
