"""Recovery of a camera whose process hangs in the kernel (CAM-03): agent restarts, then a reboot.

No signal ends a process that hangs in the kernel, so the next run of the agent may find the camera still
held. The agent restarts MAX_RUNS times for it. Then it runs on with its other cameras and requests a
reboot, within limits that are kept on the disk: a broken camera must not keep a box rebooting.

    stuck-cameras.json    a state file: {"boot": "...", "runs": {"north": 2}, "reboot_request": {...}}
"""

import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec

from agent.base.clock import Clock
from agent.base.message import Message
from agent.base.state_file import StateFile
from agent.health.reboot_request import request_reboot

log = logging.getLogger(__name__)

FILE_NAME = "stuck-cameras.json"
MAX_RUNS = 3
"""Runs of one boot that are restarted for a stuck camera."""
MAX_AWAY_S = 600.0
"""How long a camera that was stuck may stay silent in one run before a reboot is requested."""
MIN_UPTIME_S = 1800.0
"""No reboot is requested earlier: by then an update on trial was accepted or abandoned."""
MIN_REBOOT_INTERVAL_S = 6 * 3600.0
"""The least time between two requested reboots."""
REBOOT_WITHIN = timedelta(seconds=300)
"""A requested reboot follows within this time; a later one had another cause."""


class RebootRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A requested reboot: the camera and the time. `synced` says if `time` can be trusted."""

    camera: str
    boot: str
    t_ns: int
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    synced: bool


class _StuckState(msgspec.Struct, frozen=True, kw_only=True):
    """The file. `runs` counts, per camera, the runs of this boot in which it was stuck."""

    boot: str
    runs: dict[str, int] = msgspec.field(default_factory=dict)
    reboot_request: RebootRequest | None = None


class StuckCameras:
    """Decides on restarts and reboots for stuck cameras.

    `handle_stuck` and `mark_recovered` are called by one thread; the rest is thread-safe.
    Invariant: no reboot is requested before the request is on the disk.
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
        """Return True if the camera was stuck in this boot and has delivered nothing since."""
        return camera in self._state.runs

    def wants_restart(self, camera: str) -> bool:
        """Return True if another restart of the agent may still free the camera, and is counted on the disk.

        The run after one that is not counted would want the same restart again, without end.
        """
        return not self._has_save_failed and self._has_tries(camera)

    def previous_reboot_reason(self, boot: str, last_seen: str) -> str | None:
        """Return why this agent requested the end of the previous boot, or None if it did not.

        `last_seen` is the time of the last sign of life of that boot, RFC 3339.
        """
        request = self._state.reboot_request
        if request is None or request.boot != boot or boot == self._boot:
            return None
        delay = datetime.fromisoformat(last_seen) - request.time
        if delay > REBOOT_WITHIN:
            return None
        return f"the agent requested a reboot: camera {request.camera} was stuck in the kernel"

    def handle_stuck(self, camera: str, *, is_stuck: bool) -> Message:
        """Restart or reboot for a camera that is stuck, or was and is still silent.

        Return the action as text, for the fault.
        """
        now_ns = self._clock.boottime_ns()
        if camera not in self._stuck_since_ns:
            self._stuck_since_ns[camera] = now_ns
            if is_stuck:
                runs = {**self._state.runs, camera: self._previous_runs.get(camera, 0) + 1}
                self._save(msgspec.structs.replace(self._state, runs=runs))
        elif self._has_save_failed:
            self._save(self._state)
        # After MAX_RUNS restarts there is nothing left to wait for.
        should_wait = not is_stuck or self._has_tries(camera)
        patience_s = (
            MAX_AWAY_S - (now_ns - self._stuck_since_ns[camera]) / 1e9 if should_wait else 0.0
        )
        due_s = max(patience_s, MIN_UPTIME_S - now_ns / 1e9, self._cooldown_s(now_ns))
        if due_s <= 0:
            self._request_reboot(camera, now_ns)
        return self._action_text(camera, now_ns, due_s, is_stuck=is_stuck)

    def mark_recovered(self, camera: str) -> None:
        """Record that the camera delivers media again."""
        self._stuck_since_ns.pop(camera, None)
        if camera in self._state.runs:
            log.warning("camera %s: no longer stuck in the kernel", camera)
            runs = {name: count for name, count in self._state.runs.items() if name != camera}
            self._previous_runs.pop(camera, None)
            self._save(msgspec.structs.replace(self._state, runs=runs))

    def _has_tries(self, camera: str) -> bool:
        return self._previous_runs.get(camera, 0) < MAX_RUNS

    def _cooldown_s(self, now_ns: int) -> float:
        """Return the seconds until a reboot may be requested again.

        If the clock cannot be trusted, only the time since the boot counts.
        """
        request = self._state.reboot_request
        if request is None:
            return 0.0
        if request.boot == self._boot:
            return MIN_REBOOT_INTERVAL_S - (now_ns - request.t_ns) / 1e9
        since_s = now_ns / 1e9
        if request.synced and self._clock.trust().synced:
            elapsed = self._clock.utc(now_ns) - request.time
            since_s = max(since_s, elapsed.total_seconds())
        return MIN_REBOOT_INTERVAL_S - since_s

    def _request_reboot(self, camera: str, now_ns: int) -> None:
        request = RebootRequest(
            camera=camera,
            boot=self._boot,
            t_ns=now_ns,
            time=self._clock.utc(now_ns),
            synced=self._clock.trust().synced,
        )
        if not self._save(msgspec.structs.replace(self._state, reboot_request=request)):
            return
        log.critical("camera %s: stuck in the kernel: a reboot of the board is requested", camera)
        try:
            request_reboot(self._runtime_dir)
        except OSError as error:
            log.error("a reboot cannot be requested: %s", error)

    def _action_text(self, camera: str, now_ns: int, due_s: float, *, is_stuck: bool) -> Message:
        request = self._state.reboot_request
        if request is not None and request.boot == self._boot:
            ago_s = (now_ns - request.t_ns) / 1e9
            return Message(
                "a reboot of the board was requested {minutes:.0f} min ago", minutes=ago_s / 60
            )
        if due_s <= 0:
            return Message("a reboot of the board cannot be requested: the disk cannot be written")
        if is_stuck and self.wants_restart(camera):
            return Message(
                "the agent restarts, {count} of {max}",
                count=self._state.runs.get(camera, 1),
                max=MAX_RUNS,
            )
        return Message(
            "a reboot of the board will be requested in {minutes:.0f} min", minutes=due_s / 60
        )

    def _save(self, state: _StuckState) -> bool:
        """Return True if the state is on the disk. If not, the counts are kept for this run only."""
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
