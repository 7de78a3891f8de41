"""agent.capture.onvif_events: a camera's notifications become events, within bounds."""

import threading
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.model import Event
from agent.capture.onvif_events import (
    MAX_EVENTS_PER_MINUTE,
    MAX_OPEN_EVENTS,
    OnvifEventStage,
    OnvifEventTracker,
    is_wanted,
)
from agent.capture.reader_fault import ReaderFault
from agent.faults.registry import FaultRegistry
from drivers.errors import DriverError
from drivers.onvif.operations import CameraNotification
from tests.conftest import ManualClock

MOTION = "RuleEngine/CellMotionDetector/Motion"
CROSSED = "RuleEngine/LineDetector/Crossed"


def message(
    topic: str, state: bool | None, at_s: float, source: str = "VideoSource=1"
) -> CameraNotification:
    return CameraNotification(topic=topic, state=state, source=source, t_ns=round(at_s * 1e9))


def reported(*wanted: str) -> OnvifEventTracker:
    ids = iter(range(10_000))
    return OnvifEventTracker("tram", wanted, lambda _t_ns: f"id-{next(ids)}")


def outputs(events: Sequence[Event | None]) -> list[str]:
    return [f"{one.event} {one.rev} {one.phase} {one.name}" for one in events if one is not None]


def test_a_state_begins_and_ends_and_a_stateless_event_is_a_moment() -> None:
    camera = reported("Motion", "Crossed")
    events = [
        camera.step(message(MOTION, False, 1)),  # the state at the begin
        camera.step(message(MOTION, True, 2)),
        camera.step(message(MOTION, True, 3)),  # repeated
        camera.step(message(CROSSED, None, 4)),
        camera.step(message(MOTION, True, 5, "VideoSource=2")),
        camera.step(message(MOTION, False, 6.5)),
        camera.step(message(MOTION, False, 7)),
        camera.step(message("Device/Trigger/DigitalInput", True, 8)),
    ]
    assert outputs(events) == [
        "id-0 1 begin Motion",
        "id-1 1 moment Crossed",
        "id-2 1 begin Motion",
        "id-0 2 end Motion",
    ]
    (end,) = [one for one in events if one is not None and one.phase == "end"]
    assert (end.kind, end.camera, end.begin_ns, end.duration_s) == (
        "reported",
        "tram",
        2_000_000_000,
        4.5,
    )


def test_an_ongoing_event_is_updated_every_minute() -> None:
    camera = reported("Motion")
    camera.step(message(MOTION, True, 10))
    assert camera.due_updates(69_999_999_999) == []
    assert outputs(camera.due_updates(70_000_000_000)) == ["id-0 2 update Motion"]
    assert camera.due_updates(71_000_000_000) == []
    assert outputs(camera.end_all(71_000_000_000)) == ["id-0 3 end Motion"]


@pytest.mark.parametrize(
    ("topic", "wanted", "is_it"),
    [
        (MOTION, ["Motion"], True),
        (MOTION, ["CellMotionDetector/Motion"], True),
        (MOTION, [MOTION], True),
        (MOTION, ["Other", "Motion"], True),
        (MOTION, ["otion"], False),
        (MOTION, ["CellMotionDetector"], False),
        ("Motion", [MOTION], False),
        (MOTION, [], False),
        ("VideoAnalytics/FaceRecognition/State", ["State"], False),
    ],
)
def test_a_topic_is_matched_by_its_end(topic: str, wanted: list[str], is_it: bool) -> None:
    assert is_wanted(topic, wanted) == is_it


