"""agent.detection.rules.view_support: what each rule needs of the view, and whether the view gives it."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from agent.base.model import Event, Label
from agent.base.view_condition import ViewCondition, ViewLimit
from agent.detection.rule_engine import RuleEngine
from agent.detection.rules.registry import EVENT_TYPES, NEEDS
from agent.detection.rules.view_needs import MIN_VIEW_ANGLE_DEG
from agent.detection.scene import Scene, SceneLine, Zone
from agent.faults.diagnosis import describe_unsupported
from drivers.media import Point
from tests.pure.rules.scripted_tracks import (
    NS_PER_S,
    ScriptedRoadUser,
    frame_results,
    id_maker,
    straight_path,
)
from tests.pure.rules.street_ground import STREET_MARKS, point_at

LARGE_PX, SMALL_PX = (1280, 720), (320, 180)


def view(*limits: ViewLimit) -> ViewCondition:
    return ViewCondition(state="good", since_ns=0, mean_luma=90, sharpness=0.7, limits=limits)


def run(
    scene: Scene,
    road_users: Iterable[ScriptedRoadUser] = (),
    seconds: float = 2.0,
    *,
    limits: tuple[ViewLimit, ...] | None = (),
    size_px: tuple[int, int] = LARGE_PX,
    engine: RuleEngine | None = None,
) -> tuple[RuleEngine, list[Event]]:
    engine = engine or RuleEngine("north", scene, id_maker())
    events: list[Event] = []
    for result in frame_results(road_users, seconds):
        changed = msgspec.structs.replace(
            result,
            width_px=size_px[0],
            height_px=size_px[1],
            view=None if limits is None else view(*limits),
        )
        events.extend(engine.evaluate(changed))
    return engine, [event for event in events if event.kind != "counts_untrusted"]


def street_line(y_m: float, **keys: Any) -> SceneLine:
    ends = {"start": point_at(-3, y_m), "to": point_at(3, y_m)}
    return SceneLine(**({"name": "line", "labels": ("car",), "events": True} | ends | keys))


def street(*lines: SceneLine, calibrated: bool = True) -> Scene:
    return Scene(line=lines, ground=STREET_MARKS if calibrated else None)


def test_each_rule_on_road_users_states_its_needs() -> None:
    kinds = {event_type.kind for event_type in EVENT_TYPES}
    of_the_view = {kind for kind in kinds if kind.startswith("view_")}
    assert set(NEEDS) == kinds - of_the_view - {"counts_untrusted", "camera_lost"}


@pytest.mark.parametrize(
    ("y_m", "size_px", "small"),
    [(15, LARGE_PX, False), (40, LARGE_PX, False), (15, SMALL_PX, False), (60, SMALL_PX, True)],
)
def test_a_line_is_supported_if_its_middle_has_enough_pixels_per_metre(
    y_m: float, size_px: tuple[int, int], small: bool
) -> None:
    engine, _ = run(street(street_line(y_m)), size_px=size_px)
    unsupported = engine.view_support.unsupported
    assert [(one.kind, one.name, one.small) for one in unsupported] == (
        [("line", "line", ("car",))] if small else []
    )
    assert engine.view_support.view is not None
    assert engine.view_support.view.limits == (("small",) if small else ())


def test_counts_of_a_line_on_which_all_labels_are_small_are_not_trusted() -> None:
    scene = street(street_line(15, name="near"), street_line(60, name="far"))
    engine, _ = run(scene, seconds=59, size_px=SMALL_PX)
    (minute,) = engine.flush_counts(60 * NS_PER_S)
    assert (minute.trusted, minute.untrusted_reasons) == (False, ("small",))
    assert {line.name: line.small for line in minute.lines} == {"near": (), "far": ("car",)}


def test_counts_of_a_line_on_which_one_label_is_small_name_the_label() -> None:
    scene = street(street_line(30, labels=("car", "person")))
    engine, _ = run(scene, seconds=59, size_px=SMALL_PX)
    (minute,) = engine.flush_counts(60 * NS_PER_S)
    assert (minute.trusted, minute.lines[0].small) == (True, ("person",))


def test_a_zone_whose_road_users_are_small_says_so() -> None:
    far = Zone(
        name="far",
        labels=("car",),
        polygon=tuple(point_at(x, y) for x, y in ((-3, 50), (3, 50), (3, 80), (-3, 80))),
    )
    scene = Scene(zone=(far,), ground=STREET_MARKS)
    engine, _ = run(scene, seconds=59, size_px=SMALL_PX)
    (minute,) = engine.flush_counts(60 * NS_PER_S)
    assert (minute.trusted, minute.zones[0].small) == (False, ("car",))


def test_a_line_that_is_seen_too_flat_is_named_with_its_angle() -> None:
    """The camera is at 6 m or so: a metre of height for more than ten of distance."""
    engine, _ = run(street(street_line(15, name="near"), street_line(100, name="far")))
    (far,) = engine.view_support.unsupported
    assert (far.name, far.small) == ("far", ())
    assert far.angle_deg is not None
    assert far.angle_deg < MIN_VIEW_ANGLE_DEG
    assert str(describe_unsupported(far)) == (
        f"line 'far': seen at {far.angle_deg:.1f} degrees to the ground, which is too flat"
    )


def test_the_words_name_the_density_and_the_labels() -> None:
    engine, _ = run(street(street_line(60, labels=("car", "bus"))), size_px=SMALL_PX)
    (found,) = engine.view_support.unsupported
    assert str(describe_unsupported(found)) == (
        f"line 'line': {found.px_per_m:.1f} pixels per metre in its middle, too few for car, bus"
    )


def test_a_zone_that_reaches_into_the_distance_names_the_part_in_which_cars_are_too_small() -> None:
    deep = Zone(
        name="deep",
        labels=("car", "person"),
        polygon=tuple(point_at(x, y) for x, y in ((-3, 8), (3, 8), (3, 90), (-3, 90))),
    )
    engine, _ = run(Scene(zone=(deep,), ground=STREET_MARKS), size_px=SMALL_PX)
    (found,) = engine.view_support.unsupported
    assert 0.1 <= found.small_ratio["car"] < found.small_ratio["person"]
    cars_alone = msgspec.structs.replace(deep, labels=("car",))
    engine, _ = run(Scene(zone=(cars_alone,), ground=STREET_MARKS), size_px=SMALL_PX)
    (found,) = engine.view_support.unsupported
    assert (found.small, engine.view_support.supported_count) == ((), 1)
    assert str(describe_unsupported(found)) == (
        f"zone 'deep': too few pixels per metre in {found.small_ratio['car']:.0%} of it, for car"
    )


@pytest.mark.parametrize(("y_m", "limits"), [(15, ()), (80, ("small",))])
def test_an_event_in_a_deep_zone_is_judged_at_its_own_place(
    y_m: float, limits: tuple[ViewLimit, ...]
) -> None:
    deep = Zone(
        name="deep",
        dwell_after_s=1,
        polygon=tuple(point_at(x, y) for x, y in ((-9, 8), (9, 8), (9, 120), (-9, 120))),
    )
    foot = point_at(0, y_m)
    car = ScriptedRoadUser(
        straight_path((0, foot.x, foot.y - 0.01), (9, foot.x, foot.y - 0.01)), box=(0.02, 0.02)
    )
    scene = Scene(zone=(deep,), ground=STREET_MARKS)
    _, events = run(scene, [car], 4, size_px=SMALL_PX)
    assert [event.view_limits for event in events if event.kind == "dwell"] == [limits]


def cars(number: int, height: float, first_track: int = 1) -> list[ScriptedRoadUser]:
    """Cars one after the other, each for two seconds, over the whole height of the picture."""
    made = []
    for index in range(number):
        y = 0.2 + 0.6 * index / max(1, number - 1)
        path = straight_path((2 * index, 0.3, y), (2 * index + 1.9, 0.7, y))
        made.append(
            ScriptedRoadUser(path, track=first_track + index, box=(height, height * (0.5 + y)))
        )
    return made


@pytest.mark.parametrize(("height", "small"), [(0.1, False), (0.02, True)])
def test_without_a_calibrated_ground_the_heights_of_cars_show_the_density(
    height: float, small: bool
) -> None:
    line = SceneLine(
        name="line", start=Point(0.2, 0.5), to=Point(0.8, 0.5), labels=("car",), events=True
    )
    engine, _ = run(Scene(line=(line,)), cars(25, height), seconds=51, size_px=SMALL_PX)
    found = engine.view_support.unsupported
    assert [one.name for one in found] == (["line"] if small else [])
    assert all(one.angle_deg is None for one in found)
    assert engine.view_support.supported_count == (0 if small else 1)


def test_without_ground_and_cars_it_is_not_known_what_the_view_supports() -> None:
    engine, _ = run(Scene(line=(LINE,)), CROSSES)
    assert (engine.view_support.unsupported, engine.view_support.supported_count) == ((), None)


CROSSES = [ScriptedRoadUser(straight_path((0, 0.2, 0.5), (4, 0.9, 0.5)))]
LINE = SceneLine(name="gate", start=Point(0.5, 0.9), to=Point(0.5, 0.1), events=True)
YARD = Zone(
    name="yard",
    polygon=(Point(0.1, 0.1), Point(0.9, 0.1), Point(0.9, 0.9), Point(0.1, 0.9)),
    dwell_after_s=1,
)


@pytest.mark.parametrize(
    ("limits", "of_line", "of_dwell"),
    [
        ((), (), ()),
        (("rain",), ("rain",), ("rain",)),
        (("frame_rate",), ("frame_rate",), ()),
        (("small",), ("small",), ("small",)),
        (("dark", "frame_rate", "lens"), ("dark", "frame_rate", "lens"), ("dark", "lens")),
        (None, msgspec.UNSET, msgspec.UNSET),
    ],
    ids=["none", "rain", "frame rate", "small picture", "several", "not diagnosed"],
)
def test_an_event_names_the_limits_of_the_view_that_its_rule_does_not_stand(
    limits: tuple[ViewLimit, ...] | None, of_line: object, of_dwell: object
) -> None:
    _, events = run(Scene(line=(LINE,), zone=(YARD,)), CROSSES, 4, limits=limits)
    found = {event.kind: event.view_limits for event in events}
    assert (found["line"], found["dwell"]) == (of_line, of_dwell)


@pytest.mark.parametrize(("label", "small"), [("car", False), ("person", True)])
def test_an_event_of_a_road_user_that_is_too_small_there_says_so(label: Label, small: bool) -> None:
    """At 30 m a small picture has enough pixels for a car, and too few for a person."""
    line = street_line(30, labels=("car", "person"))
    y = (line.start.y + line.to.y) / 2
    walks_down = straight_path((0, 0.5, y - 0.15), (3, 0.5, y + 0.15))
    user = ScriptedRoadUser(walks_down, label=label, box=(0.04, 0.04))
    _, events = run(street(line), [user], 3, size_px=SMALL_PX)
    (crossing,) = [event for event in events if event.kind == "line"]
    assert crossing.view_limits == (("small",) if small else ())


def test_an_event_of_the_view_itself_has_no_limits() -> None:
    engine = RuleEngine("north", Scene(), id_maker())
    (result, *_) = frame_results([], 0.1)
    (event,) = engine.evaluate(msgspec.structs.replace(result, view=view("rain")))
    assert (event.kind, event.view_limits) == ("counts_untrusted", msgspec.UNSET)
