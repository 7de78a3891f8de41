"""One self-test: the rehearsal, its proofs, the way to the broker, and who is told."""

import fcntl
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from agent import __version__
from agent.app import selftest_result
from agent.app.selftest_result import SelfTestReport
from agent.app.selftest_service import event_of
from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.base.model import SelfTestName, SelfTestStep
from agent.base.uuid7 import uuid7_maker
from agent.config.configuration import Config
from agent.diagnostics.selftest import broker_check, checks
from agent.diagnostics.selftest.checks import NotProven
from agent.diagnostics.selftest.pipeline_run import PipelineRun, PipelineRunResult
from agent.reporting import topics

FOLDER = "selftest.tmp"
"""In the state folder: the same disk as the footage. Whatever a killed one left is cleared away."""
LOCK = "selftest.lock"
NEEDED_BYTES = 100_000_000
"""Free on the disk before it begins: the box's own footage comes first."""
_SAID_MOST = 300
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

OnStep = Callable[[SelfTestStep], None]
Proof = Callable[[], str]


def selftest(
    config: Config, clock: Clock, rng: random.Random, on_step: OnStep = lambda _step: None
) -> SelfTestReport:
    """Test the box of a configuration. `on_step` is told of each part when it is done.

    Raises BadInput where the state folder is somebody else's, or another self-test runs.
    """
    state = Path(config.box.state)
    with _locked(state):
        return _Test(config, state, clock, rng, on_step).run()


class _Test:
    def __init__(
        self, config: Config, state: Path, clock: Clock, rng: random.Random, on_step: OnStep
    ) -> None:
        self._config = config
        self._state = state
        self._folder = state / FOLDER
        self._clock = clock
        self._rng = rng
        self._on_step = on_step
        self._new_id = uuid7_maker(self._unix_ns, rng)
        self._steps: list[SelfTestStep] = []

    def run(self) -> SelfTestReport:
        began_ns = self._clock.boottime_ns()
        way = broker_check.BrokerRoundTrip(self._config, self._clock, self._new_id)
        try:
            self._try_box()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._step("broker", way.check)
        steps = tuple(self._steps)
        event = event_of(steps, self._clock.boottime_ns(), self._new_id)
        report = SelfTestReport(
            box=self._config.box.id,
            version=__version__,
            began=topics.rfc3339(self._clock.utc(began_ns)),
            took_s=round((self._clock.boottime_ns() - began_ns) / 1e9, 1),
            ok=all(step.ok for step in steps),
            steps=steps,
            told="nobody was told yet",
        )
        # Before anybody is told: an agent that starts meanwhile finds it.
        self._write(report)
        told, ident = way.publish(steps, event)
        report = msgspec.structs.replace(report, told=told, event=ident)
        self._write(report)
        return report

    def _try_box(self) -> None:
        """The parts that need the disk and the pattern."""
        shutil.rmtree(self._folder, ignore_errors=True)
        watched = any(camera.detect.enabled for camera in self._config.camera)
        played: PipelineRunResult | None = None
        rehearsal: PipelineRun | None = None

        def play() -> str:
            nonlocal played, rehearsal
            free_bytes = shutil.disk_usage(self._state).free
            if free_bytes < NEEDED_BYTES:
                raise NotProven(
                    f"{free_bytes / 1e6:.0f} MB are free on the disk; "
                    f"a self-test wants {NEEDED_BYTES / 1e6:.0f}, so as not to be in the way"
                )
            self._folder.mkdir(mode=0o700)
            made = PipelineRun(self._folder, self._config, self._clock, self._rng)
            done = made.play()
            played, rehearsal = done, made
            return checks.capture(done)

        self._step("capture", play)
        rest: dict[SelfTestName, Callable[[PipelineRun, PipelineRunResult], str]] = {}
        if watched:
            rest["detect"] = checks.detect
        rest |= {"record": checks.check_recording, "seal": checks.seal, "export": checks.export}
        rest["outbox"] = lambda made, done: broker_check.check_outbox(
            made.folder / "outbox",
            done.events or (event_of((), self._clock.boottime_ns(), self._new_id),),
            self._clock,
            self._new_id,
        )
        for name, proof in rest.items():
            self._step(name, lambda proof=proof: _given(rehearsal, played, proof))  # type: ignore[misc]

    def _step(self, name: SelfTestName, proof: Proof) -> None:
        began_ns = self._clock.boottime_ns()
        try:
            ok, said = True, proof()
        except (NotProven, UserError) as error:
            ok, said = False, str(error)
        except OSError as error:
            ok, said = False, f"{error.filename or 'the disk'}: {error.strerror or error}"
        step = SelfTestStep(
            name=name,
            ok=ok,
            ms=round((self._clock.boottime_ns() - began_ns) / 1e6, 1),
            said=said[:_SAID_MOST],
        )
        self._steps.append(step)
        self._on_step(step)

    def _write(self, report: SelfTestReport) -> None:
        try:
            selftest_result.write(self._state, report)
        except OSError as error:
            raise UserError(
                f"state folder {str(self._state)!r}: the result cannot be kept: {error}"
            ) from error

    def _unix_ns(self, t_ns: int) -> int:
        return (self._clock.utc(t_ns) - _EPOCH) // timedelta(microseconds=1) * 1000


def _given(
    rehearsal: PipelineRun | None,
    played: PipelineRunResult | None,
    proof: Callable[[PipelineRun, PipelineRunResult], str],
) -> str:
    if rehearsal is None or played is None:
        raise NotProven("not tried: nothing was captured")
    return proof(rehearsal, played)


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    """One at a time, by the user whose folder it is: another's files would stop the agent."""
    where = f"state folder {str(state)!r}"
    try:
        state.mkdir(parents=True, exist_ok=True)
        owner = state.stat().st_uid
        if owner != os.geteuid():
            raise UserError(
                f"{where}: belongs to the agent's user; allowed: sudo -u '#{owner}' vigie selftest ..."
            )
        held = (state / LOCK).open("ab")
    except OSError as error:
        raise UserError(f"{where}: {error.strerror or error}") from error
    with held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{where}: another self-test runs; allowed: one at a time") from error
        yield
