"""Test of the link to the broker: connect as the agent does, and time its answers."""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.base.message import Message, message_of
from agent.config.broker import BrokerConfig
from agent.console.acts.act import CHECK_S, ActCall, Lines, act
from agent.console.check_result import CheckResult, failed, passed, unknown
from agent.console.context import ConsoleContext
from agent.reporting import centre_topics
from agent.reporting.mqtt.connect_error import MqttConnectionError
from agent.reporting.mqtt.connection import FAULT_CODES
from agent.reporting.mqtt.packets import Connack, Suback
from agent.reporting.mqtt.paho_transport import PahoTransport
from agent.reporting.renewal.credentials import current_broker

DEFAULT_PINGS, MAX_PINGS = 4, 20
ANSWER_TIMEOUT_S = 10.0


def agent_session_result(round_trip_ms: float | None) -> CheckResult:
    """Return the result of the agent's own connection, which nothing may replace."""
    if round_trip_ms is None:
        message = Message(
            "the agent is connected; no second connection is made under its certificate"
        )
    else:
        message = Message(
            "the agent is connected, and its last message was acknowledged in {round_trip_ms:.1f} "
            "ms; no second connection is made under its certificate",
            round_trip_ms=round_trip_ms,
        )
    return passed(Message("broker"), message)


def ping(
    broker: BrokerConfig, box_id: str, count: int, clock: Clock, *, agent_connected: bool
) -> Iterator[CheckResult]:
    """Connect, then subscribe `count` times to the box's own topic: each answer is a round trip.

    A broker knows a box by its client id, and would disconnect the agent for a second client of that id.
    So next to a connected agent another id is used. With a client certificate there is no other id (see
    docs/centre.md): the caller shows `agent_session_result` instead.
    """
    client_id = f"{box_id}-console" if agent_connected else box_id
    link = PahoTransport(broker, client_id, None)
    try:
        started_ns = clock.boottime_ns()
        link.connect()
        link.wait_for(Connack, ANSWER_TIMEOUT_S)
        elapsed_ms = (clock.boottime_ns() - started_ns) / 1e6
        yield passed(
            Message("connection"),
            Message("as {client}, {elapsed_ms:.0f} ms", client=client_id, elapsed_ms=elapsed_ms),
        )
        for number in range(1, count + 1):
            started_ns = clock.boottime_ns()
            link.subscribe([centre_topics.ack_topic(box_id, "+")])
            answer = link.wait_for(Suback, ANSWER_TIMEOUT_S)
            elapsed_ms = (clock.boottime_ns() - started_ns) / 1e6
            subject = Message("ping {number}", number=number)
            if answer.failure_reason is not None:
                message = Message(
                    "the broker refuses the box's own topics: {reason}",
                    reason=answer.failure_reason,
                )
                yield failed(subject, message, "NET-02")
                return
            yield passed(subject, Message("{elapsed_ms:.1f} ms", elapsed_ms=elapsed_ms))
    except MqttConnectionError as error:
        if agent_connected and error.kind != "unreachable":
            message = Message(
                "as {client}: {error}; the agent itself is connected",
                client=client_id,
                error=message_of(error),
            )
            yield unknown(Message("connection"), message)
        else:
            yield failed(Message("broker"), message_of(error), FAULT_CODES[error.kind])
    except UserError as error:
        yield failed(Message("broker"), str(error), "NET-04")
    finally:
        link.close()


class PingArgs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The number of round trips."""

    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_PINGS)] = DEFAULT_PINGS


@act(lane="work", typed="mqtt ping", timeout_s=CHECK_S, receipt="mqtt ping")
def mqtt_ping(call: ActCall, args: PingArgs) -> Lines[CheckResult]:
    """Connect to the broker as the agent does, and time its answers."""
    return Lines(_ping(call.context, args.count))


def _ping(context: ConsoleContext, count: int) -> Iterator[CheckResult]:
    broker, report = current_broker(context.require_config()), context.live_report()
    connected = report is not None and report.outbox.connected
    if report is not None and connected and broker.certificate is not None:
        round_trip_ms = None if report.link is None else report.link.round_trip_ms
        yield agent_session_result(round_trip_ms)
        return
    results = ping(broker, context.box_id, count, context.clock, agent_connected=connected)
    yield from context.with_advice(results)
