"""Static foreground: regions of the gate's picture that differ from the background and have stayed as they are. Pure.

A state machine for each pixel, every two seconds. The background follows the picture by one grey level a sample (sigma-delta). A
pixel that differs from it becomes a candidate with a value of its own, and a candidate that keeps its value is static. Pixels
under a road user keep their state, so that passing traffic neither ends a candidate nor becomes background.

A static region is an object if the picture has gained an outline there. It becomes background if it is

    removed  an outline that the background has and the picture has lost: a vehicle left that was there from the start
    light    the background, darker or brighter: a shadow, a lamp, a wet patch
    grown    of parts that came one after the other: a shadow that follows the sun

and waits while a road user is next to it, or if it is a vehicle whose track was lost. If a large part of the picture changes, the
light has changed, and all of it becomes background.
"""

from collections.abc import Sequence
from itertools import count
from typing import Any, Literal

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.model import BoundingBox, FrameResult
from agent.base.view_condition import ViewState
from agent.detection.geometry import intersection_area, iou
from agent.detection.image import median, rasterize_polygons
from agent.detection.rules.road_users import VEHICLES, TrackMemory
from drivers.media import NS_PER_S, Plane, Polygon

SAMPLE_INTERVAL_NS = 2 * NS_PER_S
SAMPLE_EARLY_NS = NS_PER_S // 4
"""A picture that comes by so much too early counts as a sample: keyframes of a still street are up to two seconds apart, with jitter."""
MAX_INTERVALS = 8
"""Of the age that one sample adds. Pictures are up to ten seconds apart; what was there in a longer gap is not known."""
LEARNING_SAMPLES = 15
"""Until then a candidate becomes background after LEARNED_AFTER_SAMPLES."""
LEARNED_AFTER_SAMPLES = 3
PART_OF_STREET_SAMPLES = 3600
"""An object that stays for two hours longer than it has to becomes background."""

MIN_DIFFERENCE, NOISE_FACTOR = 14.0, 5.0
"""Grey levels from all values of the background around a pixel, or by the picture's noise if that is more."""
MAX_MISSED_SAMPLES = 3
"""A candidate ends after more samples in a row in which it had another value."""
LEFT_WITHIN_SAMPLES = 3
"""A road user was there so shortly before a candidate began."""

MAX_CHANGED_RATIO = 0.12
"""Of the pixels that no road user covers. If more change the light has changed."""
LIGHT_SETTLED_SAMPLES = 3
MAX_SIMULTANEOUS, SIMULTANEOUS_SAMPLES = 3, 1
"""More regions that became static within so many samples are light."""

MIN_AREA_PX, MIN_SIDE_PX = 20, 4
MAX_SIDE = 0.2
"""By the picture's width: a larger region is a vehicle, or light."""
MAX_ASPECT = 4.0
MIN_SOLIDITY = 0.4
"""Least area by that of the bounding box."""
MAX_REGIONS = 16

MIN_OUTLINE_GAIN = 1.2
"""Least slope along the outline in the picture by that in the background."""
MIN_TEXTURE_DEVIATION, LIGHT_MIN_CORRELATION = 1.5, 0.5
"""Standard deviation in grey levels from which a background has a texture, and its correlation with that of the picture from
which both are of one ground.
"""
MIN_CONTRAST, MAX_CONTRAST = 0.4, 2.5
"""Of the contrast of one ground now by that before, by the ratio of its brightness."""
FLAT_DEVIATION = 3.0
"""A smaller standard deviation may be a shadow on even ground."""
MIN_SHADOW_RATIO, MAX_LIT_RATIO = 0.45, 2.2
"""Of grey levels now by those before: the range of a shadow, and of a lit patch."""
MIN_HELD_RATIO = 0.85
"""Of a region's pixels: fewer that have their value now are a region that changes."""
MAX_AGE_SPREAD, MAX_AGE_SPREAD_SAMPLES = 0.25, 4.0
"""Largest standard deviation of the ages of a region's pixels, by its age, or in samples if that is more."""

