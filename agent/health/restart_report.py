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
from agent.health.restart_cause import RestartEvidence, RunEnd, classify
from agent.health.vitals import parse
from agent.health.vitals.procfs import ProcFs
from agent.reporting.payloads import Restarted

log = logging.getLogger(__name__)

SERVICE_RESULT_FILE = "service-result"
"""In the runtime folder: systemd's SERVICE_RESULT of the last run, which the unit writes there, and how
many of its processes the kernel had ever killed for want of memory: `signal\noom_kill 1\n`.
"""
OOM_KILLS_FILE = "oom-kills"
"""Beside it: that number as of the start before. The control group, which counts, outlives a run."""
RESET_REGISTER = "proc/device-tree/chosen/bootloader/rsts"
PSTORE = "sys/fs/pstore"
PSTORE_ARCHIVE = "var/lib/systemd/pstore"
"""Where systemd moves the kernel's records to at the boot."""

MAX_FLIGHT_BYTES = 48_000
"""Compressed; at 100 kbit/s, in base64, it is five seconds of the link, at a restart."""
WHOLE_SAMPLES = 60


def collect_evidence(
    flight: Flight, boot: str, runtime_dir: Path, procfs: ProcFs, reboot_reason: str | None = None
) -> RestartEvidence:
    """What there is to go by. The service's result is taken away: it is of one run. `asked_reboot` is
    why the agent itself had asked for a reboot.
    """
    return RestartEvidence(
        boot=boot,
        service_result=_pop_service_result(runtime_dir),
        reset_cause=parse.reset_cause(procfs.read(RESET_REGISTER)),
        crash_records=_crash_records(procfs, flight.last_page.time),
        reboot_reason=reboot_reason,
    )


def build_restart_receipt(flight: Flight, evidence: RestartEvidence) -> Restarted:
    """The message to the centre."""
    run_end = classify(flight.last_page, evidence)
    return Restarted(
        cause=run_end.cause,
        detail=run_end.detail,
        new_boot=run_end.new_boot,
        boot_before=flight.last_page.boot,
        last_seen=flight.last_page.time,
        last_sample=flight.samples[-1] if flight.samples else None,
        flight=_pack_flight(flight.samples)
        if _is_unrequested(run_end) and flight.samples
        else None,
    )


def unpack_flight(flight: str) -> tuple[FlightSample, ...]:
    """The samples of a message's `flight`. Raises ValueError where it is none."""
    try:
        lines = zlib.decompress(base64.b64decode(flight, validate=True)).splitlines()
        return tuple(msgspec.json.decode(line, type=FlightSample) for line in lines)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(f"not a flight: {error}") from error


def _pop_service_result(runtime_dir: Path) -> str | None:
    """What systemd said. With OOMPolicy=continue it calls a process that the kernel killed for want of
    memory one that a signal ended, as any other.
    """
    text = ""
    with suppress(OSError, UnicodeDecodeError):
        text = (runtime_dir / SERVICE_RESULT_FILE).read_text(encoding="ascii")[:200]
        (runtime_dir / SERVICE_RESULT_FILE).unlink()
    result = text.partition("\n")[0].strip()[:40] or None
    kills_match = re.search(r"^oom_kill (\d{1,9})$", text, re.MULTILINE)
    if kills_match is None:
        return result
    kills, previous_kills = int(kills_match[1]), 0
    with suppress(OSError, ValueError):
        previous_kills = int((runtime_dir / OOM_KILLS_FILE).read_text(encoding="ascii"))
    with suppress(OSError):
        (runtime_dir / OOM_KILLS_FILE).write_text(str(kills), encoding="ascii")
    # A number that is less than before is of a new control group.
    has_new_kills = kills > previous_kills or 0 < kills < previous_kills
    return "oom-kill" if result == "signal" and has_new_kills else result


def _is_unrequested(run_end: RunEnd) -> bool:
    return run_end.cause != "requested"


def _pack_flight(samples: Sequence[FlightSample]) -> str:
    """The last minute whole, and as much of what was before as there is room for."""
    older, newest = samples[:-WHOLE_SAMPLES], samples[-WHOLE_SAMPLES:]
    while True:
        lines = b"\n".join(msgspec.json.encode(sample) for sample in (*older, *newest))
        data = zlib.compress(lines, 9)
        if len(data) <= MAX_FLIGHT_BYTES or not older:
            return base64.b64encode(data).decode()
        older = older[-1::-2][::-1]


def _crash_records(procfs: ProcFs, last_seen: str) -> tuple[str, ...]:
    """The names of the kernel's records: those that lie there, and those that were moved since."""
    found = [path.rpartition("/")[2] for path in procfs.list_paths(PSTORE, "")]
    with suppress(OSError, ValueError):
        since = datetime.fromisoformat(last_seen).timestamp()
        found += [
            path.name
            for path in sorted((procfs.root / PSTORE_ARCHIVE).iterdir())
            if path.stat().st_mtime >= since
        ]
    return tuple(found)
