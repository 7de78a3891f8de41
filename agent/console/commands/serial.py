"""`serial`: the serial ports, how they stand, and what is configured on them."""

from collections.abc import Sequence

from agent.console.arguments import no_more_args
from agent.console.results import Box
from agent.console.terminal import Terminal

NAME = "serial"
HELP = "serial ports: which there are, who has them, which head is on them"
USAGE = ("serial",)


def run(terminal: Terminal, box: Box, argv: Sequence[str]) -> None:
    """Show them; nothing is sent."""
    no_more_args(NAME, argv)
    ports = box.list_serial_ports()
    for port in ports:
        usage = f", configured for {port.used_by}" if port.used_by else ""
        terminal.print(port.path, f"  {port.description}: {port.state}{usage}")
    if not ports:
        terminal.print("No serial port is there.")
