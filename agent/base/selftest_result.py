"""Result of the newest self-test: `selftest.json` in the state folder."""

from pathlib import Path
from typing import Annotated

import msgspec

from agent.base.model import SelfTestStep
from agent.base.state_file import StateFile

FILE_NAME = "selftest.json"


class SelfTestReport(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one self-test. `started` is RFC 3339, `took_s` the duration of all steps together.
    `event` is the id of the result's event in the outbox, or None if it could not be stored there.
    """

    v: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    box: str
    version: str
    started: str
    took_s: float
    ok: bool
    steps: tuple[SelfTestStep, ...]
    event: str | None = None
    delivery: str
    """Where the result was delivered, in one sentence."""

    @property
    def failed_steps(self) -> tuple[str, ...]:
        """Return the names of the steps that failed."""
        return tuple(step.name for step in self.steps if not step.ok)


def state_file(state_dir: Path) -> StateFile[SelfTestReport]:
    """Return the file of the newest result."""
    return StateFile(state_dir / FILE_NAME, SelfTestReport)
