"""Assignment of detections to tracks: greedy, the most similar pair first. Pure."""

import math
from bisect import bisect_left
from collections.abc import Sequence

from agent.base.model import Detection
from agent.detection.geometry import iou
from agent.detection.live_track import LiveTrack
from agent.detection.nms import SUPERCATEGORY

_CROSS_CATEGORY_FACTOR = 0.6
"""Weight of the similarity of two supercategories, such as a person and a vehicle."""

_STANDING_MIN_IOU = 0.35
"""A standing track is where it was: with less it would jump to a road user that passes."""


def match(
    tracks: Sequence[LiveTrack], detections: Sequence[Detection], min_similarity: float, t_ns: int
) -> dict[int, int]:
    """Return the index of the detection of each matched track, by the track's index.

    The similarity is the intersection over union of both bounding boxes, each enlarged by the uncertainty
    of the track's position.
    """
    if not tracks or not detections:
        return {}
    pairs: list[tuple[float, int, int]] = []
    detections_by_x = sorted(
        (d.box.x + d.box.w / 2, j, d.box.y + d.box.h / 2, d.box.w, d.box.h, SUPERCATEGORY[d.label])
        for j, d in enumerate(detections)
    )
    max_half_width = max(d.box.w for d in detections) / 2
    for i, track in enumerate(tracks):
        category, centre_x, centre_y = (
            SUPERCATEGORY[track.label],
            track.x.position,
            track.y.position,
        )
        is_standing = track.is_standing(t_ns)
        grow_x = min(track.w, 0.2 * track.w + 2.0 * math.sqrt(track.x.p00))
        grow_y = min(track.h, 0.2 * track.h + 2.0 * math.sqrt(track.y.p00))
        w1, h1 = track.w + grow_x, track.h + grow_y
        max_distance = (w1 + grow_x) / 2 + max_half_width
        for k in range(
            bisect_left(detections_by_x, (centre_x - max_distance,)), len(detections_by_x)
        ):
            x, j, y, w, h, other_category = detections_by_x[k]
            if x > centre_x + max_distance:
                break
            w2, h2 = w + grow_x, h + grow_y
            overlap_h = (h1 + h2) / 2 - abs(centre_y - y)
            overlap_w = (w1 + w2) / 2 - abs(centre_x - x)
            if overlap_h <= 0 or overlap_w <= 0:
                continue
            common = min(overlap_w, w1, w2) * min(overlap_h, h1, h2)
            similarity = common / (w1 * h1 + w2 * h2 - common)
            if other_category != category:
                similarity *= _CROSS_CATEGORY_FACTOR
            if similarity < min_similarity:
                continue
            if is_standing and iou(track.box, detections[j].box) < _STANDING_MIN_IOU:
                continue
            pairs.append((-similarity, i, j))
    return _assign_greedily(pairs)


def _assign_greedily(pairs: list[tuple[float, int, int]]) -> dict[int, int]:
    """Return the pairs, each track and each detection once, the least cost first."""
    found: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in sorted(pairs):
        if i not in found and j not in taken:
            found[i] = j
            taken.add(j)
    return found
