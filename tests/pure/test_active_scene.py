"""agent.detection.active_scene: rules at a preset, and masks during moves."""

import threading

import numpy as np
import pytest

from agent.base.model import Event, ShiftTolerance
from agent.detection.active_scene import ActiveScene, FixedScene, SceneInForce
from agent.detection.detect_stage import DetectStage
from agent.detection.event_limit import EventLimit
from agent.detection.pipeline import DetectionPipeline
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import PrivacyMask, Scene, SceneLine
from agent.detection.scene_detect_stage import SceneDetectStage
from agent.runtime.queues import LatestFrame
from drivers.masking import WHOLE_PICTURE
from drivers.media import Frame, Point
from tests.pure.rules.scripted_tracks import NS_PER_S, id_maker

CORNER = (Point(0, 0), Point(0.2, 0), Point(0.2, 0.2))
NONE = ShiftTolerance(x=0.0, y=0.0)
GATE = Scene(mask=(PrivacyMask(polygon=CORNER),))
ROAD = Scene(line=(SceneLine(name="stop line", start=Point(0, 0.5), to=Point(1, 0.5)),))


@pytest.mark.parametrize(
    ("preset", "settled", "scene", "masks"),
    [
        (None, False, None, WHOLE_PICTURE),
        ("gate", False, None, WHOLE_PICTURE),
        ("gate", True, GATE, GATE.masks),
        ("road", True, ROAD, ()),
        ("sky", True, None, WHOLE_PICTURE),
        (None, True, None, WHOLE_PICTURE),
    ],
)
def test_the_scene_and_masks_follow_the_heads_position(
    preset: str | None, settled: bool, scene: Scene | None, masks: object
) -> None:
    viewpoint = ActiveScene({"gate": GATE, "road": ROAD}, lambda: 0)
    viewpoint.update_position("road", settled=True, tolerance=NONE)
    viewpoint.update_position(preset, settled, NONE)
    assert viewpoint.current().scene == scene
    assert viewpoint.masks() == masks


def test_before_its_first_position_a_head_counts_as_moving() -> None:
    viewpoint = ActiveScene({"gate": GATE}, lambda: 0)
    assert viewpoint.current().scene is None
    assert viewpoint.masks() is WHOLE_PICTURE


def test_without_masks_in_any_scene_nothing_is_hidden_during_moves() -> None:
    viewpoint = ActiveScene({"road": ROAD}, lambda: 0)
    assert viewpoint.masks() == ()
    viewpoint.update_position("sky", settled=True, tolerance=NONE)
    assert (viewpoint.current().scene, viewpoint.masks()) == (Scene(), ())
    assert not viewpoint.has_masks


def test_masks_grow_by_the_possible_shift_of_the_picture() -> None:
    viewpoint = ActiveScene({"gate": GATE, "road": ROAD}, lambda: 0)
    viewpoint.update_position("gate", settled=True, tolerance=ShiftTolerance(x=0.02, y=0.04))
    (mask,) = masks = viewpoint.masks()
    assert {(round(corner.x, 6), round(corner.y, 6)) for corner in mask} == {
        (0.0, 0.0),
        (0.0, 0.06),
        (0.18, 0.24),
        (0.22, 0.24),
        (0.22, 0.0),
    }
    viewpoint.update_position(None, settled=False, tolerance=NONE)
    viewpoint.update_position("gate", settled=True, tolerance=ShiftTolerance(x=0.02, y=0.04))
    # The same object: mask painters draw again if the object is another.
    assert viewpoint.masks() is masks
    viewpoint.update_position("road", settled=True, tolerance=ShiftTolerance(x=0.02, y=0.04))
    assert viewpoint.masks() == ()


def test_a_head_only_near_a_preset_uncovers_nothing() -> None:
    viewpoint = ActiveScene({"gate": GATE, "road": ROAD}, lambda: 0)
    for preset in ("gate", "road"):
        viewpoint.update_position(preset, settled=True, tolerance=None)
        assert viewpoint.masks() is WHOLE_PICTURE
    # Where there is nothing to hide, near is enough.
    unmasked = ActiveScene({"road": ROAD}, lambda: 0)
    unmasked.update_position("road", settled=True, tolerance=None)
    assert (unmasked.current().scene, unmasked.masks()) == (ROAD, ())


def test_a_stay_at_a_preset_gets_a_new_number_only_if_it_changes() -> None:
    viewpoint = ActiveScene({"road": ROAD, "gate": GATE}, lambda: 0)
    numbers = []
    for preset, settled in (("road", True), ("road", True), (None, False), ("road", True)):
        viewpoint.update_position(preset, settled, NONE)
        numbers.append(viewpoint.current().generation)
    assert numbers == [1, 1, 2, 3]


