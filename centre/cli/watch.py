"""`vigie watch --broker URL`: shows the boxes of a broker, and can act as the centre."""

import argparse
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple

from agent.authority.signed_message import SigningIdentity
from agent.base.clock import SystemClock, rfc3339
from agent.base.errors import UserError
from agent.config.broker import BrokerConfig
from agent.config.names import ALLOWED_NAME, NAME_PATTERN
from agent.reporting.payloads import Message, OnlineStatus, ReceiptMessage, StatusMessage
from agent.runtime.stop_signals import STOP_SIGNALS
from centre import control_keys
from centre.cli.broker_arguments import add_broker, parse_broker
from centre.cli.signer_arguments import load_key_pair
from centre.client import (
    DEFAULT_CENTRE,
    ActingCentre,
    CentreClient,
    ReceivedMessage,
    encode_line,
    to_json_line,
)
from centre.cloudevents import to_cloud_event
from centre.fleet.box_view import Arrival
from centre.fleet.fleet_view import FleetView
from centre.fleet.wire_text import clean_text
from centre.onvif_messages import iter_onvif_messages
from centre.store import CentreStore

if TYPE_CHECKING:
    from centre.fleet.screen import FleetScreen


class WatchOptions(NamedTuple):
    """The broker, the box or None for all, and the centre that acknowledges, if there is one."""

    broker: BrokerConfig
    box: str | None
    centre: ActingCentre | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Shows every box at a broker, the worst first: its state, health, faults and newest "
        "events. Keys: arrows and page keys select a box, / filters by words, q ends it. Into a pipe it "
        "prints a line for each change."
    )
    add_broker(parser)
    parser.add_argument("--box", metavar="ID", help="only this box (default: all)")
    parser.add_argument(
        "--format",
        choices=_LINE_FORMATS,
        help="print a line of JSON for each message: as it was received, as a CloudEvent, or as topic and payload "
        "of ONVIF Profile M, without the messages that ONVIF has no counterpart of",
    )
    parser.add_argument(
        "--json",
        action="store_const",
        const="json",
        dest="format",
        help="the same as --format json",
    )
    parser.add_argument(
        "--ack", action="store_true", help="act as the centre: store and acknowledge each message"
    )
    parser.add_argument(
        "--store",
        metavar="FILE",
        type=Path,
        help="with --ack: the file to store messages in, SQLite",
    )
    parser.add_argument(
        "--centre",
        metavar="NAME",
        help=f"with --ack: the centre's name, its own if there are several (default: {DEFAULT_CENTRE})",
    )
    parser.add_argument(
        "--signer",
        metavar="FILE",
        type=Path,
        help="with --ack: the centre's control certificate, of the role centre; boxes with control.ca need it",
    )
    parser.add_argument("--signer-key", metavar="FILE", type=Path, help="its key")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Watch until Ctrl-C. Raises: UserError if an argument is wrong."""
    broker = parse_broker(args, "vigie watch")
    if args.ack != (args.store is not None):
        given, missing = ("--ack", "--store FILE") if args.ack else ("--store", "--ack")
        raise UserError(f"{given} needs {missing}: a centre stores what it acknowledges")
    if args.ack and args.box:
        raise UserError("--ack: not with --box; a centre receives all boxes")
    if not args.ack and (args.centre is not None or args.signer is not None):
        raise UserError("--centre and --signer need --ack: they name what acknowledges")
    identity = _load_identity(args)
    name = _centre_name(args.centre, identity)
    store = CentreStore.open(args.store) if args.store else None
    centre = None if store is None else ActingCentre(store=store, name=name, identity=identity)
    options = WatchOptions(broker=broker, box=args.box, centre=centre)
    try:
        if args.format is not None:
            _print_messages(options, _LINE_FORMATS[args.format])
        elif _is_interactive():
            _show_screen(options)
        else:
            _print_changes(options)
    finally:
        if store is not None:
            store.close()
    return 0


def _load_identity(args: argparse.Namespace) -> SigningIdentity | None:
    identity = load_key_pair(args) if args.ack else None
    if identity is not None and control_keys.read_identity(identity).role != "centre":
        raise UserError(
            f"{args.signer or '[signer] of the settings'}: allowed: a certificate of the role 'centre'"
        )
    return identity


def _centre_name(given: str | None, identity: SigningIdentity | None) -> str:
    """Return the name of the centre, which its certificate has too. Raises: UserError."""
    certified = None if identity is None else control_keys.read_identity(identity).name
    name = given or certified or DEFAULT_CENTRE
    if not NAME_PATTERN.fullmatch(name):
        raise UserError(f"--centre {name!r}: allowed: {ALLOWED_NAME}")
    if certified not in (None, name):
        raise UserError(f"--centre {name!r}: allowed: {certified!r}, as in the certificate")
    return name


@contextmanager
def receiving_screen(options: WatchOptions) -> Iterator["FleetScreen"]:
    """Yield the fleet's screen, for which a thread receives until the block ends.

    Raises: what the client raises, which ends the screen.
    """
    # Imported here: it takes a third of a second, which lines into a pipe need not wait.
    from centre.fleet.screen import FleetScreen  # noqa: PLC0415

    url = options.broker.url
    screen = FleetScreen(
        f"connecting to {url}", lambda: datetime.now(UTC), _stored_heads(options.centre)
    )
    client = _build_client(
        options,
        _with_signature_warning(options, _with_message(screen.update), screen.show_connection),
        lambda problem: screen.show_connection(_connection_text(problem, url)),
    )
    stopping = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        receiving = pool.submit(_receive, client, stopping)
        receiving.add_done_callback(lambda _: screen.end())
        try:
            yield screen
        finally:
            stopping.set()
    receiving.result()


def _show_screen(options: WatchOptions) -> None:
    """Show the fleet's screen until the operator ends it, or a signal: the terminal is left as it was."""
    with receiving_screen(options) as screen, _handling_stop_signals(screen.end):
        screen.run()


