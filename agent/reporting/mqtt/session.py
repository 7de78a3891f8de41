"""The session with the broker: a stage that keeps a connection, sends what waits, and lets go of
what has arrived.
"""

import logging
import random
import threading
from collections.abc import Callable

from agent.base.errors import UserError
from agent.base.health_model import OutboxHealth
from agent.config.configuration import BrokerConfig
from agent.faults.registry import FaultRegistry
from agent.reporting.mqtt import tls
from agent.reporting.mqtt.backoff import Backoff
from agent.reporting.mqtt.certificate_expiry import CertificateExpiry
from agent.reporting.mqtt.connect_error import LinkError
from agent.reporting.mqtt.connection import FAULT_OF, BirthInputs, CommandReceived, MqttConnection
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.topics import OutgoingMessage

log = logging.getLogger(__name__)

TURN_S = 1.0
CLOSE_S = 5.0
CLOSE_MOST_S = 10.0
"""At the end what waits is sent on, until for CLOSE_S nothing has left: a broker or a centre that does not
answer must not keep a box from stopping.
"""


class MqttSession:
    """Sends the outbox's messages to the broker, for as long as the box runs.

    `clock_ns` is the boot time. Network trouble is a fault on the board and another try, never an
    exception. `close` flushes, says that the box has stopped, and disconnects.
    `on_command`: see `Connection`.
    """

    name = "report"

    def __init__(
        self,
        broker: BrokerConfig,
        outbox: Outbox,
        faults: FaultRegistry,
        birth: Callable[[], BirthInputs],
        clock_ns: Callable[[], int],
        rng: random.Random,
        on_command: Callable[[CommandReceived], None] | None = None,
    ) -> None:
        self._broker = broker
        self._on_command = on_command
        self._outbox = outbox
        self._faults = faults
        self._birth = birth
        self._clock_ns = clock_ns
        self._backoff = Backoff(rng)
        self._retry_s = 0.0
        self._connection: MqttConnection | None = None
        self._passing: OutgoingMessage | None = None
        self._passing_lock = threading.Lock()
        self._certificate = CertificateExpiry(broker, faults, outbox.now)
        tls.context_of(broker)
        tls.password_of(broker)
        outbox.on_commit(self._wake)

    def run_once(self, stopping: threading.Event) -> None:
        """Connect, or move messages for up to TURN_S seconds."""
        connection = self._connection
        if connection is None:
            wait_s = self._retry_s - self._now_s()
            if wait_s > 0:
                stopping.wait(min(wait_s, TURN_S))
                return
            self._certificate.look(self._now_s())
            connection = self._connection = MqttConnection(
                self._broker,
                self._outbox,
                self._faults,
                self._birth,
                self._now_s,
                self._on_command,
                self._take_passing,
            )
        self._certificate.look_if_due(self._now_s())
        try:
            connection.poll(TURN_S)
        except LinkError as error:
            self._fail(connection, error)
        except UserError as error:
            # A certificate that was there at the start is not there any more.
            self._fail(connection, LinkError("refused", str(error)))
        except BaseException:
            self._drop(connection)
            raise

    def close(self) -> None:
        """Flush what waits, say farewell, disconnect."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.disconnect(CLOSE_S, CLOSE_MOST_S, "asked to stop")
        except LinkError as error:
            log.warning("the farewell did not reach the broker: %s", error)
            connection.abandon()

    def health(self) -> OutboxHealth:
        """What waits, and whether somebody takes it. From any thread."""
        counts = self._outbox.counts()
        connection = self._connection
        return OutboxHealth(
            depth=counts.depth,
            bytes=counts.bytes,
            oldest_age_s=counts.oldest_age_s,
            lost=counts.lost,
            connected=connection is not None and connection.is_online,
            centre_listens=connection is not None and connection.centre_listens,
        )

    def tell(self, draft: OutgoingMessage) -> None:
        """Send a message that need not be kept: it waits in memory, and gives its place to the next
        one. From any thread.
        """
        with self._passing_lock:
            self._passing = draft
        self._wake()

    def round_trip_ms(self) -> float | None:
        """To the broker and back, None while it is away. From any thread."""
        connection = self._connection
        took_s = None if connection is None else connection.round_trip_s
        return None if took_s is None else round(took_s * 1e3, 1)

    def _fail(self, connection: MqttConnection, error: LinkError) -> None:
        log.warning("broker: %s", error)
        code = FAULT_OF[error.kind]
        self._faults.raise_fault(code, "broker", str(error))
        for other in FAULT_OF.values():
            if other != code:
                self._faults.clear(other, "broker")
        self._drop(connection)

    def _drop(self, connection: MqttConnection) -> None:
        self._connection = None
        connection.abandon()
        self._retry_s = self._now_s() + self._backoff.next_s(connection.lasted_s)

    def _take_passing(self) -> OutgoingMessage | None:
        """The message that waits, unless it has waited for longer than anybody wants to know it."""
        with self._passing_lock:
            draft, self._passing = self._passing, None
        if draft is None or draft.expiry_s is None:
            return draft
        age_s = self._now_s() - draft.t_ns / 1e9
        return draft if age_s < draft.expiry_s else None

    def _wake(self) -> None:
        connection = self._connection
        if connection is not None:
            connection.wake()

    def _now_s(self) -> float:
        return self._clock_ns() / 1e9
