"""The result of the newest self-test, in a file of the state folder."""

from pathlib import Path
from typing import Annotated

import msgspec

from agent.base import atomic_file
from agent.base.model import SelfTestStep

FILE_NAME = "selftest.json"
_MAX_BYTES = 65_536


class SelfTestReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a self-test found. `began` is RFC 3339. `took_s` is of the whole; `event` the id under
    which the result went into the outbox, None where it could not.
    """

    v: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    box: str
    version: str
    began: str
    took_s: float
    ok: bool
    steps: tuple[SelfTestStep, ...]
    event: str | None = None
    told: str
    """In one sentence, who was told of the result."""

    @property
    def failed_steps(self) -> tuple[str, ...]:
        """The names of the steps that failed."""
        return tuple(step.name for step in self.steps if not step.ok)


_REPORT_DECODER = msgspec.json.Decoder(SelfTestReport)


def write(state_dir: Path, report: SelfTestReport) -> None:
    """Replace the file, durably: a cut leaves the old one or the new one. Raises OSError."""
    atomic_file.replace_atomically(
        state_dir / FILE_NAME, msgspec.json.encode(report) + b"\n", 0o640, apply_umask=True
    )


def read(state_dir: Path) -> SelfTestReport | None:
    """The newest result; None where there is none, or none that can be read."""
    try:
        with (state_dir / FILE_NAME).open("rb") as file:
            return _REPORT_DECODER.decode(file.read(_MAX_BYTES))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
