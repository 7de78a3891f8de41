"""The rounds: once a second every camera is looked at, and health goes out when it is due."""

import threading
from collections.abc import Callable, Sequence

import msgspec

from agent.base.clock import Clock
from agent.capture.capture_stage import CaptureCounts
from agent.faults.registry import FaultCode, FaultRegistry
from agent.health.stuck_cameras import StuckCameras

LOST_AFTER_S = 10.0
CHECK_INTERVAL_S = 1.0
CLOCK_SYNC_TIMEOUT_S = 300.0
"""A box boots without a clock; so long its time servers may take."""


class WatchedCamera(msgspec.Struct, frozen=True, kw_only=True):
    """One camera to look at, unless it `rests`.

    `on_look(t_ns, last_ns)` is called at each round with its time and that of the last packet or
    frame, None where none has come yet.
    """

    name: str
    counts: Callable[[], CaptureCounts]
    on_check: Callable[[int, int | None], None]
    is_suspended: Callable[[], bool] = lambda: False


class CameraWatchdog:
    """Raises and clears the cameras' faults, and sends health: every `interval_s` seconds, and within
    a second of a change of faults. `stuck_cameras` does what can be done about those that the kernel
    holds.
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
        self._report_interval_ns = int(report_interval_s * 1e9)
        self._stuck_cameras = stuck_cameras
        self._started_ns = clock.boottime_ns()
        self._reported_ns: int | None = None
        self._lost_faults: dict[str, FaultCode] = {}

    def run_once(self, stopping: threading.Event) -> None:
        """One round, after a second's wait."""
        if stopping.wait(CHECK_INTERVAL_S):
            return
        self.check()

    def check(self) -> None:
        """One round, now."""
        now_ns = self._clock.boottime_ns()
        for camera in self._cameras:
            self._check_camera(camera, now_ns)
        self._check_clock(now_ns)
        is_due = self._reported_ns is None or now_ns - self._reported_ns >= self._report_interval_ns
        if self._faults.changed.is_set() or is_due:
            self._faults.changed.clear()
            self._reported_ns = now_ns
            self._send_health()

    def close(self) -> None:
        """Nothing is held."""

    def _check_clock(self, now_ns: int) -> None:
        trust = self._clock.trust()
        if trust.synced:
            self._faults.clear("SYS-01", "clock")
        elif (now_ns - self._started_ns) / 1e9 >= CLOCK_SYNC_TIMEOUT_S:
            self._faults.raise_fault("SYS-01", "clock", "no time server has set it yet")

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
            # The code stays that of the first look: a camera that is opened anew again and again
            # would else be two faults in turn.
            code = self._lost_faults[camera.name] = "CAM-02" if counts.is_open else "CAM-01"
        detail = counts.last_error or f"silent for {silent_s:.0f} s"
        self._faults.raise_fault(code, camera.name, detail)

    def _check_stuck(self, name: str, counts: CaptureCounts) -> None:
        """A camera that the kernel held in a run before is stuck still until it gives something."""
        stuck_cameras = self._stuck_cameras
        detail = counts.last_error or "gives nothing, and the kernel held it"
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
