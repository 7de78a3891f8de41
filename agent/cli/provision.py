"""`vigie provision`: sets up a box from the settings file on its card, at each boot, as root."""

import argparse
import logging
import sys
from pathlib import Path

from agent.provisioning import first_boot, settings
from agent.provisioning.first_boot import BootPaths
from agent.provisioning.settings import InvalidSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Applies vigie-settings.toml from the card: writes the configuration, makes the "
        "box's keys and the certificate request, sets network and host name, and removes the secrets "
        "from the file. Wrong settings change nothing. Exit code 2: the settings are wrong."
    )
    parser.add_argument("--check", metavar="FILE", type=Path, help="only check this settings file")
    for name, value, help_text in (
        ("--select", "/select", "the mount point of the card's first partition"),
        ("--config-dir", "/etc/vigie", "the folder of the configuration"),
        ("--state", settings.STATE_DIR, "the agent's state folder"),
        ("--root", "/", "the folder of the machine's dev, proc, run and sys"),
    ):
        parser.add_argument(
            name,
            metavar="FOLDER",
            type=Path,
            default=Path(value),
            help=f"{help_text} (default: %(default)s)",
        )
    parser.add_argument(
        "--user",
        metavar="NAME",
        default="vigie",
        help="the owner of configuration and state (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check a settings file, or set up the box. Raises: UserError."""
    if args.check is not None:
        return _check(args.check)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    return first_boot.provision_box(
        BootPaths(
            boot_mount=args.select,
            config_dir=args.config_dir,
            state_dir=args.state,
            user=args.user,
            root=args.root,
        )
    )


def _check(path: Path) -> int:
    try:
        box_settings = settings.read_settings(path)
    except InvalidSettings as error:
        for problem in error.problems:
            print(f"vigie: {problem}", file=sys.stderr)
        return 2
    for note in box_settings.notes:
        print(f"note: {note}")
    print(f"{path}: good; box {box_settings.box_id} reports to {box_settings.broker_url}")
    return 0
