"""`vigie watch --broker URL`: shows the boxes of a broker, and can act as the centre."""

import argparse
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent.base.clock import SystemClock
from agent.base.errors import UserError
from agent.base.health_model import HealthReport
from agent.cli.commands import Commands
from agent.cli.output import escape_unprintable
from agent.config.broker import BrokerConfig, check_broker
from agent.reporting.payloads import EventData
from centre.client import CentreClient, ReceivedMessage, to_json_line
from centre.fleet_view import BoxView, FleetView
from centre.store import CentreStore

REDRAWS_PER_S = 4
_STATE_STYLES = {"online": "green", "lost": "bold red", "stopped": "yellow", "unknown": "dim"}


class WatchOptions(NamedTuple):
    """The broker, the box or None for all, and the store of a centre."""

    broker: BrokerConfig
    box: str | None
    store: CentreStore | None


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "watch",
        help="show the messages of boxes, live",
        description="Shows every box at a broker: its state, health, faults and newest events. "
        "Ctrl-C ends it.",
    )
    parser.add_argument(
        "--broker", metavar="URL", required=True, help="mqtt://HOST[:1883] or mqtts://HOST[:8883]"
    )
    parser.add_argument("--ca", metavar="FILE", help="the CA of the broker's certificate, PEM")
    parser.add_argument("--certificate", metavar="FILE", help="the client certificate, PEM")
    parser.add_argument("--key", metavar="FILE", help="the key of the client certificate, PEM")
    parser.add_argument("--box", metavar="ID", help="only this box (default: all)")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each message")
    parser.add_argument(
        "--ack", action="store_true", help="act as the centre: store and acknowledge each message"
    )
    parser.add_argument(
        "--store",
        metavar="FILE",
        type=Path,
        help="with --ack: the file to store messages in, SQLite",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Watch until Ctrl-C. Raises: UserError if an argument is wrong."""
    broker = BrokerConfig(
        url=args.broker,
        ca=args.ca,
        certificate=args.certificate,
        key=args.key,
        insecure=True,  # typed by the person who sees it
    )
    check_broker(broker, "vigie watch")
    if args.ack != (args.store is not None):
        given, missing = ("--ack", "--store FILE") if args.ack else ("--store", "--ack")
        raise UserError(f"{given} needs {missing}: a centre stores what it acknowledges")
    if args.ack and args.box:
        raise UserError("--ack: not with --box; a centre receives all boxes")
    store = CentreStore.open(args.store) if args.store else None
    options = WatchOptions(broker=broker, box=args.box, store=store)
    try:
        if args.json:
            _print_json_lines(options)
        else:
            _show_live_table(options)
    finally:
        if store is not None:
            store.close()
    return 0


def _print_json_lines(options: WatchOptions) -> None:
    def print_message(item: ReceivedMessage) -> None:
        sys.stdout.buffer.write(to_json_line(item) + b"\n")
        sys.stdout.buffer.flush()

    def print_problem(problem: str | None) -> None:
        if problem:
            print(f"vigie: {problem}", file=sys.stderr)

    _watch(options, print_message, print_problem)


def _show_live_table(options: WatchOptions) -> None:
    fleet = FleetView()
    state = ["connecting"]

    def render() -> Table:
        return _render_table(fleet, options.broker.url, state[0])

    def on_message(item: ReceivedMessage) -> None:
        if item.message is not None:
            fleet.update(item.message)
        live.update(render())

    def on_connection_change(problem: str | None) -> None:
        state[0] = problem or "connected"
        live.update(render())

    with Live(render(), console=Console(), refresh_per_second=REDRAWS_PER_S) as live:
        _watch(options, on_message, on_connection_change)


def _watch(
    options: WatchOptions,
    on_message: Callable[[ReceivedMessage], None],
    on_connection_change: Callable[[str | None], None],
) -> None:
    """Run the client until Ctrl-C."""
    client = CentreClient(
        options.broker,
        on_message,
        random.Random(),  # noqa: S311 - jitter and a client id, no secret
        SystemClock().boottime_ns,
        box=options.box,
        store=options.store,
        on_connection_change=on_connection_change,
    )
    stopping = threading.Event()
    try:
        while True:
            client.run_once(stopping)
    except KeyboardInterrupt:
        return
    finally:
        client.close()


def _render_table(fleet: FleetView, url: str, state: str) -> Table:
    table = Table(title=_text_cell(f"{url}: {state}", style="table.title"), expand=True)
    for heading in ("box", "state", "health", "outbox", "faults", "last events"):
        table.add_column(heading)
    for view in fleet.views():
        table.add_row(
            _text_cell(*_name_lines(view)),
            _text_cell(view.state, _since_text(view.since), style=_STATE_STYLES[view.state]),
            _text_cell(*_health_lines(view.health)),
            _text_cell(*_outbox_lines(view.health)),
            _text_cell(*_fault_lines(view)),
            _text_cell(*(_event_text(data) for data in reversed(view.events))),
        )
    return table


def _text_cell(*lines: str, style: str = "") -> Text:
    """Return lines without markup: text of one box must not garble the rows of the others."""
    return Text("\n".join(escape_unprintable(line) for line in lines), style=style)


def _name_lines(view: BoxView) -> list[str]:
    return [view.box, view.site] if view.site else [view.box]


def _since_text(time: str) -> str:
    """Return an RFC 3339 time with a space for its T, so that a narrow column wraps it there."""
    return time.replace("T", " ", 1)


def _health_lines(report: HealthReport | None) -> list[str]:
    if report is None:
        return ["?"]
    vitals = report.vitals
    lines = [f"up {report.uptime_s / 3600:.1f} h"]
    lines += [f"{camera.name} {camera.fps:.1f} fps" for camera in report.cameras]
    if vitals.soc_celsius is not None:
        lines.append(f"{vitals.soc_celsius:.0f} °C")
    if vitals.disk_free_bytes is not None:
        lines.append(f"{vitals.disk_free_bytes / 1e9:.1f} GB free")
    return lines


def _outbox_lines(report: HealthReport | None) -> list[str]:
    if report is None:
        return ["?"]
    lines = [f"{report.outbox.depth} queued"]
    return [*lines, f"{report.outbox.lost} lost"] if report.outbox.lost else lines


def _fault_lines(view: BoxView) -> list[str]:
    return [f"{fault.code} {fault.title}: {fault.subject}" for fault in view.faults] or ["none"]


def _event_text(data: EventData) -> str:
    parts = (data.kind, data.phase, data.label, data.name, data.direction)
    return " ".join(part for part in parts if part)
