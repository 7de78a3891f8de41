"""`enrol`: a certificate request out, and the certificate in: by copy and paste, or by XMODEM."""

from collections.abc import Sequence

from agent.base.message import Message
from agent.console import file_transfer
from agent.console.arguments import usage_error
from agent.console.console_command import ConsoleCommand, always
from agent.console.context import ConsoleContext
from agent.console.errors import ConsoleError
from agent.console.terminal import Terminal
from agent.provisioning.enrolment import Enrolment

MAX_LINES = 200
MAX_BYTES = 32_000
PEM_PADDING = b"\n"
_PEM_BEGIN, _PEM_END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Print or send a request, or install a certificate."""
    broker = None if context.config is None else context.config.broker
    enrolment = Enrolment(context.state_dir, context.box_id, broker)
    match list(argv):
        case ["request"]:
            terminal.print(*enrolment.create_request().splitlines())
            terminal.print(Message("Have the centre sign it, then: enrol certificate."))
        case ["request", "xmodem"]:
            request = enrolment.create_request().encode()
            file_transfer.send(terminal, f"{context.box_id}.csr.pem", request, PEM_PADDING)
            terminal.print(Message("Have the centre sign it, then: enrol certificate xmodem."))
        case ["certificate"]:
            _install(terminal, context, enrolment, _read_pasted(terminal))
        case ["certificate", "xmodem"]:
            data = file_transfer.receive(terminal, Message("the certificate"), MAX_BYTES)
            _install(terminal, context, enrolment, data.decode("ascii", "replace"))
        case _:
            raise usage_error(
                ("enrol", *argv), Message("enrol request, enrol certificate, each also with xmodem")
            )


def _install(terminal: Terminal, context: ConsoleContext, enrolment: Enrolment, pem: str) -> None:
    synced = context.clock.trust().synced
    terminal.print(*enrolment.install(pem, context.now(), clock_synced=synced))


def _read_pasted(terminal: Terminal) -> str:
    """Read lines from the one that begins a certificate to the one that ends it."""
    terminal.print(Message("Paste the whole certificate. Ctrl-C cancels."))
    lines: list[str] = []
    for _ in range(MAX_LINES):
        line = terminal.read_line("")
        if line == _PEM_BEGIN:
            lines = []
        lines.append(line)
        if line == _PEM_END:
            return "\n".join(lines) + "\n"
    raise ConsoleError(Message("no end of a certificate within {count} lines", count=MAX_LINES))


ENROL = ConsoleCommand(
    name="enrol",
    help=Message("a new certificate: request out, certificate in, by paste or XMODEM"),
    usage=(
        ("enrol request", Message("a request for the centre to sign; its key stays here")),
        ("enrol certificate", Message("paste the certificate that the centre has signed")),
        ("enrol request xmodem", Message("the request as a file over this cable")),
        ("enrol certificate xmodem", Message("the certificate as a file over this cable")),
    ),
    run=run,
    needs_receipt=always,
)
