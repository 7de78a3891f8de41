"""The demo's centre: stores what the box sends over MQTT, and acknowledges it."""

import random
from collections.abc import Callable
from pathlib import Path

from agent.authority.signed_message import SigningIdentity
from agent.config.broker import BrokerConfig
from agent.reporting.payloads import (
    EventData,
    EventMessage,
    HealthMessage,
    OnlineStatus,
    SnapshotHeader,
    StatusMessage,
)
from agent.runtime.stage import StageThread
from centre.client import ActingCentre, CentreClient, ReceivedMessage, to_json_line
from centre.demo.files import DemoFiles
from centre.demo.stats import DemoStats
from centre.store import CentreStore


class DemoCentre:
    """Runs on its own thread from `start` to `stop`; the callbacks are called on it."""

    def __init__(
        self,
        broker: BrokerConfig,
        identity: SigningIdentity,
        files: DemoFiles,
        stats: DemoStats,
        on_event: Callable[[EventData], None],
        on_snapshot: Callable[[SnapshotHeader, Path], None],
        clock_ns: Callable[[], int],
        rng: random.Random,
    ) -> None:
        """Open the files. Raises: UserError if one cannot be opened."""
        self._files = files
        self._stats = stats
        self._on_event = on_event
        self._on_snapshot = on_snapshot
        self._seen_ids: set[str] = set()
        self.public_key: str | None = None
        """The box's public key, from its birth message."""
        self._event_kinds: dict[str, str] = {}
        self._message_file = files.messages.open("wb", buffering=0)
        self._store = CentreStore.open(files.state / "centre.sqlite")
        self._client = CentreClient(
            broker,
            self._on_message,
            rng,
            clock_ns,
            centre=ActingCentre(store=self._store, identity=identity),
        )
        self._thread = StageThread(self._client, clock_ns, rng, vital=False)

    def start(self, timeout_s: float) -> bool:
        """Start, and wait until it is subscribed. Return False on a timeout."""
        self._thread.start()
        return self._client.online.wait(timeout_s)

    def stop(self, timeout_s: float) -> None:
        """Stop the thread and close the files."""
        self._thread.stop()
        self._thread.join(timeout_s)
        self._store.close()
        self._message_file.close()

    def _on_message(self, received: ReceivedMessage) -> None:
        """Process a message, unless it is a repeat, which QoS 1 allows."""
        message = received.message
        if message is None or message.id in self._seen_ids:
            return
        self._seen_ids.add(message.id)
        self._message_file.write(to_json_line(received) + b"\n")
        self._stats.count_message()
        if isinstance(message, EventMessage):
            self._event_kinds[message.data.event] = message.data.kind
            self._stats.add_event(message.data)
            self._on_event(message.data)
        elif isinstance(message, StatusMessage) and isinstance(message.data, OnlineStatus):
            self.public_key = message.data.public_key
        elif isinstance(message, HealthMessage):
            self._stats.set_health(message.data)
        elif isinstance(message, SnapshotHeader):
            self._save_snapshot(message, received.payload)

    def _save_snapshot(self, header: SnapshotHeader, jpeg: bytes) -> None:
        kind = self._event_kinds.get(header.data.event or "", "snapshot")
        number = self._stats.count_snapshot()
        name = f"{number:03d}-{kind.replace('_', '-')}.jpg"
        path = self._files.snapshots / name
        path.write_bytes(jpeg)
        self._on_snapshot(header, path)
