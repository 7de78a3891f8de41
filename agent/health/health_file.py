"""Live health file: the newest report, for other programs of the box.

Every six seconds, and within one if a fault or the degradation level has changed, the agent replaces `health.json`
in the runtime folder. A file older than STALE_S means that the agent is dead or hangs; one that says `has_stopped`, that it was stopped.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from agent.base.clock import Clock, boot_id, rfc3339
from agent.base.file_read import read_regular_file
from agent.base.health_model import HealthReport
from agent.base.json_decode import JsonDecoder, MalformedJson

FILE_NAME = "health.json"
STALE_S = 10.0
_MAX_BYTES = 1_048_576
INSTALLED_STATE_DIR = Path("/var/lib/vigie")
INSTALLED_RUNTIME_DIR = Path("/run/vigie")


class LiveHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Content of the file: the report and its time, in UTC (RFC 3339) and in nanoseconds of `boot`.

    `has_stopped`: the agent has stopped in order, and this is its last report.
    """

    time: str
    t_ns: int
    boot: str
    report: HealthReport
    has_stopped: bool = False

    def age_s(self, now_ns: int) -> float:
        """Return the age at `now_ns` of the same boot."""
        return max(0.0, (now_ns - self.t_ns) / 1e9)

    def is_stale(self, now_ns: int) -> bool:
        """Return True if the agent that wrote the file has stopped, is dead or hangs."""
        return self.has_stopped or self.age_s(now_ns) > STALE_S


_DECODER = JsonDecoder(LiveHealth)


def get_runtime_dir(state_dir: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder where the programs of a box meet: systemd's, or `run` in the state folder.

    systemd's variable is missing in a command that a person starts: an installed box has a fixed folder.
    """
    configured = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if configured:
        return Path(configured)
    folder = state_dir / "run"
    return (
        INSTALLED_RUNTIME_DIR
        if state_dir == INSTALLED_STATE_DIR and not folder.is_dir()
        else folder
    )


def make_live(report: HealthReport, clock: Clock, boot: str | None = None) -> LiveHealth:
    """Return a report with the time of now, of a boot, by default this one."""
    t_ns = clock.boottime_ns()
    return LiveHealth(
        time=rfc3339(clock.utc(t_ns)), t_ns=t_ns, boot=boot or boot_id(), report=report
    )


def write(folder: Path, live: LiveHealth) -> None:
    """Replace the file: a reader finds the old one or the new one. Raises: OSError.

    It is not synced to the disk: after a power cut the flight recorder has the last seconds.
    """
    data = msgspec.json.encode(live)
    temp_path = folder / f".{FILE_NAME}.new"
    try:
        temp_path.write_bytes(data)
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        temp_path.write_bytes(data)
    temp_path.replace(folder / FILE_NAME)


def read(folder: Path, boot: str | None = None) -> LiveHealth | None:
    """Return the newest report, or None if there is none of the boot `boot`, by default this one."""
    try:
        live = _DECODER.decode(read_regular_file(folder / FILE_NAME, _MAX_BYTES))
    except (OSError, MalformedJson):
        return None
    return live if live.boot == (boot or boot_id()) else None