USER_MARGIN = 0.15
"""By the size of a bounding box: for its shadow, and what the box leaves out."""
STOOD_BEFORE_NS = 20 * NS_PER_S
"""The shadow of a vehicle that has stood longer than this before a region became static is elsewhere."""
VEHICLE_MIN_IOU = 0.3
LOST_BEFORE_NS = 15 * NS_PER_S
"""The track of a vehicle that is a static region was lost later than this before."""
MAX_VEHICLES = 128

MIN_LEVEL_SPAN = 12.0
"""Grey levels between the darker and the brighter half, below which a gain is not determined."""
_SAMPLE_STRIDE = 11
_WINDOW_MARGIN_PX = 3
_ONE: Any = 1
"""The stubs of OpenCV know no numbers in place of arrays."""
_KERNEL = np.ones((3, 3), np.uint8)
_UNUSABLE_VIEWS: frozenset[ViewState] = frozenset({"dark", "frozen", "blocked", "blurred"})

Mask = npt.NDArray[np.uint8]
Verdict = Literal["object", "removed", "light", "grown", "waits"]


class StaticObject(msgspec.Struct, frozen=True, kw_only=True):
    """A static region that is an object. `id` is that of the region, as long as it is static."""

    id: int
    box: BoundingBox
    since_ns: int


class _Region(msgspec.Struct, frozen=True, kw_only=True):
    """Connected static pixels: their bounding box, a window around it, 255 at them there, and their median age."""

    box: BoundingBox
    window: tuple[slice, slice]
    mask: Mask
    age: int


