"""The broker is greeted over MQTT, and asked something, as the agent does."""

from collections.abc import Iterator

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.config.configuration import BrokerConfig
from agent.console.results import CheckResult
from agent.reporting.mqtt.connect_error import MqttConnectionError
from agent.reporting.mqtt.connection import FAULT_CODES
from agent.reporting.mqtt.paho_transport import Connack, PahoTransport, Suback

ANSWER_TIMEOUT_S = 10.0


def agent_session_result(round_trip_ms: float | None) -> CheckResult:
    """What the agent's own connection tells."""
    message = "the agent is connected"
    if round_trip_ms is not None:
        message += f", and its last message was acknowledged in {round_trip_ms:.1f} ms"
    return CheckResult(
        subject="broker", ok=True, message=f"{message}; nothing else may greet it as this box"
    )


def ping(
    broker: BrokerConfig, box_id: str, count: int, clock: Clock, *, agent_connected: bool
) -> Iterator[CheckResult]:
    """Greet, then subscribe to the box's own topic so often: each answer is a way to and fro.

    A broker knows a box by its client id, and would throw the agent out for another one of that
    name. So beside a connected agent it is asked under another name; where a certificate says who
    somebody is there is no other, see docs/centre.md, and `own_session` is to be shown instead.
    """
    client_id = f"{box_id}-console" if agent_connected else box_id
    link = PahoTransport(broker, client_id, None)
    try:
        started_ns = clock.boottime_ns()
        link.connect()
        link.wait_for(Connack, ANSWER_TIMEOUT_S)
        elapsed_ms = (clock.boottime_ns() - started_ns) / 1e6
        yield CheckResult(
            subject="greeting", ok=True, message=f"as {client_id}, {elapsed_ms:.0f} ms"
        )
        for number in range(1, count + 1):
            started_ns = clock.boottime_ns()
            link.subscribe([f"vigie/v1/{box_id}/down/ack"])
            answer = link.wait_for(Suback, ANSWER_TIMEOUT_S)
            elapsed_ms = (clock.boottime_ns() - started_ns) / 1e6
            if answer.failure_reason is not None:
                message = f"the broker does not let it hear its own topics: {answer.failure_reason}"
                yield CheckResult(
                    subject=f"ping {number}", ok=False, message=message, code="NET-02"
                )
                return
            yield CheckResult(subject=f"ping {number}", ok=True, message=f"{elapsed_ms:.1f} ms")
    except MqttConnectionError as error:
        if agent_connected and error.kind != "unreachable":
            message = f"as {client_id}: {error}; the agent itself is connected"
            yield CheckResult(subject="greeting", ok=None, message=message)
        else:
            yield CheckResult(
                subject="broker", ok=False, message=str(error), code=FAULT_CODES[error.kind]
            )
    except UserError as error:
        yield CheckResult(subject="broker", ok=False, message=str(error), code="NET-04")
    finally:
        link.close()
