"""Which detections are of one object: of several labels, of several crops, rider and wheels. Pure."""

from collections.abc import Mapping, Sequence
from typing import Literal

from agent.base.model import BoundingBox, Detection, Label

_TWIN_OVERLAP, _TWIN_NESTED = 0.45, 0.6
"""Intersection over union, or over the smaller box, from which on two are one."""

Kind = Literal["person", "two_wheeler", "vehicle"]
KIND: Mapping[Label, Kind] = {
    "person": "person",
    "bicycle": "two_wheeler",
    "motorcycle": "two_wheeler",
    "car": "vehicle",
    "bus": "vehicle",
    "truck": "vehicle",
}


def overlaps(a: BoundingBox, b: BoundingBox) -> tuple[float, float]:
    """Intersection over union, and over the smaller one."""
    across = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    down = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    if across <= 0 or down <= 0:
        return 0.0, 0.0
    shared = across * down
    return shared / (a.w * a.h + b.w * b.h - shared), shared / min(a.w * a.h, b.w * b.h)


def duplicates(label: Label, box: BoundingBox, other_label: Label, other: BoundingBox) -> bool:
    """Whether two boxes of these labels are of one object."""
    if KIND[label] != KIND[other_label]:
        return False
    union, nested = overlaps(box, other)
    return union > _TWIN_OVERLAP or (KIND[label] == "vehicle" and nested > _TWIN_NESTED)


def merge_detections(detections: Sequence[Detection]) -> tuple[Detection, ...]:
    """One detection for each object, out of those of several labels and several crops.

    The best of those of one kind that overlap stays; a person on a bicycle or a motorcycle that
    is seen about as surely is its rider, and goes.
    """
    ordered = sorted(detections, key=lambda d: (-d.score, d.label, d.box.x, d.box.y))
    kept: list[Detection] = []
    for candidate in ordered:
        if not any(
            duplicates(other.label, other.box, candidate.label, candidate.box) for other in kept
        ):
            kept.append(candidate)
    wheels = [d for d in kept if KIND[d.label] == "two_wheeler"]
    return tuple(d for d in kept if d.label != "person" or not any(_rides(d, w) for w in wheels))


def _rides(person: Detection, wheels: Detection) -> bool:
    """Whether a person is the rider: above the wheels, legs beside the frame, and not larger."""
    if wheels.score < 0.6 * person.score:
        return False
    rider, frame = person.box, wheels.box
    centre = rider.x + rider.w / 2
    return (
        frame.x < centre < frame.x + frame.w
        and rider.y < frame.y + frame.h / 2
        and overlaps(rider, frame)[1] > 0.3  # noqa: PLR2004
    )
