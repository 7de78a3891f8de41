"""Checks of a cellular modem with ModemManager's mmcli: its SIM, its network and its signal."""

import re
from collections.abc import Iterator
from pathlib import Path

from agent.base.message import Message, Text, join_phrases, message_of
from agent.console import system_commands
from agent.console.check_result import CheckResult, failed, not_applicable, passed, unknown
from agent.console.errors import ConsoleError
from agent.console.network_checks import list_interfaces
from agent.health.vitals import parse
from agent.health.vitals.network_link import MODEM_COMMAND

WEAK_SIGNAL_RATIO, MIN_SIGNAL_RATIO = 0.3, 0.1
"""Below these a signal is called weak, and bad."""
NO_MODEM_PATTERN = re.compile(
    r"couldn't find (the )?(any )?modem|No modems were found", re.IGNORECASE
)
_MAX_VALUE_CHARS = 60
_NO_MODEM = not_applicable(Message("modem"), Message("none"))
_ANTENNA_ADVICE = Message("Check the antenna and its plug; move it, and check again.")


def check_modem(root: Path = Path("/")) -> Iterator[CheckResult]:
    """Query ModemManager. A box without a modem is no fault: most boxes have a cable."""
    program = root / system_commands.MMCLI
    adapters = ", ".join(_modem_adapters(root))
    if not program.exists():
        no_manager = Message(
            "{adapters}: no ModemManager on this box to query it", adapters=adapters
        )
        yield unknown(Message("modem"), no_manager) if adapters else _NO_MODEM
        return
    try:
        output = system_commands.run_program(
            program, MODEM_COMMAND[1:], system_commands.MODEM_TIMEOUT_S
        )
    except ConsoleError as error:
        if NO_MODEM_PATTERN.search(str(error)):
            no_modem = Message(
                "{adapters}: ModemManager finds no modem behind it", adapters=adapters
            )
            yield unknown(Message("modem"), no_modem) if adapters else _NO_MODEM
        else:
            yield unknown(Message("modem"), message_of(error))
        return
    yield from evaluate_modem(output.encode())


def evaluate_modem(data: bytes) -> Iterator[CheckResult]:
    """Evaluate mmcli's output; any bytes give results. Pure."""
    modem = parse.modem(data)
    if modem is None:
        yield unknown(Message("modem"), Message("the output of mmcli cannot be read"))
        return
    yield _check_state(modem.generic)
    sim = _check_sim(modem.generic)
    yield sim
    if sim.ok is False:
        return
    yield _check_network(modem.generic, modem.cell)
    yield _check_signal(parse.modem_signal(modem))


def _check_state(generic: parse.ModemGeneric) -> CheckResult:
    name = " ".join(filter(None, (_clean_value(generic.manufacturer), _clean_value(generic.model))))
    state = _clean_value(generic.state) or "unknown"
    subject = Message("modem {name}", name=name) if name else Message("modem")
    if state == "connected":
        return passed(subject, state)
    if state == "failed":
        reason = _clean_value(generic.state_failed_reason) or Message("no reason given")
        return failed(
            subject,
            Message("failed: {reason}", reason=reason),
            advice=Message("Switch the box off and on. If it stays so, replace the modem."),
        )
    if state in ("disabled", "disabling") or _clean_value(generic.power_state) in ("off", "low"):
        advice = Message("The system has switched it off: reboot switches it on.")
        return failed(subject, Message("switched off"), advice=advice)
    if state == "registered":
        advice = Message(
            "The cell accepts it, but gives it no data: ask the centre for the SIM's APN."
        )
        return failed(subject, Message("registered, but not connected"), advice=advice)
    if state == "unknown":
        return unknown(subject, Message("unknown"))
    advice = Message("Wait a minute, and check again.")
    return failed(subject, Message("{state}, not connected", state=state), advice=advice)


def _check_sim(generic: parse.ModemGeneric) -> CheckResult:
    lock = _clean_value(generic.unlock_required)
    if "sim-missing" in generic.state_failed_reason or not (_clean_value(generic.sim) or lock):
        advice = Message("Push the card in until it clicks, then reboot.")
        return failed("SIM", Message("none is found"), advice=advice)
    if "sim-error" in generic.state_failed_reason or "sim-wrong" in generic.state_failed_reason:
        message = Message("cannot be read, or is of the wrong kind")
        return failed("SIM", message, advice=Message("Try another card."))
    # PIN2 is for fixed dialling alone: it may stay locked.
    if lock and lock != "none" and not lock.startswith(("sim-pin2", "sim-puk2")):
        advice = Message("Have the centre remove the PIN from the card, or replace the card.")
        return failed("SIM", Message("locked: {lock}", lock=lock), advice=advice)
    return passed("SIM", Message("ready"))


def _check_network(generic: parse.ModemGeneric, cell: parse.Modem3gpp) -> CheckResult:
    operator = _clean_value(cell.operator_name) or _clean_value(cell.operator_code)
    technologies = [_clean_value(name) for name in generic.access_technologies]
    parts = [operator, ", ".join(filter(None, technologies))]
    registration = _clean_value(cell.registration_state)
    message: Text = join_phrases(*parts, registration) or Message("unknown")
    match registration:
        case "home" | "roaming":
            return passed(Message("network"), message)
        case "searching" | "idle":
            return failed(Message("network"), message, advice=_ANTENNA_ADVICE)
        case "denied":
            advice = Message(
                "The operator refuses this card: have the centre ask whether it is active."
            )
            return failed(Message("network"), message, advice=advice)
        case _:
            return unknown(Message("network"), message)


def _check_signal(modem_signal: parse.ModemSignal | None) -> CheckResult:
    if modem_signal is None or modem_signal.signal is None:
        return unknown(Message("signal"), Message("unknown"))
    signal = modem_signal.signal
    message = Message("{signal:.0%}", signal=signal)
    if signal < MIN_SIGNAL_RATIO:
        return failed(Message("signal"), message, advice=_ANTENNA_ADVICE)
    if signal < WEAK_SIGNAL_RATIO:
        return passed(Message("signal"), join_phrases(message, Message("weak")))
    return passed(Message("signal"), message)


def _modem_adapters(root: Path) -> list[str]:
    return [
        interface.name
        for interface in list_interfaces(root)
        if parse.link_kind(interface.name, wireless=(interface / "wireless").exists()) == "modem"
    ]


def _clean_value(value: str) -> str:
    """Return a value shortened to fit the screen, or an empty one if it is not set."""
    value = value.strip()
    return "" if value == "--" else value[:_MAX_VALUE_CHARS]
