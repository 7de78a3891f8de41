"""`vigie check-config FILE`: says what is wrong with a configuration, without running it."""

import argparse
from pathlib import Path

from agent.app.actuator_specs import fittings
from agent.base.clock import SystemClock
from agent.capture import camera_source
from agent.cli.commands import Commands
from agent.recording.encryption.seal import parse_recipients


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "check-config",
        help="check a configuration without running it",
        description="Checks a configuration, its drivers' options, its scenes, its tours, its models "
        "and its keys.",
    )
    parser.add_argument("config", metavar="FILE", type=Path, help="the configuration, TOML")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print a line for each camera, head and pin, and one for who opens footage. Raises BadInput."""
    clock = SystemClock()
    config, cameras = camera_source.load(args.config, clock)
    fitted = fittings(config, clock, str(args.config))
    sealed_for = ", ".join(parse_recipients(config.record.recipient))
    for source in cameras:
        camera = source.config
        does = [
            f"watched by {camera.detect.model}" if camera.detect.enabled else "not watched",
            "recorded" if camera.record else "not recorded",
        ]
        print(f"camera {camera.name}: {camera.driver}, {', '.join(does)}")
    for head in (one.config for one in fitted.heads):
        tours = ", ".join(tour.name for tour in head.tour) or "none"
        carries = f"carries camera {head.camera}" if head.camera else "carries no camera of the box"
        print(f"head {head.name}: {head.driver}, {carries}; tours: {tours}")
    for pin in config.pin:
        print(f"pin {pin.name}: {type(pin).__struct_config__.tag}, number {pin.pin}")
    print(f"footage: sealed for {sealed_for}" if sealed_for else "footage: plain, not sealed")
    print(f"{args.config}: good; box {config.box.id} reports to {config.broker.url}")
    return 0
