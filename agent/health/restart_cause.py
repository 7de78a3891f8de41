"""Classification of a restart's cause, from what the previous run, the board and systemd left. Pure."""

import msgspec

from agent.health.flight_page import FlightPage
from agent.health.vitals.parse import ResetCause
from agent.reporting.payloads import RestartCause


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
