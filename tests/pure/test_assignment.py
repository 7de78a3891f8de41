"""agent.detection.assignment: the shortcuts find the pairs that all comparisons would find."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.base.model import LABELS, BoundingBox, Detection
from agent.detection.assignment import Candidate, make_candidate, match
from agent.detection.geometry import iou
from agent.detection.live_track import LiveTrack
from agent.detection.nms import SUPERCATEGORY

NOW_NS = 5_000_000_000
STEP_NS = 100_000_000

detections = st.builds(
    Detection,
    label=st.sampled_from(LABELS),
    score=st.floats(0.1, 1),
    box=st.builds(
        BoundingBox,
        st.floats(0, 0.9),
        st.floats(0, 0.9),
        st.floats(0.01, 0.5),
        st.floats(0.01, 0.5),
    ),
)


@st.composite
def tracks(draw: st.DrawFn) -> LiveTrack:
    """Draw a track of some age, predicted some frames past its last detection."""
    track = LiveTrack(draw(detections), NOW_NS - draw(st.integers(0, 20)) * STEP_NS)
    track.id = draw(st.integers(0, 1))
    track.x.velocity, track.y.velocity = draw(st.floats(-0.1, 0.1)), draw(st.floats(-0.1, 0.1))
    for _ in range(draw(st.integers(0, 4))):
        track.predict(STEP_NS / 1e9, None)
    return track


def _similarity(track: LiveTrack, detection: Detection) -> float:
    """Return the similarity that the assignment's page defines; -1 for a standing track that would jump."""
    box = detection.box
    grow_x = min(track.w, 0.2 * track.w + 2.0 * math.sqrt(track.x.p00))
    grow_y = min(track.h, 0.2 * track.h + 2.0 * math.sqrt(track.y.p00))
    w1, h1, w2, h2 = track.w + grow_x, track.h + grow_y, box.w + grow_x, box.h + grow_y
    overlap_w = (w1 + w2) / 2 - abs(track.x.position - (box.x + box.w / 2))
    overlap_h = (h1 + h2) / 2 - abs(track.y.position - (box.y + box.h / 2))
    common = max(0.0, min(overlap_w, w1, w2)) * max(0.0, min(overlap_h, h1, h2))
    if track.is_standing(NOW_NS) and iou(track.box, box) < 0.35:
        return -1.0
    is_cross_category = SUPERCATEGORY[track.label] != SUPERCATEGORY[detection.label]
    return common / (w1 * h1 + w2 * h2 - common) * (0.6 if is_cross_category else 1.0)


def _match_all(
    live: list[LiveTrack], found: list[Detection], min_similarity: float
) -> list[tuple[int, int]]:
    """Compare each track with each detection, and take the most similar pair again and again."""
    scores = {
        (i, j): score
        for i, track in enumerate(live)
        for j, detection in enumerate(found)
        if (score := _similarity(track, detection)) >= min_similarity
    }
    pairs = []
    while scores:
        best = max(scores, key=lambda pair: (scores[pair], -pair[0], -pair[1]))
        pairs.append(best)
        scores = {p: s for p, s in scores.items() if p[0] != best[0] and p[1] != best[1]}
    return pairs


def _candidates(found: list[Detection]) -> list[Candidate]:
    return sorted(make_candidate(index, detection) for index, detection in enumerate(found))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(tracks(), min_size=1, max_size=8),
    st.lists(detections, min_size=1, max_size=8),
    st.sampled_from([0.2, 0.3, 0.5]),
)
def test_candidates_along_x_give_the_same_pairs_as_comparing_all(
    live: list[LiveTrack], found: list[Detection], min_similarity: float
) -> None:
    matched = match(live, _candidates(found), min_similarity, NOW_NS)
    expected = _match_all(live, found, min_similarity)
    assert [(live.index(track), index) for index, track in matched.items()] == expected
