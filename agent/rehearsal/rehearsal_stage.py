"""The stage `rehearsal`: a configuration is tried on recorded footage, one camera after the other, each in a child.

It has the time that the box does not need: the child uses a share of one core, and waits as long as the box does less than all
its work. A rehearsal changes nothing, and ends with this run of the agent.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, assert_never

import msgspec

from agent.base.clock import Clock
from agent.base.device_identity import IDENTITY_DIR, DeviceIdentity
from agent.base.health_model import DegradationLevel
from agent.rehearsal.rehearsal_task import (
    DetectionSide,
    Evaluated,
    Evaluating,
    Listed,
    RehearsalMessage,
    RehearsalTask,
    Rejected,
)
from agent.reporting.rehearsal import MAX_REASON_CHARS, RehearsedCamera, ReportedRehearsal
from agent.runtime.answered_child import AnsweredChild
from agent.runtime.pause import Pause
from agent.runtime.stage import IDLE_WAIT_S
from drivers.child.messages import Failed
from drivers.child.process import new_interpreter
from drivers.errors import DriverError

log = logging.getLogger(__name__)

POLL_S = 1.0
CHILD_TIMEOUT_S = 600.0
"""Without a message. It sends one each second of a box with time to spare; a busy box is no reason to end it."""
PROGRESS_INTERVAL_S = 30.0
"""Each progress is a message of its own."""
START_PROCESS = new_interpreter("agent.rehearsal.rehearsal_child")
_decoder: msgspec.msgpack.Decoder[RehearsalMessage | Failed] = msgspec.msgpack.Decoder(
    RehearsalMessage | Failed
)


class RehearsedDetection(msgspec.Struct, frozen=True, kw_only=True):
    """Detection on one camera with the configuration in force, and with the proposed one."""

    camera: str
    present: DetectionSide
    proposed: DetectionSide


class RehearsalRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A rehearsal of a version, whose message has the SHA-256 `digest`. `by` are its signers in receipts, `viewer` is the first one.

    `begin` and `end` are RFC 3339. `without` are the cameras on which it is not possible, with the reason.
    """

    version: int
    digest: str
    by: str
    viewer: str
    begin: str
    end: str
    cameras: tuple[RehearsedDetection, ...]
    without: tuple[RehearsedCamera, ...] = ()


class RehearsalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Constants of the box."""

    state_dir: Path
    box: str
    time_zone: str


RecordRehearsal = Callable[[RehearsalRequest, str], None]
"""Writes the receipt of a rehearsal on a camera before its footage is read. Raises: OSError."""


class _Run(msgspec.Struct):
    """The rehearsal that runs now."""

    request: RehearsalRequest
    waiting: deque[RehearsedDetection]
    done: list[RehearsedCamera]
    child: AnsweredChild[RehearsalMessage] | None = None
    camera: str = ""
    ratio: float = 0.0
    heard_ns: int = 0
    is_paused: bool = False
    progress_pause: Pause = msgspec.field(default_factory=Pause)


class RehearsalStage:
    """One rehearsal at a time: a new one replaces that before it. `report` publishes what `reported` returns."""

    name = "rehearsal"

    def __init__(
        self,
        settings: RehearsalSettings,
        clock: Clock,
        record: RecordRehearsal,
        report: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._record = record
        self._report = report
        self._changed = threading.Condition()
        self._request: RehearsalRequest | None = None
        self._is_ended = False
        """Whether the running rehearsal is to end."""
        self._level: DegradationLevel = "full"
        self._run: _Run | None = None
        self._reported: ReportedRehearsal | None = None

    def submit(self, request: RehearsalRequest) -> None:
        """Begin a rehearsal. Thread-safe; never blocks."""
        with self._changed:
            self._request = request
            self._changed.notify()

    def end(self) -> None:
        """End the rehearsal: the configuration that it is compared with changes. Thread-safe; never blocks."""
        with self._changed:
            self._is_ended = True
            self._changed.notify()

    def reported(self) -> ReportedRehearsal | None:
        """Return the newest rehearsal of this run of the agent, None if there was none. Thread-safe."""
        return self._reported

    def is_of(self, digest: str) -> bool:
        """Return whether the message of this SHA-256 is rehearsed, or was the last one. Thread-safe."""
        request, reported = self._request, self._reported
        return digest in (request and request.digest, reported and reported.digest)

    def set_level(self, level: DegradationLevel) -> None:
        """Pause below `full`. Thread-safe."""
        self._level = level

    def run_once(self, stopping: threading.Event) -> None:
        """Begin a rehearsal, or do a step of the one that runs."""
        with self._changed:
            wait_s = IDLE_WAIT_S if self._run is None else 0.0
            self._changed.wait_for(lambda: self._has_work() or stopping.is_set(), wait_s)
            request, self._request = self._request, None
            is_ended, self._is_ended = self._is_ended, False
        if stopping.is_set():
            return
        try:
            if self._run is not None and (is_ended or request is not None):
                self._finish(self._run, "another version was decided")
            if request is not None:
                self._begin(request)
            elif self._run is not None:
                self._step(self._run, stopping)
        except BaseException:
            if self._run is not None:
                self._finish(self._run, "it has failed; see the log")
            raise

    def wake(self) -> None:
        """End the wait of `run_once` if it is to stop. Thread-safe; never blocks."""
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """End the child."""
        if self._run is not None:
            self._end_child(self._run)

    def _has_work(self) -> bool:
        return self._request is not None or self._is_ended

    def _begin(self, request: RehearsalRequest) -> None:
        log.info("rehearsal of version %d, of %s", request.version, request.by)
        self._run = _Run(
            request=request, waiting=deque(request.cameras), done=list(request.without)
        )
        self._publish(self._run)

    def _step(self, run: _Run, stopping: threading.Event) -> None:
        is_paused = self._level != "full"
        if is_paused != run.is_paused:
            run.is_paused = is_paused
            self._publish(run)
        if is_paused:
            # The child waits for its answer, or has nothing to say before it waits.
            run.heard_ns = self._clock.boottime_ns()
            stopping.wait(POLL_S)
        elif run.child is not None:
            self._hear(run, run.child)
        elif run.waiting:
            self._start_child(run, run.waiting.popleft())
        else:
            self._finish(run, None)

    def _start_child(self, run: _Run, detection: RehearsedDetection) -> None:
        request, settings = run.request, self._settings
        run.camera, run.ratio, run.heard_ns = detection.camera, 0.0, self._clock.boottime_ns()
        identity = DeviceIdentity.load(settings.state_dir / IDENTITY_DIR)
        if identity is None:
            self._end_camera(run, "the box's key cannot be read")
            return
        task = RehearsalTask(
            state_dir=str(settings.state_dir),
            box=settings.box,
            public_key=identity.public_key_raw,
            time_zone=settings.time_zone,
            camera=detection.camera,
            begin=request.begin,
            end=request.end,
            viewer=request.viewer,
            present=detection.present,
            proposed=detection.proposed,
        )
        run.child = AnsweredChild(
            f"rehearsal on camera {detection.camera!r}", task, START_PROCESS, _decoder
        )

    def _hear(self, run: _Run, child: AnsweredChild[RehearsalMessage]) -> None:
        try:
            message = child.read(POLL_S)
        except DriverError as error:
            self._end_camera(run, str(error))
            return
        now_ns = self._clock.boottime_ns()
        if message is not None:
            run.heard_ns = now_ns
            self._handle(run, child, message)
        elif now_ns - run.heard_ns > CHILD_TIMEOUT_S * 1e9:
            self._end_camera(run, f"no progress for {CHILD_TIMEOUT_S:.0f} s")

    def _handle(
        self, run: _Run, child: AnsweredChild[RehearsalMessage], message: RehearsalMessage
    ) -> None:
        match message:
            case Listed():
                try:
                    self._record(run.request, run.camera)
                except OSError as error:
                    self._end_camera(run, f"no rehearsal without its receipt: {error}")
                    return
                child.let_continue()
            case Evaluating():
                run.ratio = message.ratio
                self._publish_progress(run)
                child.let_continue()
            case Evaluated():
                self._end_child(run)
                run.done.append(msgspec.structs.replace(message.camera, camera=run.camera))
            case Rejected():
                self._end_camera(run, message.reason)
            case _:
                assert_never(message)

    def _end_camera(self, run: _Run, reason: str) -> None:
        """End the rehearsal on a camera without a result."""
        self._end_child(run)
        log.warning("rehearsal on camera %s: %s", run.camera, reason)
        run.done.append(RehearsedCamera(camera=run.camera, reason=reason[:MAX_REASON_CHARS]))

    def _end_child(self, run: _Run) -> None:
        child, run.child = run.child, None
        if child is not None:
            child.end()

    def _finish(self, run: _Run, reason: str | None) -> None:
        """End the rehearsal; `reason` says why it has failed."""
        self._run = None
        self._end_child(run)
        log.info("rehearsal of version %d: %s", run.request.version, reason or "done")
        self._publish(run, "done" if reason is None else "failed", reason)

    def _publish_progress(self, run: _Run) -> None:
        now_ns = self._clock.boottime_ns()
        if run.progress_pause.is_over(now_ns):
            self._publish(run)

    def _publish(
        self,
        run: _Run,
        end: Literal["done", "failed"] | None = None,
        reason: str | None = None,
    ) -> None:
        run.progress_pause.begin(self._clock.boottime_ns(), PROGRESS_INTERVAL_S)
        request = run.request
        self._reported = ReportedRehearsal(
            version=request.version,
            digest=request.digest,
            by=request.by,
            begin=request.begin,
            end=request.end,
            state=end or ("paused" if run.is_paused else "running"),
            progress=_progress(run.done, run, end),
            reason=reason,
            cameras=tuple(run.done),
        )
        self._report()


def _progress(done: Sequence[RehearsedCamera], run: _Run, end: str | None) -> float:
    if end == "done":
        return 1.0
    total = len(run.request.cameras) + len(run.request.without)
    return round((len(done) + run.ratio * (run.child is not None)) / max(1, total), 3)
