"""`vigie incident ID ...`: orders an incident, extends or ends it, and shows the reports of the boxes."""

import argparse
import random
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import msgspec

from agent.authority.signed_message import SigningIdentity
from agent.base import checked_convert
from agent.base.clock import SystemClock
from agent.base.errors import UserError
from agent.cli.arguments import number_parser
from agent.cli.output import parse_text, print_json
from agent.commands.command import CommandRole
from agent.incident.order import (
    MAX_DURATION,
    MAX_REVISION,
    IncidentOrder,
    UnsignedIncidentOrder,
)
from centre import signing
from centre.cli.broker_arguments import add_broker, parse_broker
from centre.cli.signer_arguments import add_signer, load_identity
from centre.command_request import parse_arguments
from centre.fleet.wire_text import clean_text
from centre.incident_exchange import BoxReport, IncidentExchange

MAX_HOURS = MAX_DURATION / timedelta(hours=1)
DEFAULT_HOURS = 2.0
MAX_WAIT_S = 3600.0
DEFAULT_WAIT_S = 15.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Signs an order with one's control key and publishes it, retained, as the next revision. Its "
        "parts are in docs/incidents.md. Example: vigie incident 2026-118 to.groups='[\"zerktouni\"]' "
        "case=2026/118 footage.before_min=10 pictures.every_s=10"
    )
    parser.add_argument("incident", metavar="ID", help="names the incident")
    parser.add_argument("args", metavar="NAME=VALUE", nargs="*", help="or one JSON object")
    parser.add_argument(
        "--hours",
        metavar="H",
        type=number_parser("--hours", MAX_HOURS),
        default=DEFAULT_HOURS,
        help="how long it runs from now (default: %(default)g)",
    )
    parser.add_argument("--end", action="store_true", help="end it at all boxes")
    add_signer(parser)
    parser.add_argument(
        "--role",
        choices=get_args(CommandRole),
        default="incident",
        help="with --by (default: %(default)s)",
    )
    parser.add_argument(
        "--wait",
        metavar="S",
        type=number_parser("--wait", MAX_WAIT_S),
        default=DEFAULT_WAIT_S,
        help="how long reports of the boxes are shown (default: %(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print each report as a line of JSON")
    add_broker(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Publish the order. Return 1 if no box has reported it. Raises: UserError."""
    identity, order = load_identity(args, "incident"), _build_order(args)
    broker = parse_broker(args, "vigie incident")
    rng = random.Random()  # noqa: S311 - jitter and a client id, no secret
    exchange = IncidentExchange(broker, args.incident, rng, SystemClock().boottime_ns)
    with closing(exchange):
        order = _next_revision(order, exchange.read_revision())
        payload = _encode(args, order, identity)
        exchange.publish(payload, round((order.ends - order.issued).total_seconds()))
        ends = f"{order.ends:%Y-%m-%d %H:%M} UTC"
        print(f"revision {order.revision} is at the broker until {ends}", file=sys.stderr)
        has_report = False
        for report in exchange.reports(order.revision, args.wait):
            has_report = True
            _print_report(report, as_json=args.json)
        if not has_report and not exchange.is_any_centre_listening:
            print(
                "vigie: no centre listens (vigie/v1/centre/+/state): boxes with control.ca take the order, and keep their reports",
                file=sys.stderr,
            )
    return 0 if has_report else 1


def _build_order(args: argparse.Namespace) -> IncidentOrder:
    """Return the order. One that ends it is for all boxes, and is kept as long as the incident could have run."""
    fields = parse_arguments(args.args)
    if args.end and fields:
        raise UserError("--end: allowed: without further arguments")
    if args.end:
        fields = {"to": {"all": True}, "ended": True}
    issued = datetime.now(UTC)
    duration = MAX_DURATION if args.end else timedelta(hours=args.hours)
    tables: dict[str, Any] = {
        **fields,
        "id": args.incident,
        "revision": 1,
        "issued": issued,
        "ends": issued + duration,
    }
    return checked_convert.convert(tables, IncidentOrder, "incident")


def _next_revision(order: IncidentOrder, known: int) -> IncidentOrder:
    """Return the order as the revision after the known one. Nothing else is taken over: it comes from the broker."""
    if known >= MAX_REVISION:
        raise UserError(f"{order.id}: the broker has revision {known}; allowed: another id")
    return msgspec.structs.replace(order, revision=known + 1)


def _encode(
    args: argparse.Namespace, order: IncidentOrder, identity: SigningIdentity | None
) -> bytes:
    if identity is not None:
        return signing.sign_incident(order, identity)
    fields = {name: getattr(order, name) for name in IncidentOrder.__struct_fields__}
    by = parse_text(args.by, "--by")
    return msgspec.json.encode(UnsignedIncidentOrder(**fields, by=by, role=args.role))


def _print_report(box_report: BoxReport, *, as_json: bool) -> None:
    if as_json:
        print_json(box_report)
        return
    report = box_report.report
    reason = "" if report.reason is None else f": {report.reason}"
    print(clean_text(f"{box_report.box}  {report.state}{reason}"))
    for outcome in report.outcomes:
        detail = "" if outcome.detail is None else f": {outcome.detail}"
        print(clean_text(f"  {outcome.part} {outcome.of}: {outcome.outcome}{detail}"))
