"""centre.demo.demo_operator over MQTT: a command survives the loss of the broker before its publication."""

import random
import signal
import threading
from pathlib import Path

from agent.base.clock import SystemClock
from agent.config.broker import BrokerConfig
from centre.demo.demo_authority import DemoAuthority
from centre.demo.demo_operator import DemoOperator
from centre.demo.ptz_script import AMINA
from tests.whole import demo_values
from tests.whole.report.broker import Mosquitto

MAX_TURNS = 40


def test_a_command_that_could_not_be_published_is_sent_after_the_reconnection(
    broker: Mosquitto, tmp_path: Path
) -> None:
    stopping, received = threading.Event(), threading.Event()
    clock, rng = SystemClock(), random.Random(1)
    authority = DemoAuthority(tmp_path / "ca.pem", clock.utc(clock.boottime_ns()))
    operator = DemoOperator(
        BrokerConfig(url=broker.url), "pole", authority, lambda _: None, clock, rng
    )

    def run_until(is_so: threading.Event) -> None:
        for _ in range(MAX_TURNS):
            if is_so.is_set():
                return
            operator.run_once(stopping)
        raise AssertionError("the event was not set in time")

    run_until(operator.online)
    broker.stop(signal.SIGKILL)
    operator.send_command(AMINA, "ptz", {"do": "stop"})
    # The session still counts as online, so this turn publishes into a closed connection.
    operator.run_once(stopping)
    while operator.online.is_set():
        operator.run_once(stopping)
    broker.start()
    box = demo_values.connect_client("box", int(broker.url.rsplit(":", 1)[1]))
    box.on_message = lambda *_: received.set()
    demo_values.subscribe(box, "vigie/v1/pole/down/command/ptz")
    run_until(received)
    assert received.is_set()
    operator.close()
    box.disconnect()
    box.loop_stop()
