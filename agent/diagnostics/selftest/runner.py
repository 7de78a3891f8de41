"""One self-test: the pipeline run, its checks, the round trip to the broker, and the report."""

import fcntl
import os
import queue
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from agent import __version__
from agent.base import selftest_result
from agent.base.clock import Clock, rfc3339, unix_ns
from agent.base.errors import UserError
from agent.base.message import Message, Text, message_of
from agent.base.model import SelfTestName, SelfTestStep
from agent.base.selftest_result import SelfTestReport
from agent.base.uuid7 import uuid7_factory
from agent.config.configuration import Config
from agent.diagnostics.selftest import broker_check, checks
from agent.diagnostics.selftest.broker_check import IN_OUTBOX, SENT_BY_AGENT
from agent.diagnostics.selftest.checks import CheckFailed
from agent.diagnostics.selftest.pipeline_run import POLL_INTERVAL_S, PipelineRun, PipelineRunResult
from agent.diagnostics.selftest.selftest_service import build_selftest_event
from agent.faults import diagnosis
from agent.health import health_file

WORK_DIR = "selftest.tmp"
"""In the state folder: the same disk as the footage. A killed self-test's files are deleted."""
LOCK_FILE = "selftest.lock"
MIN_FREE_BYTES = 100_000_000
"""Free on the disk before a self-test begins: the box's own footage has priority."""
_MAX_MESSAGE_LENGTH = 300

OnStep = Callable[[SelfTestStep, Text], None]
"""Called with each step, and with its message, which a console can translate."""
Check = Callable[[], Message]


def run_selftest(
    config: Config,
    clock: Clock,
    rng: random.Random,
    on_step: OnStep = lambda _step, _message: None,
    poll: Callable[[], None] = lambda: None,
) -> SelfTestReport:
    """Test the box of a configuration. `on_step` is called after each step.

    `poll` is called several times a second while the pattern plays and the broker is awaited; what it raises
    ends the self-test.
    Raises UserError if another user owns the state folder, or another self-test runs.
    """
    state_dir = Path(config.box.state)
    with _exclusive(state_dir):
        return _SelfTestRun(config, state_dir, clock, rng, on_step, poll).run()


def format_step(step: SelfTestStep) -> str:
    """Format one step for a terminal."""
    outcome = "ok" if step.ok else "FAILED"
    return f"{step.name:8} {outcome:7} {step.duration_ms:8.0f} ms  {step.message}"


def format_report(report: SelfTestReport) -> tuple[Message, Message]:
    """Format the outcome and its delivery for a terminal."""
    outcome = (
        Message("passed in {took_s:.0f} s", took_s=report.took_s)
        if report.ok
        else Message(
            "SVC-02: FAILED: {steps} in {took_s:.0f} s",
            steps=", ".join(report.failed_steps),
            took_s=report.took_s,
        )
    )
    deliveries = {str(message): message for message in (SENT_BY_AGENT, IN_OUTBOX)}
    delivery = deliveries.get(report.delivery, report.delivery)
    return outcome, Message("  {delivery}", delivery=delivery)


