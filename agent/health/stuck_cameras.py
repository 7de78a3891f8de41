"""A camera that the kernel holds (CAM-03): the agent starts anew, and where that does not help it asks
for a restart of the board.

No signal ends a process that hangs in the kernel, so the next run of the agent may find the camera held
still. A few runs are given up for it. Then the agent runs on with its other cameras, and asks for a
reboot, within bounds that outlive it: a broken camera must not keep a box rebooting.

    stuck-cameras.json    {"boot": "...", "runs": {"north": 2}, "asked": {...}}
"""

import logging
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from agent.base import state_file
from agent.base.clock import Clock
from agent.recording.segment_name import rfc3339

log = logging.getLogger(__name__)

NAME = "stuck-cameras.json"
REBOOT = "reboot"
"""In the runtime folder: the file that asks for it, see systemd/vigie-reboot.path."""
RUNS_MOST = 3
"""So many runs of a boot are given up for a camera that the kernel holds."""
AWAY_S = 600.0
"""So long a camera may stay away in one run, where no run is given up for it."""
BOOT_AT_LEAST_S = 1800.0
"""Younger boots are not ended: by then an update on trial was found good, or was left."""
EVERY_S = 6 * 3600.0
"""Between two reboots that were asked for."""
ENDS_WITHIN = timedelta(seconds=300)
"""So soon a reboot follows where it is done at all. One that comes later had another cause."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A reboot that was asked for: the camera, and when, by the boot's own time and by UTC, which
    `synced` says how to take.
    """

    camera: str
    boot: str
    t_ns: int
    time: str
    synced: bool


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The file. `runs` counts, of this boot, in how many runs each camera was found stuck."""

    boot: str
    runs: dict[str, int] = msgspec.field(default_factory=dict)
    asked: Asked | None = None


class StuckCameras:
    """What is done about them. `look` and `freed` are for one thread, the rest for any.

    Invariant: no reboot is asked for before it is on the disk that it was.
    """

    def __init__(self, state: Path, runtime: Path, clock: Clock, boot: str) -> None:
        self._path = state / NAME
        self._runtime = runtime
        self._clock = clock
        self._boot = boot
        kept = _read(self._path) or _Kept(boot=boot)
        self._kept = kept if kept.boot == boot else _Kept(boot=boot, asked=kept.asked)
        self._runs_before = dict(self._kept.runs)
        self._since_ns: dict[str, int] = {}
        self._failed = False

    def was_stuck(self, camera: str) -> bool:
        """Whether the kernel held it in this boot, and it has given nothing since."""
        return camera in self._kept.runs

    def wants_restart(self, camera: str) -> bool:
        """Whether another run of the agent may still help a camera that is stuck."""
        return self._runs_before.get(camera, 0) < RUNS_MOST

    def reboot_before(self, boot: str, ended: str) -> str | None:
        """Why the boot before, `boot`, was to end, where this agent had asked for it; None where it had
        not. `ended` is when that boot was last heard of, RFC 3339.
        """
        asked = self._kept.asked
        if asked is None or asked.boot != boot or boot == self._boot:
            return None
        late = datetime.fromisoformat(ended) - datetime.fromisoformat(asked.time)
        if late > ENDS_WITHIN:
            return None
        return f"the agent asked for a reboot: the kernel held camera {asked.camera}"

    def look(self, camera: str, *, stuck: bool) -> str:
        """It is stuck, or was in a run before and has not come back. What is done about it."""
        now_ns = self._clock.boottime_ns()
        if camera not in self._since_ns:
            self._since_ns[camera] = now_ns
            if stuck:
                runs = {**self._kept.runs, camera: self._runs_before.get(camera, 0) + 1}
                self._keep(msgspec.structs.replace(self._kept, runs=runs))
        # Where enough runs were given up for it, nothing is left to wait for.
        waits = not stuck or self.wants_restart(camera)
        patience_s = AWAY_S - (now_ns - self._since_ns[camera]) / 1e9 if waits else 0.0
        due_s = max(patience_s, BOOT_AT_LEAST_S - now_ns / 1e9, self._rest_s(now_ns))
        if due_s <= 0:
            self._ask(camera, now_ns)
        return self._said(camera, now_ns, due_s, stuck=stuck)

    def freed(self, camera: str) -> None:
        """It gives something again."""
        self._since_ns.pop(camera, None)
        if camera in self._kept.runs:
            log.warning("camera %s: the kernel has let go of it", camera)
            runs = {name: count for name, count in self._kept.runs.items() if name != camera}
            self._runs_before.pop(camera, None)
            self._keep(msgspec.structs.replace(self._kept, runs=runs))

    def _rest_s(self, now_ns: int) -> float:
        """How long there may be no reboot after the last one. Where the clock cannot be trusted only
        the time since the boot counts.
        """
        asked = self._kept.asked
        if asked is None:
            return 0.0
        if asked.boot == self._boot:
            return EVERY_S - (now_ns - asked.t_ns) / 1e9
        since_s = now_ns / 1e9
        if asked.synced and self._clock.trust().synced:
            ago = self._clock.utc(now_ns) - datetime.fromisoformat(asked.time)
            since_s = max(since_s, ago.total_seconds())
        return EVERY_S - since_s

    def _ask(self, camera: str, now_ns: int) -> None:
        asked = Asked(
            camera=camera,
            boot=self._boot,
            t_ns=now_ns,
            time=rfc3339(self._clock.utc(now_ns)),
            synced=self._clock.trust().synced,
        )
        if not self._keep(msgspec.structs.replace(self._kept, asked=asked)):
            return
        log.critical("camera %s: the kernel holds it: asking for a reboot of the board", camera)
        try:
            self._runtime.mkdir(parents=True, exist_ok=True)
            (self._runtime / REBOOT).touch()
        except OSError as error:
            log.error("a reboot cannot be asked for: %s", error)

    def _said(self, camera: str, now_ns: int, due_s: float, *, stuck: bool) -> str:
        asked = self._kept.asked
        if asked is not None and asked.boot == self._boot:
            ago_s = (now_ns - asked.t_ns) / 1e9
            return f"a reboot of the board was asked for {ago_s / 60:.0f} min ago"
        if due_s <= 0:
            return "a reboot of the board cannot be asked for: the disk takes nothing"
        if stuck and self.wants_restart(camera):
            return f"the agent is to start anew, {self._kept.runs.get(camera, 1)} of {RUNS_MOST}"
        return f"a reboot of the board is asked for in {due_s / 60:.0f} min"

    def _keep(self, kept: _Kept) -> bool:
        """Whether it is on the disk. Where it is not, what was counted stands for this run alone."""
        try:
            state_file.keep(self._path, msgspec.json.encode(kept))
        except OSError as error:
            if not self._failed:
                log.error("%s: %s", self._path, error)
            self._failed = True
            self._kept = msgspec.structs.replace(kept, asked=self._kept.asked)
            return False
        self._failed = False
        self._kept = kept
        return True


def _read(path: Path) -> _Kept | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Kept)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        state_file.set_aside(path)
        return None
