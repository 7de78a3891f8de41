"""agent.reporting.outbox under fifty kills of the process: no durable message is lost."""

import random
import threading
from collections import Counter
from pathlib import Path

from agent.config.broker import BrokerConfig
from agent.reporting.outbox import schema
from agent.reporting.outbox.files import database_path
from tests.faults import outbox_child
from tests.faults.forked_child import ForkedChild
from tests.whole.report.broker import Mosquitto
from tests.whole.report.conftest import event_number
from tests.whole.report.reporting_box import CentreListener

KILLS = 50
SEED = 20261103
PER_RUN = 100_000


class Child:
    """One life of the box."""

    def __init__(self, folder: Path, url: str, first: int, event_count: int) -> None:
        self._first = first
        self._last = first - 1
        self.begun = threading.Event()
        self.drained = threading.Event()
        self._process = ForkedChild(
            outbox_child.main, (folder, url, first, event_count), self._note_line
        )

    def kill(self) -> range:
        """Kill it. The numbers that it wrote are on the disk."""
        self._process.kill()
        return range(self._first, self._last + 1)

    def _note_line(self, line: str) -> None:
        if line == "drained":
            self.drained.set()
        else:
            self._last = int(line)
            self.begun.set()


def test_each_durable_event_arrives_once_despite_fifty_kills_of_the_box(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    config = BrokerConfig(url=mosquitto.url)
    durable: set[int] = set()
    with CentreListener(config, tmp_path / "centre.db") as centre:
        for life in range(KILLS):
            child = Child(tmp_path / "outbox", mosquitto.url, life * PER_RUN, PER_RUN)
            assert child.begun.wait(60)
            threading.Event().wait(rng.uniform(0, 0.15))
            durable.update(child.kill())
        child = Child(tmp_path / "outbox", mosquitto.url, KILLS * PER_RUN, 20)
        assert child.drained.wait(300)
        durable.update(child.kill())
        assert centre.store is not None
        rows = centre.store.event_payloads()
        arrived = Counter(event_number(row, "data") for row in rows)
        holes = centre.store.missing_ranges()
    assert not durable - set(arrived), f"seed {SEED}"
    assert len(durable) > KILLS
    assert set(arrived.values()) == {1}, f"seed {SEED}"
    assert holes == {}, f"seed {SEED}"
    connection = schema.open_connection(database_path(tmp_path / "outbox"))
    schema.check_integrity(connection)
    connection.close()
