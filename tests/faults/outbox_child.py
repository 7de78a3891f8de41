"""A box's reporting half, to be killed: puts numbered events, and writes which are on the disk.

Writes the number of the last event of each group that is durable, all before it in this run being durable too.
After `event_count` it writes `drained` when nothing waits any more.
"""

import random
import threading
from collections.abc import Callable
from pathlib import Path

from agent.config.broker import BrokerConfig
from agent.faults.registry import FaultRegistry
from agent.reporting.mqtt.mqtt_stage import MqttStage
from agent.reporting.mqtt.session import MqttSession
from agent.runtime.stage import StageThread
from tests.whole.report.conftest import CLOCK, make_event, open_outbox
from tests.whole.report.reporting_box import BIRTH, FastRandom

GROUP = 20


def main(
    write_line: Callable[[str], None], folder: Path, url: str, first: int, event_count: int
) -> None:
    outbox = open_outbox(folder)
    stage = MqttStage(
        MqttSession(outbox, CLOCK),
        BrokerConfig(url=url),
        FaultRegistry(CLOCK.boottime_ns),
        lambda: BIRTH,
        FastRandom(),
    )
    StageThread(stage, CLOCK.boottime_ns, random.Random(1), vital=False).start()
    for begin in range(first, first + event_count, GROUP):
        kinds = ("line", "wrong_way") if begin % (5 * GROUP) == 0 else ("line",)
        tickets = [
            outbox.put(make_event(begin + step, kinds[step % len(kinds)])) for step in range(GROUP)
        ]
        if all(ticket.wait(60) for ticket in tickets):
            write_line(str(begin + GROUP - 1))
    never_set = threading.Event()
    while outbox.depth:
        never_set.wait(0.01)
    write_line("drained")
