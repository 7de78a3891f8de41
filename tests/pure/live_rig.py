"""Live looks with a manual clock: their receipts and answers in lists."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from agent.capture.live_looks import EndedLook, LiveLooks, LiveResult, Look, PictureLimits
from agent.commands.command import ValidCommand
from agent.commands.requester import Requester
from tests.conftest import ManualClock

AMINA = Requester(id="amina", role="operator")
OMAR = Requester(id="omar", role="incident")
SESSION = 4


class LookRig:
    """`begun` and `ended` are the receipts, `answers` the final results of commands."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.begun: list[Look] = []
        self.ended: list[tuple[Look, EndedLook]] = []
        self.answers: list[Any] = []
        self.disk_error: OSError | None = None
        self.looks = LiveLooks(
            self._record_begin,
            lambda look, ended: self.ended.append((look, ended)),
            clock.boottime_ns,
        )

    def make(self, camera: str = "north", by: Requester = AMINA, for_s: float = 60.0) -> Look:
        return Look(
            camera,
            by,
            PictureLimits(interval_ns=1_000_000_000, max_bytes=30_000),
            begin_ns=self.clock.now_ns,
            until_ns=self.clock.now_ns + int(for_s * 1e9),
            session=SESSION,
            progress_sink=self,  # type: ignore[arg-type] # as far as a look uses it
        )

    def finish(self, make_result: Callable[[], msgspec.Struct]) -> None:
        self.answers.append(make_result())

    def report_progress(self, fraction: float, detail: str) -> None:
        raise AssertionError((fraction, detail))

    def reasons(self) -> list[str]:
        """Why looks have ended, in order, by their receipts; the same as by their answers."""
        reasons = [ended.reason for _, ended in self.ended]
        assert reasons == [
            ended.reason
            for answer in self.answers
            if isinstance(answer, LiveResult)
            for ended in answer.ended
        ]
        return reasons

    def _record_begin(self, look: Look) -> None:
        if self.disk_error is not None:
            raise self.disk_error
        self.begun.append(look)


def live_command(args: msgspec.Struct, by: Requester = AMINA) -> ValidCommand:
    return ValidCommand(
        arrival_number=1,
        verb="live",
        id="1",
        requester=by,
        expires=datetime(2027, 1, 1, tzinfo=UTC),
        args=args,
        digest=b"",
    )
