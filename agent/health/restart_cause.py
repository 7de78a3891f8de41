"""Why the agent is starting: what the last run left behind, and what the board and systemd tell. Pure."""

import msgspec

from agent.health.flight_page import FlightPage
from agent.health.vitals.parse import ResetCause
from agent.reporting.payloads import RestartCause


class RestartEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to go by. `service_result` is systemd's SERVICE_RESULT of the last run, where
    the unit has kept it; `crash_records` are the names of files in pstore; `asked_reboot` says why the
    agent had asked for a reboot, where it had.
    """

    boot: str
    service_result: str | None = None
    reset_cause: ResetCause | None = None
    crash_records: tuple[str, ...] = ()
    reboot_reason: str | None = None


class RunEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How the run before this one ended, and how we know, in one sentence."""

    cause: RestartCause
    detail: str
    new_boot: bool


def classify(last_page: FlightPage, evidence: RestartEvidence) -> RunEnd:
    """Out of the last page that was written before this run."""
    new_boot = last_page.boot != evidence.boot
    cause, detail = _classify_run(last_page, evidence, new_boot=new_boot)
    if new_boot and evidence.reboot_reason is not None:
        # Whether or not the board came to stop in order: a device that hangs may keep it from that.
        cause, detail = "camera_stuck", evidence.reboot_reason
    return RunEnd(cause=cause, detail=detail, new_boot=new_boot)


def _classify_run(
    last_page: FlightPage, evidence: RestartEvidence, *, new_boot: bool
) -> tuple[RestartCause, str]:
    if last_page.kind == "stopped":
        return "requested", last_page.reason or "it was asked to stop"
    if new_boot:
        return _classify_reboot(evidence)
    match evidence.service_result:
        case "watchdog":
            return "watchdog", "systemd ended it because a vital loop did not turn"
        case "oom-kill":
            return "memory", "the kernel ended it for want of memory"
        case None | "success":
            return "crash", "it ended without a word, and the board ran on"
        case result:
            return "crash", f"it ended without a word, and systemd calls that {result!r}"


def _classify_reboot(evidence: RestartEvidence) -> tuple[RestartCause, str]:
    if evidence.crash_records:
        names = ", ".join(evidence.crash_records[:3])
        return "kernel_crash", f"the kernel has left a record in pstore: {names}"
    if evidence.reset_cause == "power":
        return "power_cut", "the board tells of a power-on, and nobody had stopped the agent"
    if evidence.reset_cause == "watchdog":
        return "board_watchdog", "the board tells of its watchdog, and nobody had stopped the agent"
    return "power_cut", "the board was started anew, and nothing tells of another reason"
