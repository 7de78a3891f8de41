"""Camera watchdog: checks every camera once per second."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from agent.base.clock import BENCH_SOURCE, Clock
from agent.base.health_model import CameraState
from agent.base.message import Message, join_sentences
from agent.base.view_condition import ViewCondition
from agent.capture.capture_stage import CaptureCounts
from agent.faults import diagnosis
from agent.faults.registry import FaultCode, FaultRegistry
from agent.health.camera_condition import CameraEvidence, CameraMonitor
from agent.health.stuck_cameras import StuckCameras

CHECK_INTERVAL_S = 1.0
CLOCK_SYNC_TIMEOUT_S = 300.0
"""Grace period for the time servers after a start: many boxes boot without a clock."""
_FAULT_BY_STATE: Mapping[CameraState, FaultCode] = {
    "closed": "CAM-01",
    "silent": "CAM-02",
    "stuck": "CAM-03",
    "slow": "CAM-04",
}
"""At most one of them is active for a camera."""


class WatchedCamera(msgspec.Struct, frozen=True, kw_only=True):
    """One camera to check.

    `on_check(t_ns, last_ns)` is called at each check of a camera that the box has not shed, with its time
    and that of the last packet or frame, or of the end of shedding, None before the first one.
    """

    name: str
    monitor: CameraMonitor
    counts: Callable[[], CaptureCounts]
    on_check: Callable[[int, int | None], None]
    is_shed: Callable[[], bool] = lambda: False
    mask_error: Callable[[], str | None] = lambda: None
    breaks_reader: Callable[[], bool] = lambda: False
    target_detect_fps: Callable[[], float | None] = lambda: None
    view: Callable[[], ViewCondition | None] = lambda: None


class CameraWatchdog:
    """Raises and clears the cameras' faults and SYS-01."""

    name = "camera watchdog"

    def __init__(
        self,
        cameras: Sequence[WatchedCamera],
        faults: FaultRegistry,
        clock: Clock,
        stuck_cameras: StuckCameras | None = None,
    ) -> None:
        self._cameras = tuple(cameras)
        self._faults = faults
        self._clock = clock
        self._stuck_cameras = stuck_cameras
        self._started_ns = clock.boottime_ns()

    def run_once(self, stopping: threading.Event) -> None:
        """Wait a second, then check."""
        if stopping.wait(CHECK_INTERVAL_S):
            return
        self.check()

    def check(self) -> None:
        """Check all cameras and the clock."""
        now_ns = self._clock.boottime_ns()
        for camera in self._cameras:
            self._check_camera(camera, now_ns)
        self._check_clock(now_ns)

    def close(self) -> None:
        """Do nothing: no resource is held."""

    def _check_clock(self, now_ns: int) -> None:
        trust = self._clock.trust()
        if trust.source == BENCH_SOURCE:
            detail = Message(
                "not synchronised, and trusted all the same: --bench-clock, for benches alone"
            )
            self._faults.raise_fault("SYS-01", "clock", detail)
        elif trust.synced:
            self._faults.clear("SYS-01", "clock")
        elif (now_ns - self._started_ns) / 1e9 >= CLOCK_SYNC_TIMEOUT_S:
            self._faults.raise_fault(
                "SYS-01", "clock", Message("no time server has set the clock yet")
            )

    def _check_camera(self, camera: WatchedCamera, now_ns: int) -> None:
        counts = camera.counts()
        condition = camera.monitor.update(
            now_ns,
            CameraEvidence(
                counts=counts,
                is_shed=camera.is_shed(),
                mask_error=camera.mask_error(),
                breaks_reader=camera.breaks_reader(),
                was_stuck=self._was_stuck(camera.name, counts),
                target_detect_fps=camera.target_detect_fps(),
            ),
        )
        if condition.state != "shed":
            # A camera is not lost for the time in which the box kept it closed.
            ends_ns = (counts.last_media_ns, camera.monitor.resumed_ns)
            camera.on_check(now_ns, max((ns for ns in ends_ns if ns is not None), default=None))
        detail = condition.detail
        if condition.state == "stuck" and self._stuck_cameras is not None:
            action = self._stuck_cameras.handle_stuck(camera.name, is_stuck=counts.is_stuck)
            detail = action if detail is None else join_sentences(detail, action)
        self._set_fault(
            camera.name, _FAULT_BY_STATE.get(condition.state), _FAULT_BY_STATE.values(), detail
        )
        # What a camera showed before it fell silent says nothing of its view now.
        view = camera.view() if condition.state in ("delivering", "slow") else None
        view_fault, view_words = diagnosis.find_view(view)
        self._set_fault(camera.name, view_fault, diagnosis.VIEW_FAULTS, view_words)

    def _set_fault(
        self,
        camera: str,
        code: FaultCode | None,
        codes: Iterable[FaultCode],
        detail: Message | None,
    ) -> None:
        """Raise one of several faults of a camera, or none, and clear the others."""
        for other in codes:
            if other != code:
                self._faults.clear(other, camera)
        if code is not None and detail is not None:
            self._faults.raise_fault(code, camera, detail)

    def _was_stuck(self, name: str, counts: CaptureCounts) -> bool:
        """Return True if the camera was stuck in an earlier run, and has delivered nothing since."""
        stuck_cameras = self._stuck_cameras
        if stuck_cameras is None or not stuck_cameras.was_stuck(name):
            return False
        if counts.is_stuck or counts.last_media_ns is None:
            return True
        stuck_cameras.mark_recovered(name)
        return False
