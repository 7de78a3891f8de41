"""The rounds: once a second every camera is looked at, and health goes out when it is due."""

import threading
from collections.abc import Callable, Sequence

import msgspec

from agent.base.clock import Clock
from agent.capture.capture_stage import CaptureCounts
from agent.faults.registry import FaultCode, FaultRegistry
from agent.health.stuck_cameras import StuckCameras

LOST_AFTER_S = 10.0
ROUND_S = 1.0
SYNC_WITHIN_S = 300.0
"""A box boots without a clock; so long its time servers may take."""


class WatchedCamera(msgspec.Struct, frozen=True, kw_only=True):
    """One camera to look at, unless it `rests`.

    `on_look(t_ns, last_ns)` is called at each round with its time and that of the last packet or
    frame, None where none has come yet.
    """

    name: str
    counts: Callable[[], CaptureCounts]
    on_look: Callable[[int, int | None], None]
    rests: Callable[[], bool] = lambda: False


class CameraWatchdog:
    """Raises and clears the cameras' faults, and sends health: every `every_s` seconds, and within
    a second of a change of faults. `stuck_cameras` does what can be done about those that the kernel
    holds.
    """

    name = "rounds"

    def __init__(
        self,
        cameras: Sequence[WatchedCamera],
        faults: FaultRegistry,
        clock: Clock,
        send_health: Callable[[], None],
        every_s: float,
        stuck_cameras: StuckCameras | None = None,
    ) -> None:
        self._cameras = tuple(cameras)
        self._faults = faults
        self._clock = clock
        self._send_health = send_health
        self._every_ns = int(every_s * 1e9)
        self._stuck_cameras = stuck_cameras
        self._began_ns = clock.boottime_ns()
        self._sent_ns: int | None = None
        self._lost: dict[str, FaultCode] = {}

    def run_once(self, stopping: threading.Event) -> None:
        """One round, after a second's wait."""
        if stopping.wait(ROUND_S):
            return
        self.check()

    def check(self) -> None:
        """One round, now."""
        now_ns = self._clock.boottime_ns()
        for camera in self._cameras:
            self._look_at(camera, now_ns)
        self._look_at_clock(now_ns)
        due = self._sent_ns is None or now_ns - self._sent_ns >= self._every_ns
        if self._faults.changed.is_set() or due:
            self._faults.changed.clear()
            self._sent_ns = now_ns
            self._send_health()

    def close(self) -> None:
        """Nothing is held."""

    def _look_at_clock(self, now_ns: int) -> None:
        trust = self._clock.trust()
        if trust.synced:
            self._faults.clear("SYS-01", "clock")
        elif (now_ns - self._began_ns) / 1e9 >= SYNC_WITHIN_S:
            self._faults.raise_fault("SYS-01", "clock", "no time server has set it yet")

    def _look_at(self, camera: WatchedCamera, now_ns: int) -> None:
        if camera.rests():
            self._clear_lost(camera.name)
            return
        counts = camera.counts()
        camera.on_look(now_ns, counts.last_ns)
        self._look_at_stuck(camera.name, counts)
        since_ns = self._began_ns if counts.last_ns is None else counts.last_ns
        silent_s = (now_ns - since_ns) / 1e9
        code = self._lost.get(camera.name)
        if silent_s < LOST_AFTER_S:
            self._clear_lost(camera.name)
            return
        if code is None:
            # The code stays that of the first look: a camera that is opened anew again and again
            # would else be two faults in turn.
            code = self._lost[camera.name] = "CAM-02" if counts.open else "CAM-01"
        detail = counts.last_error or f"silent for {silent_s:.0f} s"
        self._faults.raise_fault(code, camera.name, detail)

    def _look_at_stuck(self, name: str, counts: CaptureCounts) -> None:
        """A camera that the kernel held in a run before is stuck still until it gives something."""
        cameras = self._stuck_cameras
        detail = counts.last_error or "gives nothing, and the kernel held it"
        if cameras is None:
            if counts.stuck:
                self._faults.raise_fault("CAM-03", name, detail)
        elif counts.stuck or (cameras.was_stuck(name) and name in self._lost):
            told = cameras.look(name, stuck=counts.stuck)
            self._faults.raise_fault("CAM-03", name, f"{detail}; {told}")
        elif cameras.was_stuck(name) and counts.last_ns is not None:
            cameras.freed(name)
            self._faults.clear("CAM-03", name)

    def _clear_lost(self, name: str) -> None:
        code = self._lost.pop(name, None)
        if code is not None:
            self._faults.clear(code, name)
