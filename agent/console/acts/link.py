"""Test of the link to the broker, as the agent connects to it."""

from collections.abc import Iterator

from agent.console import mqtt_ping
from agent.console.check_result import CheckResult
from agent.console.context import ConsoleContext
from agent.reporting.renewal.credentials import current_broker

DEFAULT_PINGS, MAX_PINGS = 4, 20


def ping_broker(context: ConsoleContext, count: int) -> Iterator[CheckResult]:
    """Yield each round trip; the agent's own if its certificate allows one session only. Raises ConsoleError."""
    broker, report = current_broker(context.require_config()), context.live_report()
    connected = report is not None and report.outbox.connected
    if report is not None and connected and broker.certificate is not None:
        round_trip_ms = None if report.link is None else report.link.round_trip_ms
        yield mqtt_ping.agent_session_result(round_trip_ms)
        return
    results = mqtt_ping.ping(
        broker, context.box_id, count, context.clock, agent_connected=connected
    )
    yield from context.with_advice(results)
