"""`vigie check-config FILE`: says what is wrong with a configuration, without running it."""

import argparse
from pathlib import Path

from agent import run as agent_run
from agent.cli.commands import Commands


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
    """Print one line for each camera, or raise BadInput with what is wrong."""
    config = agent_run.load_checked(args.config)
    for camera in config.camera:
        scene = camera.detect.scene or "no scene"
        print(f"camera {camera.name}: {camera.driver}, {scene}")
    print(f"{args.config}: good, box {config.box.id} reports to {config.broker.url}")
    return 0
