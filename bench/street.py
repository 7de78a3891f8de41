"""Recall of the shipped detector in the rendered street, against its ground truth.

A minute and a half, one frame per second, by day, by night and in rain. Each road user that is at most
half hidden is searched in the whole picture, and in a crop of 300 pixels centred on it, which is the best
that the motion gate can propose. Run: `python -m bench.street`.
"""

import math
from collections import Counter

import cv2
import numpy as np
import numpy.typing as npt

from agent.base.model import BoundingBox
from agent.config.configuration import DetectConfig
from agent.detection.geometry import iou
from agent.detection.tflite import TfliteDetector, open_detector
from bench.table import Row
from simulation.street.fixed_view import FixedView, TruthBox, truth_boxes
from simulation.street.renderer import SceneConditions, StreetRenderer

SEED = 7
"""A seed other than the one that the street was drawn with."""
SECONDS = 90
MIN_SCORE, MIN_OVERLAP = 0.3, 0.4
WIDTH_PX, HEIGHT_PX, CROP_PX, NEAR_CROP_PX, NEAR_PX = 1280, 720, 300, 450, 220
VEHICLES = ("car", "bus", "truck")
CONDITIONS = {
    "day": SceneConditions(night=False, rain=0.0, noise=2.0),
    "night": SceneConditions(night=True, rain=0.0, noise=4.0),
    "rain": SceneConditions(night=False, rain=0.7, noise=2.0),
}
HEIGHT_CLASSES_PX = ((0, 48), (48, 96), (96, 720))

Rgb = npt.NDArray[np.uint8]


def is_found(
    detector: TfliteDetector, rgb: Rgb, box: TruthBox, region: tuple[int, int, int, int]
) -> bool:
    """Return True if the detector finds this road user in a part of the picture."""
    left, top, width, height = region
    for detection in detector.detect(rgb[top : top + height, left : left + width]):
        label = "car" if detection.label in VEHICLES else detection.label
        x = (left + detection.box.x * width) / WIDTH_PX
        y = (top + detection.box.y * height) / HEIGHT_PX
        w, h = detection.box.w * width / WIDTH_PX, detection.box.h * height / HEIGHT_PX
        truth = BoundingBox(box.x, box.y, box.w, box.h)
        is_close = iou(truth, BoundingBox(x, y, w, h)) >= MIN_OVERLAP
        if is_close and label == box.label and detection.score >= MIN_SCORE:
            return True
    return False


def crop_around(box: TruthBox) -> tuple[int, int, int, int]:
    """Return a square around a road user, inside the picture."""
    size = CROP_PX if box.h * HEIGHT_PX < NEAR_PX else NEAR_CROP_PX
    left = min(max(0, math.floor((box.x + box.w / 2) * WIDTH_PX - size / 2)), WIDTH_PX - size)
    top = min(max(0, math.floor((box.y + box.h / 2) * HEIGHT_PX - size / 2)), HEIGHT_PX - size)
    return left, top, size, size


def rows() -> list[Row]:
    """Return the recall by appearance, label and height in pixels."""
    detector = open_detector(DetectConfig().model)
    view = FixedView(WIDTH_PX, HEIGHT_PX)
    found: list[Row] = []
    for name, conditions in CONDITIONS.items():
        total, in_crop, in_full_picture = Counter[str](), Counter[str](), Counter[str]()
        painter = StreetRenderer(view, conditions, SEED)
        for second in range(SECONDS):
            t_s = second + 0.5
            rgb = np.asarray(cv2.cvtColor(painter.render(t_s, second), cv2.COLOR_BGR2RGB), np.uint8)
            for box in truth_boxes(SEED, t_s, view):
                if box.hidden > 0.5:
                    continue
                height = box.h * HEIGHT_PX
                low, high = next(
                    span for span in HEIGHT_CLASSES_PX if height < span[1] or span[1] == 720
                )
                key = f"{box.label}, {low} to {high} px high"
                total[key] += 1
                in_crop[key] += is_found(detector, rgb, box, crop_around(box))
                in_full_picture[key] += is_found(detector, rgb, box, (0, 0, WIDTH_PX, HEIGHT_PX))
        found += [
            Row(
                name=f"rendered street, {name}: {key}",
                value=in_crop[key] / total[key],
                unit="recall in a crop",
                target="-",
                note=f"{in_full_picture[key] / total[key]:.2f} in the whole picture; of {total[key]}",
            )
            for key in sorted(total)
        ]
    return found


if __name__ == "__main__":
    for row in rows():
        print(f"{row.name:52} {row.value:.2f}  {row.note}")
