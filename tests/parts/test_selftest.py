"""agent.diagnostics.selftest.street_pattern and agent.diagnostics.selftest.selftest_command: comparison with the truth, and
the running agent's part.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from agent.base import selftest_result
from agent.base.model import BoundingBox, Label, SelfTestStep, Track
from agent.base.selftest_result import SelfTestReport
from agent.commands.command import CommandProgressSink, Deferred, ValidCommand
from agent.commands.requester import CommandRejected, Requester
from agent.diagnostics.selftest import street_pattern
from agent.diagnostics.selftest.selftest_command import (
    ARRIVAL_TIMEOUT_S,
    PublishSelfTestResult,
    SelfTestCommandHandler,
    SelfTestReply,
)
from agent.diagnostics.selftest.selftest_command import Echo as EchoArgs
from agent.diagnostics.selftest.street_pattern import FrameTracks
from simulation.street.fixed_view import FixedView, TruthBox, truth_boxes

VIEW = FixedView(street_pattern.WIDTH_PX, street_pattern.HEIGHT_PX)
GOOD = SelfTestStep(name="capture", ok=True, duration_ms=10.0, message="all came")
BAD = SelfTestStep(name="seal", ok=False, duration_ms=1.0, message="another key opens it")


def track(box: TruthBox, shift: float = 0.0, label: Label | None = None) -> Track:
    return Track(
        id=box.id + 1,
        label=label or box.label,
        score=0.9,
        box=BoundingBox(box.x + shift, box.y, box.w, box.h),
        vx=0,
        vy=0,
        begin_ns=0,
        seen_ns=0,
    )


def looks(seen: Callable[[TruthBox], list[Track]], every: int = 1) -> list[FrameTracks]:
    """A detector with the detections of `seen` for each road user."""
    return [
        FrameTracks(
            t_s=street_pattern.frame_time_s(seq),
            tracks=tuple(
                one
                for box in truth_boxes(street_pattern.SEED, street_pattern.frame_time_s(seq), VIEW)
                for one in seen(box)
            ),
        )
        for seq in range(0, street_pattern.FRAME_COUNT, every)
    ]


@pytest.mark.parametrize(
    ("detector", "good"),
    [
        pytest.param(lambda box: [track(box)], True, id="eyes that see all"),
        pytest.param(lambda box: [track(box, 0.1 * box.w)], True, id="eyes that are a little off"),
        pytest.param(lambda _box: [], False, id="blind eyes"),
        pytest.param(lambda box: [track(box)] if box.label == "car" else [], False, id="no people"),
        pytest.param(
            lambda box: [track(box)] if box.label == "person" else [], False, id="no vehicles"
        ),
        pytest.param(lambda box: [track(box, label="bicycle")], False, id="wrong labels"),
        pytest.param(lambda box: [track(box, 0.5)], False, id="all in the wrong place"),
        pytest.param(
            lambda box: [track(box), track(box, 0.7), track(box, -0.7)], False, id="many ghosts"
        ),
    ],
)
def test_detection_passes_only_with_all_road_users_and_few_false_detections(
    detector: Callable[[TruthBox], list[Track]], good: bool
) -> None:
    assert street_pattern.score_detections(looks(detector)).ok is good


def test_a_busy_box_that_checks_every_fourth_picture_passes_and_a_blind_one_fails() -> None:
    assert street_pattern.score_detections(looks(lambda box: [track(box)], every=4)).ok
    assert not street_pattern.score_detections([]).ok


def test_a_picture_is_identified_despite_noise_and_light_compression() -> None:
    one, *_, other = (frame.y for frame in street_pattern.render_frames() if frame.seq in (40, 42))
    rng = np.random.default_rng(1)
    coded = np.clip(one + rng.normal(0, 4, one.shape), 0, 255).astype(np.uint8)
    assert street_pattern.max_block_difference(one, coded) < 2
    assert street_pattern.max_block_difference(one, other) > 10
    assert street_pattern.max_block_difference(one, one[:-16]) == float("inf")


def report(*steps: SelfTestStep) -> SelfTestReport:
    return SelfTestReport(
        box="pole-17",
        version="1",
        started="2026-11-03T07:41:05.250Z",
        took_s=12.5,
        ok=all(step.ok for step in steps),
        steps=steps,
        delivery="nobody",
    )


def test_the_newest_result_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    assert selftest_result.state_file(tmp_path).read() is None
    selftest_result.state_file(tmp_path).write(report(BAD))
    selftest_result.state_file(tmp_path).write(report(GOOD, BAD))
    assert selftest_result.state_file(tmp_path).read() == report(GOOD, BAD)
    assert report(GOOD, BAD).failed_steps == ("seal",)
    assert [path.name for path in tmp_path.iterdir()] == [selftest_result.FILE_NAME]


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b'{"v":2}', b"[" * 10_000])
def test_an_invalid_result_is_ignored(tmp_path: Path, data: bytes) -> None:
    (tmp_path / selftest_result.FILE_NAME).write_bytes(data)
    assert selftest_result.state_file(tmp_path).read() is None


class FakeProgressSink(CommandProgressSink):
    """Keeps the end of a command."""

    def __init__(self) -> None:
        self.ends: list[Any] = []

    def report_progress(self, fraction: float, detail: str) -> None:
        raise AssertionError

    def finish(self, make_result: Callable[[], msgspec.Struct]) -> None:
        self.ends.append(make_result())


class Outbox:
    """Takes messages, until it is full, and reports their arrival."""

    def __init__(self) -> None:
        self.full = False
        self.awaited: list[Callable[[], None]] = []

    def send(self, _command_id: str, on_acked: Callable[[], None]) -> None:
        if self.full:
            raise CommandRejected("failed", "the disk is full")
        self.awaited.append(on_acked)


def order(args: EchoArgs | PublishSelfTestResult) -> ValidCommand:
    return ValidCommand(
        arrival_number=1,
        verb="selftest",
        id="one",
        requester=Requester(id="vigie", role="operator"),
        expires=datetime(2099, 1, 1, tzinfo=UTC),
        args=args,
        digest=b"",
    )


def test_one_selftest_message_is_sent_at_a_time_and_its_arrival_timed() -> None:
    now_ns = [0]
    outbox, course = Outbox(), FakeProgressSink()
    verb = SelfTestCommandHandler(outbox.send, lambda _steps: "an-event", lambda: now_ns[0])
    assert verb.run(order(EchoArgs()), course) == Deferred(timeout_s=ARRIVAL_TIMEOUT_S)
    with pytest.raises(CommandRejected, match="on its way"):
        verb.run(order(EchoArgs()), course)
    now_ns[0] = 1_500_000_000
    outbox.awaited[0]()
    assert course.ends == [SelfTestReply(arrived_ms=1500.0)]
    assert isinstance(verb.run(order(EchoArgs()), course), Deferred)


def test_a_lost_selftest_message_does_not_block_the_next_one_forever() -> None:
    now_ns = [0]
    outbox = Outbox()
    verb = SelfTestCommandHandler(outbox.send, lambda _steps: "an-event", lambda: now_ns[0])
    outbox.full = True
    for _ in range(2):
        with pytest.raises(CommandRejected, match="disk is full"):
            verb.run(order(EchoArgs()), FakeProgressSink())
    outbox.full = False
    verb.run(order(EchoArgs()), FakeProgressSink())
    now_ns[0] = int(ARRIVAL_TIMEOUT_S * 1e9)
    assert isinstance(verb.run(order(EchoArgs()), FakeProgressSink()), Deferred)


def test_a_result_gets_the_id_of_its_event() -> None:
    reported: list[tuple[SelfTestStep, ...]] = []

    def tell(steps: tuple[SelfTestStep, ...]) -> str:
        reported.append(steps)
        return "an-event"

    verb = SelfTestCommandHandler(Outbox().send, tell, lambda: 0)
    assert verb.run(
        order(PublishSelfTestResult(steps=(GOOD, BAD))), FakeProgressSink()
    ) == SelfTestReply(event="an-event")
    assert reported == [(GOOD, BAD)]
