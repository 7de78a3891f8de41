"""`vigie heads BOX --store FILE`: prints the chain heads of a box that a centre has stored, for `vigie footage verify`."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from agent.base.clock import rfc3339, unix_ms
from agent.base.time_argument import ALLOWED_FORMATS, parse_time
from agent.recording.export.head_coverage import KnownHead, format_head
from agent.reporting import topics
from agent.reporting.payloads import CustodyHead, ReceiptMessage
from centre.store import read_received


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Prints a line for each chain head: the number of its receipt, its hash, and the time at which the centre received "
        "it. `vigie footage verify --heads FILE` and verify.html read them. "
        "Example: vigie heads casa-0001 --store centre.db > heads.txt"
    )
    parser.add_argument("box", metavar="BOX", help="the box's id")
    parser.add_argument(
        "--store", metavar="FILE", type=Path, required=True, help="the store of `vigie watch --ack`"
    )
    parser.add_argument(
        "--since",
        metavar="TIME",
        help=f"only heads received from then on, such as after a new key: {ALLOWED_FORMATS}",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the heads. Return 1 if there is none. Raises: UserError."""
    since = None if args.since is None else parse_time(args.since, datetime.now(UTC), "--since")
    since_text = "" if since is None else rfc3339(since)
    has_heads = False
    for received, payload in read_received(args.store, topics.up_topic(args.box, "receipt/head")):
        message = topics.decode_as(ReceiptMessage, payload)
        if message is None or not isinstance(message.data, CustodyHead) or received < since_text:
            continue
        has_heads = True
        arrival_ms = unix_ms(datetime.fromisoformat(received))
        head = KnownHead(seq=message.data.seq, sha256=message.data.sha256, received_ms=arrival_ms)
        print(format_head(head))
    return 0 if has_heads else 1