class Watched:
    """A detect stage at a head, without a detector, and its events."""

    def __init__(self) -> None:
        self.frames = LatestFrame()
        self.now_s = 0
        self.viewpoint = ActiveScene({"road": ROAD}, lambda: self.now_s * NS_PER_S)
        self.events: list[Event] = []
        self.watches: list[Scene | None] = []
        self.results: list[int] = []
        self.stage = SceneDetectStage("north", self.frames, self.viewpoint, self._watch)

    def _watch(self, current: SceneInForce) -> DetectStage:
        scene = current.scene
        self.watches.append(scene)
        return DetectStage(
            "north",
            self.frames,
            DetectionPipeline(None),
            None if scene is None else RuleEngine("north", scene, id_maker()),
            EventLimit("north"),
            on_event=lambda event, _jpeg: self.events.append(event),
            on_traffic_counts=lambda _flow: None,
            on_result=lambda frame, _result: self.results.append(frame.seq),
            snapshots=False,
        )

    def see(self, from_s: int, to_s: int, *, luma: int) -> None:
        chroma = np.full((60, 80), 128, np.uint8)
        for second in range(from_s, to_s):
            noise = np.random.default_rng(second).integers(0, 4, (120, 160))
            y = (luma + noise).astype(np.uint8)
            self.frames.put(Frame(seq=second, t_ns=second * NS_PER_S, y=y, u=chroma, v=chroma))
            self.stage.run_once(threading.Event())


def test_rules_are_suspended_during_moves_and_active_at_rest() -> None:
    watched = Watched()
    watched.see(0, 40, luma=5)
    assert watched.events == []
    watched.viewpoint.update_position("road", settled=True, tolerance=NONE)
    watched.see(40, 80, luma=5)
    assert {event.kind for event in watched.events} & {"view_dark", "view_blocked"}
    assert watched.watches == [None, ROAD]


def test_leaving_a_preset_ends_open_events() -> None:
    watched = Watched()
    watched.viewpoint.update_position("road", settled=True, tolerance=NONE)
    watched.see(0, 40, luma=5)
    assert [event.phase for event in watched.events] == ["begin"]
    watched.viewpoint.update_position(None, settled=False, tolerance=NONE)
    watched.see(40, 42, luma=5)
    assert [event.phase for event in watched.events] == ["begin", "end"]


def make_frame(second: int, luma: int) -> Frame:
    chroma = np.full((60, 80), 128, np.uint8)
    y = np.full((120, 160), luma, np.uint8)
    return Frame(seq=second, t_ns=second * NS_PER_S, y=y, u=chroma, v=chroma)


@pytest.mark.parametrize("is_queued", [True, False])
def test_a_picture_taken_before_the_rest_is_not_evaluated(is_queued: bool) -> None:
    watched = Watched()
    watched.see(0, 2, luma=90)
    if is_queued:
        watched.frames.put(make_frame(2, luma=0))
    watched.now_s = 3
    watched.viewpoint.update_position("road", settled=True, tolerance=NONE)
    if not is_queued:  # the camera needed a moment to deliver it
        watched.frames.put(make_frame(2, luma=0))
    watched.stage.run_once(threading.Event())
    assert watched.frames.take(0) is None
    assert watched.results == [0, 1]
    watched.see(3, 6, luma=90)
    watched.stage.close()
    assert watched.events == []
    assert watched.results == [0, 1, 3, 4, 5]


def test_other_scenes_count_at_once_for_the_last_position() -> None:
    viewpoint = ActiveScene({"gate": GATE}, lambda: 0)
    viewpoint.update_position("gate", settled=True, tolerance=NONE)
    larger = Scene(mask=(PrivacyMask(polygon=WHOLE_PICTURE[0]),))
    viewpoint.replace_scenes({"gate": larger})
    assert viewpoint.masks() == larger.masks
    assert (viewpoint.current().scene, viewpoint.current().generation) == (larger, 2)
    viewpoint.replace_scenes({"road": ROAD})
    assert viewpoint.masks() == ()
    assert viewpoint.current().scene == Scene()


def test_a_first_mask_hides_everything_until_the_head_has_reported_its_tolerance() -> None:
    viewpoint = ActiveScene({"road": ROAD}, lambda: 0)
    viewpoint.update_position("road", settled=True, tolerance=None)
    viewpoint.replace_scenes({"road": GATE})
    assert (viewpoint.masks(), viewpoint.current().scene) == (WHOLE_PICTURE, None)
    viewpoint.update_position("road", settled=True, tolerance=NONE)
    assert (viewpoint.masks(), viewpoint.current().scene) == (GATE.masks, GATE)


def test_a_scene_of_a_fixed_camera_is_replaced_between_two_frames() -> None:
    fixed = FixedScene(Scene())
    made: list[Scene | None] = []
    closed: list[Scene] = []
    frames = LatestFrame()

    class Recorded(DetectStage):
        def close(self) -> None:
            closed.append(fixed.current().scene or Scene())

    def make(current: SceneInForce) -> DetectStage:
        made.append(current.scene)
        return Recorded(
            "north",
            frames,
            DetectionPipeline(None),
            None,
            EventLimit("north"),
            on_event=lambda _event, _jpeg: None,
            on_traffic_counts=lambda _flow: None,
        )

    stage = SceneDetectStage("north", frames, fixed, make)
    for replaced in (None, GATE, None):
        if replaced is not None:
            fixed.replace_scene(replaced)
            assert fixed.masks() == GATE.masks
        frames.put(make_frame(1, luma=90))
        stage.run_once(threading.Event())
    assert made == [Scene(), GATE]
    assert closed == [GATE]
