"""`vigie send BOX VERB ...`: signs a command, sends it, and shows its progress."""

import argparse
import random
import sys
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import msgspec

from agent.authority.signed_message import MessageType, ParsedMessage, SigningIdentity
from agent.base.clock import SystemClock, rfc3339
from agent.base.errors import UserError
from agent.cli.arguments import number_parser
from agent.cli.output import parse_text, print_reply
from agent.commands.command import MAX_COMMAND_BYTES, MAX_EXPIRY_S, CommandRole
from agent.reporting.payloads import OnlineStatus, StatusMessage
from centre import signing
from centre.cli.broker_arguments import add_broker, parse_broker
from centre.cli.signer_arguments import (
    add_second_signature,
    add_signer,
    confirm,
    load_identity,
    read_saved,
    save,
)
from centre.command_exchange import CommandExchange
from centre.command_request import (
    countersign,
    needed_session,
    parse_arguments,
)
from centre.fleet.wire_text import clean_text

DEFAULT_TIMEOUT_S = 60.0
MESSAGE_TYPE: MessageType = "vigie-command+jws"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Signs a command with one's control key, sends it, and shows the replies. The verbs and "
        "their arguments are in docs/commands.md. Example: vigie send pole-17 ptz do=goto_preset head=mast "
        "preset=gate; the broker, its certificates and the signer are those of ~/.config/vigie/centre.toml, docs/centre.md"
    )
    parser.add_argument("box", metavar="BOX", help="id of the box")
    parser.add_argument("verb", metavar="VERB", help="such as ptz, snapshot, hold")
    parser.add_argument("args", metavar="NAME=VALUE", nargs="*", help="or one JSON object")
    add_signer(parser)
    add_second_signature(parser, "send")
    parser.add_argument(
        "--role",
        choices=get_args(CommandRole),
        default="operator",
        help="with --by (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        metavar="S",
        type=number_parser("--timeout", MAX_EXPIRY_S),
        default=DEFAULT_TIMEOUT_S,
        help="how long the command is valid, and each reply is waited for (default: %(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print each reply as a line of JSON")
    add_broker(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Send the command. Return 0 if it was done, 1 if it was refused. Raises: UserError."""
    identity = load_identity(args, "send")
    saved = _read_saved(args, identity)
    broker = parse_broker(args, "vigie send")
    command_id = str(uuid.uuid4()) if saved is None else str(saved.claims.get("id"))
    rng = random.Random()  # noqa: S311 - jitter and a client id, no secret
    exchange = CommandExchange(broker, args.box, command_id, rng, SystemClock().boottime_ns)
    with closing(exchange):
        session = _session(args.box, exchange.read_status())
        if identity is None:
            payload = _unsigned(args, command_id)
        elif saved is None:
            payload = _sign(args, identity, command_id, session)
        else:
            confirm(args, saved, "send")
            payload = countersign(saved, MESSAGE_TYPE, identity)
        if args.save is not None:
            return save(args, payload, identity)
        exit_code = 1
        for reply in exchange.send(
            args.verb, payload, args.timeout, is_signed=identity is not None
        ):
            exit_code = print_reply(reply, _print_result, as_json=args.json, clean=clean_text)
    return exit_code


def _read_saved(args: argparse.Namespace, identity: SigningIdentity | None) -> ParsedMessage | None:
    if args.countersign is None:
        return None
    if identity is None or args.save is not None or args.args:
        raise UserError("--countersign: allowed: with --signer, without --save and arguments")
    saved = read_saved(args, MESSAGE_TYPE, 2 * MAX_COMMAND_BYTES)
    named = (saved.claims.get("box"), saved.claims.get("verb"))
    if named != (args.box, args.verb):
        raise UserError(f"{args.countersign}: is {named[1]!r} for {named[0]!r}; allowed: that")
    return saved


def _session(box: str, status: StatusMessage | None) -> int | None:
    """Return the session that the command must name. A box that is away is named on standard error."""
    if status is None:
        print(f"vigie: {box}: the broker knows no box of this name", file=sys.stderr)
        return None
    if not isinstance(status.data, OnlineStatus):
        state = status.data.__struct_config__.tag
        print(f"vigie: {box}: {state} since {status.time}", file=sys.stderr)
    return needed_session(status)


def _sign(
    args: argparse.Namespace, identity: SigningIdentity, command_id: str, session: int | None
) -> bytes:
    issued = datetime.now(UTC)
    return signing.sign_command(
        box=args.box,
        verb=args.verb,
        args=parse_arguments(args.args),
        command_id=command_id,
        issued=issued,
        expires=issued + timedelta(seconds=args.timeout),
        signers=[identity],
        session=session,
    )


def _unsigned(args: argparse.Namespace, command_id: str) -> bytes:
    command: dict[str, Any] = {
        "id": command_id,
        "expires": rfc3339(datetime.now(UTC) + timedelta(seconds=args.timeout)),
        "by": parse_text(args.by, "--by"),
        "role": args.role,
        "args": parse_arguments(args.args),
    }
    return msgspec.json.encode(command)


def _print_result(encoded: bytes) -> None:
    sys.stdout.buffer.write(msgspec.json.format(encoded, indent=2) + b"\n")
