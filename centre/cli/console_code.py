"""`vigie console-code`: the centre's half of a login at a box's console."""

import argparse
import os
from pathlib import Path

from agent.base.errors import UserError
from agent.console import login
from centre.provisioning import console_secrets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Answers the challenge that a technician reads out. Example: vigie console-code --secret "
        "casa-0001.secret casa-0001 amina 7K2M-9QXD"
    )
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument(
        "--secret",
        metavar="FILE",
        type=Path,
        help="the box's secret, or the list of `vigie provision --table`",
    )
    group.add_argument("--new", metavar="FILE", type=Path, help="write a new secret for a box")
    parser.add_argument("challenge", nargs="*", metavar="CHALLENGE", help="BOX NAME XXXX-XXXX")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the code, or write a secret. Raises: UserError."""
    if args.new is not None:
        if args.challenge:
            raise UserError("--new: allowed: without a challenge")
        try:
            login.write_secret(args.new, os.urandom)
        except OSError as error:
            raise UserError(f"--new {str(args.new)!r}: {error.strerror or error}") from error
        print(f"{args.new}: a new secret. Copy it to the box as console.secret, mode 600.")
        return 0
    challenge = login.parse_challenge(" ".join(args.challenge))
    secret = console_secrets.read_secret(args.secret, challenge.box_id)
    code = login.compute_code(secret, challenge)
    print(f"{code[:4]} {code[4:]}")
    return 0
