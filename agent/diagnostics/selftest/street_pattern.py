"""Test pattern: ten seconds of the rendered street, its road users, and the score of the detections.

Pure except for the rendering, which the driver `fake` does.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.message import Message, join_phrases
from agent.base.model import BoundingBox, Label, Track
from agent.detection.geometry import iou
from agent.detection.scene import Scene, SceneLine
from drivers.contracts import StreamRequest
from drivers.errors import DriverError
from drivers.media import Frame, Plane, Point
from simulation.camera import fake
from simulation.street.fixed_view import FixedView, TruthBox, truth_boxes

CAMERA = "pattern"
FPS = 10
DURATION_S = 10
FRAME_COUNT = FPS * DURATION_S
WIDTH_PX, HEIGHT_PX = 1280, 720
SEED = 1

SCENE = Scene(
    line=(SceneLine(name="across", start=Point(0.0, 0.6), to=Point(1.0, 0.6), events=True),)
)
"""A counting line over the whole street, which road users cross."""

MIN_CLEAR_HEIGHT = 0.08
"""Share of the picture's height from which a road user counts as clearly visible if not hidden."""
MAX_CLEAR_OCCLUSION = 0.3
MIN_CLEAR_FRAMES = 3
MIN_IOU = 0.4
MIN_FOUND_RATIO = 0.25
"""Share of a road user's clear pictures in which they must be found: a busy box skips pictures."""
MIN_RECALL = 2 / 3
MAX_FALSE_RATIO = 0.1
BLOCK_PX = 16
_LABEL_PLURALS = {
    "person": Message("people"),
    "bicycle": Message("bicycles"),
    "motorcycle": Message("motorcycles"),
    "car": Message("cars"),
    "bus": Message("buses"),
    "truck": Message("trucks"),
}
_VEHICLES: tuple[Label, ...] = ("car", "bus", "truck")
_READ_TIMEOUT_S = 10.0


class FrameTracks(msgspec.Struct, frozen=True, kw_only=True):
    """One picture that was analysed: its second of the street, and its tracks."""

    t_s: float
    tracks: tuple[Track, ...]


class DetectionScore(msgspec.Struct, frozen=True, kw_only=True):
    """Clearly visible road users, expected and found, by label.

    `false_tracks` of the `tracks` match no road user.
    """

    frames: int
    expected: Counter[str]
    found: Counter[str]
    tracks: int
    false_tracks: int

    @property
    def ok(self) -> bool:
        """Whether the detector finds vehicles and people with few false tracks."""
        has_all_labels = all(self.found[label] for label in self.expected)
        has_enough = self.found.total() >= MIN_RECALL * self.expected.total()
        return (
            bool(self.expected)
            and has_all_labels
            and has_enough
            and self.false_tracks <= MAX_FALSE_RATIO * self.tracks
        )

    @property
    def summary(self) -> Message:
        """The score in one line."""
        by_label = join_phrases(
            *(
                Message(
                    "{found} of {expected} {label}",
                    found=self.found[label],
                    expected=expected,
                    label=_LABEL_PLURALS[label],
                )
                for label, expected in sorted(self.expected.items())
            )
        )
        return Message(
            "{found} in {count} pictures, {false_tracks} false of {tracks}",
            found=by_label or Message("nobody"),
            count=self.frames,
            false_tracks=self.false_tracks,
            tracks=self.tracks,
        )


def driver_options(*, pace_real: bool) -> dict[str, object]:
    """Return the options of the driver `fake` that render the pattern."""
    return {
        "width_px": WIDTH_PX,
        "height_px": HEIGHT_PX,
        "fps": FPS,
        "seed": SEED,
        "pace": "real" if pace_real else "fast",
        "duration_s": DURATION_S,
    }


def frame_time_s(seq: int) -> float:
    """Return the second of the street that a picture shows."""
    return seq / FPS


def score_detections(frames: Sequence[FrameTracks]) -> DetectionScore:
    """Compare the tracks with the rendered road users."""
    view = FixedView(WIDTH_PX, HEIGHT_PX)
    clear_frames: Counter[int] = Counter()
    found_frames: Counter[int] = Counter()
    labels: dict[int, str] = {}
    tracks = false_tracks = 0
    for frame in frames:
        expected_boxes = truth_boxes(SEED, frame.t_s, view)
        tracks += len(frame.tracks)
        # Half the overlap: a half hidden or far road user is no false track.
        false_tracks += sum(
            1
            for track in frame.tracks
            if not any(
                iou(_to_bounding_box(box), track.box) >= MIN_IOU / 2 for box in expected_boxes
            )
        )
        for box in expected_boxes:
            if box.hidden > MAX_CLEAR_OCCLUSION or box.h < MIN_CLEAR_HEIGHT:
                continue
            labels[box.id] = box.label
            clear_frames[box.id] += 1
            found_frames[box.id] += any(_is_match(track, box) for track in frame.tracks)
    expected_ids = [
        user_id for user_id, frame_count in clear_frames.items() if frame_count >= MIN_CLEAR_FRAMES
    ]
    return DetectionScore(
        frames=len(frames),
        expected=Counter(labels[user_id] for user_id in expected_ids),
        found=Counter(
            labels[user_id]
            for user_id in expected_ids
            if found_frames[user_id] >= MIN_FOUND_RATIO * clear_frames[user_id]
        ),
        tracks=tracks,
        false_tracks=false_tracks,
    )


def render_frames() -> Iterator[Frame]:
    """Yield every picture of the pattern, as fast as they can be rendered."""
    wanted = StreamRequest(packets=False, frames_fps=math.inf)
    camera_options = msgspec.convert(driver_options(pace_real=False), fake.Options)
    camera = fake.open_camera(CAMERA, camera_options, wanted, lambda: 0)
    try:
        while True:
            try:
                media = camera.read(_READ_TIMEOUT_S)
            except DriverError as error:
                if error.kind == "ended":
                    return
                raise
            if isinstance(media, Frame):
                yield media
    finally:
        camera.close()


def max_block_difference(first: Plane, second: Plane) -> float:
    """Return the largest luma difference of two pictures, 0 to 255; infinite if their sizes differ.

    Compares the means of blocks, so that noise and the encoder do not count.
    """
    if first.shape != second.shape:
        return math.inf
    return float(np.abs(_block_means(first) - _block_means(second)).max())


def _block_means(luma: Plane) -> npt.NDArray[np.float64]:
    """Return the mean luma of each block."""
    height, width = luma.shape
    rows, columns = height // BLOCK_PX, width // BLOCK_PX
    cropped = luma[: rows * BLOCK_PX, : columns * BLOCK_PX]
    means = cropped.reshape(rows, BLOCK_PX, columns, BLOCK_PX).mean(axis=(1, 3))
    return np.asarray(means, np.float64)


def _is_match(track: Track, box: TruthBox) -> bool:
    is_same_class = track.label in _VEHICLES if box.label == "car" else track.label == box.label
    return is_same_class and iou(_to_bounding_box(box), track.box) >= MIN_IOU


def _to_bounding_box(box: TruthBox) -> BoundingBox:
    return BoundingBox(box.x, box.y, box.w, box.h)
