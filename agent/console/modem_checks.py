"""A cellular modem, as ModemManager tells of it: its SIM, its network, its signal, each with a verdict.

`mmcli --modem=any --output-json`, whose words are those of ModemManager's D-Bus interface; what is not
set is `--`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.console import system_commands
from agent.console.results import CheckResult, ConsoleError
from agent.health.vitals import parse
from agent.health.vitals.network_link import MODEM

ROOT = Path("/")
WEAK, NO_SIGNAL = 0.3, 0.1
"""Of 1: from here on it is said, or called bad."""
NONE_THERE = re.compile(r"couldn't find (the )?(any )?modem|No modems were found", re.IGNORECASE)
_LONGEST = 60


class _Quality(msgspec.Struct, frozen=True):
    value: str = ""


class _Generic(msgspec.Struct, frozen=True, rename="kebab"):
    manufacturer: str = ""
    model: str = ""
    state: str = ""
    state_failed_reason: str = ""
    power_state: str = ""
    sim: str = ""
    unlock_required: str = ""
    signal_quality: _Quality = _Quality()
    access_technologies: list[str] = []


class _Cell(msgspec.Struct, frozen=True, rename="kebab"):
    operator_code: str = ""
    operator_name: str = ""
    registration_state: str = ""


class _Modem(msgspec.Struct, frozen=True):
    generic: _Generic
    cell: _Cell = msgspec.field(default=_Cell(), name="3gpp")


class _ModemManager(msgspec.Struct, frozen=True):
    modem: _Modem


_MODEM = msgspec.json.Decoder(_ModemManager)


def look(root: Path = ROOT, program: Path = system_commands.MMCLI) -> Iterator[CheckResult]:
    """Ask it. That there is none is no fault: most boxes hang at a cable."""
    adapters = ", ".join(_adapters(root))
    if not program.exists():
        nobody = f"{adapters}: there is no ModemManager on this box to ask it"
        yield _said("modem", nobody if adapters else "none")
        return
    try:
        said = system_commands.ran(program, MODEM[1:], system_commands.MODEM_S)
    except ConsoleError as error:
        if NONE_THERE.search(str(error)):
            unknown = f"{adapters}: ModemManager knows no modem behind it"
            yield _said("modem", unknown if adapters else "none")
        else:
            yield _said("modem", str(error))
        return
    yield from judged(said.encode())


def judged(data: bytes) -> Iterator[CheckResult]:
    """What it told, judged. Pure; whatever comes gives verdicts."""
    try:
        modem = _MODEM.decode(data).modem
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        yield _said("modem", "ModemManager tells nothing that can be understood")
        return
    generic, cell = modem.generic, modem.cell
    yield _itself(generic)
    sim = _sim(generic)
    yield sim
    if sim.good is False:
        return
    yield _network(generic, cell)
    yield _signal(parse.modem(data))


def _itself(generic: _Generic) -> CheckResult:
    name = " ".join(filter(None, (_set(generic.manufacturer), _set(generic.model))))
    state = _set(generic.state) or "unknown"
    what = f"modem {name}".rstrip()
    if state == "connected":
        return CheckResult(what=what, good=True, said=state)
    if state == "failed":
        why = _set(generic.state_failed_reason) or "no reason given"
        return _bad(what, f"failed: {why}", "Switch the box off and on. If it stays, change it.")
    if state in ("disabled", "disabling") or _set(generic.power_state) in ("off", "low"):
        return _bad(what, "switched off", "The system has switched it off: reboot switches it on.")
    if state == "registered":
        advice = "The cell takes it, and gives it no data: ask the centre for the SIM's APN."
        return _bad(what, "registered, and not connected", advice)
    if state == "unknown":
        return _said(what, state)
    return _bad(what, f"{state}, and not connected", "Wait a minute, and look again.")


def _sim(generic: _Generic) -> CheckResult:
    lock = _set(generic.unlock_required)
    if "sim-missing" in generic.state_failed_reason or not (_set(generic.sim) or lock):
        return _bad("SIM", "none is found", "Push the card in until it clicks, then reboot.")
    if "sim-error" in generic.state_failed_reason or "sim-wrong" in generic.state_failed_reason:
        return _bad("SIM", "cannot be read, or is of the wrong kind", "Try another card.")
    # PIN2 is for fixed dialling alone: it may stay locked.
    if lock and lock != "none" and not lock.startswith(("sim-pin2", "sim-puk2")):
        advice = "Have the centre take the PIN off the card, or change it."
        return _bad("SIM", f"locked: {lock}", advice)
    return CheckResult(what="SIM", good=True, said="ready")


def _network(generic: _Generic, cell: _Cell) -> CheckResult:
    operator = _set(cell.operator_name) or _set(cell.operator_code)
    known = [_set(name) for name in generic.access_technologies]
    parts = [operator, ", ".join(filter(None, known))]
    registration = _set(cell.registration_state)
    said = ", ".join(filter(None, (*parts, registration))) or "unknown"
    match registration:
        case "home" | "roaming":
            return CheckResult(what="network", good=True, said=said)
        case "searching" | "idle":
            advice = "Check the antenna and its plug; move it, and look again."
            return _bad("network", said, advice)
        case "denied":
            advice = "The operator refuses this card: have the centre ask whether it is active."
            return _bad("network", said, advice)
        case _:
            return _said("network", said)


def _signal(told: parse.ModemSignal | None) -> CheckResult:
    if told is None or told.signal is None:
        return _said("signal", "unknown")
    said = f"{told.signal:.0%}"
    if told.signal < NO_SIGNAL:
        return _bad("signal", said, "Check the antenna and its plug; move it, and look again.")
    return CheckResult(
        what="signal", good=True, said=f"{said}{', weak' if told.signal < WEAK else ''}"
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


def _set(word: str) -> str:
    """Empty where it is not set; short, whatever a modem calls itself."""
    word = word.strip()
    return "" if word == "--" else word[:_LONGEST]


def _said(what: str, said: str) -> CheckResult:
    return CheckResult(what=what, good=None, said=said)


def _bad(what: str, said: str, advice: str) -> CheckResult:
    return CheckResult(what=what, good=False, said=said, advice=advice)