class _SelfTestRun:
    def __init__(
        self,
        config: Config,
        state_dir: Path,
        clock: Clock,
        rng: random.Random,
        on_step: OnStep,
        poll: Callable[[], None],
    ) -> None:
        self._poll = poll
        self._config = config
        self._state_dir = state_dir
        self._work_dir = state_dir / WORK_DIR
        self._clock = clock
        self._rng = rng
        self._on_step = on_step
        self._new_id = uuid7_factory(lambda t_ns: unix_ns(self._clock.utc(t_ns)), rng)
        self._steps: list[SelfTestStep] = []

    def run(self) -> SelfTestReport:
        started_ns = self._clock.boottime_ns()
        round_trip = broker_check.BrokerRoundTrip(self._config, self._clock, self._new_id)
        try:
            self._check_box()
        finally:
            shutil.rmtree(self._work_dir, ignore_errors=True)
        self._run_step("broker", lambda: self._check_round_trip(round_trip))
        steps = tuple(self._steps)
        event = build_selftest_event(steps, self._clock.boottime_ns(), self._new_id)
        report = SelfTestReport(
            box=self._config.box.id,
            version=__version__,
            started=rfc3339(self._clock.utc(started_ns)),
            took_s=round((self._clock.boottime_ns() - started_ns) / 1e9, 1),
            ok=all(step.ok for step in steps),
            steps=steps,
            delivery="not delivered yet",
        )
        # Written before it is published: an agent that starts meanwhile finds it.
        self._write(report)
        delivery, event_id = round_trip.publish(steps, event)
        report = msgspec.structs.replace(report, delivery=str(delivery), event=event_id)
        self._write(report)
        return report

    def _check_box(self) -> None:
        """Run the checks that need the disk and the pattern."""
        shutil.rmtree(self._work_dir, ignore_errors=True)
        has_detection = any(camera.detect.enabled for camera in self._config.camera)
        result: PipelineRunResult | None = None
        pipeline_run: PipelineRun | None = None

        def capture() -> Message:
            nonlocal result, pipeline_run
            free_bytes = shutil.disk_usage(self._state_dir).free
            if free_bytes < MIN_FREE_BYTES:
                raise CheckFailed(
                    Message(
                        "free on the disk: {free_mb:.0f} MB; allowed: {min_mb:.0f} MB or more",
                        free_mb=free_bytes / 1e6,
                        min_mb=MIN_FREE_BYTES / 1e6,
                    )
                )
            self._work_dir.mkdir(mode=0o700)
            new_run = PipelineRun(self._work_dir, self._config, self._clock, self._rng)
            new_result = new_run.run(self._poll)
            result, pipeline_run = new_result, new_run
            return checks.check_capture(new_result)

        self._run_step("capture", capture)
        remaining_checks: dict[
            SelfTestName, Callable[[PipelineRun, PipelineRunResult], Message]
        ] = {}
        if has_detection:
            remaining_checks["detect"] = checks.check_detection
        remaining_checks |= {
            "record": checks.check_recording,
            "seal": checks.check_encryption,
            "export": checks.check_export,
        }
        remaining_checks["outbox"] = lambda run, run_result: broker_check.check_outbox(
            run.folder / "outbox",
            run_result.events
            or (build_selftest_event((), self._clock.boottime_ns(), self._new_id),),
            self._clock,
            self._new_id,
        )
        for name, check in remaining_checks.items():
            self._run_step(name, lambda check=check: _run_check(pipeline_run, result, check))  # type: ignore[misc]

    def _check_round_trip(self, round_trip: broker_check.BrokerRoundTrip) -> Message:
        """Run the round trip in a thread of its own: what `poll` raises ends the self-test at once."""
        outcomes: queue.Queue[Message | CheckFailed | UserError | OSError] = queue.Queue()

        def check() -> None:
            try:
                outcomes.put(round_trip.check())
            except (CheckFailed, UserError, OSError) as error:
                outcomes.put(error)

        thread = threading.Thread(target=check, daemon=True, name="round trip")
        thread.start()
        try:
            while thread.is_alive():
                thread.join(POLL_INTERVAL_S)
                self._poll()
        finally:
            round_trip.cancel()
        outcome = outcomes.get_nowait()
        if isinstance(outcome, Message):
            return outcome
        raise outcome

    def _run_step(self, name: SelfTestName, check: Check) -> None:
        started_ns = self._clock.boottime_ns()
        message: Text
        try:
            ok, message = True, check()
        except (CheckFailed, UserError) as error:
            ok, message = False, self._add_cause(message_of(error))
        except OSError as error:
            ok = False
            message = self._add_cause(f"{error.filename or 'disk'}: {error.strerror or error}")
        step = SelfTestStep(
            name=name,
            ok=ok,
            duration_ms=round((self._clock.boottime_ns() - started_ns) / 1e6, 1),
            message=str(message)[:_MAX_MESSAGE_LENGTH],
        )
        self._steps.append(step)
        self._on_step(step, message)

    def _add_cause(self, message: Text) -> Text:
        """Add why the box sheds load, if it does: the test then shares its shortage."""
        live = health_file.read(health_file.get_runtime_dir(self._state_dir))
        if (
            live is None
            or live.is_stale(self._clock.boottime_ns())
            or not diagnosis.is_shedding(live.report)
        ):
            return message
        return Message(
            "{problem}; SYS-07: the box sheds load: {reason}",
            problem=message,
            reason=diagnosis.shed_reason(live.report),
        )

    def _write(self, report: SelfTestReport) -> None:
        try:
            selftest_result.state_file(self._state_dir).write(report)
        except OSError as error:
            raise UserError(
                Message(
                    "{label}: cannot store the result: {error}",
                    label=f"state folder {str(self._state_dir)!r}",
                    error=message_of(error),
                )
            ) from error


def _run_check(
    pipeline_run: PipelineRun | None,
    result: PipelineRunResult | None,
    check: Callable[[PipelineRun, PipelineRunResult], Message],
) -> Message:
    if pipeline_run is None or result is None:
        raise CheckFailed(Message("not tried: nothing was captured"))
    return check(pipeline_run, result)


@contextmanager
def _exclusive(state_dir: Path) -> Iterator[None]:
    """Lock out a second self-test, and other users, whose files would stop the agent."""
    context = f"state folder {str(state_dir)!r}"
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        owner = state_dir.stat().st_uid
        if owner != os.geteuid():
            raise UserError(
                f"{context}: belongs to the agent's user; allowed: sudo -u '#{owner}' vigie selftest ..."
            )
        lock_file = (state_dir / LOCK_FILE).open("ab")
    except OSError as error:
        raise UserError(
            Message("{label}: {problem}", label=context, problem=error.strerror or str(error))
        ) from error
    with lock_file:
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                Message(
                    "{context}: another self-test runs; allowed: one at a time", context=context
                )
            ) from error
        yield
