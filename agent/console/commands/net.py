"""`net`: the checks of the link; the devices of the box's networks; the signal of a cellular modem each second, for the antenna's direction."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from agent.base.message import Message, Text, join_phrases, message_of
from agent.commands.command import NoArguments
from agent.console.acts import box
from agent.console.acts.act import call_at_console
from agent.console.acts.devices import list_subnets, search_devices
from agent.console.arguments import usage_error
from agent.console.check_result import print_results
from agent.console.console_command import ConsoleCommand
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.console.modem_checks import NO_MODEM_PATTERN
from agent.console.system_commands import MMCLI, MODEM_TIMEOUT_S, run_program
from agent.console.terminal import Terminal
from agent.health.vitals import parse
from agent.health.vitals.network_link import MODEM_COMMAND

REFRESH_S = 1.0
_QUIT_KEYS = ("q", "Q", "cancel", "eof")


class BestSignal:
    """The highest value of each reading so far."""

    def __init__(self) -> None:
        self._best: dict[tuple[str, str], float] = {}

    def add(self, signal: parse.CellSignal) -> Text:
        """Return each reading with its best, which includes this one."""
        phrases = []
        for reading in signal.readings:
            key = (signal.technology, reading.name)
            best = self._best[key] = max(reading.value, self._best.get(key, reading.value))
            phrases.append(
                Message(
                    "{name} {now:.0f} (best {best:.0f}) {unit}",
                    name=reading.name,
                    now=reading.value,
                    best=best,
                    unit=reading.unit,
                )
            )
        return join_phrases(signal.technology, *phrases)


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Run the checks of the link, list the devices, or show the modem's signal."""
    match list(argv):
        case []:
            _check_link(terminal, context)
        case ["devices"]:
            _print_devices(terminal, context)
        case ["modem"]:
            _watch_signal(terminal, context)
        case _:
            raise usage_error(("net", *argv), Message("devices, modem, or nothing"))


def _check_link(terminal: Terminal, context: ConsoleContext) -> None:
    """Run the checks of the link. The first that fails explains those after it."""
    failed = []
    for outcome in box.net(call_at_console(context), NoArguments()).values:
        print_results(terminal, outcome.results)
        if not outcome.is_good:
            failed.append(outcome.name)
    if failed:
        terminal.print(Message("Begin with: {check}.", check=failed[0]))
    else:
        terminal.print(Message("The link is good. mqtt ping tries the broker itself."))


def _print_devices(terminal: Terminal, context: ConsoleContext) -> None:
    """List what answers in the box's networks; then the cameras and heads that do not answer."""
    subnets = list_subnets()
    names = ", ".join(map(str, subnets)) or Message("no network")
    terminal.print(Message("Searching {networks}: about 10 s for each ...", networks=names))
    devices = search_devices(context, subnets)
    terminal.table(
        [
            (
                device.address,
                device.mac or "",
                join_phrases(*device.peers),
                join_phrases(*device.answers) or Message("no answer"),
            )
            for device in devices
        ]
    )
    silent = [device for device in devices if device.peers and not device.answers]
    for device in silent:
        terminal.print(
            Message(
                "{peers}: nothing answers at {address}",
                peers=join_phrases(*device.peers),
                address=device.address,
            )
        )
    strangers = [device.address for device in devices if device.answers and not device.peers]
    if silent and strangers:
        terminal.print(
            Message(
                "If it has another address now: one of {addresses}, and config set",
                addresses=", ".join(strangers),
            )
        )


def _watch_signal(terminal: Terminal, context: ConsoleContext) -> None:
    """Show the signal until q."""
    with _signal_refresh(context) as problem:
        if problem is not None:
            terminal.print(Message("Only the signal in percent: {reason}", reason=problem))
        terminal.print(Message("Turn the antenna slowly to the best. q ends, r starts again."))
        best, key = BestSignal(), None
        while key not in _QUIT_KEYS:
            if key == "r":
                best = BestSignal()
            signal = _read_percent(context) if problem else _read_signal(context)
            terminal.overwrite_line(
                Message("the modem reports no signal") if signal is None else best.add(signal)
            )
            key = terminal.read_key(REFRESH_S)
        terminal.print()


@contextmanager
def _signal_refresh(context: ConsoleContext) -> Iterator[Text | None]:
    """Have ModemManager measure each second; yields the reason if it refuses. Raises ConsoleError without a modem."""
    try:
        _run_mmcli(context, "--modem=any", "--signal-setup=1")
    except ConsoleError as error:
        if not (context.root / MMCLI).exists() or NO_MODEM_PATTERN.search(str(error)):
            raise
        # The policy of ModemManager may permit it to root alone.
        yield message_of(error)
        return
    try:
        yield None
    finally:
        with suppress(ConsoleError):
            _run_mmcli(context, "--modem=any", "--signal-setup=0")


def _read_signal(context: ConsoleContext) -> parse.CellSignal | None:
    return parse.cell_signal(
        _run_mmcli(context, "--modem=any", "--signal-get", "--output-json").encode()
    )


def _read_percent(context: ConsoleContext) -> parse.CellSignal | None:
    modem = parse.modem(_run_mmcli(context, *MODEM_COMMAND[1:]).encode())
    signal = None if modem is None else parse.modem_signal(modem)
    if signal is None or signal.signal is None:
        return None
    percent = parse.CellReading(name="signal", value=signal.signal * 100, unit="%")
    return parse.CellSignal(technology=signal.technology or "", readings=(percent,))


def _run_mmcli(context: ConsoleContext, *argv: str) -> str:
    return run_program(context.root / MMCLI, argv, MODEM_TIMEOUT_S)


NET = ConsoleCommand(
    name="net",
    help=Message("check interfaces, modem, names, certificates, broker and clock"),
    usage=(
        ("net", Message("the checks of the link, from the box's own plug to the broker")),
        (
            "net devices",
            Message("which address answers in the box's networks, and which camera it is"),
        ),
        (
            "net modem",
            Message("RSRP, RSRQ and SINR each second, with the best so far (q ends)"),
        ),
    ),
    run=run,
)
