"""agent.detection.active_scene: rules at a preset, and masks during moves and at any shift within the margin."""

import math
import threading

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.model import Event, FrameResult, ShiftTolerance, TrafficCounts
from agent.base.view_condition import ViewCondition
from agent.detection.active_scene import ActiveScene, FixedScene, SceneInForce, expand_polygons
from agent.detection.contrast_stretch import ContrastStretch
from agent.detection.detect_stage import (
    MAX_PICTURE_GAP_S,
    DetectionSinks,
    DetectStage,
    EventLimit,
    SceneDetectStage,
)
from agent.detection.geometry import is_self_intersecting
from agent.detection.pipeline import DetectionPipeline
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import PrivacyMask, Scene, SceneLine
from agent.detection.view_monitor import ViewMonitor
from agent.runtime.queues import LatestFrame
from drivers.masking import MASK_LUMA, MIN_AREA, WHOLE_PICTURE, MaskPainter
from drivers.media import Frame, Plane, Point, Polygon
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
    assert viewpoint.masks(0) == masks


def test_before_its_first_position_a_head_counts_as_moving() -> None:
    viewpoint = ActiveScene({"gate": GATE}, lambda: 0)
    assert viewpoint.current().scene is None
    assert viewpoint.masks(0) is WHOLE_PICTURE


def test_without_masks_in_any_scene_nothing_is_hidden_during_moves() -> None:
    viewpoint = ActiveScene({"road": ROAD}, lambda: 0)
    assert viewpoint.masks(0) == ()
    viewpoint.update_position("sky", settled=True, tolerance=NONE)
    assert (viewpoint.current().scene, viewpoint.masks(0)) == (Scene(), ())
    assert not viewpoint.has_masks


def test_masks_grow_by_the_possible_shift_of_the_picture() -> None:
    viewpoint = ActiveScene({"gate": GATE, "road": ROAD}, lambda: 0)
    viewpoint.update_position("gate", settled=True, tolerance=ShiftTolerance(x=0.02, y=0.04))
    (mask,) = masks = viewpoint.masks(0)
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
    assert viewpoint.masks(0) is masks
    viewpoint.update_position("road", settled=True, tolerance=ShiftTolerance(x=0.02, y=0.04))
    assert viewpoint.masks(0) == ()


def test_a_head_only_near_a_preset_uncovers_nothing() -> None:
    viewpoint = ActiveScene({"gate": GATE, "road": ROAD}, lambda: 0)
    for preset in ("gate", "road"):
        viewpoint.update_position(preset, settled=True, tolerance=None)
        assert viewpoint.masks(0) is WHOLE_PICTURE
    # Where there is nothing to hide, near is enough.
    unmasked = ActiveScene({"road": ROAD}, lambda: 0)
    unmasked.update_position("road", settled=True, tolerance=None)
    assert (unmasked.current().scene, unmasked.masks(0)) == (ROAD, ())


def test_a_stay_at_a_preset_gets_a_new_number_only_if_it_changes() -> None:
    viewpoint = ActiveScene({"road": ROAD, "gate": GATE}, lambda: 0)
    numbers = []
    for preset, settled in (("road", True), ("road", True), (None, False), ("road", True)):
        viewpoint.update_position(preset, settled, NONE)
        numbers.append(viewpoint.current().generation)
    assert numbers == [1, 1, 2, 3]


class Watched:
    """A detect stage at a head, without a detector, and its events."""

    def __init__(self, scene: Scene = ROAD) -> None:
        self.frames = LatestFrame()
        self.now_s = 0
        self.viewpoint = ActiveScene({"road": scene}, lambda: self.now_s * NS_PER_S)
        self.painter = MaskPainter((), "north", self.viewpoint.masks)
        self.view_monitor, self.stretch = ViewMonitor(), ContrastStretch()
        self.events: list[Event] = []
        self.counts: list[TrafficCounts] = []
        self.views: list[ViewCondition | None] = []
        self.watches: list[Scene | None] = []
        self.results: list[int] = []
        self.stage = SceneDetectStage(
            "north", self.frames, self.viewpoint, self._watch, lambda: self.now_s * NS_PER_S
        )

    def _watch(self, current: SceneInForce) -> DetectStage:
        scene = current.scene
        self.watches.append(scene)
        self.view_monitor.begin_view(is_at_rest=scene is not None)
        return DetectStage(
            "north",
            self.frames,
            DetectionPipeline(None, view_monitor=self.view_monitor, contrast_stretch=self.stretch),
            None if scene is None else RuleEngine("north", scene, id_maker()),
            EventLimit("north"),
            DetectionSinks(
                on_event=lambda event, _jpeg: self.events.append(event),
                on_traffic_counts=self.counts.append,
                on_result=self._on_result,
            ),
            snapshots=False,
        )

    def _on_result(self, frame: Frame, result: FrameResult) -> None:
        self.results.append(frame.seq)
        self.views.append(result.view)

    def phases_by_kind(self) -> dict[str, list[str]]:
        """Return the phases of the events of each kind, in order."""
        found: dict[str, list[str]] = {}
        for event in self.events:
            found.setdefault(event.kind, []).append(event.phase)
        return found

    def see(self, from_s: int, to_s: int, *, luma: int | Plane) -> None:
        chroma = np.full((60, 80), 128, np.uint8)
        for second in range(from_s, to_s):
            noise = np.random.default_rng(second).integers(0, 4, (120, 160))
            self.now_s = second
            y = (luma + noise).astype(np.uint8)
            y, u, v = self.painter.paint_planes((y, chroma, chroma), second * NS_PER_S)
            self.frames.put(Frame(seq=second, t_ns=second * NS_PER_S, y=y, u=u, v=v))
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
    assert watched.phases_by_kind() == {"view_dark": ["begin"], "counts_untrusted": ["begin"]}
    watched.viewpoint.update_position(None, settled=False, tolerance=NONE)
    watched.see(40, 42, luma=5)
    assert set(map(tuple, watched.phases_by_kind().values())) == {("begin", "end")}


