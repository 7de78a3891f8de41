"""Assignment of detections to tracks: greedy, the most similar pair first. Pure."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from agent.base.model import Detection
from agent.detection.geometry import iou
from agent.detection.live_track import LiveTrack
from agent.detection.nms import SUPERCATEGORY, Supercategory

_CROSS_CATEGORY_FACTOR = 0.6
"""Weight of the similarity of two supercategories, such as a person and a vehicle."""

_STANDING_MIN_IOU = 0.35
"""A standing track is where it was: with less it would jump to a road user that passes."""


Candidate = tuple[float, int, float, float, float, Supercategory, Detection]
"""A detection that may continue a track: its centre's x, its index, its centre's y, its width, height and supercategory."""


def make_candidate(index: int, detection: Detection) -> Candidate:
    """Return the candidate of a detection, the `index`-th of its frame."""
    box, category = detection.box, SUPERCATEGORY[detection.label]
    w, h = box.w, box.h
    return (box.x + w / 2, index, box.y + h / 2, w, h, category, detection)


def match(
    tracks: Sequence[LiveTrack], candidates: Sequence[Candidate], min_similarity: float, t_ns: int
) -> dict[int, LiveTrack]:
    """Return the tracks of the matched candidates, by the candidate's index, the most similar pair first.

    The similarity is the intersection over union of both bounding boxes, each enlarged by the uncertainty
    of the track's position. It is computed only for candidates near enough along x to overlap.
    """
    pairs: list[tuple[float, int, int]] = []
    centres_x = [candidate[0] for candidate in candidates]
    max_half_width = max([candidate[3] for candidate in candidates]) / 2
    for i, track in enumerate(tracks):
        category, track_w, track_h = SUPERCATEGORY[track.label], track.w, track.h
        centre_x, centre_y = track.x.position, track.y.position
        grow_x = min(track_w, 0.2 * track_w + 2.0 * math.sqrt(track.x.p00))
        grow_y = min(track_h, 0.2 * track_h + 2.0 * math.sqrt(track.y.p00))
        w1, h1 = track_w + grow_x, track_h + grow_y
        max_distance = (w1 + grow_x) / 2 + max_half_width
        first = bisect_left(centres_x, centre_x - max_distance)
        last = bisect_right(centres_x, centre_x + max_distance, first)
        for x, j, y, w, h, other_category, detection in candidates[first:last]:
            h2 = h + grow_y
            overlap_h = (h1 + h2) / 2 - abs(centre_y - y)
            if overlap_h <= 0:
                continue
            w2 = w + grow_x
            overlap_w = (w1 + w2) / 2 - abs(centre_x - x)
            if overlap_w <= 0:
                continue
            common = min(overlap_w, w1, w2) * min(overlap_h, h1, h2)
            similarity = common / (w1 * h1 + w2 * h2 - common)
            if other_category != category:
                similarity *= _CROSS_CATEGORY_FACTOR
            if similarity < min_similarity:
                continue
            if track.is_standing(t_ns) and iou(track.box, detection.box) < _STANDING_MIN_IOU:
                continue
            pairs.append((-similarity, i, j))
    return _assign_greedily(tracks, pairs)


def _assign_greedily(
    tracks: Sequence[LiveTrack], pairs: list[tuple[float, int, int]]
) -> dict[int, LiveTrack]:
    """Return the pairs, each track and each candidate once, the least cost first."""
    pairs.sort()
    found: dict[int, LiveTrack] = {}
    taken: set[int] = set()
    for _, i, j in pairs:
        if j not in found and i not in taken:
            found[j] = tracks[i]
            taken.add(i)
    return found
