"""From an accelerator's objects to detections. Pure."""

from collections.abc import Sequence

from agent.base.model import BoundingBox, Detection
from agent.detection.accelerator_card import AcceleratorCard
from drivers.media import FoundObject


def to_detections(objects: Sequence[FoundObject], card: AcceleratorCard) -> tuple[Detection, ...]:
    """Return the objects that are road users of the card and not below their label's least threshold."""
    label_by_class = {number: label for label, number in card.labels.items()}
    found: list[Detection] = []
    for one in objects:
        label = label_by_class.get(one.class_number)
        if label is not None and one.score >= card.thresholds[label].keep_track:
            box = BoundingBox(one.x, one.y, one.w, one.h)
            found.append(Detection(label=label, score=one.score, box=box))
    return tuple(found)
