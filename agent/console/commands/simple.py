"""Commands without subcommands: `log`, `serial`, `selftest`, `pages`, `reboot`, `logout`."""

import os
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress

from agent.base.message import Message, Text, join_phrases
from agent.base.model import SelfTestStep
from agent.console import system_commands
from agent.console.acts import box
from agent.console.acts.act import BoxArgs, call_at_console
from agent.console.arguments import no_more_args, parse_int, usage_error
from agent.console.console_command import ConsoleCommand
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.console.session import LogoutRequested
from agent.console.terminal import Cancelled, Terminal, pad
from agent.faults.texts import LANGUAGES
from drivers.serial_ports import PortState, find_ports

DEFAULT_LOG_LINES, MAX_LOG_LINES = 40, 500
_PORT_STATES: Mapping[PortState, Message] = {
    "free": Message("free"),
    "busy": Message("busy"),
    "denied": Message("denied"),
    "absent": Message("absent"),
    "unsupported": Message("unsupported"),
    "timeout": Message("timeout"),
}


def run_log(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Print the newest lines of the agent's journal, the newest last."""
    lines = parse_int(argv[0], 1, MAX_LOG_LINES) if argv else DEFAULT_LOG_LINES
    if len(argv) > 1 or lines is None:
        raise usage_error(
            ("log", *argv), Message("log, or log with 1 to {count}", count=MAX_LOG_LINES)
        )
    journal = system_commands.read_journal(context.root, lines)
    terminal.print(*journal or (Message("The journal has no line of the agent."),))


def run_serial(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Print the serial ports, with those of the configuration that are missing. Sends nothing."""
    no_more_args("serial", argv)
    heads = () if context.config is None else context.config.head
    port_by_head = {
        head.name: str(head.options["port"]) for head in heads if "port" in head.options
    }
    head_by_path = {os.path.realpath(port): head for head, port in port_by_head.items()}
    ports = find_ports()
    for port in ports:
        head = head_by_path.pop(os.path.realpath(port.path), None)
        description = join_phrases(
            port.description or Message("serial port"),
            Message("the kernel console is here") if port.is_kernel_console else None,
        )
        state: Text = _PORT_STATES[port.state]
        if port.reason:
            state = Message("{state}: {reason}", state=state, reason=port.reason)
        terminal.print(
            port.best_path,
            join_phrases(
                Message("  {description}: {state}", description=description, state=state),
                Message("configured for head {head}", head=head) if head else None,
            ),
        )
    for path, head in head_by_path.items():
        terminal.print(path, Message("  not found, configured for head {head}", head=head))
    if not ports and not head_by_path:
        terminal.print(Message("No serial port."))


def run_selftest(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Run the self-test in this process, next to the agent."""
    # Imported here: it needs the whole agent.
    from agent.diagnostics.selftest import runner  # noqa: PLC0415

    no_more_args("selftest", argv)
    terminal.print(Message("This takes about a quarter of a minute. Recording continues."))

    def poll() -> None:
        if terminal.read_key(0) == "cancel":
            raise Cancelled

    def on_step(step: SelfTestStep, message: Text) -> None:
        _print_step(terminal, step, message)
        poll()

    try:
        report = runner.run_selftest(
            context.require_config(),
            context.clock,
            random.Random(),  # noqa: S311 - names and jitter, no secrets
            on_step,
            poll,
        )
    except Cancelled:
        terminal.print(Message("The self-test was stopped; it has no result."))
        return
    terminal.print(*runner.format_report(report))


def _print_step(terminal: Terminal, step: SelfTestStep, message: Text) -> None:
    outcome = terminal.render(Message("ok") if step.ok else Message("FAILED"))
    label = f"{step.name:8} {pad(outcome, 7)} {step.duration_ms:8.0f} ms  "
    terminal.print_hanging(label, message)


def run_pages(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Switch the stop at the end of each page on or off."""
    if list(argv) not in (["on"], ["off"]):
        raise usage_error(("pages", *argv), "pages on", "pages off")
    terminal.paging = argv[0] == "on"
    terminal.print(
        Message("{box}: pages are on.", box=context.box_id)
        if terminal.paging
        else Message("{box}: pages are off.", box=context.box_id)
    )


def run_language(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Set the language of this session."""
    context.choose_language(argv)
    terminal.language = context.language
    terminal.print(Message("This session is in English."))


def run_reboot(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Request a reboot after a confirmation."""
    no_more_args("reboot", argv)
    if not terminal.confirm(Message("Recording stops for about a minute."), context.box_id):
        terminal.print(Message("Nothing is restarted."))
        return
    with suppress(ConsoleError):  # the box that needs a reboot most may have lost its disk
        context.write_receipt("reboot confirmed")
    terminal.print(box.reboot(call_at_console(context), BoxArgs(box=context.box_id)).text)


def run_logout(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """End the session. Raises LogoutRequested."""
    no_more_args("logout", argv)
    terminal.print(Message("Goodbye, {name}.", name=context.technician))
    raise LogoutRequested


LOG = ConsoleCommand(
    name="log",
    help=Message("the newest lines of the agent's journal"),
    usage=(
        (
            "log [LINES]",
            Message(
                "up to {max_lines} (default {default_lines})",
                max_lines=MAX_LOG_LINES,
                default_lines=DEFAULT_LOG_LINES,
            ),
        ),
    ),
    run=run_log,
)
SERIAL = ConsoleCommand(
    name="serial",
    help=Message("serial ports: which exist, what holds them, which head is on them"),
    usage=(("serial", ""),),
    run=run_serial,
)
SELFTEST = ConsoleCommand(
    name="selftest",
    help=Message("a known pattern through the whole box, step by step"),
    usage=(("selftest", ""),),
    run=run_selftest,
)
PAGES = ConsoleCommand(
    name="pages",
    help=Message("pages off: long output does not stop, for a logging terminal"),
    usage=(("pages on", ""), ("pages off", "")),
    run=run_pages,
)
LANGUAGE = ConsoleCommand(
    name="language",
    help=Message("en, fr or ar: the language of this session"),
    usage=((f"language {', '.join(LANGUAGES)}", ""),),
    run=run_language,
)
REBOOT = ConsoleCommand(
    name="reboot",
    help=Message("restart the box; asks first"),
    usage=(("reboot", ""),),
    run=run_reboot,
    requires_full_name=True,
)
LOGOUT = ConsoleCommand(
    name="logout",
    help=Message("end the session; the next technician has to log in"),
    usage=(("logout", ""),),
    run=run_logout,
)
