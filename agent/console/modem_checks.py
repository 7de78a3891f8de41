"""A cellular modem, as ModemManager tells of it: its SIM, its network, its signal, each with a verdict.

`mmcli --modem=any --output-json`, whose words are those of ModemManager's D-Bus interface; what is not
set is `--`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from agent.console import system_commands
from agent.console.errors import ConsoleError
from agent.console.results import CheckResult
from agent.health.vitals import parse
from agent.health.vitals.network_link import MODEM_COMMAND
from agent.health.vitals.parse import Modem3gpp, ModemGeneric

ROOT = Path("/")
WEAK_SIGNAL_RATIO, MIN_SIGNAL_RATIO = 0.3, 0.1
"""Of 1: from here on it is said, or called bad."""
NO_MODEM_PATTERN = re.compile(
    r"couldn't find (the )?(any )?modem|No modems were found", re.IGNORECASE
)
_MAX_VALUE_CHARS = 60


def check_modem(root: Path = ROOT, program: Path = system_commands.MMCLI) -> Iterator[CheckResult]:
    """Ask it. That there is none is no fault: most boxes hang at a cable."""
    adapters = ", ".join(_adapters(root))
    if not program.exists():
        no_manager = f"{adapters}: there is no ModemManager on this box to ask it"
        yield _info("modem", no_manager if adapters else "none")
        return
    try:
        output = system_commands.run_program(
            program, MODEM_COMMAND[1:], system_commands.MODEM_TIMEOUT_S
        )
    except ConsoleError as error:
        if NO_MODEM_PATTERN.search(str(error)):
            no_modem = f"{adapters}: ModemManager knows no modem behind it"
            yield _info("modem", no_modem if adapters else "none")
        else:
            yield _info("modem", str(error))
        return
    yield from evaluate_modem(output.encode())


def evaluate_modem(data: bytes) -> Iterator[CheckResult]:
    """What it told, judged. Pure; whatever comes gives verdicts."""
    modem = parse.modem(data)
    if modem is None:
        yield _info("modem", "ModemManager tells nothing that can be understood")
        return
    generic, cell = modem.generic, modem.cell
    yield _check_state(generic)
    sim = _check_sim(generic)
    yield sim
    if sim.ok is False:
        return
    yield _check_network(generic, cell)
    yield _check_signal(parse.modem_signal(modem))


def _check_state(generic: ModemGeneric) -> CheckResult:
    name = " ".join(filter(None, (_clean_value(generic.manufacturer), _clean_value(generic.model))))
    state = _clean_value(generic.state) or "unknown"
    subject = f"modem {name}".rstrip()
    if state == "connected":
        return CheckResult(subject=subject, ok=True, message=state)
    if state == "failed":
        reason = _clean_value(generic.state_failed_reason) or "no reason given"
        return _failed(
            subject, f"failed: {reason}", "Switch the box off and on. If it stays, change it."
        )
    if state in ("disabled", "disabling") or _clean_value(generic.power_state) in ("off", "low"):
        return _failed(
            subject, "switched off", "The system has switched it off: reboot switches it on."
        )
    if state == "registered":
        advice = "The cell takes it, and gives it no data: ask the centre for the SIM's APN."
        return _failed(subject, "registered, and not connected", advice)
    if state == "unknown":
        return _info(subject, state)
    return _failed(subject, f"{state}, and not connected", "Wait a minute, and look again.")


def _check_sim(generic: ModemGeneric) -> CheckResult:
    lock = _clean_value(generic.unlock_required)
    if "sim-missing" in generic.state_failed_reason or not (_clean_value(generic.sim) or lock):
        return _failed("SIM", "none is found", "Push the card in until it clicks, then reboot.")
    if "sim-error" in generic.state_failed_reason or "sim-wrong" in generic.state_failed_reason:
        return _failed("SIM", "cannot be read, or is of the wrong kind", "Try another card.")
    # PIN2 is for fixed dialling alone: it may stay locked.
    if lock and lock != "none" and not lock.startswith(("sim-pin2", "sim-puk2")):
        advice = "Have the centre take the PIN off the card, or change it."
        return _failed("SIM", f"locked: {lock}", advice)
    return CheckResult(subject="SIM", ok=True, message="ready")


def _check_network(generic: ModemGeneric, cell: Modem3gpp) -> CheckResult:
    operator = _clean_value(cell.operator_name) or _clean_value(cell.operator_code)
    technologies = [_clean_value(name) for name in generic.access_technologies]
    parts = [operator, ", ".join(filter(None, technologies))]
    registration = _clean_value(cell.registration_state)
    message = ", ".join(filter(None, (*parts, registration))) or "unknown"
    match registration:
        case "home" | "roaming":
            return CheckResult(subject="network", ok=True, message=message)
        case "searching" | "idle":
            advice = "Check the antenna and its plug; move it, and look again."
            return _failed("network", message, advice)
        case "denied":
            advice = "The operator refuses this card: have the centre ask whether it is active."
            return _failed("network", message, advice)
        case _:
            return _info("network", message)


def _check_signal(modem_signal: parse.ModemSignal | None) -> CheckResult:
    if modem_signal is None or modem_signal.signal is None:
        return _info("signal", "unknown")
    message = f"{modem_signal.signal:.0%}"
    if modem_signal.signal < MIN_SIGNAL_RATIO:
        return _failed(
            "signal", message, "Check the antenna and its plug; move it, and look again."
        )
    return CheckResult(
        subject="signal",
        ok=True,
        message=f"{message}{', weak' if modem_signal.signal < WEAK_SIGNAL_RATIO else ''}",
    )


def _adapters(root: Path) -> list[str]:
    net = root / "sys/class/net"
    try:
        names = sorted(path.name for path in net.iterdir())
    except OSError:
        return []
    return [
        name
        for name in names
        if parse.link_kind(name, wireless=(net / name / "wireless").exists()) == "modem"
    ]


def _clean_value(value: str) -> str:
    """Empty where it is not set; short, whatever a modem calls itself."""
    value = value.strip()
    return "" if value == "--" else value[:_MAX_VALUE_CHARS]


def _info(subject: str, message: str) -> CheckResult:
    return CheckResult(subject=subject, ok=None, message=message)


def _failed(subject: str, message: str, advice: str) -> CheckResult:
    return CheckResult(subject=subject, ok=False, message=message, advice=advice)
