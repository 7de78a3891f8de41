"""Detector in the camera's sensor (IMX500): its results come with the frames, already without those at masks.

Instead of cropping pictures it moves the sensor's region of interest, for the frames to come.
"""

import time
from collections.abc import Callable, Sequence

from agent.detection.accelerator_card import AcceleratorCard, to_detections
from agent.detection.detector import SearchedRegion
from agent.detection.image import Region
from drivers.contracts import SensorNetworkControl
from drivers.errors import DriverError
from drivers.media import NS_PER_S, WHOLE_AREA, FoundObject, Frame, PictureArea

SENSOR_WIDTH_PX = 4056
MAX_SILENCE_NS = 5 * NS_PER_S
"""The sensor infers several times a second; its results are missing for a fifth of one after each move of its region."""
AREA_DWELL_NS = NS_PER_S
"""Least time from one change of the area to the next: each costs the results of a fifth of a second."""
MAX_AREA_SIDE = 0.6
"""By the picture. A larger area than this would show objects hardly larger than the whole picture does."""
MIN_AREA_SIDE = 0.25


class SensorDetector:
    """One camera's sensor. `sensor` returns the open camera, or None while it is closed."""

    def __init__(
        self, card: AcceleratorCard, sensor: Callable[[], SensorNetworkControl | None]
    ) -> None:
        self.card = card
        self.inference_count = 0
        self.cpu_ns = 0
        self._find_sensor = sensor
        self._sensor: SensorNetworkControl | None = None
        self._area = WHOLE_AREA
        self._area_since_ns = 0
        self._last_ns: int | None = None

    def input_width_px(self, frame_width_px: int) -> int:
        """Return the width of the network's input in pixels of a frame: the sensor has several to each of them."""
        return max(2, round(self.card.input.width_px * frame_width_px / SENSOR_WIDTH_PX))

    def search(self, frame: Frame, regions: Sequence[Region]) -> tuple[SearchedRegion, ...]:
        """Return what the sensor found, and move its region of interest to `regions`.

        Raises: DriverError if the sensor has no network, or no result has come for MAX_SILENCE_NS.
        """
        start_cpu_ns = time.thread_time_ns()
        sensor = self._find_sensor()
        if self._last_ns is None or sensor is not self._sensor:
            # One that was opened again searches the whole picture, and its network has no result yet.
            self._sensor, self._area, self._last_ns = sensor, WHOLE_AREA, frame.t_ns
        inference = frame.inference
        if inference is None:
            self._raise_if_failed(frame.t_ns - self._last_ns)
            return ()
        self._last_ns = frame.t_ns
        self._choose_area(frame, regions)
        objects = [_in_area(one, inference.area) for one in inference.objects]
        found = to_detections(objects, self.card)
        self.inference_count += 1
        self.cpu_ns += time.thread_time_ns() - start_cpu_ns
        return (SearchedRegion(_to_region(inference.area, frame), found),)

    def _raise_if_failed(self, silence_ns: int) -> None:
        error = None if self._sensor is None else self._sensor.network_error
        if error is not None:
            raise DriverError("unsupported", f"model {self.card.name!r}: {error}")
        if silence_ns > MAX_SILENCE_NS:
            limit_s = MAX_SILENCE_NS / NS_PER_S
            raise DriverError(
                "timeout", f"model {self.card.name!r}: no result of the sensor for {limit_s:g} s"
            )

    def _choose_area(self, frame: Frame, regions: Sequence[Region]) -> None:
        """Move the region of interest if the wanted one differs, not too often."""
        sensor = self._sensor
        if sensor is None or not regions or frame.t_ns - self._area_since_ns < AREA_DWELL_NS:
            return
        area = choose_area(regions, frame.width_px, frame.height_px)
        if area != self._area:
            self._area, self._area_since_ns = area, frame.t_ns
            sensor.set_search_area(area)


def choose_area(regions: Sequence[Region], width_px: int, height_px: int) -> PictureArea:
    """Return the area around all regions, or the whole picture if that is not clearly larger. Pure.

    It has the picture's shape, so that objects keep theirs.
    """
    left, right = min(one.x for one in regions), max(one.right for one in regions)
    top, bottom = min(one.y for one in regions), max(one.bottom for one in regions)
    side = max((right - left) / width_px, (bottom - top) / height_px, MIN_AREA_SIDE)
    if side > MAX_AREA_SIDE:
        return WHOLE_AREA
    x = (left + right) / 2 / width_px - side / 2
    y = (top + bottom) / 2 / height_px - side / 2
    return PictureArea(min(max(x, 0.0), 1 - side), min(max(y, 0.0), 1 - side), side, side)


def _to_region(area: PictureArea, frame: Frame) -> Region:
    """Return the area in even pixels of a frame."""
    x, right = (round(side * frame.width_px / 2) * 2 for side in (area.x, area.x + area.w))
    y, bottom = (round(side * frame.height_px / 2) * 2 for side in (area.y, area.y + area.h))
    right, bottom = min(right, frame.width_px // 2 * 2), min(bottom, frame.height_px // 2 * 2)
    return Region(x, y, max(2, right - x), max(2, bottom - y))


def _in_area(one: FoundObject, area: PictureArea) -> FoundObject:
    """Return an object in 0..1 of the area, clipped to it."""
    left, top = max(0.0, (one.x - area.x) / area.w), max(0.0, (one.y - area.y) / area.h)
    right = min(1.0, (one.x + one.w - area.x) / area.w)
    bottom = min(1.0, (one.y + one.h - area.y) / area.h)
    return FoundObject(
        one.class_number, one.score, left, top, max(0.0, right - left), max(0.0, bottom - top)
    )