class StaticForeground:
    """The static foreground of one view, for all its zones."""

    def __init__(
        self, after_s: float, excluded_polygons: Sequence[Polygon], road_users: TrackMemory
    ) -> None:
        """A pixel is static after `after_s`."""
        self._after_samples = max(1, round(after_s * NS_PER_S / SAMPLE_INTERVAL_NS))
        self._excluded_polygons = excluded_polygons
        self._road_users = road_users
        self._ids = count(1)
        self._due_ns: int | None = None
        self._intervals = 1
        """Sample intervals since the sample before: pictures may come less often."""
        self._background: Plane = np.zeros((0, 0), np.uint8)
        self._vehicles: dict[int, tuple[int, BoundingBox]] = {}
        """When and where each vehicle was last, by its id, in the order of time."""
        self.objects: tuple[StaticObject, ...] = ()

    def follow(self, road_users: TrackMemory) -> None:
        """Go by other road users from now on, whose ids begin again."""
        self._road_users = road_users
        self._vehicles = {-n: last for n, last in enumerate(self._vehicles.values(), 1)}

    def step(self, result: FrameResult) -> None:
        """Look at the picture of a frame if it is due, after the road users took its result."""
        t_ns = result.t_ns
        due_ns = t_ns if self._due_ns is None else self._due_ns
        if t_ns < due_ns - SAMPLE_EARLY_NS:
            return
        late = (t_ns - due_ns + SAMPLE_EARLY_NS) // SAMPLE_INTERVAL_NS
        self._intervals = min(1 + late, MAX_INTERVALS)
        self._due_ns = due_ns + (1 + late) * SAMPLE_INTERVAL_NS
        state: ViewState = "good" if result.view is None else result.view.state
        if state in _UNUSABLE_VIEWS:
            return
        picture = np.asarray(cv2.blur(result.gate_luma, (3, 3)), np.uint8)
        if picture.shape != self._background.shape or state == "moved":
            self._begin(picture.shape)
        self._note_vehicles(t_ns)
        self._sample(picture, self._active_pixels())
        self._judge_regions(picture, t_ns)

    def _begin(self, shape: tuple[int, ...]) -> None:
        """Forget everything: the next picture is the background."""
        height, width = shape
        ignored = rasterize_polygons(self._excluded_polygons, width, height)
        self._watched: Mask = np.full(shape, 255, np.uint8)
        if ignored is not None:
            self._watched[ignored] = 0
        self._background = np.zeros(shape, np.uint8)
        self._unknown: Mask = np.full(shape, 255, np.uint8)
        self._candidate: Plane = np.zeros(shape, np.uint8)
        self._age = np.zeros(shape, np.uint16)
        """Sample intervals since a pixel became a candidate, and one more; 0 if it is none."""
        self._missed: Mask = np.zeros(shape, np.uint8)
        self._uncovered: Mask = np.full(shape, 255, np.uint8)
        """Samples since a road user was there, saturated."""
        self._was_left: Mask = np.zeros(shape, np.uint8)
        """255 where a candidate began shortly after a road user was there."""
        self._no_age, self._no_mask = np.zeros(shape, np.uint16), np.zeros(shape, np.uint8)
        self._object_ids = np.zeros(shape, np.int32)
        self._learning_samples = LEARNING_SAMPLES
        self._changed_samples = 0
        self._noise = 2.0
        self._vehicles.clear()
        self.objects = ()

    def _note_vehicles(self, t_ns: int) -> None:
        """Remember where each vehicle was last."""
        for user in self._road_users:
            if user.label in VEHICLES:
                self._vehicles.pop(user.id, None)
                self._vehicles[user.id] = (t_ns, user.track.box)
        while len(self._vehicles) > MAX_VEHICLES:
            del self._vehicles[next(iter(self._vehicles))]

    def _active_pixels(self) -> Mask:
        """Return 255 where the street is seen."""
        active = self._watched.copy()
        height, width = active.shape
        for user in self._road_users:
            box = _with_margin(user.track.box)
            start = (int(box.x * width), int(box.y * height))
            end = (int((box.x + box.w) * width) + 1, int((box.y + box.h) * height) + 1)
            cv2.rectangle(active, start, end, 0, cv2.FILLED)
        return active

    # ---- the state of each pixel

    def _sample(self, picture: Plane, active: Mask) -> None:
        cv2.add(self._uncovered, _ONE, dst=self._uncovered)
        cv2.bitwise_and(self._uncovered, active, dst=self._uncovered)
        if cv2.countNonZero(self._unknown):
            cv2.copyTo(picture, self._unknown, self._background)
            cv2.copyTo(self._no_mask, active, self._unknown)
        self._follow_exposure(picture)
        threshold = max(MIN_DIFFERENCE, NOISE_FACTOR * self._noise)
        changed = self._changed_pixels(picture, active, threshold)
        is_candidate = _compare(self._age, 0, cv2.CMP_GT)
        begun_count = cv2.countNonZero(cv2.bitwise_and(changed, cv2.bitwise_not(is_candidate)))
        if begun_count > MAX_CHANGED_RATIO * cv2.countNonZero(active):
            self._changed_samples += 1
            if self._changed_samples >= LIGHT_SETTLED_SAMPLES:
                self._begin(picture.shape)
            return
        self._changed_samples = 0
        if begun_count or cv2.countNonZero(is_candidate):
            self._step_candidates(picture, active, changed, threshold)
        self._follow_background(picture, active, changed)
        if self._learning_samples:
            self._learning_samples -= 1
            self._absorb(_compare(self._age, LEARNED_AFTER_SAMPLES, cv2.CMP_GE))

    def _changed_pixels(self, picture: Plane, active: Mask, threshold: float) -> Mask:
        """Return 255 where a pixel differs from the background there and next to it: a camera shakes by a pixel."""
        above = cv2.subtract(picture, cv2.dilate(self._background, _KERNEL))
        below = cv2.subtract(cv2.erode(self._background, _KERNEL), picture)
        _, changed = cv2.threshold(cv2.max(above, below), threshold, 255, cv2.THRESH_BINARY)
        return np.asarray(cv2.bitwise_and(changed, active), np.uint8)

    def _step_candidates(
        self, picture: Plane, active: Mask, changed: Mask, threshold: float
    ) -> None:
        """Count the age of candidates, end those that have another value, and begin new ones."""
        is_candidate = _compare(self._age, 0, cv2.CMP_GT)
        difference = cv2.absdiff(picture, self._candidate)
        _, same = cv2.threshold(difference, threshold, 255, cv2.THRESH_BINARY_INV)
        seen = cv2.bitwise_and(is_candidate, active)
        held = cv2.bitwise_and(cv2.bitwise_and(same, changed), seen)
        cv2.copyTo(self._no_mask, held, self._missed)
        cv2.add(self._missed, _ONE, dst=self._missed, mask=cv2.subtract(seen, held))
        self._forget(_compare(self._missed, MAX_MISSED_SAMPLES, cv2.CMP_GT))
        is_candidate = _compare(self._age, 0, cv2.CMP_GT)
        intervals: Any = self._intervals
        cv2.add(self._age, intervals, dst=self._age, mask=is_candidate)
        begun = cv2.subtract(changed, is_candidate)
        cv2.copyTo(picture, begun, self._candidate)
        cv2.add(self._age, _ONE, dst=self._age, mask=begun)
        was_left = _compare(self._uncovered, LEFT_WITHIN_SAMPLES, cv2.CMP_LE)
        cv2.copyTo(was_left, begun, self._was_left)

    def _follow_background(self, picture: Plane, active: Mask, changed: Mask) -> None:
        """Move the background by one grey level towards the picture, where it is seen."""
        is_candidate = _compare(self._age, 0, cv2.CMP_GT)
        still = cv2.subtract(active, cv2.bitwise_or(changed, is_candidate))
        background = self._background
        brighter = cv2.bitwise_and(still, cv2.compare(picture, background, cv2.CMP_GT))
        darker = cv2.bitwise_and(still, cv2.compare(picture, background, cv2.CMP_LT))
        cv2.add(background, _ONE, dst=background, mask=brighter)
        cv2.subtract(background, _ONE, dst=background, mask=darker)

    def _follow_exposure(self, picture: Plane) -> None:
        """Change background and candidates as the exposure did, and update the noise.

        A gain and an offset are determined by the medians of the darker and of the brighter half of the background.
        """
        stride = slice(None, None, _SAMPLE_STRIDE)
        before = self._background[stride, stride].ravel().astype(np.float32)
        now = picture[stride, stride].ravel().astype(np.float32)
        order = np.argsort(before)
        dark, bright = order[: len(order) // 2], order[len(order) // 2 :]
        level, shift = _median(before[dark]), _median(now[dark] - before[dark])
        span = _median(before[bright]) - level
        bright_shift = _median(now[bright] - before[bright])
        gain = 1.0
        if span >= MIN_LEVEL_SPAN:
            gain += (bright_shift - shift) / span
        else:
            shift = bright_shift = _median(now - before)
        offset = level + shift - gain * level
        if max(abs(shift), abs(bright_shift)) >= 1:
            levels = np.clip(np.arange(256) * gain + offset + 0.5, 0, 255).astype(np.uint8)
            for plane in (self._background, self._candidate):
                cv2.LUT(plane, levels, dst=plane)
        # 1.48 times the median absolute deviation is the standard deviation of normal noise.
        noise = 1.48 * _median(np.abs(now - before * gain - offset))
        self._noise += 0.1 * (min(noise, 10.0) - self._noise)

    def _forget(self, pixels: Mask) -> None:
        cv2.copyTo(self._no_age, pixels, self._age)
        cv2.copyTo(self._no_mask, pixels, self._missed)

    def _absorb(self, pixels: Mask) -> None:
        """Make candidates background."""
        cv2.copyTo(self._candidate, pixels, self._background)
        self._forget(pixels)

    # ---- static regions

    def _judge_regions(self, picture: Plane, t_ns: int) -> None:
        """Find the objects among the static regions, and make background of what is none."""
        static = _compare(self._age, self._after_samples, cv2.CMP_GT)
        if cv2.countNonZero(static) < MIN_AREA_PX:
            self.objects = ()
            self._object_ids.fill(0)
            return
        regions = self._find_regions(np.asarray(static, np.uint8))
        object_ids = np.zeros_like(self._object_ids)
        found: dict[int, StaticObject] = {}
        for region in regions:
            window, pixels = region.window, region.mask > 0
            since_ns = t_ns - (region.age - 1) * SAMPLE_INTERVAL_NS
            object_id = int(np.argmax(np.bincount(self._object_ids[window][pixels])))
            if region.age > self._after_samples + PART_OF_STREET_SAMPLES:
                self._absorb_region(region)
                continue
            if object_id == 0:
                verdict = self._judge(region, picture[window], regions, t_ns, since_ns)
                if verdict == "object":
                    object_id = next(self._ids)
                elif verdict != "waits":
                    self._absorb_region(region)
            if object_id and object_id not in found:
                object_ids[window][pixels] = object_id
                found[object_id] = StaticObject(id=object_id, box=region.box, since_ns=since_ns)
        self._object_ids = object_ids
        self.objects = tuple(found.values())

    def _find_regions(self, static: Mask) -> list[_Region]:
        """Return the largest connected regions of static pixels. A part of an object may have the shade of the street."""
        closed = np.asarray(
            cv2.morphologyEx(static, cv2.MORPH_CLOSE, _KERNEL, iterations=2), np.uint8
        )
        label_count, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
        height, width = closed.shape
        rows = [(index, *(int(value) for value in stats[index])) for index in range(1, label_count)]
        rows = [row for row in rows if row[5] >= MIN_AREA_PX]
        rows.sort(key=lambda row: -row[5])
        regions = []
        for index, x, y, w, h, _area in rows[:MAX_REGIONS]:
            margin = _WINDOW_MARGIN_PX
            window = (
                slice(max(0, y - margin), y + h + margin),
                slice(max(0, x - margin), x + w + margin),
            )
            pixels = labels[window] == index
            region = _Region(
                box=BoundingBox(x / width, y / height, w / width, h / height),
                window=window,
                mask=pixels.astype(np.uint8) * 255,
                age=int(_median(self._age[window][pixels & (static[window] > 0)])),
            )
            regions.append(region)
        return regions

    def _absorb_region(self, region: _Region) -> None:
        pixels = np.zeros_like(self._no_mask)
        pixels[region.window] = region.mask
        is_candidate = _compare(self._age, 0, cv2.CMP_GT)
        self._absorb(np.asarray(cv2.bitwise_and(pixels, is_candidate), np.uint8))

    def _judge(
        self,
        region: _Region,
        shown: Plane,
        regions: Sequence[_Region],
        t_ns: int,
        since_ns: int,
    ) -> Verdict:
        """Return whether a region is an object, and if not why. `shown` is the picture in its window."""
        held = (region.mask > 0) & (self._missed[region.window] == 0)
        if (
            np.count_nonzero(held) < MIN_HELD_RATIO * cv2.countNonZero(region.mask)
            or self._is_next_to_user(region, t_ns, since_ns)
            or self._is_lost_vehicle(region, since_ns)
            or not self._has_object_shape(region)
        ):
            return "waits"
        was_left = self._was_left[region.window] > 0
        # Where a road user left, the age is that of the leaving.
        ages = self._age[region.window][held & ~was_left]
        ages = ages[ages > 0]
        max_spread = max(MAX_AGE_SPREAD_SAMPLES, MAX_AGE_SPREAD * region.age)
        if ages.size and float(np.std(ages)) > max_spread:
            return "grown"
        simultaneous = [abs(one.age - region.age) <= SIMULTANEOUS_SAMPLES for one in regions]
        if sum(simultaneous) > MAX_SIMULTANEOUS:
            return "light"
        background = self._background[region.window]
        inner, outer = (
            cv2.erode(region.mask, _KERNEL),
            cv2.dilate(region.mask, _KERNEL, iterations=2),
        )
        outline = (cv2.subtract(outer, inner) > 0) & (self._uncovered[region.window] > 0)
        slope_before = max(
            float(np.count_nonzero(outline)), float(np.sum(_slope(background)[outline]))
        )
        if float(np.sum(_slope(shown)[outline])) < MIN_OUTLINE_GAIN * slope_before:
            return "removed"
        inside = held & (inner > 0) if np.any(held & (inner > 0)) else held
        before, now = background[inside].astype(np.float32), shown[inside].astype(np.float32)
        is_left = float(np.mean(was_left[inside])) > 0.5  # noqa: PLR2004 - most of it
        return "light" if _is_light(before, now, is_left=is_left) else "object"

    def _is_next_to_user(self, region: _Region, t_ns: int, since_ns: int) -> bool:
        """Whether a road user is next to a region. A vehicle that stood there before does not count."""
        for user in self._road_users:
            stationary_ns = user.stationary_since_ns(t_ns) if user.label in VEHICLES else None
            stood_before = stationary_ns is not None and stationary_ns < since_ns - STOOD_BEFORE_NS
            box = _with_margin(user.track.box)
            if not stood_before and intersection_area(box, region.box) > 0:
                return True
        return False

    def _is_lost_vehicle(self, region: _Region, since_ns: int) -> bool:
        """Whether the last place of a vehicle was there."""
        return any(
            t_ns >= since_ns - LOST_BEFORE_NS and iou(box, region.box) >= VEHICLE_MIN_IOU
            for t_ns, box in self._vehicles.values()
        )

    def _has_object_shape(self, region: _Region) -> bool:
        height: int = self._background.shape[0]
        width: int = self._background.shape[1]
        w_px, h_px = round(region.box.w * width), round(region.box.h * height)
        shorter, longer = min(w_px, h_px), max(w_px, h_px)
        return (
            shorter >= MIN_SIDE_PX
            and longer <= MAX_SIDE * width
            and longer <= MAX_ASPECT * shorter
            and cv2.countNonZero(region.mask) >= MIN_SOLIDITY * w_px * h_px
        )


def _is_light(
    before: npt.NDArray[np.float32], now: npt.NDArray[np.float32], *, is_left: bool
) -> bool:
    """Return whether a region shows the ground that was there before, in another light.

    Even ground in a shadow, and an object of one shade, look alike: it is an object if a road user had just been there.
    """
    before_deviation, now_deviation = float(np.std(before)), float(np.std(now))
    covariance = float(np.mean((before - before.mean()) * (now - now.mean())))
    correlation = covariance / max(1.0, before_deviation * now_deviation)
    ratio = float(now.mean()) / max(1.0, float(before.mean()))
    if before_deviation >= MIN_TEXTURE_DEVIATION and correlation >= LIGHT_MIN_CORRELATION:
        # Light changes the contrast of a ground as it changes its brightness.
        contrast = now_deviation / before_deviation
        return MIN_CONTRAST <= contrast / ratio <= MAX_CONTRAST
    is_flat = before_deviation < FLAT_DEVIATION and now_deviation < FLAT_DEVIATION
    return is_flat and not is_left and MIN_SHADOW_RATIO <= ratio <= MAX_LIT_RATIO


def _compare(values: npt.NDArray[Any], limit: Any, operation: int) -> Mask:
    """Return 255 where the comparison holds."""
    return np.asarray(cv2.compare(values, limit, operation), np.uint8)


def _with_margin(box: BoundingBox) -> BoundingBox:
    x, y = box.w * USER_MARGIN, box.h * USER_MARGIN
    return BoundingBox(box.x - x, box.y - y, box.w + 2 * x, box.h + 2 * y)


def _slope(picture: Plane) -> Plane:
    """Return the range of values around each pixel."""
    return np.asarray(cv2.morphologyEx(picture, cv2.MORPH_GRADIENT, _KERNEL), np.uint8)


def _median(values: npt.NDArray[np.float32 | np.uint16]) -> float:
    return float(median(values))
