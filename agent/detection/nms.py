"""Non-maximum suppression over labels and crops, and of riders. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from agent.base.model import BoundingBox, Detection, Label
from agent.detection.geometry import containment, iou

_DUPLICATE_MIN_IOU, _DUPLICATE_MIN_CONTAINMENT = 0.45, 0.6
"""Intersection over union, or over the smaller box, from which two boxes are of one object."""

Supercategory = Literal["person", "two_wheeler", "vehicle"]
SUPERCATEGORY: Mapping[Label, Supercategory] = {
    "person": "person",
    "bicycle": "two_wheeler",
    "motorcycle": "two_wheeler",
    "car": "vehicle",
    "bus": "vehicle",
    "truck": "vehicle",
}


def is_duplicate(label: Label, box: BoundingBox, other_label: Label, other: BoundingBox) -> bool:
    """Whether two boxes of these labels are of one object."""
    if SUPERCATEGORY[label] != SUPERCATEGORY[other_label]:
        return False
    return iou(box, other) > _DUPLICATE_MIN_IOU or (
        SUPERCATEGORY[label] == "vehicle" and containment(box, other) > _DUPLICATE_MIN_CONTAINMENT
    )


def suppress_duplicates(
    detections: Sequence[Detection], is_same: Callable[[Detection, Detection], bool]
) -> list[Detection]:
    """Keep the best of each object's detections, best score first (greedy NMS)."""
    kept: list[Detection] = []
    for candidate in sorted(detections, key=lambda d: (-d.score, d.label, d.box.x, d.box.y)):
        if not any(is_same(other, candidate) for other in kept):
            kept.append(candidate)
    return kept


def merge_detections(detections: Sequence[Detection]) -> tuple[Detection, ...]:
    """Keep one detection for each object, out of several labels and several crops.

    The best of overlapping detections of one supercategory is kept. A person on a bicycle or
    motorcycle of a similar score is its rider and is dropped.
    """
    kept = suppress_duplicates(
        detections, lambda one, other: is_duplicate(one.label, one.box, other.label, other.box)
    )
    two_wheelers = [d for d in kept if SUPERCATEGORY[d.label] == "two_wheeler"]
    return tuple(
        d for d in kept if d.label != "person" or not any(_is_rider(d, w) for w in two_wheelers)
    )


def _is_rider(person: Detection, two_wheeler: Detection) -> bool:
    """Whether a person is the rider: above the wheels, legs at the frame, and not larger."""
    if two_wheeler.score < 0.6 * person.score:
        return False
    person_box, two_wheeler_box = person.box, two_wheeler.box
    centre_x = person_box.x + person_box.w / 2
    return (
        two_wheeler_box.x < centre_x < two_wheeler_box.x + two_wheeler_box.w
        and person_box.y < two_wheeler_box.y + two_wheeler_box.h / 2
        and containment(person_box, two_wheeler_box) > 0.3  # noqa: PLR2004
    )
