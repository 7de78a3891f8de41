"""A box and a centre, each in a thread of its own, as the agent and `vigie watch` run them."""

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import msgspec

from agent.app.open_authority import make_revocations
from agent.authority.control_authority import ControlAuthority
from agent.authority.signed_message import SigningIdentity
from agent.base.clock import Clock
from agent.base.model import LABELS, IncomingCommand
from agent.capture.jpeg import shrink_jpeg
from agent.config.broker import BrokerConfig
from agent.faults.registry import FaultRegistry
from agent.reporting.declaration.data import DeclarationData
from agent.reporting.mqtt import packets, paho_transport
from agent.reporting.mqtt.centre_link import AckMode
from agent.reporting.mqtt.connection import BirthInputs
from agent.reporting.mqtt.downlink import Downlink
from agent.reporting.mqtt.mqtt_stage import ClientPairs, MqttStage
from agent.reporting.mqtt.packet_properties import MAX_PACKET_BYTES
from agent.reporting.mqtt.session import MqttSession
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.payloads import OnlineStatus, StatusMessage
from agent.runtime.stage import Stage, StageThread
from centre.client import DEFAULT_CENTRE, ActingCentre, CentreClient, ReceivedMessage
from centre.store import CentreStore
from tests.whole.report.conftest import CLOCK, event_number, open_outbox

TIMEOUT_S = 60.0
DECLARATION = DeclarationData(
    site="corner",
    detects=LABELS,
    cameras=(),
    event_retention_days=7,
    max_retention_days=90,
    recipients=(),
    public_key="",
    software="vigie 0.1.0",
    trusts_test_authority=False,
)
BIRTH = BirthInputs(
    site="corner",
    public_key="",
    versions={"vigie": "0.1.0"},
    cameras=(),
    declaration=DECLARATION,
)


class FastRandom(random.Random):
    """Random numbers for short waits: a hundredth of the usual ones."""

    def uniform(self, a: float, b: float) -> float:
        return a + super().uniform(0, b - a) / 100


class ReportingBox:
    """An outbox and its session."""

    def __init__(
        self,
        broker: BrokerConfig,
        folder: Path,
        box: str = "pole-17",
        on_command: Callable[[IncomingCommand], None] | None = None,
        pairs: ClientPairs | None = None,
        authority: ControlAuthority | None = None,
        get_birth: Callable[[], BirthInputs] | None = None,
        clock: Clock = CLOCK,
    ) -> None:
        self.faults = FaultRegistry(CLOCK.boottime_ns)
        self.outbox: Outbox = open_outbox(folder, box=box, centres=broker.centres)
        self.birth = BIRTH
        self.session = MqttSession(self.outbox, clock)
        stage = MqttStage(
            self.session,
            broker,
            self.faults,
            get_birth or (lambda: self.birth),
            FastRandom(3),
            Downlink(
                on_command=on_command,
                authority=authority,
                topic_handlers=make_revocations(authority).topics,
            ),
            shrink_jpeg=shrink_jpeg,
            pairs=pairs,
        )
        self._thread = StageThread(stage, CLOCK.boottime_ns, random.Random(4), vital=False)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.stop()
        has_ended = self._thread.join(TIMEOUT_S)
        self.outbox.close()
        assert has_ended
        assert self._thread.health().last_error is None

    def wait_for_mode(self, mode: AckMode) -> None:
        """Until the connection has chosen this mode of acknowledgement."""

        def is_chosen() -> bool:
            connection = self.session.connection
            return connection is not None and connection._centre.ack_mode == mode

        wait_until(is_chosen)

    def wait_for_fault(self, code: str) -> str:
        """The detail of the fault, once it is raised."""

        details: list[str] = []

        def is_raised() -> bool:
            details.extend(fault.detail for fault in self.faults.active() if fault.code == code)
            return bool(details)

        wait_until(is_raised)
        return details[0]


