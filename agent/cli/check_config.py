"""`vigie check-config FILE`: says what is wrong with a configuration, without running it."""

import argparse
from pathlib import Path

from agent import sources
from agent.cli.commands import Commands
from agent.clock import SystemClock


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "check-config",
        help="check a configuration without running it",
        description="Checks a configuration, its drivers' options, its scenes and its models.",
    )
    parser.add_argument("config", metavar="FILE", type=Path, help="the configuration, TOML")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print one line for each camera. Raises BadInput with what is wrong."""
    config, cameras = sources.load(args.config, SystemClock())
    for source in cameras:
        camera = source.config
        does = [
            f"watched by {camera.detect.model}" if camera.detect.enabled else "not watched",
            "recorded" if camera.record else "not recorded",
        ]
        print(f"camera {camera.name}: {camera.driver}, {', '.join(does)}")
    print(f"{args.config}: good; box {config.box.id} reports to {config.broker.url}")
    return 0
