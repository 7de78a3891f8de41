"""`enrol`: a request for a certificate goes out, and the certificate comes in: by copy and paste, or as
files over the cable.
"""

from collections.abc import Sequence

from agent.base.errors import UserError
from agent.console import file_transfer
from agent.console.results import Box
from agent.console.terminal import Terminal

NAME = "enrol"
HELP = "a new certificate: request out, certificate in, by paste or XMODEM"
USAGE = (
    "enrol request              a request, for the centre to sign; its key stays in the box",
    "enrol certificate          paste what the centre has signed",
    "enrol request xmodem       the request as a file over this cable",
    "enrol certificate xmodem   the certificate as a file over this cable",
)

MAX_LINES = 200
MAX_BYTES = 32_000
PEM_PADDING = b"\n"
_PEM_BEGIN, _PEM_END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def run(terminal: Terminal, box: Box, argv: Sequence[str]) -> None:
    """One or the other."""
    match list(argv):
        case ["request"]:
            terminal.print(*box.create_certificate_request().splitlines())
            terminal.print("Have the centre sign it, then: enrol certificate.")
        case ["request", "xmodem"]:
            request = box.create_certificate_request().encode()
            file_transfer.send(terminal, f"{box.id}.csr.pem", request, PEM_PADDING)
            terminal.print("Have the centre sign it, then: enrol certificate xmodem.")
        case ["certificate"]:
            terminal.print(*box.install_certificate(_read_pasted(terminal)))
        case ["certificate", "xmodem"]:
            pem = file_transfer.receive(terminal, "the certificate", MAX_BYTES)
            terminal.print(*box.install_certificate(pem.decode("ascii", "replace")))
        case _:
            raise UserError(
                f"enrol {' '.join(argv)}: allowed: enrol request, enrol certificate, "
                "either with xmodem after it"
            )


def _read_pasted(terminal: Terminal) -> str:
    """From the line that begins a certificate to the line that ends it."""
    terminal.print("Paste the certificate, all of it. Ctrl-C gives up.")
    lines: list[str] = []
    for _ in range(MAX_LINES):
        line = terminal.read_line("")
        if line == _PEM_BEGIN:
            lines = []
        lines.append(line)
        if line == _PEM_END:
            return "\n".join(lines) + "\n"
    raise UserError(f"no end of a certificate within {MAX_LINES} lines")
