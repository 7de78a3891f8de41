"""`mqtt ping`: connect to the broker as the agent does, and time its answers."""

from collections.abc import Sequence

from agent.base.message import Message
from agent.console import mqtt_ping
from agent.console.arguments import parse_int, usage_error
from agent.console.check_result import print_results
from agent.console.context import ConsoleContext
from agent.console.session import ConsoleCommand
from agent.console.terminal import Terminal
from agent.reporting.renewal.credentials import current_broker

DEFAULT_COUNT, MAX_COUNT = 4, 20


def run(terminal: Terminal, context: ConsoleContext, argv: Sequence[str]) -> None:
    """Ping the broker; if the agent's certificate allows one session only, show the agent's."""
    if not argv or argv[0] != "ping" or len(argv) > 2:  # noqa: PLR2004 - ping TIMES
        raise usage_error(("mqtt", *argv), "mqtt ping [TIMES]")
    count = parse_int(argv[1], 1, MAX_COUNT) if len(argv) > 1 else DEFAULT_COUNT
    if count is None:
        raise usage_error(("mqtt", *argv), Message("1 to {max_count} times", max_count=MAX_COUNT))
    broker, report = current_broker(context.require_config()), context.live_report()
    connected = report is not None and report.outbox.connected
    if report is not None and connected and broker.certificate is not None:
        round_trip_ms = None if report.link is None else report.link.round_trip_ms
        print_results(terminal, (mqtt_ping.agent_session_result(round_trip_ms),))
        return
    results = mqtt_ping.ping(
        broker, context.box_id, count, context.clock, agent_connected=connected
    )
    for result in context.with_advice(results):
        print_results(terminal, (result,))


MQTT = ConsoleCommand(
    name="mqtt",
    help=Message("mqtt ping: connect to the broker as the agent does, and time it"),
    usage=(
        (
            "mqtt ping [TIMES]",
            Message(
                "1 to {max_count} round trips (default {default_count})",
                max_count=MAX_COUNT,
                default_count=DEFAULT_COUNT,
            ),
        ),
    ),
    run=run,
)
