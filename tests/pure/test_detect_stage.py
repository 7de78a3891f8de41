"""agent.detection.detect_stage with a real pipeline without a detector, and the limit of events."""

import itertools
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

from agent.base.model import Event, EventPhase, FrameResult, TrafficCounts
from agent.detection.detect_stage import (
    MAX_EVENTS_PER_MINUTE,
    THUMBNAIL_MAX_BYTES,
    DetectionSinks,
    DetectStage,
    EventLimit,
)
from agent.detection.pipeline import DetectionPipeline
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import Scene
from agent.runtime.queues import LatestFrame
from drivers.media import NS_PER_S, Frame
from tests.pure.rules.scripted_tracks import id_maker

STREET = np.random.default_rng(1).integers(40, 220, (120, 160), dtype=np.uint8)
CHROMA = np.full((60, 80), 128, np.uint8)


class Office:
    """Takes what the stage gives, in the order in which it comes."""

    def __init__(
        self,
        *,
        snapshots: bool = True,
        local_time: Callable[[int], datetime | None] | None = None,
    ) -> None:
        self.event_limit = EventLimit("north")
        self.message: list[Event | TrafficCounts | FrameResult] = []
        self.jpegs: dict[str, bytes | None] = {}
        self.frames = LatestFrame()
        self.stage = DetectStage(
            "north",
            self.frames,
            DetectionPipeline(None),
            RuleEngine("north", Scene(), id_maker()),
            self.event_limit,
            DetectionSinks(
                on_event=self._event,
                on_traffic_counts=self.message.append,
                on_result=lambda _frame, sight: self.message.append(sight),
            ),
            snapshots=snapshots,
            local_time=local_time,
        )

    def _event(self, event: Event, jpeg: bytes | None) -> None:
        self.message.append(event)
        self.jpegs[event.phase] = jpeg

    def watch(self, from_s: int, to_s: int, *, gain: float = 1.0) -> None:
        for second in range(from_s, to_s):
            noise = np.random.default_rng(second).integers(0, 4, STREET.shape)
            luma = (STREET * gain + noise).astype(np.uint8)
            self.frames.put(Frame(seq=second, t_ns=second * NS_PER_S, y=luma, u=CHROMA, v=CHROMA))
            self.stage.run_once(threading.Event())

    def events(self) -> list[Event]:
        """The events of the view; those of counts are specified with their rule."""
        events = [one for one in self.message if isinstance(one, Event)]
        return [event for event in events if event.kind != "counts_untrusted"]


def test_a_frame_becomes_a_result_and_then_its_events() -> None:
    office = Office()
    office.watch(0, 20)
    office.watch(20, 40, gain=0.1)
    (dark,) = office.events()
    assert (dark.kind, dark.phase) == ("view_dark", "begin")
    before = office.message[office.message.index(dark) - 1]
    assert isinstance(before, FrameResult)
    assert before.t_ns == dark.t_ns
    assert office.stage.track_count == 0


def test_the_first_revision_has_a_picture_and_the_last_has_none() -> None:
    office = Office()
    office.watch(0, 40, gain=0.1)
    office.watch(40, 50)
    jpeg = office.jpegs["begin"]
    assert jpeg is not None
    assert jpeg.startswith(b"\xff\xd8")
    assert len(jpeg) <= THUMBNAIL_MAX_BYTES
    assert office.jpegs["end"] is None


def test_without_snapshots_there_is_no_picture() -> None:
    office = Office(snapshots=False)
    office.watch(0, 40, gain=0.1)
    assert office.jpegs == {"begin": None}


def test_a_result_has_the_wall_clock_of_its_frame() -> None:
    noon = datetime(2026, 11, 30, 12, tzinfo=UTC)
    office = Office(local_time=lambda t_ns: noon + timedelta(seconds=t_ns / NS_PER_S))
    office.watch(7, 9)
    results = [one for one in office.message if isinstance(one, FrameResult)]
    assert [result.local_time for result in results] == [
        noon + timedelta(seconds=7),
        noon + timedelta(seconds=8),
    ]


