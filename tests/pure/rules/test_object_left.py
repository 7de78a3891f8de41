"""agent.detection.rules.object_left and its static foreground, on a street of noise and texture."""

from collections.abc import Callable, Iterator, Sequence

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from agent.base.model import BoundingBox, Event, FrameResult, Label, Track
from agent.base.view_condition import ViewCondition, ViewState
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import IgnoreZone, Scene, Zone
from drivers.media import Point
from tests.pure.rules.scripted_tracks import event_names, id_maker

HEIGHT, WIDTH = 180, 320
AFTER_S = 30.0
STEP_S = 2

NOISE = np.random.default_rng(1).normal(0, 2, (5, HEIGHT, WIDTH)).astype(np.float32)
Luma = npt.NDArray[np.float32]
Picture = Callable[[float, Luma], None]
"""Changes the picture of the empty street at a time in s."""
Road = Callable[[float], Sequence[tuple[int, Label, BoundingBox]]]
"""The road users that are tracked at a time in s, by their ids."""


def even_street() -> Luma:
    """Asphalt, kerbs, and a facade with windows."""
    street = np.full((HEIGHT, WIDTH), 110, np.float32)
    street[:50] = 150
    street[10:40:12, ::9] = 60
    street[120:124] = 160
    return street


def textured_street() -> Luma:
    rng = np.random.default_rng(5)
    grain = cv2.GaussianBlur(rng.normal(0, 22, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 1.5)
    return even_street() + grain * 1.6


def nothing(_t_s: float, _luma: Luma) -> None:
    return


def no_road_users(_t_s: float) -> Sequence[tuple[int, Label, BoundingBox]]:
    return ()


def bag(x: int = 150, y: int = 90, w: int = 12, h: int = 14, level: float = 40.0) -> Picture:
    """A bag with a handle and a pocket, seen from the side."""

    def draw(_t_s: float, luma: Luma) -> None:
        luma[y : y + h, x : x + w] = level
        luma[y + h // 2 : y + h - 2, x + 2 : x + w - 2] = level + 45

    return draw


def one_shade(_t_s: float, luma: Luma) -> None:
    luma[90:104, 150:162] = 70


def while_between(begin_s: float, end_s: float, draw: Picture) -> Picture:
    return lambda t_s, luma: draw(t_s, luma) if begin_s <= t_s < end_s else None


def shade(mask: Callable[[float], npt.NDArray[np.bool_]], factor: float) -> Picture:
    def draw(t_s: float, luma: Luma) -> None:
        soft = cv2.GaussianBlur(mask(t_s).astype(np.float32), (0, 0), 1.0)
        luma *= 1 - soft * (1 - factor)

    return draw


def rectangle(x: float, y: int, w: int, h: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[y : y + h, max(0, round(x)) : max(0, round(x) + w)] = True
    return mask


def box_px(x: float, y: float, w: float, h: float) -> BoundingBox:
    return BoundingBox(x / WIDTH, y / HEIGHT, w / WIDTH, h / HEIGHT)


def film(
    street: Luma,
    picture: Picture,
    road: Road = no_road_users,
    end_s: int = 240,
    view: Callable[[float], ViewState] = lambda _t_s: "good",
) -> Iterator[FrameResult]:
    for t_s in range(0, end_s, STEP_S):
        luma = street.copy()
        picture(t_s, luma)
        luma += NOISE[t_s // STEP_S % len(NOISE)]
        t_ns = t_s * 10**9
        yield FrameResult(
            seq=t_s,
            t_ns=t_ns,
            width_px=1280,
            height_px=720,
            gate_luma=np.clip(luma, 0, 255).astype(np.uint8),
            moving_ratio=0.0,
            tracks=tuple(
                Track(
                    id=track_id, label=label, score=0.8, box=box, vx=0, vy=0, begin_ns=t_ns, seen_ns=t_ns,
                )
                for track_id, label, box in road(t_s)
            ),
            inference_count=0,
            view=ViewCondition(state=view(t_s), since_ns=0, mean_luma=90, sharpness=0.7),
        )  # fmt: skip


def scene(**overrides: object) -> Scene:
    corners = (Point(0.1, 0.2), Point(0.9, 0.2), Point(0.9, 0.95), Point(0.1, 0.95))
    keys = {"name": "yard", "polygon": corners, "events": False, "object_after_s": AFTER_S}
    return Scene(zone=(Zone(**(keys | overrides)),))


def events_of(results: Iterator[FrameResult], watched: Scene | None = None) -> list[Event]:
    rule_engine = RuleEngine("north", watched or scene(), id_maker())
    events = [event for result in results for event in rule_engine.evaluate(result)]
    return [event for event in events if event.kind == "object_left"]


@pytest.mark.parametrize("street", [even_street(), textured_street()], ids=["even", "textured"])
def test_an_object_that_stays_is_an_event_until_it_is_gone(street: Luma) -> None:
    events = events_of(film(street, while_between(60, 180, bag())))
    assert event_names(events) == ["object_left begin", "object_left update", "object_left end"]
    begin, _, end = events
    assert 90 <= begin.t_ns / 1e9 <= 96
    assert 180 <= end.t_ns / 1e9 <= 190
    assert begin.box is not None
    found = (begin.box.x * WIDTH, begin.box.y * HEIGHT, begin.box.w * WIDTH, begin.box.h * HEIGHT)
    assert found == pytest.approx((150, 90, 12, 14), abs=2.5)


@pytest.mark.parametrize("jitter_s", [0.0, 0.05])
@pytest.mark.parametrize("interval_s", [0.5, 1.2, 1.6, 1.9, 1.99, 2.0, 2.5, 5.0])
def test_an_object_is_as_old_as_its_pictures_whatever_their_interval(
    interval_s: float, jitter_s: float
) -> None:
    """In a still street keyframes alone are decoded, and the camera decides how often they come."""
    rng = np.random.default_rng(0)
    engine = RuleEngine("north", scene(object_after_s=60), id_maker())
    pictures = list(film(textured_street(), while_between(60, 500, bag())))
    begins = []
    for number in range(round(200 / interval_s)):
        t_s = number * interval_s + rng.uniform(0, jitter_s)
        picture = pictures[0 if t_s < 100 else 60]
        events = engine.evaluate(msgspec.structs.replace(picture, t_ns=round(t_s * 1e9)))
        begins += [event for event in events if event.kind == "object_left"]
    (begin,) = [event for event in begins if event.phase == "begin"]
    assert begin.duration_s is not None
    # docs/scene.md: up to 4 s later, by pictures that are two seconds apart or less.
    latest_s = 4 + max(0.0, interval_s - 2)
    assert -2 <= begin.t_ns / 1e9 - 160 <= latest_s
    assert -2 <= begin.t_ns / 1e9 - begin.duration_s - 100 <= latest_s


def test_an_object_that_was_left_while_the_camera_gave_no_pictures_is_found() -> None:
    before = RuleEngine("north", scene(), id_maker())
    after: RuleEngine | None = None
    events: list[Event] = []
    for result in film(textured_street(), while_between(60, 500, bag())):
        if result.t_ns < 50 * 10**9:
            assert before.evaluate(result) == ()
        elif result.t_ns >= 80 * 10**9:
            after = after or RuleEngine("north", scene(), id_maker(), before_gap=before)
            events += after.evaluate(result)
    assert event_names(events)[0] == "object_left begin"


def test_an_object_is_no_road_user() -> None:
    (begin, *_) = events_of(film(even_street(), while_between(60, 500, bag())))
    assert (begin.name, begin.label, begin.track, begin.score) == ("yard", None, None, None)


def walks_by(t_s: float) -> Sequence[tuple[int, Label, BoundingBox]]:
    """A person comes from the left, is at the place of the bag at 60 s, and is away at 90 s."""
    return ((1, "person", box_px(150 + (t_s - 60) * 6 - 8, 55, 24, 55)),) if t_s < 90 else ()


def test_an_object_of_one_shade_is_found_on_even_ground_if_a_road_user_left_it() -> None:
    left = while_between(60, 500, one_shade)
    assert event_names(events_of(film(even_street(), left, walks_by, 150))) == ["object_left begin"]
    assert events_of(film(even_street(), left, end_s=150)) == []


def test_traffic_that_passes_an_object_does_not_end_its_event() -> None:
    def passing(t_s: float) -> Sequence[tuple[int, Label, BoundingBox]]:
        return ((int(t_s), "car", box_px(130, 70, 60, 50)),) if t_s > 110 and t_s % 6 < 4 else ()

    def draw(t_s: float, luma: Luma) -> None:
        bag()(t_s, luma)
        if passing(t_s):
            luma[70:120, 130:190] = 200

    events = events_of(film(textured_street(), while_between(60, 500, draw), passing))
    assert {event.event for event in events} == {events[0].event}
    assert "end" not in {event.phase for event in events}


def test_an_object_next_to_a_road_user_is_not_left_yet() -> None:
    def attended(t_s: float) -> Sequence[tuple[int, Label, BoundingBox]]:
        return ((1, "person", box_px(160, 60, 20, 46)),) if 50 <= t_s < 150 else ()

    begin = events_of(film(textured_street(), while_between(60, 500, bag()), attended))[0]
    assert begin.t_ns >= 150e9


def test_an_object_next_to_a_parked_car_is_found() -> None:
    def parked(t_s: float) -> Sequence[tuple[int, Label, BoundingBox]]:
        wander_px = 8 if 84 <= t_s < 110 else 0
        return ((1, "car", box_px(160 - wander_px, 70, 50, 36)),)

    def draw(t_s: float, luma: Luma) -> None:
        luma[70:106, 160:210] = 180
        while_between(60, 500, bag(142))(t_s, luma)

    events = events_of(film(textured_street(), draw, parked, 120))
    assert event_names(events) == ["object_left begin"]


def parks(begin_s: float, end_s: float, tracked_until_s: float) -> tuple[Picture, Road]:
    place = (130, 80, 44, 34)

    def draw(t_s: float, luma: Luma) -> None:
        bag(*place, level=190)(t_s, luma)

    def road(t_s: float) -> Sequence[tuple[int, Label, BoundingBox]]:
        is_tracked = begin_s <= t_s < min(end_s, tracked_until_s)
        return ((1, "car", box_px(*place)),) if is_tracked else ()

    return while_between(begin_s, end_s, draw), road


PARKED_FROM_THE_START = parks(0, 90, 90)
LOST_FROM_THE_START = parks(0, 90, 0)
PARKED = parks(60, 500, 500)
TRACK_LOST = parks(60, 500, 84)


@pytest.mark.parametrize(
    ("why", "picture", "road"),
    [
        ("nothing happens", nothing, no_road_users),
        ("it is taken before", while_between(60, 86, bag()), no_road_users),
        ("it was there from the start", bag(), no_road_users),
        ("it was there from the start and is taken", while_between(0, 90, bag()), no_road_users),
        ("a car was there from the start and drives off", *PARKED_FROM_THE_START),
        ("the same, and was never tracked", *LOST_FROM_THE_START),
        ("a car parks", *PARKED),
        ("a car parks, and its track is lost", *TRACK_LOST),
        (
            "a shadow falls there",
            while_between(60, 500, shade(lambda _t: rectangle(150, 90, 22, 16), 0.6)),
            no_road_users,
        ),
        (
            "a lamp shines there",
            while_between(60, 500, shade(lambda _t: rectangle(150, 90, 22, 16), 1.5)),
            no_road_users,
        ),
        (
            "the shadow of a building creeps over the street",
            shade(lambda t_s: rectangle(0, 60, int(100 + t_s / 4), 120), 0.55),
            no_road_users,
        ),
        (
            "clouds take the sun from half of the street",
            while_between(60, 500, shade(lambda _t: rectangle(0, 0, 170, 180), 0.6)),
            no_road_users,
        ),
        (
            "the exposure falls",
            shade(lambda _t: np.ones((HEIGHT, WIDTH), np.bool_), 0.5),
            no_road_users,
        ),
        ("it is too large", while_between(60, 500, bag(120, 60, 90, 90)), no_road_users),
        ("it is too small", while_between(60, 500, bag(150, 90, 3, 4)), no_road_users),
        ("it is outside of the zone", while_between(60, 500, bag(6, 90)), no_road_users),
    ],
)  # fmt: skip
def test_others_are_no_objects(why: str, picture: Picture, road: Road) -> None:
    for street in (even_street(), textured_street()):
        assert events_of(film(street, picture, road)) == [], why


def test_an_exposure_that_falls_in_steps_leaves_an_object_and_makes_none() -> None:
    def darker(t_s: float, luma: Luma) -> None:
        while_between(60, 500, bag())(t_s, luma)
        luma *= max(0.6, 1 - max(0, t_s - 110) / 40)

    events = events_of(film(textured_street(), darker))
    assert len({event.event for event in events}) == 1
    assert events[-1].phase != "end"


def test_nothing_is_found_in_ignored_areas() -> None:
    corners = (Point(0.4, 0.4), Point(0.6, 0.4), Point(0.6, 0.7), Point(0.4, 0.7))
    watched = Scene(zone=scene().zone, ignore=(IgnoreZone(polygon=corners),))
    assert events_of(film(even_street(), while_between(60, 500, bag())), watched) == []


@pytest.mark.parametrize(
    ("state", "kinds"), [("blocked", ["begin"]), ("dark", ["begin"]), ("moved", ["begin", "end"])]
)
def test_pictures_that_show_nothing_are_left_out(state: ViewState, kinds: list[str]) -> None:
    def covered(t_s: float, luma: Luma) -> None:
        while_between(60, 500, bag())(t_s, luma)
        if 110 <= t_s < 130:
            luma[:] = 20

    view = lambda t_s: state if 110 <= t_s < 130 else "good"  # noqa: E731
    events = events_of(film(textured_street(), covered, end_s=145, view=view))
    assert [event.phase for event in events] == kinds


def test_an_object_that_becomes_part_of_the_street_ends_its_event() -> None:
    rule_engine = RuleEngine("north", scene(), id_maker())
    frames = film(even_street(), while_between(60, 10**6, bag()), end_s=7400)
    phases = [event.phase for frame in frames for event in rule_engine.evaluate(frame)]
    assert [phase for phase in phases if phase != "update"] == ["begin", "end"]


def test_the_event_follows_the_longest_time_of_its_own_zone() -> None:
    first, second = scene(name="a").zone[0], scene(name="b", object_after_s=100.0).zone[0]
    events = events_of(
        film(even_street(), while_between(60, 500, bag())), Scene(zone=(first, second))
    )
    begun = {event.name: event.t_ns / 1e9 for event in events if event.phase == "begin"}
    assert begun == {"a": pytest.approx(93, abs=3), "b": pytest.approx(163, abs=4)}