def test_a_camera_that_reports_without_end_is_bounded() -> None:
    camera = reported("Crossed", "Motion")
    moments = [camera.step(message(CROSSED, None, 100 + n / 100)) for n in range(1000)]
    assert len(outputs(moments)) == MAX_EVENTS_PER_MINUTE
    assert camera.dropped == 1000 - MAX_EVENTS_PER_MINUTE
    assert camera.step(message(CROSSED, None, 161)) is not None, "the next minute begins anew"
    many = [
        camera.step(message(MOTION, True, 300 + n * 2, str(n))) for n in range(MAX_OPEN_EVENTS + 9)
    ]
    assert len(outputs(many)) == MAX_OPEN_EVENTS
    assert camera.step(message(MOTION, False, 600, f"{MAX_OPEN_EVENTS}")) is None, (
        "its begin was dropped"
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from([MOTION, CROSSED, "Device/Trigger/Relay"]),
            st.sampled_from([True, False, None]),
            st.sampled_from(["a", "b"]),
        )
    )
)
def test_every_event_has_one_begin_and_one_end_at_most(
    words: list[tuple[str, bool | None, str]],
) -> None:
    camera = reported("Motion", "Crossed")
    events = [
        camera.step(message(topic, state, at_s, source))
        for at_s, (topic, state, source) in enumerate(words)
    ]
    events += camera.end_all(10**12)
    by_id: dict[str, list[Event]] = {}
    for one in events:
        if one is not None:
            by_id.setdefault(one.event, []).append(one)
    for each in by_id.values():
        assert [one.rev for one in each] == list(range(1, len(each) + 1))
        assert [one.phase for one in each] in (["moment"], ["begin", "end"])


class Camera:
    """A feed on a held clock; `words` come at the next pull, and `away` fails it."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.words: list[tuple[str, bool | None]] = []
        self.away = False
        self.opened = 0
        self.listening = False

    def open(self) -> "Camera":
        if self.away:
            raise DriverError("absent", "away")
        self.opened += 1
        self.listening = True
        return self

    def pull(self, timeout_s: float, t_ns: int) -> list[CameraNotification]:
        if self.away:
            raise DriverError("timeout", "silent")
        words, self.words = self.words, []
        return [CameraNotification(topic=t, state=s, source="1", t_ns=t_ns) for t, s in words]

    def close(self) -> None:
        self.listening = False


class Listening:
    """The stage with such a camera."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.camera = Camera(self.clock)
        self.events: list[Event] = []
        self.faults = FaultRegistry(self.clock.boottime_ns)
        ids = iter(range(100))
        self.stage = OnvifEventStage(
            "tram",
            ["Motion"],
            self.camera.open,
            self.clock.boottime_ns,
            lambda _t_ns: f"id-{next(ids)}",
            self.events.append,
            ReaderFault("tram", self.faults, self.clock.boottime_ns),
        )

    def turn(self, *words: tuple[str, bool | None], away: bool = False) -> None:
        self.camera.words += words
        self.camera.away = away
        if not away:
            self.stage.run_once(threading.Event())
            return
        with pytest.raises(DriverError):
            self.stage.run_once(threading.Event())


def test_a_briefly_absent_camera_is_polled_again_without_duplicate_events() -> None:
    box = Listening()
    box.turn((MOTION, True))
    box.turn(away=True)
    assert not box.camera.listening
    box.clock.advance_s(30)
    box.turn((MOTION, True))
    box.turn((MOTION, False))
    assert box.camera.opened == 2
    assert outputs(box.events) == ["id-0 1 begin Motion", "id-0 2 end Motion"]


def test_events_of_an_absent_camera_end() -> None:
    box = Listening()
    box.turn((MOTION, True))
    received_ns = box.clock.now_ns
    for _ in range(3):
        box.clock.advance_s(29)
        box.turn(away=True)
    assert outputs(box.events) == ["id-0 1 begin Motion", "id-0 2 end Motion"]
    assert box.events[-1].t_ns == received_ns
    box.turn((MOTION, True))
    assert outputs(box.events)[-1] == "id-1 1 begin Motion"


def test_all_events_end_when_the_box_stops_listening() -> None:
    box = Listening()
    box.turn((MOTION, True))
    box.clock.advance_s(5)
    box.stage.close()
    assert outputs(box.events) == ["id-0 1 begin Motion", "id-0 2 end Motion"]
    assert msgspec.json.decode(msgspec.json.encode(box.events[-1]))["duration_s"] == 5.0
    assert not box.camera.listening