def test_traffic_counts_are_sent_each_minute_and_at_the_end() -> None:
    office = Office()
    office.watch(0, 130)
    office.stage.close()
    flows = [one for one in office.message if isinstance(one, TrafficCounts)]
    assert [(flow.begin_ns // NS_PER_S, flow.end_ns // NS_PER_S) for flow in flows] == [
        (0, 60),
        (60, 120),
        (120, 129),
    ]


def test_the_end_of_the_stage_ends_open_events() -> None:
    office = Office()
    office.watch(0, 40, gain=0.1)
    office.stage.close()
    assert [event.phase for event in office.events()] == ["begin", "end"]


def test_an_event_beyond_the_cameras_limit_is_left_out_up_to_its_end_and_counted() -> None:
    office = Office()
    office.watch(0, 40, gain=0.1)
    (sent,) = office.events()
    office.watch(40, 60)
    for _ in range(MAX_EVENTS_PER_MINUTE):
        office.event_limit.admits(sent, 60 * NS_PER_S)
    office.watch(60, 100, gain=0.1)
    office.stage.close()
    assert [event.phase for event in office.events()] == ["begin", "end"]
    assert office.event_limit.left_out == 1


def test_a_stage_that_never_saw_a_frame_closes_in_silence() -> None:
    office = Office()
    office.stage.close()
    assert office.message == []


NUMBERS = itertools.count()


def event(phase: EventPhase = "moment", kind: str = "line", event_id: str | None = None) -> Event:
    return Event(
        event=event_id or f"event {next(NUMBERS)}",
        rev=1,
        kind=kind,
        phase=phase,
        camera="north",
        t_ns=0,
        begin_ns=0,
    )


def full(kind: str = "line") -> EventLimit:
    """The limit of a camera that has sent as many events of a kind in its first minute as it may."""
    limit = EventLimit("north")
    assert all(limit.admits(event(kind=kind), NS_PER_S) for _ in range(MAX_EVENTS_PER_MINUTE))
    return limit


def test_events_beyond_the_limit_of_a_minute_are_left_out_and_counted() -> None:
    limit = full()
    assert [limit.admits(event(), 59 * NS_PER_S) for _ in range(3)] == [False] * 3
    assert limit.left_out == 3
    assert limit.admits(event(), 60 * NS_PER_S), "another minute"
    assert limit.left_out == 3


def test_a_flood_of_one_kind_leaves_out_none_of_another() -> None:
    limit = full("zone")
    assert limit.admits(event("begin", kind="wrong_way"), NS_PER_S)
    assert limit.left_out == 0


def test_the_end_of_an_event_that_has_begun_is_always_sent() -> None:
    limit = EventLimit("north")
    assert limit.admits(event("begin", event_id="first"), NS_PER_S)
    for _ in range(2 * MAX_EVENTS_PER_MINUTE):
        limit.admits(event(), NS_PER_S)
    assert limit.admits(event("end", event_id="first"), 2 * NS_PER_S)


def test_an_event_whose_begin_was_left_out_is_left_out_as_a_whole_and_counted_once() -> None:
    limit = full()
    assert not limit.admits(event("begin", event_id="late"), NS_PER_S)
    assert not limit.admits(event("update", event_id="late"), 61 * NS_PER_S)
    assert not limit.admits(event("end", event_id="late"), 62 * NS_PER_S)
    assert limit.left_out == 1


def test_updates_of_open_events_are_bounded_and_counted_too() -> None:
    limit = EventLimit("north")
    for _ in range(MAX_EVENTS_PER_MINUTE):
        assert limit.admits(event("update", event_id="open"), NS_PER_S)
    assert not limit.admits(event("update", event_id="open"), NS_PER_S)
    assert not limit.admits(event("begin"), NS_PER_S)
    assert limit.left_out == 2
    assert limit.admits(event("update", event_id="open"), 60 * NS_PER_S), "another minute"
