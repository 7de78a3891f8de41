"""`vigie selftest`: a test pattern through all parts of the box."""

import argparse
import logging
import os
import random
import sys
from contextlib import suppress

from agent.base.clock import SystemClock
from agent.base.message import Text
from agent.base.model import SelfTestStep
from agent.cli.arguments import add_config, add_json
from agent.cli.output import print_json
from agent.config import configuration
from agent.diagnostics.selftest.runner import format_report, format_step, run_selftest

NICENESS = 10
"""Priority below that of the running agent."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Sends a rendered street through capture, detection, recording, sealing, export, "
        "outbox and broker. It takes about 15 s and disturbs neither the agent nor its footage. Exit "
        "code 0: passed; 1: a step failed."
    )
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the test. Raises: UserError if the configuration is wrong or another self-test is running."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.CRITICAL, format="%(levelname)s %(message)s"
    )
    with suppress(PermissionError):  # a unit may have set it, and forbid a change
        os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    report = run_selftest(
        configuration.load(args.config),
        SystemClock(),
        random.Random(),  # noqa: S311 - names and jitter, no secrets
        on_step=(lambda _step, _message: None) if args.json else _print_step,
    )
    if args.json:
        print_json(report)
    else:
        print(*format_report(report), sep="\n")
    return 0 if report.ok else 1


def _print_step(step: SelfTestStep, _message: Text) -> None:
    print(format_step(step), flush=True)
