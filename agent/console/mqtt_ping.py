"""The broker is greeted over MQTT, and asked something, as the agent does."""

from collections.abc import Iterator
from typing import TypeVar

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.config.configuration import BrokerConfig
from agent.console.results import CheckResult
from agent.reporting.mqtt.connect_error import LinkError
from agent.reporting.mqtt.connection import FAULT_OF
from agent.reporting.mqtt.paho_transport import Accepted, LinkEvent, PahoTransport, Subscribed

ANSWER_S = 10.0
E = TypeVar("E", bound=LinkEvent)


def own_session(round_trip_ms: float | None) -> CheckResult:
    """What the agent's own connection tells."""
    said = "the agent is connected"
    if round_trip_ms is not None:
        said += f", and its last message was acknowledged in {round_trip_ms:.1f} ms"
    return CheckResult(
        what="broker", good=True, said=f"{said}; nothing else may greet it as this box"
    )


class _Silent(Exception):
    """No answer in time."""


def ping(
    broker: BrokerConfig, box: str, times: int, clock: Clock, *, agent_connected: bool
) -> Iterator[CheckResult]:
    """Greet, then subscribe to the box's own topic so often: each answer is a way to and fro.

    A broker knows a box by its client id, and would throw the agent out for another one of that
    name. So beside a connected agent it is asked under another name; where a certificate says who
    somebody is there is no other, see docs/centre.md, and `own_session` is to be shown instead.
    """
    client_id = f"{box}-console" if agent_connected else box
    link = PahoTransport(broker, client_id, None)
    try:
        began_ns = clock.boottime_ns()
        link.connect()
        _wait(link, Accepted, clock)
        took_ms = (clock.boottime_ns() - began_ns) / 1e6
        yield CheckResult(what="greeting", good=True, said=f"as {client_id}, {took_ms:.0f} ms")
        for number in range(1, times + 1):
            began_ns = clock.boottime_ns()
            link.subscribe([f"vigie/v1/{box}/down/ack"])
            answer = _wait(link, Subscribed, clock)
            took_ms = (clock.boottime_ns() - began_ns) / 1e6
            if answer.refused is not None:
                said = f"the broker does not let it hear its own topics: {answer.refused}"
                yield CheckResult(what=f"ping {number}", good=False, said=said, code="NET-02")
                return
            yield CheckResult(what=f"ping {number}", good=True, said=f"{took_ms:.1f} ms")
    except LinkError as error:
        if agent_connected and error.kind != "unreachable":
            said = f"as {client_id}: {error}; the agent itself is connected"
            yield CheckResult(what="greeting", good=None, said=said)
        else:
            yield CheckResult(what="broker", good=False, said=str(error), code=FAULT_OF[error.kind])
    except _Silent:
        said = f"no answer in {ANSWER_S:.0f} s"
        yield CheckResult(what="broker", good=False, said=said, code="NET-01")
    except UserError as error:
        yield CheckResult(what="broker", good=False, said=str(error), code="NET-04")
    finally:
        link.close()


def _wait(link: PahoTransport, kind: type[E], clock: Clock) -> E:
    """The next event of a kind. Raises LinkError and _Silent."""
    end_ns = clock.boottime_ns() + int(ANSWER_S * 1e9)
    while clock.boottime_ns() < end_ns:
        for event in link.turn(1.0):
            if isinstance(event, kind):
                return event
    raise _Silent
