"""MQTT ping: connect to the broker as the agent does, and time its answers."""

from collections.abc import Iterator

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.config.configuration import BrokerConfig
from agent.console.check_result import CheckResult, failed, passed, unknown
from agent.reporting.mqtt.connect_error import MqttConnectionError
from agent.reporting.mqtt.connection import FAULT_CODES
from agent.reporting.mqtt.packets import Connack, Suback
from agent.reporting.mqtt.paho_transport import PahoTransport

ANSWER_TIMEOUT_S = 10.0


def agent_session_result(round_trip_ms: float | None) -> CheckResult:
    """Return the result of the agent's own connection, which nothing may replace."""
    message = "the agent is connected"
    if round_trip_ms is not None:
        message += f", and its last message was acknowledged in {round_trip_ms:.1f} ms"
    return passed("broker", f"{message}; no second connection is made under its certificate")


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
        yield passed("connection", f"as {client_id}, {elapsed_ms:.0f} ms")
        for number in range(1, count + 1):
            started_ns = clock.boottime_ns()
            link.subscribe([f"vigie/v1/{box_id}/down/ack"])
            answer = link.wait_for(Suback, ANSWER_TIMEOUT_S)
            elapsed_ms = (clock.boottime_ns() - started_ns) / 1e6
            if answer.failure_reason is not None:
                message = f"the broker refuses the box's own topics: {answer.failure_reason}"
                yield failed(f"ping {number}", message, "NET-02")
                return
            yield passed(f"ping {number}", f"{elapsed_ms:.1f} ms")
    except MqttConnectionError as error:
        if agent_connected and error.kind != "unreachable":
            yield unknown("connection", f"as {client_id}: {error}; the agent itself is connected")
        else:
            yield failed("broker", str(error), FAULT_CODES[error.kind])
    except UserError as error:
        yield failed("broker", str(error), "NET-04")
    finally:
        link.close()
