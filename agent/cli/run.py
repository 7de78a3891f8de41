"""`vigie run --config FILE`: runs the agent of a box, as systemd does."""

import argparse
import logging
import os
import random
import sys
from pathlib import Path

from agent.app.agent import Agent
from agent.base.clock import SystemClock, boot_id
from agent.cli.arguments import add_config
from agent.config_change.start_config import load_start_config
from agent.runtime.log_limit import limit_log_rate
from agent.runtime.sd_notify import Notifier
from agent.runtime.stop_signals import StopSignals

log = logging.getLogger(__name__)

EXIT_HUNG = 70
"""Exit code if a thread has not ended in time: EX_SOFTWARE of sysexits(3)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = "Runs the agent until SIGTERM or SIGINT."
    add_config(parser)
    parser.add_argument(
        "--bench-clock",
        action="store_true",
        help="on a bench: trust a clock that the kernel does not call synchronised; with the fault SYS-01",
    )
    parser.add_argument("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT. Raises: UserError if the configuration is wrong."""
    # journald adds the time.
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    limit_log_rate()
    clock = SystemClock(is_bench=args.bench_clock)
    if args.bench_clock:
        log.warning("--bench-clock: the clock is trusted although nothing synchronises it")
    start = load_start_config(args.config, clock, boot_id())
    notifier = Notifier()
    with StopSignals() as signals:
        agent = Agent(
            start,
            clock,
            random.Random(),  # noqa: S311 - jitter, not secrets
            notifier=notifier,
            machine_root=args.root,
            config_path=args.config,
        )
        agent.start()
        while not signals.wait(agent.supervisor.check_interval_s):
            agent.supervisor.check()
        stopped = agent.stop()
    if not stopped:
        # A thread hangs in native code, and nothing in this process can end it. Only the exit releases
        # its ports and pins to the failsafe process, which stops what is still moving.
        os._exit(EXIT_HUNG)
    return 0
