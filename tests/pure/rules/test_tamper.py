"""agent.detection.rules.tamper by the view monitor, and camera_lost."""

from collections.abc import Callable, Iterator
from itertools import count

import cv2
import msgspec
import numpy as np
import pytest

from agent.base.model import Event, FrameResult
from agent.detection import view_monitor
from agent.detection.contrast_stretch import measure_luma_range
from agent.detection.rules.camera_lost import CameraLostRule
from agent.detection.rules.road_users import TrackMemory
from agent.detection.rules.rule import RuleContext
from agent.detection.rules.scene_ground import SceneGround
from agent.detection.rules.tamper import TamperRule
from agent.detection.scene import Scene
from agent.detection.view_monitor import ViewMonitor
from drivers.media import Plane
from tests.pure.rules.scripted_tracks import NS_PER_S, event_names

HEIGHT, WIDTH = 180, 320

Change = Callable[[Plane], Plane]


def street(seed: int = 5, size: int = 36) -> Plane:
    """A picture with edges everywhere, such as a street has: walls, windows, marks, leaves."""
    rng = np.random.default_rng(seed)
    picture = np.full((HEIGHT, WIDTH), 110, np.uint8)
    for _ in range(220):
        x, y = int(rng.integers(-20, WIDTH)), int(rng.integers(-20, HEIGHT))
        w, h = (int(v) for v in rng.integers(4, size, 2))
        cv2.rectangle(picture, (x, y), (x + w, y + h), int(rng.integers(40, 220)), -1)
    return np.asarray(cv2.GaussianBlur(picture, (3, 3), 0), np.uint8)


STREET = street()


NOISE = np.random.default_rng(2).normal(0, 1, (7, HEIGHT, WIDTH)).astype(np.float32)


def noisy(picture: Plane, number: int, spread: float = 2.0) -> Plane:
    return np.clip(picture + spread * NOISE[number % len(NOISE)], 0, 255).astype(np.uint8)


def as_it_is(picture: Plane) -> Plane:
    return picture


def covered(share: float, level: int = 90) -> Change:
    def change(picture: Plane) -> Plane:
        after = picture.copy()
        after[:, : round(share * WIDTH)] = level
        return after

    return change


def blurred(sigma: float) -> Change:
    return lambda picture: np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)


def shifted(share: float) -> Change:
    return lambda picture: np.roll(picture, round(share * WIDTH), axis=1)


def lit(gain: float, offset: float = 0.0) -> Change:
    return lambda picture: np.clip(picture * gain + offset, 0, 255).astype(np.uint8)


def turned(_picture: Plane) -> Plane:
    return street(seed=77)


def bus(picture: Plane) -> Plane:
    """An object in front of the camera that covers half of the view, with edges of its own."""
    after = picture.copy()
    after[:, : WIDTH // 2] = street(seed=9, size=60)[:, : WIDTH // 2]
    return after


def pictures(*parts: tuple[float, Change], spread: float = 2.0) -> Iterator[FrameResult]:
    """A picture a second: each part is its length in s and what is done to the street."""
    t_ns = 0
    for length_s, change in parts:
        changed = change(STREET)
        end_ns = t_ns + round(length_s * NS_PER_S)
        while t_ns < end_ns:
            gate = noisy(changed, t_ns // NS_PER_S, spread)
            yield FrameResult(
                seq=0,
                t_ns=t_ns,
                width_px=gate.shape[1],
                height_px=gate.shape[0],
                gate_luma=gate,
                moving_ratio=0.0,
                tracks=(),
                inference_count=0,
            )
            t_ns += NS_PER_S


def evaluate(sights: Iterator[FrameResult]) -> list[Event]:
    numbers = count()
    context = RuleContext(
        camera="north",
        new_id=lambda _t_ns: f"event-{next(numbers)}",
        ground=SceneGround(Scene()),
        road_users=TrackMemory(SceneGround(Scene())),
        crossing_detectors={},
        occupancies={},
        static_foreground=None,
    )
    rule, monitor = TamperRule(context), ViewMonitor()
    return [
        event
        for sight in sights
        for event in rule.step(
            msgspec.structs.replace(
                sight,
                view=monitor.observe(
                    sight.gate_luma,
                    sight.t_ns,
                    measure_luma_range(sight.gate_luma),
                    is_moving=False,
                ),
            )
        )
    ]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("view_dark", lit(0.1)),
        ("view_dark", covered(1.0, level=5)),
        ("view_blocked", covered(1.0)),
        ("view_blocked", covered(0.7)),
        ("view_blurred", blurred(2)),
        ("view_blurred", blurred(4)),
        ("view_moved", shifted(0.05)),
        ("view_moved", shifted(0.3)),
        ("view_moved", turned),
    ],
)
def test_a_tamper_event_begins_and_ends(kind: str, change: Change) -> None:
    events = evaluate(pictures((60, as_it_is), (60, change), (30, as_it_is)))
    assert event_names(events) == [f"{kind} begin", f"{kind} end"]
    begin, end = events
    assert 68e9 <= begin.t_ns <= 80e9
    assert end.t_ns == pytest.approx(119.5e9, abs=1.5e9)
    assert end.duration_s == pytest.approx(59.5, abs=1.5)