@contextmanager
def _handling_stop_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at Ctrl-C and SIGTERM, which would end the process in the middle of a line. The next one does
    so: a connection that is being opened holds up the end for seconds.
    """
    previous = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def handle(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, previous[signal.Signals(number)])
        stop()

    for number in STOP_SIGNALS:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _is_interactive() -> bool:
    """Return whether a screen can be drawn. Textual draws it on standard error."""
    is_terminal = all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    return is_terminal and os.environ.get("TERM", "dumb") != "dumb"


def _iter_json(item: ReceivedMessage) -> Iterator[bytes]:
    yield to_json_line(item)


def _iter_cloud_events(item: ReceivedMessage) -> Iterator[bytes]:
    if (event := to_cloud_event(item)) is not None:
        yield encode_line(event)


def _iter_onvif(item: ReceivedMessage) -> Iterator[bytes]:
    if item.message is not None:
        yield from map(encode_line, iter_onvif_messages(item.message))


_LINE_FORMATS = {"json": _iter_json, "cloudevents": _iter_cloud_events, "onvif": _iter_onvif}


def _print_messages(
    options: WatchOptions, iter_lines: Callable[[ReceivedMessage], Iterator[bytes]]
) -> None:
    def print_message(item: ReceivedMessage) -> None:
        for line in iter_lines(item):
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()

    _print_until_interrupt(options, print_message)


def _print_changes(options: WatchOptions) -> None:
    """Print one line for each change: the time by this machine's clock, the box, the change."""
    fleet = FleetView(_stored_heads(options.centre))

    def print_changes(message: Message, arrival: Arrival) -> None:
        for change in fleet.update(message, arrival):
            print(rfc3339(arrival.time), change, flush=True)

    _print_until_interrupt(options, _with_message(print_changes))


def _stored_heads(centre: ActingCentre | None) -> list[ReceiptMessage]:
    return [] if centre is None else centre.store.newest_heads()


def _print_until_interrupt(
    options: WatchOptions, on_message: Callable[[ReceivedMessage], None]
) -> None:
    """Run the client until Ctrl-C. The connection's changes are lines on standard error."""
    url = options.broker.url
    printed = f"connecting to {url}"
    print(f"vigie: {printed}", file=sys.stderr, flush=True)

    def print_connection(problem: str | None) -> None:
        nonlocal printed
        if (text := _connection_text(problem, url)) != printed:
            printed = text
            print(f"vigie: {clean_text(text)}", file=sys.stderr, flush=True)

    def print_warning(text: str) -> None:
        print(f"vigie: {text}", file=sys.stderr, flush=True)

    handle = _with_signature_warning(options, on_message, print_warning)
    client = _build_client(options, handle, print_connection)
    stopping = threading.Event()
    with _handling_stop_signals(stopping.set):
        _receive(client, stopping)


def _connection_text(problem: str | None, url: str) -> str:
    return f"connected to {url}" if problem is None else f"{problem}; trying again"


def _with_signature_warning(
    options: WatchOptions,
    on_message: Callable[[ReceivedMessage], None],
    warn: Callable[[str], None],
) -> Callable[[ReceivedMessage], None]:
    """Return the handler that in addition warns once of a box which takes no unsigned acknowledgement, if this is a centre
    without a control key.
    """
    has_warned = options.centre is None or options.centre.identity is not None

    def handle(item: ReceivedMessage) -> None:
        nonlocal has_warned
        on_message(item)
        status = item.message.data if isinstance(item.message, StatusMessage) else None
        if not has_warned and isinstance(status, OnlineStatus) and status.commands_authenticated:
            has_warned = True
            box = item.message.box if item.message is not None else ""
            warn(
                f"{clean_text(box)} has control.ca: it takes no acknowledgement of this centre, and sends it nothing; "
                "allowed: with --signer and --signer-key"
            )

    return handle


def _with_message(
    update: Callable[[Message, Arrival], None],
) -> Callable[[ReceivedMessage], None]:
    """Return a handler of what is received that passes on the messages of the contract."""

    def on_message(item: ReceivedMessage) -> None:
        if item.message is not None:
            received = datetime.fromisoformat(item.received)
            update(
                item.message,
                Arrival(time=received, retained=item.retained, expiry_s=item.expiry_s),
            )

    return on_message


def _build_client(
    options: WatchOptions,
    on_message: Callable[[ReceivedMessage], None],
    on_connection_change: Callable[[str | None], None],
) -> CentreClient:
    return CentreClient(
        options.broker,
        on_message,
        random.Random(),  # noqa: S311 - jitter and a client id, no secret
        SystemClock().boottime_ns,
        box=options.box,
        centre=options.centre,
        on_connection_change=on_connection_change,
    )


def _receive(client: CentreClient, stopping: threading.Event) -> None:
    try:
        while not stopping.is_set():
            client.run_once(stopping)
    finally:
        client.close()
