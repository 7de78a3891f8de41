"""The MQTT session as the rest of the agent sees it: its state, and the messages that are not kept.

The stage `mqtt` connects it, see `agent.reporting.mqtt.mqtt_stage`.
"""

from agent.base.clock import Clock
from agent.base.health_model import OutboxHealth
from agent.reporting.mqtt.connection import MqttConnection
from agent.reporting.mqtt.unstored import UnstoredMessages
from agent.reporting.outbox.outbox import Outbox


class MqttSession:
    """State of the connection to the broker. The methods are thread-safe; `connection` is set by the stage alone."""

    def __init__(self, outbox: Outbox, clock: Clock) -> None:
        self.outbox = outbox
        self.clock = clock
        self.connection: MqttConnection | None = None
        self.unstored = UnstoredMessages(self.now_s, self.wake)
        """The messages that are not kept, such as health."""
        self._reconnect_reason: str | None = None
        outbox.on_commit(self.wake)

    def reconnect(self, reason: str) -> None:
        """Connect again, with the pair that is to be tried first."""
        self._reconnect_reason = reason
        self.wake()

    def take_reconnect_reason(self) -> str | None:
        """Return the reason of a requested reconnection once, or None."""
        reason, self._reconnect_reason = self._reconnect_reason, None
        return reason

    def health(self) -> OutboxHealth:
        """Return the depth of the outbox and the state of the connection."""
        counts = self.outbox.counts()
        connection = self.connection
        return OutboxHealth(
            depth=counts.depth,
            bytes=counts.total_bytes,
            oldest_age_s=counts.oldest_age_s,
            lost=counts.lost,
            refused_acks=counts.refused_acks,
            connected=connection is not None and connection.is_online,
            centre_listening=connection is not None and connection.is_centre_listening,
        )

    def online_session(self) -> int | None:
        """Return the number of the present session, or None while there is none."""
        connection = self.connection
        if connection is None or not connection.is_online:
            return None
        return connection.session_number

    def request_reports(self) -> None:
        """Publish the declaration and the configuration again. Each connection begins with both."""
        connection = self.connection
        if connection is not None:
            connection.request_reports()

    def request_changed_reports(self) -> None:
        """Publish those of the declaration and the configuration that have changed."""
        connection = self.connection
        if connection is not None:
            connection.request_reports(changed_only=True)

    def round_trip_ms(self) -> float | None:
        """Return the broker's round trip, or None while there is no connection."""
        connection = self.connection
        round_trip_s = None if connection is None else connection.round_trip_s
        return None if round_trip_s is None else round(round_trip_s * 1e3, 1)

    def wake(self) -> None:
        """End a wait of the connection: there is something to send, or to do."""
        connection = self.connection
        if connection is not None:
            connection.wake()

    def now_s(self) -> float:
        """Return the boottime in seconds."""
        return self.clock.boottime_ns() / 1e9
