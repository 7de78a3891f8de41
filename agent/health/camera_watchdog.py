"""Camera watchdog: checks every camera once per second, and sends the health report when it is due."""

import threading
from collections.abc import Callable, Sequence

import msgspec

from agent.base.clock import Clock
from agent.capture.capture_stage import CaptureCounts
from agent.faults.registry import FaultCode, FaultRegistry
from agent.health.stuck_cameras import StuckCameras
from agent.runtime.pause import Pause

LOST_AFTER_S = 10.0
CHECK_INTERVAL_S = 1.0
CLOCK_SYNC_TIMEOUT_S = 300.0
"""Grace period for the time servers after a start: many boxes boot without a clock."""


class WatchedCamera(msgspec.Struct, frozen=True, kw_only=True):
    """One camera to check, unless it is suspended.

    `on_check(t_ns, last_ns)` is called at each check with its time and that of the last packet or
    frame, None before the first one.
    """

    name: str
    counts: Callable[[], CaptureCounts]
    on_check: Callable[[int, int | None], None]
    is_suspended: Callable[[], bool] = lambda: False


class CameraWatchdog:
    """Raises and clears the cameras' faults and SYS-01, and sends the health report.

    A report is due every `report_interval_s` seconds, and within a second of a change of faults.
    """

    name = "camera watchdog"

    def __init__(
        self,
        cameras: Sequence[WatchedCamera],
        faults: FaultRegistry,
        clock: Clock,
        send_health: Callable[[], None],
        report_interval_s: float,
        stuck_cameras: StuckCameras | None = None,
    ) -> None:
        self._cameras = tuple(cameras)
        self._faults = faults
        self._clock = clock
        self._send_health = send_health
        self._report_interval_s = report_interval_s
        self._stuck_cameras = stuck_cameras
        self._started_ns = clock.boottime_ns()
        self._report_pause = Pause()
        self._lost_faults: dict[str, FaultCode] = {}

    def run_once(self, stopping: threading.Event) -> None:
        """Wait a second, then check."""
        if stopping.wait(CHECK_INTERVAL_S):
            return
        self.check()

    def check(self) -> None:
        """Check all cameras and the clock, and send the health report if it is due."""
        now_ns = self._clock.boottime_ns()
        for camera in self._cameras:
            self._check_camera(camera, now_ns)
        self._check_clock(now_ns)
        if self._faults.changed.is_set() or self._report_pause.is_over(now_ns):
            self._faults.changed.clear()
            self._report_pause.begin(now_ns, self._report_interval_s)
            self._send_health()

    def close(self) -> None:
        """Do nothing: no resource is held."""

    def _check_clock(self, now_ns: int) -> None:
        trust = self._clock.trust()
        if trust.synced:
            self._faults.clear("SYS-01", "clock")
        elif (now_ns - self._started_ns) / 1e9 >= CLOCK_SYNC_TIMEOUT_S:
            self._faults.raise_fault("SYS-01", "clock", "no time server has set the clock yet")

    def _check_camera(self, camera: WatchedCamera, now_ns: int) -> None:
        if camera.is_suspended():
            self._clear_lost(camera.name)
            return
        counts = camera.counts()
        camera.on_check(now_ns, counts.last_media_ns)
        self._check_stuck(camera.name, counts)
        since_ns = self._started_ns if counts.last_media_ns is None else counts.last_media_ns
        silent_s = (now_ns - since_ns) / 1e9
        code = self._lost_faults.get(camera.name)
        if silent_s < LOST_AFTER_S:
            self._clear_lost(camera.name)
            return
        if code is None:
            # The code stays that of the first check: a camera that is reopened again and again
            # would otherwise alternate between two faults.
            code = self._lost_faults[camera.name] = "CAM-02" if counts.is_open else "CAM-01"
        detail = counts.last_error or f"silent for {silent_s:.0f} s"
        self._faults.raise_fault(code, camera.name, detail)

    def _check_stuck(self, name: str, counts: CaptureCounts) -> None:
        """Raise or clear CAM-03. A camera stuck in an earlier run is stuck until it delivers media."""
        stuck_cameras = self._stuck_cameras
        detail = counts.last_error or "it delivers nothing, and was stuck in the kernel before"
        if stuck_cameras is None:
            if counts.is_stuck:
                self._faults.raise_fault("CAM-03", name, detail)
        elif counts.is_stuck or (stuck_cameras.was_stuck(name) and name in self._lost_faults):
            action = stuck_cameras.handle_stuck(name, is_stuck=counts.is_stuck)
            self._faults.raise_fault("CAM-03", name, f"{detail}; {action}")
        elif stuck_cameras.was_stuck(name) and counts.last_media_ns is not None:
            stuck_cameras.mark_recovered(name)
            self._faults.clear("CAM-03", name)

    def _clear_lost(self, name: str) -> None:
        code = self._lost_faults.pop(name, None)
        if code is not None:
            self._faults.clear(code, name)
