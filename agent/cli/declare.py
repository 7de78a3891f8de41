"""`vigie declare`: the public declaration of a box, as JSON or as a page for the public."""

import argparse
import sys
from pathlib import Path

from agent.base.clock import SystemClock, rfc3339
from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.cli.arguments import add_json, sudo_user
from agent.cli.output import print_json
from agent.commands.command import NoArguments
from agent.commands.local_command import run_command
from agent.commands.requester import CommandRejected
from agent.config import configuration
from agent.reporting import topics
from agent.reporting.declaration.data import DeclarationData
from agent.reporting.declaration.page import LANGUAGES, render_page
from agent.reporting.payloads import DeclarationMessage

REPLY_TIMEOUT_S = 30.0
MAX_MESSAGE_BYTES = 262_144


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Asks the running agent of this box for its declaration, or reads one that the centre has "
        "received, and prints the page, or writes it to a file. It begins with what a sign at the box has to say."
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--config", metavar="FILE", type=Path, help="the configuration of this box, TOML"
    )
    source.add_argument(
        "--message",
        metavar="FILE",
        type=Path,
        help="a message of up/declaration, as the centre has received it",
    )
    parser.add_argument(
        "--lang",
        choices=LANGUAGES,
        action="append",
        help="one language only, or several in this order (default: all)",
    )
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the page to this file")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print or write the declaration. Raises: UserError."""
    box, time, data = _read_message(args.message) if args.message else _ask_agent(args.config)
    if args.json:
        print_json(data)
        return 0
    page = render_page(data, box=box, time=time, languages=args.lang or LANGUAGES)
    if args.out is None:
        sys.stdout.write(page)
        return 0
    try:
        args.out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--out {str(args.out)!r}: {error.strerror or error}") from error
    return 0


def _read_message(path: Path) -> tuple[str, str, DeclarationData]:
    try:
        message = topics.decode_as(DeclarationMessage, read_regular_file(path, MAX_MESSAGE_BYTES))
    except OSError as error:
        raise UserError(f"--message {str(path)!r}: {error.strerror or error}") from error
    if message is None:
        raise UserError(
            f"--message {str(path)!r}: not a declaration; allowed: the JSON of up/declaration"
        )
    return message.box, message.time, message.data


def _ask_agent(config_path: Path) -> tuple[str, str, DeclarationData]:
    config = configuration.load(config_path)
    state = Path(config.box.state)
    try:
        declaration = run_command(
            state, "declare", NoArguments(), DeclarationData, REPLY_TIMEOUT_S, sudo_user()
        )
    except PermissionError as error:
        raise UserError(
            f"{state}: no permission to ask the agent; allowed: its user, and root (sudo)"
        ) from error
    except CommandRejected as error:
        raise UserError(f"declare: {error.code}: {error}") from error
    if declaration is None:
        raise UserError(
            f"{state}: no agent is running; allowed: after `vigie run --config {config_path}`"
        )
    clock = SystemClock()
    return config.box.id, rfc3339(clock.utc(clock.boottime_ns())), declaration
