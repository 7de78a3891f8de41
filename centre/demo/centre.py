"""The demo's centre: it hears the box over MQTT, keeps what it says, and acknowledges it."""

import random
from collections.abc import Callable
from pathlib import Path

from agent.base.model import Event
from agent.config.configuration import BrokerConfig
from agent.reporting.payloads import (
    EventMessage,
    HealthMessage,
    Online,
    SnapshotHeader,
    StatusMessage,
)
from agent.runtime.stage import StageThread
from centre.client import CentreClient, ReceivedMessage, line
from centre.demo.files import DemoFiles
from centre.demo.stats import DemoStats
from centre.store import CentreStore


class DemoCentre:
    """Runs in a thread of its own, from `start` to `stop`."""

    def __init__(
        self,
        broker_url: str,
        files: DemoFiles,
        tally: DemoStats,
        on_event: Callable[[Event], None],
        clock_ns: Callable[[], int],
        rng: random.Random,
        on_snapshot: Callable[[SnapshotHeader, Path], None] = lambda _header, _path: None,
    ) -> None:
        """Opens its files. Raises BadInput where that cannot be done. `on_snapshot` is told the
        file of each picture.
        """
        self._files = files
        self._tally = tally
        self._on_event = on_event
        self._on_snapshot = on_snapshot
        self._seen: set[str] = set()
        self.public_key: str | None = None
        """The box's, as its birth has told it."""
        self.first_event: str | None = None
        """When it began, in UTC."""
        self._kinds: dict[str, str] = {}
        self._messages = files.messages.open("wb", buffering=0)
        self._store = CentreStore.open(files.state / "centre.sqlite")
        self._watch = CentreClient(
            BrokerConfig(url=broker_url), self._hear, rng, clock_ns, store=self._store
        )
        self._thread = StageThread(self._watch, clock_ns, rng, vital=False)

    def start(self, timeout_s: float) -> bool:
        """Start, and wait until it hears; False where it does not in time."""
        self._thread.start()
        return self._watch.online.wait(timeout_s)

    def stop(self, timeout_s: float) -> None:
        """Stop and close the files."""
        self._thread.stop()
        self._thread.join(timeout_s)
        self._store.close()
        self._messages.close()

    def _hear(self, heard: ReceivedMessage) -> None:
        """One message. A repeat, which QoS 1 allows, is not counted twice."""
        message = heard.message
        if message is None or message.id in self._seen:
            return
        self._seen.add(message.id)
        self._messages.write(line(heard) + b"\n")
        self._tally.message_came()
        if isinstance(message, EventMessage):
            self._kinds[message.data.event] = message.data.kind
            self._tally.event_came(message.data)
            self.first_event = self.first_event or message.data.begin_time
            self._on_event(message.data)
        elif isinstance(message, StatusMessage) and isinstance(message.data, Online):
            self.public_key = message.data.public_key
        elif isinstance(message, HealthMessage):
            self._tally.health_came(message.data)
        elif isinstance(message, SnapshotHeader):
            self._keep(message, heard.payload)

    def _keep(self, header: SnapshotHeader, jpeg: bytes) -> None:
        kind = self._kinds.get(header.data.event or "", "picture")
        number = self._tally.snapshot_came()
        name = f"{number:03d}-{kind.replace('_', '-')}.jpg"
        path = self._files.snapshots / name
        path.write_bytes(jpeg)
        self._on_snapshot(header, path)
