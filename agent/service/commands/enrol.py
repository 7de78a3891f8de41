"""`enrol`: a request for a certificate goes out, and the certificate comes in, both by copy and paste."""

from collections.abc import Sequence

from agent.errors import BadInput
from agent.service.box import Box
from agent.service.terminal import Terminal

NAME = "enrol"
HELP = "a new certificate: request out, certificate in, by copy and paste"
USAGE = (
    "enrol request       a request, to be signed by the centre; its key stays in the box",
    "enrol certificate   paste what the centre has signed",
)

MOST_LINES = 200
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def run(terminal: Terminal, box: Box, words: Sequence[str]) -> None:
    """One or the other."""
    if list(words) == ["request"]:
        terminal.say(*box.certificate_request().splitlines())
        terminal.say("Have the centre sign it, then: enrol certificate.")
    elif list(words) == ["certificate"]:
        terminal.say(*box.install_certificate(_pasted(terminal)))
    else:
        raise BadInput(f"enrol {' '.join(words)}: allowed: enrol request, enrol certificate")


def _pasted(terminal: Terminal) -> str:
    """From the line that begins a certificate to the line that ends it."""
    terminal.say("Paste the certificate, all of it. Ctrl-C gives up.")
    lines: list[str] = []
    for _ in range(MOST_LINES):
        line = terminal.ask("")
        if line == _BEGIN:
            lines = []
        lines.append(line)
        if line == _END:
            return "\n".join(lines) + "\n"
    raise BadInput(f"no end of a certificate within {MOST_LINES} lines")
