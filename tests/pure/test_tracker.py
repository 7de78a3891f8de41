"""agent.detection.tracker: identities from frame to frame."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.base.model import BoundingBox, Detection, Label, Track
from agent.detection.model_card import load_card
from agent.detection.nms import merge_detections
from agent.detection.optical_flow import FlowShift
from agent.detection.tracker import ObjectTracker

THRESHOLDS = load_card("ssdlite_mobilenet_v2").thresholds
STEP_NS = 100_000_000


def _seen(x: float, y: float = 0.5, label: Label = "car", score: float = 0.8) -> Detection:
    return Detection(label=label, score=score, box=BoundingBox(x, y, 0.1, 0.08))


class Video:
    """Feeds a tracker frame after frame, ten a second."""

    def __init__(self) -> None:
        self.tracker = ObjectTracker(THRESHOLDS)
        self.now = 0

    def show(
        self,
        *found: Detection,
        searched: float = 1.0,
        moves: bool = True,
        bulks: tuple[BoundingBox, ...] = (),
    ) -> tuple[Track, ...]:
        self.now += STEP_NS
        self.tracker.predict(self.now)
        return self.tracker.update(
            found, [moves] * len(found), [searched] * len(self.tracker.live_tracks), bulks
        )


def test_a_passing_car_is_one_track_with_its_speed() -> None:
    video = Video()
    seen = [video.show(_seen(0.1 + 0.02 * i)) for i in range(20)]
    assert {t.id for tracks in seen for t in tracks} == {1}
    (last,) = seen[-1]
    assert last.label == "car"
    assert last.begin_ns == STEP_NS
    assert last.seen_ns == video.now
    assert last.vx == pytest.approx(0.2, rel=0.1)
    assert last.vy == pytest.approx(0, abs=0.01)


def test_a_single_detection_is_not_a_track() -> None:
    video = Video()
    assert video.show(_seen(0.1)) == ()
    assert all(video.show() == () for _ in range(20))
    assert video.tracker.live_tracks == []


def test_a_track_survives_missed_detections_and_keeps_its_id() -> None:
    video = Video()
    for i in range(8):
        video.show(_seen(0.1 + 0.02 * i))
    for _ in range(5):
        video.show()
    (track,) = video.show(_seen(0.1 + 0.02 * 13))
    assert track.id == 1
    assert track.seen_ns == video.now


def test_low_score_detections_extend_a_track_but_start_none() -> None:
    video = Video()
    assert all(video.show(_seen(0.1 + 0.02 * i, score=0.25)) == () for i in range(10))
    for i in range(5):
        video.show(_seen(0.1 + 0.02 * i))
    tracks = [video.show(_seen(0.1 + 0.02 * i, score=0.25)) for i in range(5, 12)]
    assert {t.id for shown in tracks for t in shown} == {1}


def test_a_static_object_needs_a_higher_score_to_become_a_track() -> None:
    video = Video()
    assert all(video.show(_seen(0.4, score=0.5), moves=False) == () for _ in range(10))
    tracks = [video.show(_seen(0.4, score=0.7), moves=False) for _ in range(5)]
    assert len(tracks[-1]) == 1


def test_a_track_outside_the_crops_is_not_counted_as_missed() -> None:
    video = Video()
    for _ in range(5):
        video.show(_seen(0.4))
    for _ in range(20):
        (track,) = video.show(searched=0.0)
    assert track.id == 1
    assert track.seen_ns < video.now


def test_two_cars_that_pass_each_other_keep_their_ids() -> None:
    video = Video()
    for i in range(30):
        tracks = video.show(_seen(0.1 + 0.02 * i, 0.40), _seen(0.7 - 0.02 * i, 0.50))
    assert [(t.id, t.vx > 0) for t in sorted(tracks, key=lambda t: t.id)] == [(1, True), (2, False)]


def test_track_ids_are_never_reused() -> None:
    video = Video()
    ids = set()
    for car in range(5):
        for i in range(6):
            ids |= {(t.id, car) for t in video.show(_seen(0.1 + 0.02 * i))}
        for _ in range(30):
            video.show()
    assert sorted(ids) == [(car + 1, car) for car in range(5)]


def test_a_track_that_leaves_the_picture_ends() -> None:
    video = Video()
    for i in range(20):
        video.show(_seen(0.5 + 0.025 * i))
    for _ in range(3):
        video.show(searched=0.0)
    assert video.tracker.live_tracks == []


def test_the_label_is_the_majority_of_the_detections() -> None:
    video = Video()
    labels: list[Label] = ["truck", "car", "car", "car", "truck", "car"]
    for i, label in enumerate(labels):
        tracks = video.show(_seen(0.1 + 0.02 * i, label=label))
    assert [t.label for t in tracks] == ["car"]


def test_a_lorry_with_its_front_detected_as_a_car_is_one_track() -> None:
    video = Video()
    for i in range(15):
        x = 0.1 + 0.02 * i
        lorry = Detection(label="truck", score=0.6, box=BoundingBox(x, 0.4, 0.2, 0.2))
        front = Detection(label="car", score=0.7, box=BoundingBox(x + 0.1, 0.45, 0.09, 0.14))
        tracks = video.show(*merge_detections([lorry, front]))
    assert len(tracks) == 1


def test_optical_flow_updates_a_track_between_detections_and_counts_as_seen() -> None:
    video = Video()
    for i in range(6):
        video.show(_seen(0.1 + 0.02 * i))
    video.now += STEP_NS
    video.tracker.predict(video.now, [FlowShift(0.05, 0.01)])
    (track,) = video.tracker.update((), (), [0.0])
    assert track.box.x == pytest.approx(0.25, abs=0.01)
    assert track.box.y == pytest.approx(0.51, abs=0.005)
    assert track.seen_ns == video.now


def test_optical_flow_alone_does_not_keep_a_track_for_long() -> None:
    video = Video()
    for _ in range(6):
        video.show(_seen(0.1))
    for _ in range(15):
        video.now += STEP_NS
        video.tracker.predict(video.now, [FlowShift(0.01, 0.0)] * len(video.tracker.live_tracks))
        tracks = video.tracker.update((), (), [1.0] * len(video.tracker.live_tracks))
    assert all(t.seen_ns < video.now for t in tracks)


def test_a_hidden_track_is_carried_by_optical_flow_for_half_as_long() -> None:
    def last_seen(searched: float) -> int:
        video = Video()
        for _ in range(6):
            video.show(_seen(0.1))
        begin = video.now
        for _ in range(12):
            video.now += STEP_NS
            tracker = video.tracker
            tracker.predict(video.now, [FlowShift(0.01, 0.0)] * len(tracker.live_tracks))
            tracks = tracker.update((), (), [searched] * len(tracker.live_tracks))
        return (tracker.live_tracks[0].seen_ns if tracks or tracker.live_tracks else 0) - begin

    assert last_seen(0.0) == 7 * STEP_NS
    assert last_seen(1.0) == 3 * STEP_NS


def test_a_standing_track_does_not_jump_to_a_road_user_that_passes() -> None:
    video = Video()
    for _ in range(15):
        video.show(_seen(0.4))
    # A car in the next lane hides the parked one, and is first seen there.
    for i in range(8):
        tracks = video.show(_seen(0.44 + 0.03 * i, 0.53))
        assert all(t.box.x == pytest.approx(0.4, abs=0.005) for t in tracks if t.id == 1)
    assert {t.id for t in tracks if t.vx > 0.1} == {2}
    tracks = video.show(_seen(0.4), _seen(0.68, 0.53))
    assert {t.id for t in tracks if t.seen_ns == video.now} == {1, 2}


def test_a_standing_track_that_drives_off_keeps_its_id() -> None:
    video = Video()
    for _ in range(15):
        video.show(_seen(0.3))
    x = 0.3
    for i in range(15):
        x += 0.003 * i
        tracks = video.show(_seen(x))
    assert [t.id for t in tracks] == [1]


def test_two_people_who_pass_each_other_are_two_tracks() -> None:
    def person(x: float) -> Detection:
        return Detection(label="person", score=0.8, box=BoundingBox(x, 0.4, 0.04, 0.2))

    video = Video()
    for i in range(30):
        left, right = person(0.2 + 0.01 * i), person(0.5 - 0.01 * i)
        tracks = video.show(*merge_detections([left, right]))
    assert [(t.id, t.vx > 0) for t in sorted(tracks, key=lambda t: t.id)] == [(1, True), (2, False)]


def test_two_tracks_with_one_motion_on_one_place_are_one() -> None:
    video = Video()
    for i in range(6):
        video.show(_seen(0.1 + 0.02 * i), _seen(0.1 + 0.02 * i, 0.55))
    for i in range(6, 12):
        tracks = video.show(_seen(0.1 + 0.02 * i, 0.51))
    assert len(tracks) == 1


def test_a_box_over_two_people_does_not_move_the_track_to_the_middle() -> None:
    def person(x: float, w: float = 0.04) -> Detection:
        return Detection(label="person", score=0.8, box=BoundingBox(x, 0.4, w, 0.2))

    video = Video()
    for _ in range(10):
        video.show(person(0.3))
    for _ in range(3):
        (track,) = video.show(person(0.3, 0.08))
    assert track.box.w < 0.06
    assert track.box.x == pytest.approx(0.3, abs=0.01)


def test_low_scores_alone_hold_a_person_for_half_a_second_and_a_vehicle_for_longer() -> None:
    def last_seen(label: Label) -> int:
        video = Video()
        for _ in range(6):
            video.show(_seen(0.3, label=label))
        begin, last = video.now, 0
        for _ in range(10):
            tracks = video.show(_seen(0.3, label=label, score=0.25))
            last = max([last, *(t.seen_ns - begin for t in tracks)])
        return last

    assert last_seen("person") == 4 * STEP_NS
    assert last_seen("car") == 10 * STEP_NS


def test_a_vehicle_may_grow_at_once() -> None:
    video = Video()
    for _ in range(10):
        video.show(_seen(0.3))
    lorry = Detection(label="car", score=0.8, box=BoundingBox(0.3, 0.5, 0.2, 0.08))
    for _ in range(4):
        (track,) = video.show(lorry)
    assert track.box.w > 0.17


def test_a_large_moving_shape_is_a_car_and_a_static_one_is_not() -> None:
    video = Video()
    for i in range(12):
        tracks = video.show(bulks=(BoundingBox(0.3, 0.05 + 0.03 * i, 0.3, 0.4),))
    assert [t.label for t in tracks] == ["car"]
    still = Video()
    assert all(still.show(bulks=(BoundingBox(0.3, 0.3, 0.3, 0.4),)) == () for _ in range(30))


def test_a_large_shape_around_a_person_is_not_a_car() -> None:
    video = Video()
    for i in range(20):
        x = 0.1 + 0.03 * i
        person = Detection(label="person", score=0.9, box=BoundingBox(x, 0.2, 0.15, 0.6))
        tracks = video.show(person, bulks=(BoundingBox(x - 0.02, 0.15, 0.2, 0.7),))
    assert [t.label for t in tracks] == ["person"]


@pytest.mark.parametrize(
    ("found", "left"),
    [
        # One vehicle under two labels is the surer one.
        ([("car", 0.6, (0.1, 0.1, 0.2, 0.2)), ("truck", 0.5, (0.1, 0.1, 0.2, 0.21))], ["car"]),
        # A rider is part of the bicycle.
        ([("bicycle", 0.6, (0.1, 0.3, 0.1, 0.1)), ("person", 0.8, (0.12, 0.2, 0.06, 0.18))], ["bicycle"]),
        # A person next to it is not.
        ([("bicycle", 0.6, (0.1, 0.3, 0.1, 0.1)), ("person", 0.8, (0.3, 0.2, 0.06, 0.18))], ["person", "bicycle"]),
        # A doubtful bicycle takes no person away.
        ([("bicycle", 0.2, (0.1, 0.3, 0.1, 0.1)), ("person", 0.8, (0.12, 0.2, 0.06, 0.18))], ["person", "bicycle"]),
        # A person before a car is not the car.
        ([("car", 0.6, (0.1, 0.1, 0.3, 0.3)), ("person", 0.5, (0.2, 0.1, 0.06, 0.28))], ["car", "person"]),
    ],
)  # fmt: skip
def test_one_object_is_one_detection(
    found: list[tuple[Label, float, tuple[float, float, float, float]]], left: list[Label]
) -> None:
    merged = merge_detections(
        [Detection(label=n, score=s, box=BoundingBox(*b)) for n, s, b in found]
    )
    assert [d.label for d in merged] == left


labels = st.sampled_from(list(THRESHOLDS))
detections = st.builds(
    Detection,
    label=labels,
    score=st.floats(0, 1),
    box=st.builds(
        BoundingBox,
        st.floats(0, 0.9),
        st.floats(0, 0.9),
        st.floats(0.001, 0.6),
        st.floats(0.001, 0.6),
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(detections, max_size=8), max_size=15))
def test_ids_are_unique_and_increasing_and_runs_are_reproducible(
    frames: list[list[Detection]],
) -> None:
    def run() -> list[tuple[Track, ...]]:
        video = Video()
        return [video.show(*merge_detections(found)) for found in frames]

    first = run()
    assert first == run()
    highest = 0
    for tracks in first:
        ids = [t.id for t in tracks]
        assert len(ids) == len(set(ids))
        new = [i for i in ids if i > highest]
        highest = max([highest, *new])
        assert all(t.begin_ns <= t.seen_ns for t in tracks)
        assert all(t.label in THRESHOLDS for t in tracks)
