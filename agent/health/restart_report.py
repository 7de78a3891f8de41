"""Restart report: the evidence of the previous run's end, its classification, and the receipt for the centre."""

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
from agent.base.json_decode import MalformedJson, decode_json
from agent.health.flight_page import FlightPage
from agent.health.flight_recorder import Flight
from agent.health.vitals import parse
from agent.health.vitals.parse import ResetCause
from agent.health.vitals.procfs import ProcFs
from agent.reporting.payloads import RestartCause, Restarted

log = logging.getLogger(__name__)


class RestartEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence of the previous run's end.

    `service_result` is systemd's SERVICE_RESULT of that run. `crash_records` are the names of files in
    pstore. `reboot_reason` is set if the agent itself had requested a reboot.
    """

    boot: str
    service_result: str | None = None
    reset_cause: ResetCause | None = None
    crash_records: tuple[str, ...] = ()
    reboot_reason: str | None = None


class RunEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The end of the previous run, and the evidence for it in one sentence."""

    cause: RestartCause
    detail: str
    new_boot: bool


def classify(last_page: FlightPage, evidence: RestartEvidence) -> RunEnd:
    """Classify the end of the run that wrote `last_page`."""
    new_boot = last_page.boot != evidence.boot
    cause, detail = _classify_run(last_page, evidence, new_boot=new_boot)
    if new_boot and evidence.reboot_reason is not None:
        # Even if the board did not stop in order: a device that hangs may prevent that.
        cause, detail = "camera_stuck", evidence.reboot_reason
    return RunEnd(cause=cause, detail=detail, new_boot=new_boot)


def _classify_run(
    last_page: FlightPage, evidence: RestartEvidence, *, new_boot: bool
) -> tuple[RestartCause, str]:
    if last_page.kind == "stopped":
        return "requested", last_page.reason or "the agent was asked to stop"
    if new_boot:
        return _classify_reboot(evidence)
    match evidence.service_result:
        case "watchdog":
            return "watchdog", "systemd killed the agent because a vital loop did not turn"
        case "oom-kill":
            return "memory", "the kernel killed the agent for lack of memory"
        case None | "success":
            return "crash", "the agent ended without stopping in order, and the board ran on"
        case result:
            return "crash", f"the agent ended without stopping in order; systemd reports {result!r}"


def _classify_reboot(evidence: RestartEvidence) -> tuple[RestartCause, str]:
    if evidence.crash_records:
        names = ", ".join(evidence.crash_records[:3])
        return "kernel_crash", f"the kernel left a crash record in pstore: {names}"
    if evidence.reset_cause == "power":
        return "power_cut", "the board reports a power-on, and the agent had not been stopped"
    if evidence.reset_cause == "watchdog":
        return (
            "board_watchdog",
            "the board reports its watchdog, and the agent had not been stopped",
        )
    return "power_cut", "the board was restarted, and there is no evidence of another cause"


SERVICE_RESULT_FILE = "service-result"
"""File in the runtime folder that the unit writes: systemd's SERVICE_RESULT of the previous run, and how
many processes of its control group the kernel has ever killed for lack of memory: `signal\noom_kill 1\n`.
"""
OOM_KILLS_FILE = "oom-kills"
"""File next to it: the number of kills at the previous start. The control group outlives a run."""
RESET_REGISTER = "proc/device-tree/chosen/bootloader/rsts"
PSTORE = "sys/fs/pstore"
PSTORE_ARCHIVE = "var/lib/systemd/pstore"
"""The folder into which systemd moves the kernel's crash records at the boot."""

MAX_FLIGHT_BYTES = 48_000
"""Bound of the compressed samples: in base64, five seconds of a 100 kbit/s link."""
WHOLE_SAMPLES = 60


def collect_evidence(
    flight: Flight, boot: str, runtime_dir: Path, procfs: ProcFs, reboot_reason: str | None = None
) -> RestartEvidence:
    """Collect the evidence. The service's result is deleted: it belongs to one run.

    `reboot_reason` is the agent's own reason, if it had requested a reboot.
    """
    return RestartEvidence(
        boot=boot,
        service_result=_pop_service_result(runtime_dir),
        reset_cause=parse.reset_cause(procfs.read(RESET_REGISTER)),
        crash_records=_crash_records(procfs, flight.last_page.time),
        reboot_reason=reboot_reason,
    )


def build_restart_receipt(flight: Flight, evidence: RestartEvidence) -> Restarted:
    """Build the receipt of a restart. The flight is included only if the end was not requested."""
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
    """Return the samples of a receipt's `flight`. Raises: ValueError if it cannot be decoded."""
    try:
        lines = zlib.decompress(base64.b64decode(flight, validate=True)).splitlines()
        return tuple(decode_json(line, FlightSample) for line in lines)
    except (zlib.error, MalformedJson) as error:
        raise ValueError(f"not a flight: {error}") from error


def _pop_service_result(runtime_dir: Path) -> str | None:
    """Read and delete systemd's result.

    With OOMPolicy=continue systemd reports `signal` for a process that the kernel killed for lack of
    memory; the count of such kills distinguishes it from other signals.
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
    # A lower number than before belongs to a new control group.
    has_new_kills = kills > previous_kills or 0 < kills < previous_kills
    return "oom-kill" if result == "signal" and has_new_kills else result


def _is_unrequested(run_end: RunEnd) -> bool:
    return run_end.cause != "requested"


def _pack_flight(samples: Sequence[FlightSample]) -> str:
    """Pack the last minute completely, and the time before it as densely as fits."""
    older, newest = samples[:-WHOLE_SAMPLES], samples[-WHOLE_SAMPLES:]
    while True:
        lines = b"\n".join(msgspec.json.encode(sample) for sample in (*older, *newest))
        data = zlib.compress(lines, 9)
        if len(data) <= MAX_FLIGHT_BYTES or not older:
            return base64.b64encode(data).decode()
        older = older[-1::-2][::-1]


def _crash_records(procfs: ProcFs, last_seen: str) -> tuple[str, ...]:
    """Return the names of the kernel's crash records: those in pstore, and those archived since."""
    found = [path.rpartition("/")[2] for path in procfs.list_paths(PSTORE, "")]
    with suppress(OSError, ValueError):
        since = datetime.fromisoformat(last_seen).timestamp()
        found += [
            path.name
            for path in sorted((procfs.root / PSTORE_ARCHIVE).iterdir())
            if path.stat().st_mtime >= since
        ]
    return tuple(found)
