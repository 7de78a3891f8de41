"""`vigie boot-good --config FILE`: sees that this system works, and marks it good."""

import argparse
import logging
import sys
import threading
from pathlib import Path

from agent.base.clock import SystemClock
from agent.base.errors import UserError
from agent.cli.commands import Commands
from agent.config import configuration
from agent.health import health_file
from agent.update import boot_check
from agent.update.boot_check import BootCheck, BootSample, CameraSample

LONGEST_S = 86_400.0


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "boot-good",
        help="wait until cameras, footage and broker are seen to work; mark the update good",
        description="Waits until the running agent has pictures of every camera that is open, its "
        "footage grows and the broker is there. Then it marks the system good, where it was "
        "installed by RAUC. Exit code 1: not within the time; nothing was marked.",
    )
    parser.add_argument(
        "--config", metavar="FILE", type=Path, required=True, help="the configuration, TOML"
    )
    parser.add_argument(
        "--within",
        metavar="SECONDS",
        type=float,
        default=600.0,
        help="how long it may take (default: %(default)g)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Wait, and mark. Raises BadInput."""
    if not 0 < args.within <= LONGEST_S:
        raise UserError(f"--within {args.within:g}: allowed: more than 0, up to {LONGEST_S:g}")
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    config = configuration.load(args.config)
    state = Path(config.box.state)
    runtime, footage = health_file.runtime_folder(state), state / config.record.folder
    clock = SystemClock()
    names = [camera.name for camera in config.camera]

    def look() -> BootSample:
        live = health_file.read(runtime)
        newest = {name: boot_check.newest_footage(footage / name) for name in names}
        return BootSample(t_ns=clock.boottime_ns(), live=live, newest=newest)

    cameras = [CameraSample(name=camera.name, record=camera.record) for camera in config.camera]
    began_ns, stopping = clock.boottime_ns(), threading.Event()
    missing = boot_check.wait(BootCheck(cameras, began_ns), look, clock, args.within, stopping)
    if missing:
        print(f"not good: {'; '.join(missing)}", file=sys.stderr)
        return 1
    try:
        said = boot_check.mark(
            lambda within_s: boot_check.mark_good(within_s=within_s),
            clock,
            args.within - (clock.boottime_ns() - began_ns) / 1e9,
            stopping,
        )
    except OSError as error:
        print(f"good, and not marked: {error}", file=sys.stderr)
        return 1
    print("good; there is no rauc here to tell" if said is None else f"good; rauc: {said}")
    return 0