class CentreListener:
    """`vigie watch` in a thread; with a file it is a centre."""

    def __init__(
        self,
        broker: BrokerConfig,
        store: Path | None = None,
        box: str | None = None,
        centre: str = DEFAULT_CENTRE,
        identity: SigningIdentity | None = None,
    ) -> None:
        self.received: list[ReceivedMessage] = []
        self._changed = threading.Condition()
        self.store = CentreStore.open(store) if store else None
        self.client = CentreClient(
            broker,
            self._on_message,
            FastRandom(),
            CLOCK.boottime_ns,
            box=box,
            centre=None
            if self.store is None
            else ActingCentre(store=self.store, name=centre, identity=identity),
        )
        self._thread = StageThread(self.client, CLOCK.boottime_ns, random.Random(5), vital=False)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self.client.online.wait(TIMEOUT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.stop()
        has_ended = self._thread.join(TIMEOUT_S)
        if self.store:
            self.store.close()
        assert has_ended
        assert self._thread.health().last_error is None

    def wait_for(self, is_enough: Callable[[], object]) -> None:
        """Until `enough`, looked at after each message."""
        with self._changed:
            assert self._changed.wait_for(is_enough, TIMEOUT_S), (
                f"heard {len(self.received)} messages"
            )

    def event_numbers(self) -> list[int]:
        """The numbers of the events that came, repeats and all."""
        return [
            event_number(bytes(item.payload), "data")
            for item in list(self.received)
            if "/up/event/" in item.topic
        ]

    def status_names(self) -> list[str]:
        """Return the kinds of the status messages, in order."""
        return [
            type(item.message.data).__name__
            for item in list(self.received)
            if isinstance(item.message, StatusMessage)
        ]

    def births(self) -> list[OnlineStatus]:
        return [
            item.message.data
            for item in list(self.received)
            if isinstance(item.message, StatusMessage)
            and isinstance(item.message.data, OnlineStatus)
        ]

    def _on_message(self, item: ReceivedMessage) -> None:
        with self._changed:
            self.received.append(item)
            self._changed.notify_all()


def wait_until(condition: Callable[[], object], timeout_s: float = TIMEOUT_S) -> None:
    """For what has no event to wait on: looks every few milliseconds."""
    never_set = threading.Event()
    deadline_ns = CLOCK.boottime_ns() + int(timeout_s * 1e9)
    while not condition():
        assert CLOCK.boottime_ns() < deadline_ns, "it did not happen in time"
        never_set.wait(0.005)


def run_until(stage: Stage, condition: Callable[[], object]) -> None:
    """Run the stage on this thread until the condition holds."""
    never = threading.Event()
    deadline_ns = CLOCK.boottime_ns() + int(TIMEOUT_S * 1e9)
    while not condition():
        assert CLOCK.boottime_ns() < deadline_ns, "it did not happen in time"
        stage.run_once(never)


def take_over(broker: BrokerConfig, client_id: str) -> paho_transport.PahoTransport:
    """Return a connection under the id of another client, whose session the broker ends for it. Nothing is read from it: that
    client may take its id back at once.
    """
    rival = paho_transport.PahoTransport(broker, client_id, None, MAX_PACKET_BYTES)
    rival.connect()
    return rival


class BareClient:
    """A bare client of the broker, for what boxes and centres would not do."""

    def __init__(
        self,
        broker: BrokerConfig,
        client_id: str,
        max_received_bytes: int = MAX_PACKET_BYTES,
        will: packets.Will | None = None,
    ) -> None:
        # Polled only while a test waits: the broker must not drop it meanwhile.
        broker = msgspec.structs.replace(broker, keepalive_s=600)
        self.link = paho_transport.PahoTransport(broker, client_id, will, max_received_bytes)
        self.events: list[packets.TransportEvent] = []
        self.link.connect()
        self.wait_for(packets.Connack)

    def wait_for(self, kind: type[packets.TransportEvent]) -> packets.TransportEvent:
        """The next event of a kind."""
        deadline_ns = CLOCK.boottime_ns() + int(TIMEOUT_S * 1e9)
        while True:
            for event in self.events:
                if isinstance(event, kind):
                    self.events.remove(event)
                    return event
            assert CLOCK.boottime_ns() < deadline_ns, f"no {kind.__name__}"
            self.events += self.link.poll(0.2)

    def publish(self, topic: str, payload: bytes, *, retained: bool = False) -> packets.Puback:
        """Publish, and return the broker's answer."""
        self.link.publish(topic, payload, retained=retained)
        answer = self.wait_for(packets.Puback)
        assert isinstance(answer, packets.Puback)
        return answer
