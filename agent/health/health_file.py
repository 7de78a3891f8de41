"""How the box is, in a file that other programs of the box read while the agent lives.

Once a second the agent replaces `health.json` in the runtime folder. A file that is older than STALE_S
means that the agent is dead or hangs.
"""

import os
from collections.abc import Mapping
from datetime import UTC
from pathlib import Path

import msgspec

from agent.base.clock import Clock, boot_id
from agent.base.health_model import HealthReport

FILE_NAME = "health.json"
STALE_S = 5.0


class LiveHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What the file holds: the report, and when it was written, in UTC (RFC 3339) and in nanoseconds
    of the boot `boot`.
    """

    time: str
    t_ns: int
    boot: str
    report: HealthReport

    def age_s(self, now_ns: int) -> float:
        """How old it is at `now_ns` of the same boot."""
        return max(0.0, (now_ns - self.t_ns) / 1e9)

    def is_stale(self, now_ns: int) -> bool:
        """Whether the agent that wrote it is dead or hangs."""
        return self.age_s(now_ns) > STALE_S


_LIVE_DECODER = msgspec.json.Decoder(LiveHealth)


def get_runtime_dir(state_dir: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the programs of a box meet: the folder that systemd made, else one within `state`."""
    configured = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return Path(configured) if configured else state_dir / "run"


def write(folder: Path, report: HealthReport, clock: Clock, boot: str | None = None) -> None:
    """Replace the file: a reader finds the old one or the new one, whole. Raises OSError.

    It is not synced to the disk: after a power cut the flight recorder is asked instead.
    """
    t_ns = clock.boottime_ns()
    time = clock.utc(t_ns).astimezone(UTC).isoformat(timespec="milliseconds")
    live = LiveHealth(
        time=time.removesuffix("+00:00") + "Z", t_ns=t_ns, boot=boot or boot_id(), report=report
    )
    data = msgspec.json.encode(live)
    temp_path = folder / f".{FILE_NAME}.new"
    try:
        temp_path.write_bytes(data)
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        temp_path.write_bytes(data)
    temp_path.replace(folder / FILE_NAME)


def read(folder: Path, boot: str | None = None) -> LiveHealth | None:
    """What the file says; None where there is none, or it cannot be read, or it is of another boot
    than `boot`, which is this one unless it is given.
    """
    try:
        live = _LIVE_DECODER.decode((folder / FILE_NAME).read_bytes())
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return live if live.boot == (boot or boot_id()) else None
