"""Which detections are of one object: of several labels, of several crops, rider and wheels. Pure."""

from collections.abc import Mapping, Sequence
from typing import Literal

from agent.base.model import BoundingBox, Detection, Label

_DUPLICATE_MIN_IOU, _DUPLICATE_MIN_CONTAINMENT = 0.45, 0.6
"""Intersection over union, or over the smaller box, from which on two are one."""

Supercategory = Literal["person", "two_wheeler", "vehicle"]
SUPERCATEGORY: Mapping[Label, Supercategory] = {
    "person": "person",
    "bicycle": "two_wheeler",
    "motorcycle": "two_wheeler",
    "car": "vehicle",
    "bus": "vehicle",
    "truck": "vehicle",
}


def overlap_ratios(a: BoundingBox, b: BoundingBox) -> tuple[float, float]:
    """Intersection over union, and over the smaller one."""
    overlap_w = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    overlap_h = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    if overlap_w <= 0 or overlap_h <= 0:
        return 0.0, 0.0
    common = overlap_w * overlap_h
    return common / (a.w * a.h + b.w * b.h - common), common / min(a.w * a.h, b.w * b.h)


def is_duplicate(label: Label, box: BoundingBox, other_label: Label, other: BoundingBox) -> bool:
    """Whether two boxes of these labels are of one object."""
    if SUPERCATEGORY[label] != SUPERCATEGORY[other_label]:
        return False
    iou, containment = overlap_ratios(box, other)
    return iou > _DUPLICATE_MIN_IOU or (
        SUPERCATEGORY[label] == "vehicle" and containment > _DUPLICATE_MIN_CONTAINMENT
    )


def merge_detections(detections: Sequence[Detection]) -> tuple[Detection, ...]:
    """One detection for each object, out of those of several labels and several crops.

    The best of those of one kind that overlap stays; a person on a bicycle or a motorcycle that
    is seen about as surely is its rider, and goes.
    """
    ordered = sorted(detections, key=lambda d: (-d.score, d.label, d.box.x, d.box.y))
    kept: list[Detection] = []
    for candidate in ordered:
        if not any(
            is_duplicate(other.label, other.box, candidate.label, candidate.box) for other in kept
        ):
            kept.append(candidate)
    two_wheelers = [d for d in kept if SUPERCATEGORY[d.label] == "two_wheeler"]
    return tuple(
        d for d in kept if d.label != "person" or not any(_is_rider(d, w) for w in two_wheelers)
    )


def _is_rider(person: Detection, two_wheeler: Detection) -> bool:
    """Whether a person is the rider: above the wheels, legs beside the frame, and not larger."""
    if two_wheeler.score < 0.6 * person.score:
        return False
    person_box, two_wheeler_box = person.box, two_wheeler.box
    centre_x = person_box.x + person_box.w / 2
    return (
        two_wheeler_box.x < centre_x < two_wheeler_box.x + two_wheeler_box.w
        and person_box.y < two_wheeler_box.y + two_wheeler_box.h / 2
        and overlap_ratios(person_box, two_wheeler_box)[1] > 0.3  # noqa: PLR2004
    )
