"""Multi-object tracker. Pure.

Two rounds after ByteTrack (arXiv 2110.06864): detections of high score are matched first, those of
low score may only continue the tracks that are left. Centres follow a constant velocity Kalman
filter, one for each axis. The detector sees only parts of the picture, so a track counts as missed
only if it was searched for.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count, zip_longest

from agent.base.model import BoundingBox, Detection, Label, Track
from agent.detection.assignment import Candidate, make_candidate, match
from agent.detection.geometry import containment, iou
from agent.detection.live_track import LiveTrack
from agent.detection.model_card import LabelThresholds
from agent.detection.nms import SUPERCATEGORY, is_duplicate
from agent.detection.optical_flow import FlowShift

_HIGH_SCORE_MIN_IOU, _LOW_SCORE_MIN_IOU = 0.2, 0.3
_PERSON_LOW_SCORE_MIN_IOU, _PERSON_LOW_SCORE_MAX_NS = 0.5, 500_000_000
"""For people, and the time for which detections of low score alone continue them. Textures have low scores too,
and hold a track back whose person walks on; a vehicle leaves them behind.
"""
_CONFIRM_MIN_HITS, _CONFIRM_MIN_SCORE_SUM = 3, 0.9
_TENTATIVE_MAX_MISSES, _TENTATIVE_MAX_UNSEEN_NS = 3, 700_000_000
_CONFIRMED_MAX_MISSES, _CONFIRMED_MIN_KEEP_NS = 6, 1_500_000_000
_REPORTED_MAX_MISSES = 1
_OCCLUSION_MIN_OVERLAP = 0.4
_FLOW_CARRY_MAX_NS, _HIDDEN_CARRY_MAX_NS = 800_000_000, 400_000_000
"""Time after a detection in which a track that optical flow moves counts as seen: one that was not
searched for since, and one that was searched for and not found, so that it is hidden.
"""
_STATIONARY_MAX_UNSEEN_NS = 6_000_000_000

_BLOB_SCORE = 0.1
"""Score of a large blob among the detections of a track: next to nothing."""
_BLOB_MIN_IOU, _BLOB_MAX_CONTAINMENT = 0.5, 0.1
_BLOB_MIN_HITS, _BLOB_MIN_TRAVEL = 6, 0.45
"""A track of large blobs alone is confirmed after these hits and this travel, in its own sizes."""


class ObjectTracker:
    """Tracks the road users of one camera. Call `predict` and then `update`, once for each frame.

    Successive trackers of one camera share `track_ids`, so that no id is used again.
    """

    def __init__(
        self, thresholds: Mapping[Label, LabelThresholds], track_ids: Iterator[int] | None = None
    ) -> None:
        self._thresholds = thresholds
        self._track_ids = count(1) if track_ids is None else track_ids
        self._last_frame_ns: int | None = None
        self.live_tracks: list[LiveTrack] = []

    def predicted_shifts(self, t_ns: int) -> list[FlowShift]:
        """Return how far each of `live_tracks` will have moved at `t_ns`, by its velocity."""
        dt_s = self._elapsed_s(t_ns)
        return [
            FlowShift(track.x.velocity * dt_s, track.y.velocity * dt_s)
            for track in self.live_tracks
        ]

    def predict(self, t_ns: int, shifts: Sequence[FlowShift | None] = ()) -> None:
        """Predict every track at the time of a new frame.

        `shifts` are the displacements of `live_tracks` by optical flow, or None if unknown.
        """
        dt_s = self._elapsed_s(t_ns)
        self._last_frame_ns = t_ns
        for track, shift in zip_longest(self.live_tracks, shifts):
            if shift is None or dt_s == 0 or track.is_occluded:
                track.predict(dt_s, None)
                continue
            track.predict(dt_s, shift)
            carry_ns = _HIDDEN_CARRY_MAX_NS if track.misses else _FLOW_CARRY_MAX_NS
            if t_ns - track.detected_ns < carry_ns:
                track.seen_ns = t_ns

    def _elapsed_s(self, t_ns: int) -> float:
        return 0.0 if self._last_frame_ns is None else max(0.0, (t_ns - self._last_frame_ns) / 1e9)

    def update(
        self,
        detections: Sequence[Detection],
        has_motion: Sequence[bool],
        visibility: Sequence[float],
        large_blobs: Sequence[BoundingBox] = (),
    ) -> tuple[Track, ...]:
        """Match the detections of the frame of the last `predict`, and return the confirmed tracks.

        `has_motion` is for each detection: a new object that does not move is more often a thing than a
        road user, so it needs a higher score. `visibility` is for each of `live_tracks` how well it was
        searched for (0..1). `large_blobs` are large solid shapes that move: one that travels and is no
        other track is a vehicle that the detector misses, as it does with most from above.
        """
        t_ns = self._last_frame_ns or 0
        high_score: list[Candidate] = []
        low_score: list[Candidate] = []
        for index, (detection, is_moving) in enumerate(zip(detections, has_motion, strict=True)):
            threshold = self._thresholds[detection.label]
            if detection.score >= (threshold.start_track if is_moving else threshold.show_still):
                high_score.append(make_candidate(index, detection))
            elif detection.score >= threshold.keep_track:
                low_score.append(make_candidate(index, detection))
        high_score.sort()
        low_score.sort()
        confirmed = [track for track in self.live_tracks if track.id]
        tentative = [track for track in self.live_tracks if not track.id]
        high_score = self._match(confirmed, high_score, _HIGH_SCORE_MIN_IOU)
        for track in confirmed:
            if track.is_matched:
                track.high_score_ns = t_ns
        low_score = self._match_low_score(confirmed, low_score, t_ns)
        high_score = self._match(tentative, high_score, _HIGH_SCORE_MIN_IOU)
        self._match(tentative, low_score, _LOW_SCORE_MIN_IOU)
        self._match_blobs(large_blobs)
        for track, searched in zip(self.live_tracks, visibility, strict=True):
            if not track.is_matched and searched > 0.5:  # noqa: PLR2004 - it would have been recognised
                track.misses += 1
                track.searched_ns = t_ns
        self._mark_occluded(confirmed)
        for detection in [detections[j] for j in sorted(candidate[1] for candidate in high_score)]:
            if not any(
                is_duplicate(track.label, track.box, detection.label, detection.box)
                for track in confirmed
            ):
                self.live_tracks.append(LiveTrack(detection, t_ns))
        self._start_blob_tracks(large_blobs)
        self._confirm()
        self._drop_stale(t_ns)
        self._remove_duplicates()
        return tuple(
            [
                self._to_track(track)
                for track in self.live_tracks
                if track.id and (track.seen_ns == t_ns or track.misses <= _REPORTED_MAX_MISSES)
            ]
        )

    def _match(
        self, tracks: Sequence[LiveTrack], candidates: list[Candidate], min_similarity: float
    ) -> list[Candidate]:
        """Continue the unmatched of the tracks, and return the candidates that are left."""
        if not tracks or not candidates:
            return candidates
        unmatched = [track for track in tracks if not track.is_matched]
        t_ns = self._last_frame_ns or 0
        matched = match(unmatched, candidates, min_similarity, t_ns)
        left: list[Candidate] = []
        for candidate in candidates:
            track = matched.get(candidate[1])
            if track is None:
                left.append(candidate)
            else:
                track.update(candidate[-1], t_ns)
        return left

    def _match_low_score(
        self, confirmed: Sequence[LiveTrack], candidates: list[Candidate], t_ns: int
    ) -> list[Candidate]:
        """Continue confirmed tracks by detections of low score, and return the candidates that are left."""
        if not candidates:
            return candidates
        vehicles = [track for track in confirmed if track.label != "person"]
        people = [
            track
            for track in confirmed
            if track.label == "person" and t_ns - track.high_score_ns < _PERSON_LOW_SCORE_MAX_NS
        ]
        candidates = self._match(vehicles, candidates, _LOW_SCORE_MIN_IOU)
        return self._match(people, candidates, _PERSON_LOW_SCORE_MIN_IOU)

    def _match_blobs(self, large_blobs: Sequence[BoundingBox]) -> None:
        """Continue undetected vehicles with the large blob that they overlap."""
        if not large_blobs:
            return
        for track in self.live_tracks:
            if track.is_matched or SUPERCATEGORY[track.label] != "vehicle":
                continue
            best_iou, blob = max(
                ((iou(track.box, blob), blob) for blob in large_blobs), key=lambda pair: pair[0]
            )
            if best_iou > _BLOB_MIN_IOU:
                track.update(
                    Detection(label="car", score=_BLOB_SCORE, box=blob), self._last_frame_ns or 0
                )

    def _start_blob_tracks(self, large_blobs: Sequence[BoundingBox]) -> None:
        """Begin a track for each large blob that no track overlaps."""
        for blob in large_blobs:
            if not any(
                containment(track.box, blob) > _BLOB_MAX_CONTAINMENT for track in self.live_tracks
            ):
                detection = Detection(label="car", score=_BLOB_SCORE, box=blob)
                self.live_tracks.append(LiveTrack(detection, self._last_frame_ns or 0))

    def _mark_occluded(self, confirmed: Sequence[LiveTrack]) -> None:
        """Mark unmatched tracks behind a detected one: the optical flow there is the other's."""
        visible = [
            (SUPERCATEGORY[track.label], track.box) for track in confirmed if track.is_matched
        ]
        for track in confirmed:
            if track.is_matched:
                continue
            category, box = SUPERCATEGORY[track.label], track.box
            track.is_occluded = any(
                other_category == category and containment(other, box) > _OCCLUSION_MIN_OVERLAP
                for other_category, other in visible
            )

    def _confirm(self) -> None:
        for track in self.live_tracks:
            if track.id:
                continue
            if track.best_score > _BLOB_SCORE:
                is_confirmed = (
                    track.hits >= _CONFIRM_MIN_HITS and track.score_sum >= _CONFIRM_MIN_SCORE_SUM
                )
            else:
                is_confirmed = track.hits >= _BLOB_MIN_HITS and track.travel >= _BLOB_MIN_TRAVEL
            if is_confirmed:
                track.id = next(self._track_ids)

    def _drop_stale(self, t_ns: int) -> None:
        """Drop tracks that were searched for and not found, and those that left the picture."""
        self.live_tracks = [
            track
            for track in self.live_tracks
            if 0 < track.x.position < 1
            and 0 < track.y.position < 1
            and (track.is_matched or _is_kept_unseen(track, t_ns - track.detected_ns))
        ]

    def _remove_duplicates(self) -> None:
        """Of two confirmed tracks of one object, drop the younger one."""
        by_left_edge = []
        for track in self.live_tracks:
            if track.id:
                box = track.box
                by_left_edge.append((box.x, track.id, box.y, box.y + box.h, box, track))
        by_left_edge.sort()
        removed_ids: set[int] = set()
        for n, (_, track_id, top, bottom, box, track) in enumerate(by_left_edge, 1):
            right = box.x + box.w
            for left, other_id, other_top, other_bottom, other_box, other in by_left_edge[n:]:
                if left >= right:
                    break
                if (
                    top < other_bottom
                    and other_top < bottom
                    and is_duplicate(track.label, box, other.label, other_box)
                    and not track.moves_apart_from(other)
                    and not removed_ids & {track_id, other_id}
                ):
                    removed_ids.add(max(track_id, other_id))
        if removed_ids:
            self.live_tracks = [track for track in self.live_tracks if track.id not in removed_ids]

    @staticmethod
    def _to_track(track: LiveTrack) -> Track:
        return Track(
            id=track.id,
            label=track.label,
            score=track.best_score,
            box=track.box,
            vx=track.x.velocity,
            vy=track.y.velocity,
            begin_ns=track.begin_ns,
            seen_ns=track.seen_ns,
        )


def _is_kept_unseen(track: LiveTrack, unseen_ns: int) -> bool:
    """Whether a track without a detection since `unseen_ns` is kept."""
    if not track.id:
        return track.misses < _TENTATIVE_MAX_MISSES and unseen_ns < _TENTATIVE_MAX_UNSEEN_NS
    return unseen_ns < _CONFIRMED_MIN_KEEP_NS or (
        track.misses < _CONFIRMED_MAX_MISSES
        and unseen_ns < _STATIONARY_MAX_UNSEEN_NS
        and not track.is_moving
    )
