"""`vigie run --config FILE`: runs the agent of a box, as systemd does."""

import argparse
import logging
import os
import random
import signal
import sys
from functools import partial
from pathlib import Path

from agent.app.agent import Agent
from agent.app.care_commands import AddedCommands, CareServices
from agent.app.config_wiring import ConfigSource
from agent.app.model_fetch import FetchModels
from agent.app.start_config import load_start_config
from agent.base.clock import Clock, SystemClock, boot_id
from agent.cli.arguments import add_config
from agent.config.configuration import Config
from agent.console.commit_confirm_watch import CommitConfirmWatch
from agent.diagnostics.agent_log.journal import read_log
from agent.diagnostics.agent_log.log_command import LogCommandHandler
from agent.diagnostics.support_bundle.builder import build_redactor, make_bundle
from agent.diagnostics.support_bundle.bundle_command import BundleCommandHandler
from agent.runtime.link_budget import LinkBudget
from agent.runtime.log_limit import limit_log_rate
from agent.runtime.sd_notify import Notifier
from agent.runtime.stop_signals import StopSignals
from agent.update.model_fetcher import ModelFetcher
from agent.update.update_command import UpdateCommandHandler

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
    commit_confirm = CommitConfirmWatch(args.config, clock, boot_id())
    # Before the configuration is read: a boot ends a trial that was not confirmed.
    commit_confirm.on_agent_start()
    start = load_start_config(args.config, clock, boot_id())
    rng = random.Random()  # noqa: S311 - jitter, not secrets
    notifier = Notifier()
    with StopSignals() as signals:
        agent = Agent(
            start.config,
            start.sources,
            clock,
            rng,
            specs=start.specs,
            notifier=notifier,
            machine_root=args.root,
            stop_agent=_stop_agent if notifier.has_manager else None,
            make_added_commands=partial(_make_added_commands, args.config, args.root),
            config_source=ConfigSource(
                path=args.config,
                start=start,
                make_fetch_models=partial(_make_fetch_models, start.config, clock),
            ),
        )
        agent.start()
        # The agent is restarted by systemd, with the configuration from before the trial.
        commit_confirm.start_thread(_stop_agent)
        while not signals.wait(agent.supervisor.check_interval_s):
            agent.supervisor.check()
        stopped = agent.stop()
    if not stopped:
        # A thread hangs in native code, and nothing in this process can end it. Only the exit releases
        # its ports and pins to the failsafe process, which stops what is still moving.
        os._exit(EXIT_HUNG)
    return 0


def _make_fetch_models(config: Config, clock: Clock, budget: LinkBudget) -> FetchModels:
    ca_file = None if config.link.ca is None else Path(config.link.ca)
    return ModelFetcher(Path(config.box.state), ca_file, budget, clock).fetch


def _stop_agent() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def _make_added_commands(config_path: Path, root: Path, services: CareServices) -> AddedCommands:
    """Return the commands of the packages above the agent. `root` has the folder of requests to root's units."""
    log_handler = LogCommandHandler(
        read_log, partial(build_redactor, config_path, services.state_dir), services.record_action
    )
    bundle_handler = BundleCommandHandler(
        services.link,
        services.uploads,
        services.upload_replies,
        partial(
            make_bundle, config_path, clock=services.clock, default_state_dir=services.state_dir
        ),
        services.clock,
        services.record_action,
    )
    update_handler = UpdateCommandHandler(
        root,
        services.clock.boottime_ns,
        services.boot,
        services.pending,
        services.record_action,
        [services.find_obstacle],
    )
    return AddedCommands(
        handlers=(log_handler, bundle_handler, update_handler),
        stages=(log_handler.stage, bundle_handler.stage, update_handler),
        reboot_obstacles=(update_handler.find_obstacle,),
        resume=update_handler.resume,
    )
