"""`vigie console`: the technician's console, on this terminal or a serial port."""

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from agent.base.clock import SystemClock
from agent.console import serve
from agent.console.byte_line import BAUD_RATES

DEFAULT_CONFIG = Path("/etc/vigie/vigie.toml")
DEFAULT_BAUD = 115_200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Runs the technician's console on this terminal, or with --port on a serial port "
        "until it is stopped. It works without a running agent, and asks for a login."
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        default=DEFAULT_CONFIG,
        help="the box's configuration (default: %(default)s)",
    )
    parser.add_argument("--port", metavar="DEVICE", help="a serial port, such as /dev/ttyUSB0")
    parser.add_argument(
        "--baud",
        metavar="BAUD",
        choices=tuple(map(str, BAUD_RATES)),
        default=str(DEFAULT_BAUD),
        help="the baud rate, 8N1: %(choices)s (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the console. Raises: UserError if there is no terminal or no such port."""
    level = logging.INFO if args.port else logging.CRITICAL
    logging.basicConfig(stream=sys.stderr, level=level, format="%(levelname)s %(message)s")
    is_stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        is_stopping.set()
        # So that the terminal's settings are restored.
        raise SystemExit(0)

    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, stop)
    if args.port:
        serve.serve_port(args.config, args.port, int(args.baud), SystemClock(), is_stopping.is_set)
    else:
        serve.serve_own_terminal(args.config, SystemClock())
    return 0
