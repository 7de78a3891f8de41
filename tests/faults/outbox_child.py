"""A box's reporting half, to be killed: puts numbered events, and prints which are on the disk.

    outbox_child.py FOLDER BROKER_URL FIRST_NUMBER HOW_MANY

Writes the number of the last event of each group that is durable to standard output, all before
it in this run being durable too. After HOW_MANY it prints `drained` when nothing waits any more.
"""

import random
import sys
import threading
from pathlib import Path

from agent.config.broker import BrokerConfig
from agent.faults.registry import FaultRegistry
from agent.reporting.mqtt.session import MqttSession
from agent.runtime.stage import StageThread
from tests.whole.report.conftest import CLOCK, make_event, open_outbox
from tests.whole.report.reporting_box import BIRTH, FastRandom

GROUP = 20


def write_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(folder: Path, url: str, first: int, event_count: int) -> None:
    outbox = open_outbox(folder)
    session = MqttSession(
        BrokerConfig(url=url),
        outbox,
        FaultRegistry(CLOCK.boottime_ns),
        lambda: BIRTH,
        CLOCK,
        FastRandom(),
    )
    StageThread(session, CLOCK.boottime_ns, random.Random(1), vital=False).start()
    for begin in range(first, first + event_count, GROUP):
        kinds = ("line", "wrong_way") if begin % (5 * GROUP) == 0 else ("line",)
        tickets = [
            outbox.put(make_event(begin + step, kinds[step % len(kinds)])) for step in range(GROUP)
        ]
        if all(ticket.wait(30) for ticket in tickets):
            write_line(str(begin + GROUP - 1))
    never_set = threading.Event()
    while outbox.depth:
        never_set.wait(0.01)
    write_line("drained")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
