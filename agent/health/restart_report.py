"""After a start: why the run before has ended, what its flight recorder held, and who is told.

What the pure judgement (`restart_cause`) goes by is gathered here.
"""

import base64
import logging
import re
import zlib
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec

from agent.base.health_model import FlightSample
from agent.health.flight_recorder import Flight
from agent.health.restart_cause import Ended, Evidence, classify
from agent.health.vitals import parse
from agent.health.vitals.procfs import ProcFs
from agent.reporting.payloads import Restarted

log = logging.getLogger(__name__)

SERVICE_RESULT = "service-result"
"""In the runtime folder: systemd's SERVICE_RESULT of the last run, which the unit writes there, and how
many of its processes the kernel had ever killed for want of memory: `signal\noom_kill 1\n`.
"""
OOM_KILLS = "oom-kills"
"""Beside it: that number as of the start before. The control group, which counts, outlives a run."""
RESET_REGISTER = "proc/device-tree/chosen/bootloader/rsts"
PSTORE = "sys/fs/pstore"
PSTORE_KEPT = "var/lib/systemd/pstore"
"""Where systemd moves the kernel's records to at the boot."""

FLIGHT_MOST_BYTES = 48_000
"""Compressed; at 100 kbit/s, in base64, it is five seconds of the link, at a restart."""
LAST_MINUTE = 60


def collect_evidence(
    flight: Flight, boot: str, runtime: Path, tree: ProcFs, asked_reboot: str | None = None
) -> Evidence:
    """What there is to go by. The service's result is taken away: it is of one run. `asked_reboot` is
    why the agent itself had asked for a reboot.
    """
    return Evidence(
        boot=boot,
        service_result=_service_result(runtime),
        reset=parse.reset_cause(tree.read(RESET_REGISTER)),
        crash_records=_crash_records(tree, flight.last.time),
        asked_reboot=asked_reboot,
    )


def restarted(flight: Flight, evidence: Evidence) -> Restarted:
    """The message to the centre."""
    ended = classify(flight.last, evidence)
    return Restarted(
        cause=ended.cause,
        detail=ended.detail,
        new_boot=ended.new_boot,
        boot_before=flight.last.boot,
        ended=flight.last.time,
        last=flight.samples[-1] if flight.samples else None,
        flight=_packed(flight.samples) if _was_not_asked(ended) and flight.samples else None,
    )


def unpacked(flight: str) -> tuple[FlightSample, ...]:
    """The samples of a message's `flight`. Raises ValueError where it is none."""
    try:
        lines = zlib.decompress(base64.b64decode(flight, validate=True)).splitlines()
        return tuple(msgspec.json.decode(line, type=FlightSample) for line in lines)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(f"not a flight: {error}") from error


def _service_result(runtime: Path) -> str | None:
    """What systemd said. With OOMPolicy=continue it calls a process that the kernel killed for want of
    memory one that a signal ended, as any other.
    """
    told = ""
    with suppress(OSError, UnicodeDecodeError):
        told = (runtime / SERVICE_RESULT).read_text(encoding="ascii")[:200]
        (runtime / SERVICE_RESULT).unlink()
    result = told.partition("\n")[0].strip()[:40] or None
    counted = re.search(r"^oom_kill (\d{1,9})$", told, re.MULTILINE)
    if counted is None:
        return result
    kills, before = int(counted[1]), 0
    with suppress(OSError, ValueError):
        before = int((runtime / OOM_KILLS).read_text(encoding="ascii"))
    with suppress(OSError):
        (runtime / OOM_KILLS).write_text(str(kills), encoding="ascii")
    # A number that is less than before is of a new control group.
    more = kills > before or 0 < kills < before
    return "oom-kill" if result == "signal" and more else result


def _was_not_asked(ended: Ended) -> bool:
    return ended.cause != "asked"


def _packed(samples: Sequence[FlightSample]) -> str:
    """The last minute whole, and as much of what was before as there is room for."""
    older, newest = samples[:-LAST_MINUTE], samples[-LAST_MINUTE:]
    while True:
        lines = b"\n".join(msgspec.json.encode(sample) for sample in (*older, *newest))
        data = zlib.compress(lines, 9)
        if len(data) <= FLIGHT_MOST_BYTES or not older:
            return base64.b64encode(data).decode()
        older = older[-1::-2][::-1]


def _crash_records(tree: ProcFs, last_heard: str) -> tuple[str, ...]:
    """The names of the kernel's records: those that lie there, and those that were moved since."""
    found = [path.rpartition("/")[2] for path in tree.names(PSTORE, "")]
    with suppress(OSError, ValueError):
        since = datetime.fromisoformat(last_heard).timestamp()
        found += [
            path.name
            for path in sorted((tree.root / PSTORE_KEPT).iterdir())
            if path.stat().st_mtime >= since
        ]
    return tuple(found)
