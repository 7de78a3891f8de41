"""The broker is killed at fifty random moments: it may lose its state, the box loses no message."""

import random
import signal
import threading
from collections import Counter
from pathlib import Path

from agent.config.broker import BrokerConfig
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import event_number, make_event
from tests.whole.report.reporting_box import CentreListener, ReportingBox, wait_until

KILLS = 50
SEED = 20261104


def test_each_event_arrives_once_despite_fifty_kills_of_the_broker(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    config = BrokerConfig(url=mosquitto.url, keepalive_s=5)
    pause = threading.Event()
    number = 0
    with (
        CentreListener(config, tmp_path / "centre.db") as centre,
        ReportingBox(config, tmp_path / "outbox") as box,
    ):
        for _ in range(KILLS):
            begin = number
            for number in range(begin, begin + rng.randrange(1, 60)):
                box.outbox.put(make_event(number))
            if rng.random() < 0.5:
                wait_until(lambda: box.session.health().connected)
            pause.wait(rng.uniform(0, 0.1))
            mosquitto.stop(signal.SIGKILL)
            pause.wait(rng.uniform(0, 0.05))
            mosquitto.start()
            number += 1
        wait_until(lambda: box.outbox.depth == 0, 60)
        assert centre.store is not None
        arrived = Counter(event_number(row, "data") for row in centre.store.event_payloads())
        holes = centre.store.missing_ranges()
    assert arrived == Counter(range(number)), f"seed {SEED}"
    assert holes == {}, f"seed {SEED}"