def test_open_events_end_while_a_camera_gives_no_pictures() -> None:
    watched = Watched()
    watched.viewpoint.update_position("road", settled=True, tolerance=NONE)
    watched.see(0, 40, luma=5)
    for now_s in (39 + MAX_PICTURE_GAP_S, 40 + MAX_PICTURE_GAP_S, 3600):
        watched.now_s = now_s
        watched.stage.run_once(threading.Event())
        is_over = now_s > 39 + MAX_PICTURE_GAP_S
        phases = ["begin", "end"] if is_over else ["begin"]
        assert watched.phases_by_kind() == {"view_dark": phases, "counts_untrusted": phases}
    assert {event.t_ns for event in watched.events if event.phase == "end"} == {39 * NS_PER_S}
    # Once, and not each second.
    assert watched.watches == [None, ROAD, ROAD]
    watched.see(3600, 3602, luma=5)
    assert watched.phases_by_kind()["view_dark"] == ["begin", "end", "begin"]


def test_a_picture_after_a_gap_begins_again_whatever_held_up_those_before() -> None:
    watched = Watched()
    watched.viewpoint.update_position("road", settled=True, tolerance=NONE)
    watched.see(0, 3, luma=90)
    watched.see(3 + MAX_PICTURE_GAP_S - 1, 3 + MAX_PICTURE_GAP_S, luma=90)
    assert watched.watches == [None, ROAD]
    watched.see(3 + 2 * MAX_PICTURE_GAP_S, 4 + 2 * MAX_PICTURE_GAP_S, luma=90)
    assert watched.watches == [None, ROAD, ROAD]


def test_a_picture_that_masks_hide_as_a_whole_shows_nothing_of_the_view() -> None:
    street = np.random.default_rng(0).integers(60, 200, (12, 16)).repeat(10, 0).repeat(10, 1)
    watched = Watched(msgspec.structs.replace(ROAD, mask=GATE.mask))
    watched.viewpoint.update_position("road", settled=True, tolerance=NONE)
    watched.see(0, 20, luma=street)
    luma_range = watched.stretch.luma
    # An operator looks around, and the head rests where no scene was drawn.
    for from_s, to_s, settled in ((20, 25, False), (25, 55, True), (55, 60, False)):
        watched.now_s = from_s
        watched.viewpoint.update_position(None, settled=settled, tolerance=NONE)
        watched.see(from_s, to_s, luma=street)
    assert set(watched.views[20:]) == {None}
    # Each is delivered all the same, as for a snapshot.
    assert watched.results == list(range(60))
    assert watched.stretch.luma == luma_range
    watched.now_s = 60
    watched.viewpoint.update_position("road", settled=True, tolerance=NONE)
    watched.see(60, 130, luma=street)
    assert watched.events == []
    assert all(minute.trusted for minute in watched.counts)


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
    assert viewpoint.masks(0) == larger.masks
    assert (viewpoint.current().scene, viewpoint.current().generation) == (larger, 2)
    viewpoint.replace_scenes({"road": ROAD})
    assert viewpoint.masks(0) == ()
    assert viewpoint.current().scene == Scene()


def test_a_picture_from_before_the_rest_is_masked_as_during_the_move_however_late_it_comes() -> (
    None
):
    now_ns = [0]
    viewpoint = ActiveScene({"gate": GATE}, lambda: now_ns[0])
    viewpoint.update_position(None, settled=False, tolerance=NONE)
    now_ns[0] = 6
    viewpoint.update_position("gate", settled=True, tolerance=NONE)
    now_ns[0] = 9
    viewpoint.update_position("gate", settled=True, tolerance=NONE)
    assert [viewpoint.masks(t_ns) for t_ns in (2, 5)] == [WHOLE_PICTURE, WHOLE_PICTURE]
    assert [viewpoint.masks(t_ns) for t_ns in (6, 8, 9)] == [GATE.masks] * 3
    larger = Scene(mask=(PrivacyMask(polygon=WHOLE_PICTURE[0][:3]),))
    viewpoint.replace_scenes({"gate": larger})
    assert [viewpoint.masks(t_ns) for t_ns in (5, 6)] == [WHOLE_PICTURE, larger.masks]


