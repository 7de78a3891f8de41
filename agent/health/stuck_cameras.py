"""A camera that the kernel holds (CAM-03): the agent starts anew, and where that does not help it asks
for a restart of the board.

No signal ends a process that hangs in the kernel, so the next run of the agent may find the camera held
still. A few runs are given up for it. Then the agent runs on with its other cameras, and asks for a
reboot, within bounds that outlive it: a broken camera must not keep a box rebooting.

    stuck-cameras.json    {"boot": "...", "runs": {"north": 2}, "reboot_request": {...}}
"""

import logging
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from agent.base.clock import Clock, rfc3339
from agent.base.state_file import StateFile

log = logging.getLogger(__name__)

FILE_NAME = "stuck-cameras.json"
REBOOT_FILE = "reboot"
"""In the runtime folder: the file that asks for it, see systemd/vigie-reboot.path."""
MAX_RUNS = 3
"""So many runs of a boot are given up for a camera that the kernel holds."""
MAX_AWAY_S = 600.0
"""So long a camera may stay away in one run, where no run is given up for it."""
MIN_UPTIME_S = 1800.0
"""Younger boots are not ended: by then an update on trial was found good, or was left."""
MIN_REBOOT_INTERVAL_S = 6 * 3600.0
"""Between two reboots that were asked for."""
REBOOT_WITHIN = timedelta(seconds=300)
"""So soon a reboot follows where it is done at all. One that comes later had another cause."""


class RebootRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A reboot that was asked for: the camera, and when, by the boot's own time and by UTC, which
    `synced` says how to take.
    """

    camera: str
    boot: str
    t_ns: int
    time: str
    synced: bool


class _StuckState(msgspec.Struct, frozen=True, kw_only=True):
    """The file. `runs` counts, of this boot, in how many runs each camera was found stuck."""

    boot: str
    runs: dict[str, int] = msgspec.field(default_factory=dict)
    reboot_request: RebootRequest | None = None


class StuckCameras:
    """What is done about them. `look` and `freed` are for one thread, the rest for any.

    Invariant: no reboot is asked for before it is on the disk that it was.
    """

    def __init__(self, state_dir: Path, runtime_dir: Path, clock: Clock, boot: str) -> None:
        self._file = StateFile(state_dir / FILE_NAME, _StuckState)
        self._runtime_dir = runtime_dir
        self._clock = clock
        self._boot = boot
        stored = self._file.load() or _StuckState(boot=boot)
        self._state = (
            stored
            if stored.boot == boot
            else _StuckState(boot=boot, reboot_request=stored.reboot_request)
        )
        self._previous_runs = dict(self._state.runs)
        self._stuck_since_ns: dict[str, int] = {}
        self._has_save_failed = False

    def was_stuck(self, camera: str) -> bool:
        """Whether the kernel held it in this boot, and it has given nothing since."""
        return camera in self._state.runs

    def wants_restart(self, camera: str) -> bool:
        """Whether another run of the agent may still help a camera that is stuck."""
        return self._previous_runs.get(camera, 0) < MAX_RUNS

    def previous_reboot_reason(self, boot: str, last_seen: str) -> str | None:
        """Why the boot before, `boot`, was to end, where this agent had asked for it; None where it had
        not. `ended` is when that boot was last heard of, RFC 3339.
        """
        request = self._state.reboot_request
        if request is None or request.boot != boot or boot == self._boot:
            return None
        delay = datetime.fromisoformat(last_seen) - datetime.fromisoformat(request.time)
        if delay > REBOOT_WITHIN:
            return None
        return f"the agent asked for a reboot: the kernel held camera {request.camera}"

    def handle_stuck(self, camera: str, *, is_stuck: bool) -> str:
        """It is stuck, or was in a run before and has not come back. What is done about it."""
        now_ns = self._clock.boottime_ns()
        if camera not in self._stuck_since_ns:
            self._stuck_since_ns[camera] = now_ns
            if is_stuck:
                runs = {**self._state.runs, camera: self._previous_runs.get(camera, 0) + 1}
                self._save(msgspec.structs.replace(self._state, runs=runs))
        # Where enough runs were given up for it, nothing is left to wait for.
        should_wait = not is_stuck or self.wants_restart(camera)
        patience_s = (
            MAX_AWAY_S - (now_ns - self._stuck_since_ns[camera]) / 1e9 if should_wait else 0.0
        )
        due_s = max(patience_s, MIN_UPTIME_S - now_ns / 1e9, self._cooldown_s(now_ns))
        if due_s <= 0:
            self._request_reboot(camera, now_ns)
        return self._action_text(camera, now_ns, due_s, is_stuck=is_stuck)

    def mark_recovered(self, camera: str) -> None:
        """It gives something again."""
        self._stuck_since_ns.pop(camera, None)
        if camera in self._state.runs:
            log.warning("camera %s: the kernel has let go of it", camera)
            runs = {name: count for name, count in self._state.runs.items() if name != camera}
            self._previous_runs.pop(camera, None)
            self._save(msgspec.structs.replace(self._state, runs=runs))

    def _cooldown_s(self, now_ns: int) -> float:
        """How long there may be no reboot after the last one. Where the clock cannot be trusted only
        the time since the boot counts.
        """
        request = self._state.reboot_request
        if request is None:
            return 0.0
        if request.boot == self._boot:
            return MIN_REBOOT_INTERVAL_S - (now_ns - request.t_ns) / 1e9
        since_s = now_ns / 1e9
        if request.synced and self._clock.trust().synced:
            elapsed = self._clock.utc(now_ns) - datetime.fromisoformat(request.time)
            since_s = max(since_s, elapsed.total_seconds())
        return MIN_REBOOT_INTERVAL_S - since_s

    def _request_reboot(self, camera: str, now_ns: int) -> None:
        request = RebootRequest(
            camera=camera,
            boot=self._boot,
            t_ns=now_ns,
            time=rfc3339(self._clock.utc(now_ns)),
            synced=self._clock.trust().synced,
        )
        if not self._save(msgspec.structs.replace(self._state, reboot_request=request)):
            return
        log.critical("camera %s: the kernel holds it: asking for a reboot of the board", camera)
        try:
            self._runtime_dir.mkdir(parents=True, exist_ok=True)
            (self._runtime_dir / REBOOT_FILE).touch()
        except OSError as error:
            log.error("a reboot cannot be asked for: %s", error)

    def _action_text(self, camera: str, now_ns: int, due_s: float, *, is_stuck: bool) -> str:
        request = self._state.reboot_request
        if request is not None and request.boot == self._boot:
            ago_s = (now_ns - request.t_ns) / 1e9
            return f"a reboot of the board was asked for {ago_s / 60:.0f} min ago"
        if due_s <= 0:
            return "a reboot of the board cannot be asked for: the disk takes nothing"
        if is_stuck and self.wants_restart(camera):
            return f"the agent is to start anew, {self._state.runs.get(camera, 1)} of {MAX_RUNS}"
        return f"a reboot of the board is asked for in {due_s / 60:.0f} min"

    def _save(self, state: _StuckState) -> bool:
        """Whether it is on the disk. Where it is not, what was counted stands for this run alone."""
        try:
            self._file.write(state)
        except OSError as error:
            if not self._has_save_failed:
                log.error("%s: %s", self._file.path, error)
            self._has_save_failed = True
            self._state = msgspec.structs.replace(state, reboot_request=self._state.reboot_request)
            return False
        self._has_save_failed = False
        self._state = state
        return True
