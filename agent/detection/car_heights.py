"""Heights of cars in the picture, learnt from tracks: the pixels per metre of a view whose ground is not calibrated. Pure."""

from collections import deque

import numpy as np

from agent.base.model import FrameResult
from drivers.media import NS_PER_S

CAR_HEIGHT_M = 1.5
"""Cars are 1.4 to 1.7 m high. Their height, unlike their width, is the same from all sides."""
MIN_CARS = 20
"""Cars from which on heights are known."""
MAX_SAMPLES, MAX_SAMPLES_OF_A_CAR = 400, 5
SAMPLE_INTERVAL_NS = NS_PER_S
MIN_SPREAD = 0.1
"""In picture heights. Cars at one height in the picture do not show how it changes with the place."""
MAX_EXTRAPOLATION = 0.2
"""In picture heights, beyond the farthest cars: farther away they are taken to be as high as there."""
EDGE_MARGIN = 0.02
_GROUPS = 8


class CarHeights:
    """Learns how high cars are by how far down in the picture they are, which is a linear function on level ground."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=MAX_SAMPLES)
        self._sampled: dict[int, tuple[int, int]] = {}
        """Of the cars in the picture: the time of the last sample, and the number of samples."""
        self._cars = 0
        self._line: tuple[float, float, float] | None = None
        self._fitted_cars = 0

    @property
    def is_known(self) -> bool:
        """Whether enough cars were seen."""
        return self._cars >= MIN_CARS

    def step(self, result: FrameResult) -> None:
        """Take the cars of a frame that are seen in full."""
        sampled: dict[int, tuple[int, int]] = {}
        for track in result.tracks:
            if track.label != "car":
                continue
            last_ns, number = self._sampled.get(track.id, (-SAMPLE_INTERVAL_NS, 0))
            box = track.box
            is_whole = (
                min(box.x, box.y) > EDGE_MARGIN
                and max(box.x + box.w, box.y + box.h) < 1 - EDGE_MARGIN
            )
            is_due = result.t_ns - last_ns >= SAMPLE_INTERVAL_NS and number < MAX_SAMPLES_OF_A_CAR
            if is_whole and is_due and track.seen_ns == result.t_ns:
                self._samples.append((box.y + box.h / 2, box.h))
                self._cars += number == 0
                last_ns, number = result.t_ns, number + 1
            sampled[track.id] = (last_ns, number)
        self._sampled = sampled

    def px_per_m(self, y: float, height_px: int) -> float | None:
        """Return the pixels per metre at a place in a picture of this height, or None before MIN_CARS are known."""
        if not self.is_known:
            return None
        if self._line is None or self._cars >= min(
            self._fitted_cars * 1.2, self._fitted_cars + MAX_SAMPLES // MAX_SAMPLES_OF_A_CAR
        ):
            self._line, self._fitted_cars = self._fit(), self._cars
        slope, at_zero, farthest_y = self._line
        height = at_zero + slope * max(y, farthest_y - MAX_EXTRAPOLATION)
        return max(0.0, height) * height_px / CAR_HEIGHT_M

    def _fit(self) -> tuple[float, float, float]:
        """Return slope, height at the top of the picture, and the place of the farthest cars. A lorry called a car does not decide."""
        samples = np.array(sorted(self._samples))
        groups = np.array([np.median(group, axis=0) for group in np.array_split(samples, _GROUPS)])
        y, heights = groups[:, 0], groups[:, 1]
        farthest_y = float(y[0])
        if y[-1] - y[0] >= MIN_SPREAD:
            slope, at_zero = np.polyfit(y, heights, 1)
            if slope > 0:
                return float(slope), float(at_zero), farthest_y
        return 0.0, float(np.median(heights)), farthest_y
