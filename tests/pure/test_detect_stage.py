"""agent.detection.detect_stage with a real pipeline without a detector: only the picture is evaluated."""

import threading

import numpy as np

from agent.base.model import Event, FrameResult, TrafficCounts
from agent.detection.detect_stage import THUMBNAIL_MAX_BYTES, DetectStage
from agent.detection.event_limit import MAX_EVENTS_PER_MINUTE, EventLimit
from agent.detection.pipeline import DetectionPipeline
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import Scene
from agent.runtime.queues import LatestFrame
from drivers.media import Frame
from tests.pure.rules.scripted_tracks import NS_PER_S, id_maker

STREET = np.random.default_rng(1).integers(40, 220, (120, 160), dtype=np.uint8)
CHROMA = np.full((60, 80), 128, np.uint8)


class Office:
    """Takes what the stage gives, in the order in which it comes."""

    def __init__(self, *, snapshots: bool = True) -> None:
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
            on_event=self._event,
            on_traffic_counts=self.message.append,
            on_result=lambda _frame, sight: self.message.append(sight),
            snapshots=snapshots,
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
        return [one for one in self.message if isinstance(one, Event)]


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
