"""`vigie boot-good --config FILE`: checks that this system works, and marks it good."""

import argparse
import logging
import sys
import threading
from pathlib import Path

from agent.base.clock import SystemClock
from agent.cli.arguments import add_config, number_parser
from agent.config import configuration
from agent.config.recording import FOOTAGE_DIR
from agent.health import box_check, health_file
from agent.health.box_check import BoxCheck, BoxSample, ExpectedCamera
from agent.update import boot_check
from agent.update.errors import UpdateError

MAX_WAIT_S = 86_400.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Waits until the running agent receives frames from every open camera, records "
        "them and is connected to the broker. Then marks the system good, if it was installed by "
        "RAUC. Exit code 1: not good within the time, nothing was marked."
    )
    add_config(parser)
    parser.add_argument(
        "--within",
        metavar="SECONDS",
        type=number_parser("--within", MAX_WAIT_S),
        default=600.0,
        help="the longest time to wait (default: %(default)g)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Wait, and mark the system good. Raises: UserError."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    config = configuration.load(args.config)
    state = Path(config.box.state)
    runtime, footage = health_file.get_runtime_dir(state), state / FOOTAGE_DIR
    clock = SystemClock()
    names = [camera.name for camera in config.camera]

    def sample() -> BoxSample:
        return box_check.take_sample(health_file.read(runtime), footage, names, clock.boottime_ns())

    cameras = [ExpectedCamera(name=camera.name, record=camera.record) for camera in config.camera]
    start_ns, stopping = clock.boottime_ns(), threading.Event()
    missing = boot_check.wait_until_good(
        BoxCheck(cameras, start_ns), sample, clock, args.within, stopping
    )
    if missing:
        print(f"not good: {'; '.join(missing)}", file=sys.stderr)
        return 1
    try:
        output = boot_check.mark_with_retry(
            boot_check.mark_good,
            clock,
            args.within - (clock.boottime_ns() - start_ns) / 1e9,
            stopping,
        )
    except UpdateError as error:
        print(f"good, and not marked: {error}", file=sys.stderr)
        return 1
    print(
        "good; rauc is not installed, so nothing was marked"
        if output is None
        else f"good; rauc: {output}"
    )
    return 0
