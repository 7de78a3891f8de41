"""agent.capture.snapshot_command: snapshots wait for the next frame, and no longer than their commands do."""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest

from agent.capture.snapshot_command import (
    FRAME_TIMEOUT_S,
    MAX_WAITING,
    CameraAccess,
    SnapshotArgs,
    SnapshotCommandHandler,
)
from agent.commands.command import ValidCommand
from agent.commands.requester import CommandRejected, Requester
from drivers.media import Frame
from tests.conftest import ManualClock

PLANE = np.zeros((2, 2), np.uint8)
FRAME = Frame(seq=0, t_ns=7, y=PLANE, u=PLANE[:1, :1], v=PLANE[:1, :1])


class Finished:
    """A progress sink that makes each result at once."""

    def __init__(self) -> None:
        self.results: list[msgspec.Struct] = []

    def report_progress(self, fraction: float, detail: str) -> None:
        raise AssertionError((fraction, detail))

    def finish(self, make_result: Callable[[], msgspec.Struct]) -> None:
        self.results.append(make_result())


class Waiting:
    def __init__(self, clock: ManualClock) -> None:
        self.camera = CameraAccess()
        self.handler = SnapshotCommandHandler(
            {"north": self.camera},
            lambda *_: b"jpeg",
            lambda *_: None,
            lambda *_: None,
            clock.boottime_ns,
        )
        self.finished = Finished()

    def ask(self, times: int = 1) -> None:
        for number in range(times):
            command = ValidCommand(
                arrival_number=number,
                verb="snapshot",
                id=f"id-{number}",
                requester=Requester(id="amina", role="operator"),
                expires=datetime(2027, 1, 1, tzinfo=UTC),
                args=SnapshotArgs(camera="north"),
                digest=b"",
            )
            self.handler.run(command, self.finished)


def test_timed_out_snapshot_commands_leave_room_for_others(clock: ManualClock) -> None:
    waiting = Waiting(clock)
    waiting.ask(MAX_WAITING)
    with pytest.raises(CommandRejected, match="wait for its next frame"):
        waiting.ask()
    clock.now_ns += int(FRAME_TIMEOUT_S * 1e9)
    waiting.ask()
    waiting.camera.next_frame.offer(FRAME)
    assert len(waiting.finished.results) == 1


def test_one_frame_answers_each_waiting_command_once(clock: ManualClock) -> None:
    waiting = Waiting(clock)
    waiting.ask(2)
    waiting.camera.next_frame.offer(FRAME)
    waiting.camera.next_frame.offer(FRAME)
    assert len(waiting.finished.results) == 2
