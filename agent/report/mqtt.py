"""The session with the broker: a stage that keeps a connection, sends what waits, and lets go of
what has arrived.
"""

import logging
import random
import threading
from collections.abc import Callable

from agent.config import BrokerConfig
from agent.errors import BadInput
from agent.faults import FaultBoard
from agent.model import OutboxHealth
from agent.report import tls
from agent.report.backoff import Backoff
from agent.report.connection import Birth, CommandReceived, Connection
from agent.report.outbox import Outbox
from agent.report.transport import LinkError

log = logging.getLogger(__name__)

TURN_S = 1.0
CLOSE_S = 3.0


class Session:
    """Sends the outbox's messages to the broker, for as long as the box runs.

    `clock_ns` is the boot time. Network trouble is a fault on the board and another try, never an
    exception. `close` flushes, says that the box has stopped, and disconnects, within CLOSE_S.
    `on_command`: see `Connection`.
    """

    name = "report"

    def __init__(
        self,
        broker: BrokerConfig,
        outbox: Outbox,
        faults: FaultBoard,
        birth: Callable[[], Birth],
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
        self._connection: Connection | None = None
        tls.context_of(broker)
        tls.password_of(broker)
        outbox.listen(self._wake)

    def run_once(self, stopping: threading.Event) -> None:
        """Connect, or move messages for up to TURN_S seconds."""
        connection = self._connection
        if connection is None:
            wait_s = self._retry_s - self._now_s()
            if wait_s > 0:
                stopping.wait(min(wait_s, TURN_S))
                return
            connection = self._connection = Connection(
                self._broker,
                self._outbox,
                self._faults,
                self._birth,
                self._now_s,
                self._on_command,
            )
        try:
            connection.turn(TURN_S)
        except LinkError as error:
            self._fail(connection, error)
        except BadInput as error:
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
            connection.farewell(self._now_s() + CLOSE_S, "asked to stop")
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

    def _fail(self, connection: Connection, error: LinkError) -> None:
        log.warning("broker: %s", error)
        refused = error.kind == "refused"
        self._faults.raise_fault("NET-02" if refused else "NET-01", "broker", str(error))
        self._faults.clear("NET-01" if refused else "NET-02", "broker")
        self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        self._connection = None
        connection.abandon()
        self._retry_s = self._now_s() + self._backoff.next_s(connection.lasted_s)

    def _wake(self) -> None:
        connection = self._connection
        if connection is not None:
            connection.wake()

    def _now_s(self) -> float:
        return self._clock_ns() / 1e9
