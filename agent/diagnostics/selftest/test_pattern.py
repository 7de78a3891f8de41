"""The known pattern: ten seconds of the rendered street, who is in them, and whether he was found.

Pure but for the rendering, which is the driver `fake`.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.model import BoundingBox, Label, Track
from agent.detection.geometry import Point
from agent.detection.scene import Scene, SceneLine
from drivers.camera import fake
from drivers.contracts import Wanted
from drivers.errors import DriverError
from drivers.media import Frame, Plane
from drivers.street.view import TruthBox, View, truth

CAMERA = "pattern"
FPS = 10
SECONDS = 10
PICTURES = FPS * SECONDS
WIDTH_PX, HEIGHT_PX = 1280, 720
SEED = 1

SCENE = Scene(
    line=(SceneLine(name="across", start=Point(0.0, 0.6), to=Point(1.0, 0.6), each=True),)
)
"""A line over the whole street, so that somebody crosses it."""

CLEAR_HEIGHT = 0.08
"""A road user is to be found where he has so much of the picture's height, and is not hidden."""
CLEAR_HIDDEN = 0.3
CLEAR_LOOKS = 3
OVERLAP = 0.4
FOUND_SHARE = 0.25
"""In so many of the pictures that show him clearly: a busy box looks at few of them."""
LEAST_FOUND = 2 / 3
MOST_FALSE = 0.1
BLOCK_PX = 16
_VEHICLES: tuple[Label, ...] = ("car", "bus", "truck")
_READ_S = 10.0


class FrameFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One picture that was looked at: its second of the street, and who was seen."""

    t_s: float
    tracks: tuple[Track, ...]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Of those who were clearly there: how many, and how many were found, by label. `false` of
    `tracks` were nobody's.
    """

    looks: int
    there: Counter[str]
    found: Counter[str]
    tracks: int
    false: int

    @property
    def ok(self) -> bool:
        """Whether the detector sees what is there, vehicles and people, and little else."""
        kinds = all(self.found[label] for label in self.there)
        enough = self.found.total() >= LEAST_FOUND * self.there.total()
        return bool(self.there) and kinds and enough and self.false <= MOST_FALSE * self.tracks

    def __str__(self) -> str:
        of_each = ", ".join(
            f"{self.found[label]} of {there} {'people' if label == 'person' else label + 's'}"
            for label, there in sorted(self.there.items())
        )
        return (
            f"{of_each or 'nobody'} in {self.looks} pictures, {self.false} false of {self.tracks}"
        )


def options(*, pace_real: bool) -> dict[str, object]:
    """The driver's options, as a configuration would have them."""
    return {
        "width_px": WIDTH_PX,
        "height_px": HEIGHT_PX,
        "fps": FPS,
        "seed": SEED,
        "pace": "real" if pace_real else "fast",
        "duration_s": SECONDS,
    }


def second_of(seq: int) -> float:
    """The street's second that a picture shows."""
    return seq / FPS


def judge(looks: Sequence[FrameFinding]) -> Finding:
    """Hold what was seen against the truth."""
    view = View(WIDTH_PX, HEIGHT_PX)
    clear: Counter[int] = Counter()
    seen: Counter[int] = Counter()
    labels: dict[int, str] = {}
    tracks = false = 0
    for look in looks:
        there = truth(SEED, look.t_s, view)
        tracks += len(look.tracks)
        # Half the overlap: what is half hidden or far is somebody all the same.
        false += sum(
            1
            for track in look.tracks
            if not any(_overlap(box, track.box) >= OVERLAP / 2 for box in there)
        )
        for box in there:
            if box.hidden > CLEAR_HIDDEN or box.h < CLEAR_HEIGHT:
                continue
            labels[box.id] = box.label
            clear[box.id] += 1
            seen[box.id] += any(_is_of(track, box) for track in look.tracks)
    known = [one for one, looks_at in clear.items() if looks_at >= CLEAR_LOOKS]
    return Finding(
        looks=len(looks),
        there=Counter(labels[one] for one in known),
        found=Counter(labels[one] for one in known if seen[one] >= FOUND_SHARE * clear[one]),
        tracks=tracks,
        false=false,
    )


def pictures() -> Iterator[Frame]:
    """Every picture of the pattern, as fast as they can be painted."""
    wanted = Wanted(packets=False, frames_fps=math.inf)
    given = msgspec.convert(options(pace_real=False), fake.Options)
    camera = fake.open_camera(CAMERA, given, wanted, lambda: 0)
    try:
        while True:
            try:
                media = camera.read(_READ_S)
            except DriverError as error:
                if error.kind == "ended":
                    return
                raise
            if isinstance(media, Frame):
                yield media
    finally:
        camera.close()


def difference(one: Plane, other: Plane) -> float:
    """How far two pictures' luma is apart where it is farthest: of blocks, so that neither noise nor
    an encoder counts, in steps of 255. Infinite where their sizes differ.
    """
    if one.shape != other.shape:
        return math.inf
    return float(np.abs(_blocks(one) - _blocks(other)).max())


def _blocks(luma: Plane) -> npt.NDArray[np.float64]:
    """The mean of each block."""
    height, width = luma.shape
    rows, columns = height // BLOCK_PX, width // BLOCK_PX
    cut = luma[: rows * BLOCK_PX, : columns * BLOCK_PX]
    means = cut.reshape(rows, BLOCK_PX, columns, BLOCK_PX).mean(axis=(1, 3))
    return np.asarray(means, np.float64)


def _is_of(track: Track, box: TruthBox) -> bool:
    alike = track.label in _VEHICLES if box.label == "car" else track.label == box.label
    return alike and _overlap(box, track.box) >= OVERLAP


def _overlap(box: TruthBox, seen: BoundingBox) -> float:
    """Intersection over union."""
    shared_w = min(box.x + box.w, seen.x + seen.w) - max(box.x, seen.x)
    shared_h = min(box.y + box.h, seen.y + seen.h) - max(box.y, seen.y)
    shared = max(0.0, shared_w) * max(0.0, shared_h)
    union = box.w * box.h + seen.w * seen.h - shared
    return shared / union if union > 0 else 0.0
