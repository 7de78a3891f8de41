"""The tracker: which detection is which road user, from frame to frame. Pure.

Two rounds after ByteTrack (arXiv 2110.06864): sure detections are matched first, unsure ones may
only carry on what is left over. Centres follow a constant velocity Kalman filter, one per axis.
What is its own here is that the detector looks at parts of the picture: a track is missed only
where it was looked for.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, zip_longest

from agent.base.model import BoundingBox, Detection, Label, Track
from agent.detection.kalman import POSITION_NOISE, KalmanAxis
from agent.detection.model_card import Threshold
from agent.detection.nms import KIND, duplicates, overlaps
from agent.detection.optical_flow import FlowShift

_SIZE_GAIN = 0.35
_SURE_OVERLAP, _UNSURE_OVERLAP = 0.2, 0.3
_OTHER_KIND = 0.6
"""What the likeness of a person and a vehicle, say, is worth of that of two vehicles."""
_CONFIRM_HITS, _CONFIRM_SCORE = 3, 0.9
_TENTATIVE_MISSES, _TENTATIVE_S = 3, 0.7
_CONFIRMED_MISSES, _LOST_S = 6, 1.5
_SHOWN_MISSES = 1
_HIDDEN_OVERLAP = 0.4
_HELD_S = 0.8
"""So long after a detection a track counts as seen while the flow of the picture carries it."""
_FORGOTTEN_S = 6.0

_BULK_SCORE = 0.1
"""What a bulk counts for among the detections of a track: next to nothing."""
_BULK_OVERLAP, _BULK_ALONE = 0.5, 0.1
_BULK_HITS, _BULK_TRAVEL = 6, 0.45
"""A bulk alone is confirmed once it was seen so often and has gone so many of its sizes."""


class LiveTrack:
    """A track from within. `id` is 0 until it is confirmed."""

    __slots__ = (
        "begin_ns", "begin_x", "begin_y", "best", "detected_ns", "h", "hidden", "hits", "id", "label", "misses", "score_sum", "searched_ns", "seen_ns",
        "votes", "w", "x", "y",
    )  # fmt: skip

    def __init__(self, detection: Detection, t_ns: int) -> None:
        box = detection.box
        self.id = 0
        self.x = KalmanAxis(box.x + box.w / 2, box.w)
        self.y = KalmanAxis(box.y + box.h / 2, box.h)
        self.begin_x, self.begin_y = self.x.at, self.y.at
        self.w, self.h = box.w, box.h
        self.votes: dict[Label, float] = {detection.label: detection.score}
        self.label: Label = detection.label
        """What most of its detections say, weighed by their scores."""
        self.best = self.score_sum = detection.score
        self.hits, self.misses, self.hidden = 1, 0, False
        self.begin_ns = self.seen_ns = self.searched_ns = self.detected_ns = t_ns

    @property
    def box(self) -> BoundingBox:
        """Where it is now, or is thought to be."""
        return BoundingBox(self.x.at - self.w / 2, self.y.at - self.h / 2, self.w, self.h)

    @property
    def travelled(self) -> float:
        """How far it is from where it began, in its own sizes."""
        return max(abs(self.x.at - self.begin_x) / self.w, abs(self.y.at - self.begin_y) / self.h)

    @property
    def moving(self) -> bool:
        """Whether it moves by more than its own jitter."""
        return abs(self.x.speed) > 0.15 * self.w or abs(self.y.speed) > 0.15 * self.h

    def take(self, detection: Detection, t_ns: int) -> None:
        """Go on with a detection of it."""
        box = detection.box
        self.x.correct(box.x + box.w / 2, POSITION_NOISE * self.w)
        self.y.correct(box.y + box.h / 2, POSITION_NOISE * self.h)
        self.w += _SIZE_GAIN * (box.w - self.w)
        self.h += _SIZE_GAIN * (box.h - self.h)
        votes = self.votes
        votes[detection.label] = votes.get(detection.label, 0.0) + detection.score
        if len(votes) > 1:
            self.label = max(votes, key=lambda label: (votes[label], label))
        self.best = max(self.best, detection.score)
        self.score_sum += detection.score
        self.hits += 1
        self.misses, self.hidden = 0, False
        self.seen_ns = self.searched_ns = self.detected_ns = t_ns


class ObjectTracker:
    """The road users of one camera. Call `predict` and then `update`, once for each frame.

    `numbers` names the tracks; trackers of one camera that follow one another share it, so that no
    name comes again.
    """

    def __init__(
        self, thresholds: Mapping[Label, Threshold], numbers: Iterator[int] | None = None
    ) -> None:
        self._thresholds = thresholds
        self._numbers = count(1) if numbers is None else numbers
        self._t_ns: int | None = None
        self.living: list[LiveTrack] = []

    def predicted_boxes(self, t_ns: int) -> list[FlowShift]:
        """How far each of `living` will have moved by a time, by its speed alone."""
        dt_s = self._past_s(t_ns)
        return [FlowShift(one.x.speed * dt_s, one.y.speed * dt_s) for one in self.living]

    def predict(self, t_ns: int, drifts: Sequence[FlowShift | None] = ()) -> None:
        """Move every track on to the time of a new frame.

        `drifts` are how far the picture says that each of `living` has moved.
        """
        dt_s = self._past_s(t_ns)
        self._t_ns = t_ns
        for one, drift in zip_longest(self.living, drifts):
            x, y = one.x.at, one.y.at
            one.x.predict(dt_s, one.w)
            one.y.predict(dt_s, one.h)
            if drift is not None and dt_s > 0 and not one.hidden:
                one.x.steer(x, drift.dx, dt_s, one.w)
                one.y.steer(y, drift.dy, dt_s, one.h)
                if (t_ns - one.detected_ns) / 1e9 < _HELD_S:
                    one.seen_ns = t_ns

    def _past_s(self, t_ns: int) -> float:
        return 0.0 if self._t_ns is None else max(0.0, (t_ns - self._t_ns) / 1e9)

    def update(
        self,
        detections: Sequence[Detection],
        moves: Sequence[bool],
        searched: Sequence[float],
        bulks: Sequence[BoundingBox] = (),
    ) -> tuple[Track, ...]:
        """Take in what was seen in the frame of the last `predict`; the confirmed tracks.

        `moves` tells for each detection whether something moves there: what a fixed camera sees
        stand still from the first is more often a thing than a road user, and has to be surer.
        `searched` tells for each of `living`, in its order, how well it was looked for (0..1).
        `bulks` are large solid shapes that move: where nothing else is, one that travels is a
        vehicle, though the detector be blind to it (seen from above, most are).
        """
        t_ns = self._t_ns or 0
        was_searched = {id(one): how for one, how in zip(self.living, searched, strict=True)}
        sure: list[Detection] = []
        unsure: list[Detection] = []
        for detection, stirs in zip(detections, moves, strict=True):
            threshold = self._thresholds[detection.label]
            if detection.score >= (threshold.start if stirs else threshold.show):
                sure.append(detection)
            elif detection.score >= threshold.keep:
                unsure.append(detection)
        confirmed = [one for one in self.living if one.id]
        tentative = [one for one in self.living if not one.id]
        left, sure = self._match(confirmed, sure, _SURE_OVERLAP)
        left, unsure = self._match(left, unsure, _UNSURE_OVERLAP)
        young, sure = self._match(tentative, sure, _SURE_OVERLAP)
        young, _ = self._match(young, unsure, _UNSURE_OVERLAP)
        bulky = self._carry((*left, *young), bulks)
        for one in (*left, *young):
            if id(one) not in bulky and was_searched[id(one)] > 0.5:  # noqa: PLR2004 - it would have been recognised
                one.misses += 1
                one.searched_ns = t_ns
        self._mark_occluded([one for one in left if id(one) not in bulky], t_ns)
        known = [(one.label, one.box) for one in confirmed] if sure else []
        for detection in sure:
            if not any(duplicates(*one, detection.label, detection.box) for one in known):
                self.living.append(LiveTrack(detection, t_ns))
        self._raise(bulks)
        self._confirm()
        self._bury(t_ns)
        self._parttwins()
        return tuple(
            self._track(one) for one in self.living if one.id and self._is_shown(one, t_ns)
        )

    def _match(
        self, tracks: list[LiveTrack], detections: list[Detection], least: float
    ) -> tuple[list[LiveTrack], list[Detection]]:
        """Pair greedily, likest first; what is left of both."""
        if not tracks or not detections:
            return tracks, detections
        pairs: list[tuple[float, int, int]] = []
        along = sorted(
            (d.box.x + d.box.w / 2, j, d.box.y + d.box.h / 2, d.box.w, d.box.h, KIND[d.label])
            for j, d in enumerate(detections)
        )
        half_widest = max(d.box.w for d in detections) / 2
        for i, one in enumerate(tracks):
            kind, at, level = KIND[one.label], one.x.at, one.y.at
            # Both boxes are grown by how unsure the place is.
            grow_x = min(one.w, 0.2 * one.w + 2.0 * math.sqrt(one.x.p00))
            grow_y = min(one.h, 0.2 * one.h + 2.0 * math.sqrt(one.y.p00))
            w1, h1 = one.w + grow_x, one.h + grow_y
            reach = (w1 + grow_x) / 2 + half_widest
            for k in range(bisect_left(along, (at - reach,)), len(along)):
                x, j, y, w, h, other_kind = along[k]
                if x > at + reach:
                    break
                w2, h2 = w + grow_x, h + grow_y
                down = (h1 + h2) / 2 - abs(level - y)
                across = (w1 + w2) / 2 - abs(at - x)
                if down <= 0 or across <= 0:
                    continue
                shared = min(across, w1, w2) * min(down, h1, h2)
                like = shared / (w1 * h1 + w2 * h2 - shared)
                if other_kind != kind:
                    like *= _OTHER_KIND
                if like >= least:
                    pairs.append((-like, i, j))
        pairs.sort()
        taken_tracks: set[int] = set()
        taken_detections: set[int] = set()
        for _, i, j in pairs:
            if i in taken_tracks or j in taken_detections:
                continue
            taken_tracks.add(i)
            taken_detections.add(j)
            tracks[i].take(detections[j], self._t_ns or 0)
        return (
            [one for i, one in enumerate(tracks) if i not in taken_tracks],
            [d for j, d in enumerate(detections) if j not in taken_detections],
        )

    def _carry(self, tracks: Sequence[LiveTrack], bulks: Sequence[BoundingBox]) -> set[int]:
        """Let vehicles that were not detected go on with the bulk that they are."""
        carried: set[int] = set()
        for one in tracks:
            if KIND[one.label] != "vehicle":
                continue
            alike = [(overlaps(one.box, bulk)[0], bulk) for bulk in bulks]
            how, bulk = max(alike, key=lambda pair: pair[0], default=(0.0, None))
            if bulk is not None and how > _BULK_OVERLAP:
                one.take(Detection(label="car", score=_BULK_SCORE, box=bulk), self._t_ns or 0)
                carried.add(id(one))
        return carried

    def _raise(self, bulks: Sequence[BoundingBox]) -> None:
        """Begin a track for each bulk that touches no other."""
        for bulk in bulks:
            if not any(overlaps(one.box, bulk)[1] > _BULK_ALONE for one in self.living):
                detection = Detection(label="car", score=_BULK_SCORE, box=bulk)
                self.living.append(LiveTrack(detection, self._t_ns or 0))

    def _mark_occluded(self, missed: Sequence[LiveTrack], t_ns: int) -> None:
        """Who is missed behind somebody that is seen is hidden: the flow there is the other's."""
        if not missed:
            return
        seen = [
            (KIND[one.label], one.box) for one in self.living if one.id and one.detected_ns == t_ns
        ]
        for one in missed:
            kind, box = KIND[one.label], one.box
            one.hidden = any(
                other_kind == kind and overlaps(other, box)[1] > _HIDDEN_OVERLAP
                for other_kind, other in seen
            )

    def _confirm(self) -> None:
        for one in self.living:
            sure = one.hits >= _CONFIRM_HITS and one.score_sum >= _CONFIRM_SCORE
            if one.best <= _BULK_SCORE:
                sure = one.hits >= _BULK_HITS and one.travelled >= _BULK_TRAVEL
            if sure and not one.id:
                one.id = next(self._numbers)

    def _bury(self, t_ns: int) -> None:
        """Forget what was looked for and not found, and what has left the picture."""

        def lives(one: LiveTrack) -> bool:
            if not (0 < one.x.at < 1 and 0 < one.y.at < 1):
                return False
            if one.detected_ns == t_ns:
                return True
            unseen_s = (t_ns - one.detected_ns) / 1e9
            if not one.id:
                return one.misses < _TENTATIVE_MISSES and unseen_s < _TENTATIVE_S
            if unseen_s < _LOST_S:
                return True
            return one.misses < _CONFIRMED_MISSES and unseen_s < _FORGOTTEN_S and not one.moving

        self.living = [one for one in self.living if lives(one)]

    def _parttwins(self) -> None:
        """Of two confirmed tracks of one object the younger one ends."""
        sides = sorted(
            (one.x.at - one.w / 2, one.id, one.x.at + one.w / 2, one)
            for one in self.living
            if one.id
        )
        ended: set[int] = set()
        for n, (_, number, right, one) in enumerate(sides):
            for left, other_number, _, other in sides[n + 1 :]:
                if left >= right:
                    break
                apart = abs(one.y.at - other.y.at) >= (one.h + other.h) / 2
                if (
                    not apart
                    and not ended & {number, other_number}
                    and duplicates(one.label, one.box, other.label, other.box)
                ):
                    ended.add(max(number, other_number))
        if ended:
            self.living = [one for one in self.living if one.id not in ended]

    @staticmethod
    def _is_shown(one: LiveTrack, t_ns: int) -> bool:
        return one.seen_ns == t_ns or one.misses <= _SHOWN_MISSES

    @staticmethod
    def _track(one: LiveTrack) -> Track:
        return Track(
            id=one.id,
            label=one.label,
            score=one.best,
            box=one.box,
            vx=one.x.speed,
            vy=one.y.speed,
            begin_ns=one.begin_ns,
            seen_ns=one.seen_ns,
        )