@pytest.mark.parametrize(
    ("why", "change"),
    [
        ("the sun comes out", lit(1.35, 15)),
        ("dusk falls", lit(0.45)),
        ("the lens adapts", lit(0.8, 30)),
        ("a bus stands before the camera", bus),
        ("wind shakes the pole", shifted(0.004)),
        ("a little haze", blurred(0.6)),
    ],
)
def test_ordinary_changes_are_not_tampering(why: str, change: Change) -> None:
    assert evaluate(pictures((60, as_it_is), (60, change), (10, as_it_is))) == [], why


@pytest.mark.parametrize("change", [covered(1.0), turned, blurred(4), lit(0.1)])
def test_a_momentary_change_is_not_tampering(change: Change) -> None:
    assert evaluate(pictures((60, as_it_is), (6, change), (20, as_it_is))) == []


def test_nightfall_is_not_tampering() -> None:
    parts = [(20.0, lit(1 - 0.75 * i / 90)) for i in range(90)]
    assert evaluate(pictures((60, as_it_is), *parts)) == []


def test_a_camera_that_is_covered_from_the_beginning_is_blocked() -> None:
    events = evaluate(pictures((30, covered(1.0)), (30, as_it_is)))
    assert event_names(events) == ["view_blocked begin", "view_blocked end"]


def test_a_new_view_becomes_the_reference_in_about_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The day is a two-hundredth of one here."""
    assert view_monitor.LEARN_SAMPLES_IN_FAULT == 24 * 3600
    monkeypatch.setattr(view_monitor, "LEARN_SAMPLES_IN_FAULT", 432)
    events = evaluate(pictures((60, as_it_is), (650, shifted(0.3))))
    assert [e.phase for e in events if e.phase != "update"] == ["begin", "end"]
    assert 108e9 < events[-1].t_ns < 650e9


def frozen(*parts: tuple[float, float]) -> list[Event]:
    """Parts of a length in s and a spread of noise; without noise the picture does not change."""
    sights: list[FrameResult] = []
    t_ns = 0
    for length_s, spread in parts:
        part = pictures((length_s, as_it_is), spread=spread)
        sights.extend(msgspec.structs.replace(s, t_ns=t_ns + s.t_ns) for s in part)
        t_ns += round(length_s * NS_PER_S)
    return evaluate(iter(sights))


def test_a_bit_identical_picture_is_frozen() -> None:
    events = frozen((40, 2.0), (60, 0.0), (20, 2.0))
    assert event_names(events) == ["view_frozen begin", "view_frozen end"]
    assert events[0].duration_s == pytest.approx(20, abs=1)


@pytest.mark.parametrize("spread", [0.5, 1.0, 3.0])
def test_a_still_night_with_sensor_noise_is_not_frozen(spread: float) -> None:
    assert frozen((40, 2.0), (120, spread)) == []


def test_a_briefly_identical_picture_is_not_frozen() -> None:
    assert frozen((40, 2.0), (15, 0.0), (20, 2.0)) == []


def test_a_view_without_features_is_not_evaluated() -> None:
    flat = np.linspace(80, 140, WIDTH, dtype=np.float64)[None, :].repeat(HEIGHT, 0)
    sights = pictures(
        (60, lambda _p: flat.astype(np.uint8)), (60, lambda _p: flat[:, ::-1].astype(np.uint8))
    )
    assert evaluate(sights) == []


def test_a_view_that_a_mask_hides_in_part_is_compared_by_the_rest() -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[: HEIGHT // 2, : WIDTH // 2] = 1

    def masked(sights: Iterator[FrameResult]) -> Iterator[FrameResult]:
        for sight in sights:
            yield msgspec.structs.replace(sight, gate_luma=np.where(mask, 16, sight.gate_luma))

    assert evaluate(masked(pictures((120, as_it_is)))) == []
    events = evaluate(masked(pictures((60, as_it_is), (60, turned))))
    assert event_names(events) == ["view_moved begin"]


def test_a_camera_without_frames_is_lost_until_it_returns() -> None:
    numbers = count()
    rule = CameraLostRule("north", lambda _t_ns: f"event-{next(numbers)}", since_ns=0)
    events: list[Event] = []
    for second in range(60):
        last_s = second if second < 20 or second >= 45 else 20
        events.extend(rule.step(second * NS_PER_S, last_s * NS_PER_S))
    assert event_names(events) == ["camera_lost begin", "camera_lost end"]
    assert events[0].t_ns == 30 * NS_PER_S
    assert events[0].duration_s == 10.0
    assert events[1].t_ns == 44 * NS_PER_S


def test_a_camera_that_never_sent_a_frame_is_lost_from_the_beginning() -> None:
    rule = CameraLostRule("north", lambda _t_ns: "event", since_ns=5 * NS_PER_S)
    events = [event for second in range(5, 30) for event in rule.step(second * NS_PER_S, None)]
    assert event_names(events) == ["camera_lost begin"]
    assert events[0].t_ns == 15 * NS_PER_S


def test_a_short_pause_is_not_a_loss() -> None:
    rule = CameraLostRule("north", lambda _t_ns: "event", since_ns=0)
    steps = [rule.step(t * NS_PER_S, (t - t % 8) * NS_PER_S) for t in range(60)]
    assert [event for events in steps for event in events] == []