def test_a_first_mask_hides_everything_until_the_head_has_reported_its_tolerance() -> None:
    viewpoint = ActiveScene({"road": ROAD}, lambda: 0)
    viewpoint.update_position("road", settled=True, tolerance=None)
    viewpoint.replace_scenes({"road": GATE})
    assert (viewpoint.masks(0), viewpoint.current().scene) == (WHOLE_PICTURE, None)
    viewpoint.update_position("road", settled=True, tolerance=NONE)
    assert (viewpoint.masks(0), viewpoint.current().scene) == (GATE.masks, GATE)


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
            DetectionSinks(
                on_event=lambda _event, _jpeg: None, on_traffic_counts=lambda _flow: None
            ),
        )

    stage = SceneDetectStage("north", frames, fixed, make, lambda: 0)
    for replaced in (None, GATE, None):
        if replaced is not None:
            fixed.replace_scene(replaced)
            assert fixed.masks(0) == GATE.masks
        frames.put(make_frame(1, luma=90))
        stage.run_once(threading.Event())
    assert made == [Scene(), GATE]
    assert closed == [GATE]


LEEWAY = ShiftTolerance(x=0.02, y=0.035)
SIZE_PX = (320, 180)
SQUARE = ((0.4, 0.4), (0.6, 0.4), (0.6, 0.6), (0.4, 0.6))
HOOK = ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.6, 0.8), (0.6, 0.4), (0.2, 0.4))
EDGE = ((0.0, 0.5), (0.1, 0.4), (0.1, 1.0), (0.0, 1.0))


def polygon(corners: tuple[tuple[float, float], ...]) -> Polygon:
    return tuple(Point(x, y) for x, y in corners)


def hidden(masks: tuple[Polygon, ...]) -> Plane:
    """Which pixels a real painter hides."""
    width, height = SIZE_PX
    planes = tuple(
        np.full(shape, 200, np.uint8)
        for shape in ((height, width), *[(height // 2, width // 2)] * 2)
    )
    y, _, _ = MaskPainter(masks, "a test").paint_planes(planes)  # type: ignore[arg-type]
    return y == MASK_LUMA


def uncovered(mask: Polygon, across: float, down: float) -> int:
    """How many pixels of what was masked show, when the picture has shifted."""
    drawn, painted = hidden((mask,)), hidden(expand_polygons([mask], LEEWAY))
    height, width = drawn.shape
    x, y = round(across * width), round(down * height)
    shifted = np.zeros_like(drawn)
    shifted[max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)] = drawn[
        max(0, -y) : height + min(0, -y), max(0, -x) : width + min(0, -x)
    ]
    return int((shifted & ~painted).sum())


@pytest.mark.parametrize("corners", [SQUARE, HOOK, EDGE, SQUARE[::-1], HOOK[::-1]])
@pytest.mark.parametrize(("across", "down"), [(0, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1)])
def test_a_shift_within_the_leeway_uncovers_nothing(
    corners: tuple[tuple[float, float], ...], across: float, down: float
) -> None:
    assert uncovered(polygon(corners), across * LEEWAY.x, down * LEEWAY.y) == 0


def test_a_grown_mask_hides_no_more_than_its_margin() -> None:
    painted = hidden(expand_polygons([polygon(HOOK)], LEEWAY))
    height, width = painted.shape
    # The notch of the hook stays open.
    assert not painted[int(0.6 * height), int(0.4 * width)]
    rows, columns = np.nonzero(painted)
    assert columns.min() / width == pytest.approx(0.2 - LEEWAY.x, abs=0.015)
    assert rows.max() / height == pytest.approx(0.8 + LEEWAY.y, abs=0.02)


@given(
    st.lists(st.tuples(st.floats(0.05, 1.0), st.floats(0.0, 1.0)), min_size=3, max_size=12),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
)
def test_a_grown_mask_can_always_be_painted(
    spokes: list[tuple[float, float]], x: float, y: float
) -> None:
    # A star around a place of the picture, cut off at its edges: concave more often than not.
    turn = 2 * math.pi / len(spokes)
    corners = [
        Point(
            min(1.0, max(0.0, x + far * math.cos((index + 0.8 * beside) * turn))),
            min(1.0, max(0.0, y + far * math.sin((index + 0.8 * beside) * turn))),
        )
        for index, (far, beside) in enumerate(spokes)
    ]
    mask = tuple(Point(corner.x, corner.y) for corner in corners)
    pairs = list(zip(mask, (*mask[1:], mask[0]), strict=True))
    area = abs(math.fsum(a.x * b.y - b.x * a.y for a, b in pairs)) / 2
    if is_self_intersecting(corners) or area < MIN_AREA:
        return
    for leeway in (LEEWAY, ShiftTolerance(x=0.001, y=0.001), ShiftTolerance(x=1.0, y=1.0)):
        MaskPainter(expand_polygons([mask], leeway), "a test")
    assert hidden(expand_polygons([mask], ShiftTolerance(x=1.0, y=1.0))).all()


def test_without_a_leeway_masks_are_as_they_were_drawn() -> None:
    mask = polygon(HOOK)
    assert expand_polygons([mask], ShiftTolerance(x=0.0, y=0.0)) == (mask,)
