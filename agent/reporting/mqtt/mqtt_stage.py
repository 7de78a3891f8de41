"""MQTT stage: keeps a session with the broker connected, and sends the outbox."""

import logging
import random
import threading
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from agent.base.errors import UserError
from agent.config.broker import BrokerConfig
from agent.faults.registry import FaultRegistry
from agent.reporting.mqtt import tls
from agent.reporting.mqtt.backoff import ReconnectBackoff
from agent.reporting.mqtt.certificate_expiry import CertificateExpiry
from agent.reporting.mqtt.connect_error import MqttConnectionError
from agent.reporting.mqtt.connection import (
    FAULT_CODES,
    BirthInputs,
    MqttConnection,
)
from agent.reporting.mqtt.downlink import Downlink
from agent.reporting.mqtt.message_forms import ShrinkJpeg
from agent.reporting.mqtt.pair_choice import ClientPair, PairChoice
from agent.reporting.mqtt.session import MqttSession
from agent.runtime.backoff import Backoff
from agent.runtime.pause import Pause

log = logging.getLogger(__name__)

POLL_TIMEOUT_S = 1.0
FLUSH_IDLE_S = 5.0
MAX_FLUSH_S = 10.0
"""At the stop the outbox is sent until nothing was acknowledged for FLUSH_IDLE_S: a broker or centre
that does not answer must not keep a box from stopping.
"""
RETURN_AFTER_S, MAX_RETURN_AFTER_S = 300.0, 3600.0
"""Time on a standby until the first broker is probed, doubled with each return that has failed: a change of the
broker is a disconnection.
"""

SettleTrial: TypeAlias = Callable[[ClientPair, tuple[ClientPair, ...]], BrokerConfig]
"""Takes the pair that has connected, and those that were given up before it. Returns the pair under its present file."""


class ClientPairs(msgspec.Struct, frozen=True, kw_only=True):
    """The usable pairs of key and certificate. `read` returns each; `settle_trial` is called once each connection is online."""

    read: Callable[[], tuple[ClientPair, ...]]
    settle_trial: SettleTrial


def only_pair(broker: BrokerConfig) -> ClientPairs:
    """Return the pair of the configuration alone, which is never on trial."""
    return ClientPairs(
        read=lambda: (ClientPair(broker=broker),), settle_trial=lambda pair, _given_up: pair.broker
    )


class BrokerChoice:
    """The broker to connect to: the first that answers, and the first of all again when it is back. Pure. Used by one
    thread.
    """

    def __init__(self, urls: tuple[str, ...]) -> None:
        self._urls = urls
        self._index = 0
        self._is_online = False
        self._return_backoff = Backoff(RETURN_AFTER_S, MAX_RETURN_AFTER_S)
        self._return_pause = Pause()

    @property
    def url(self) -> str:
        """The broker to connect to, or that is connected."""
        return self._urls[self._index]

    @property
    def first_url(self) -> str:
        """The preferred broker."""
        return self._urls[0]

    def note_online(self, now_ns: int) -> None:
        """Note that the broker has accepted the connection. Called again while it lasts."""
        if self._is_online:
            return
        self._is_online = True
        if self._index == 0:
            self._return_backoff.reset()
        else:
            self._return_pause.begin(now_ns, self._return_backoff.next_s())

    def note_ended(self) -> None:
        """Note that the connection has failed or ended: after one that was accepted the first broker is next."""
        self._index = 0 if self._is_online else (self._index + 1) % len(self._urls)
        self._is_online = False

    def should_probe_first(self, now_ns: int) -> bool:
        """Return True if a standby is connected, and it is time to see if the first broker is back."""
        return self._is_online and self._index > 0 and self._return_pause.is_over(now_ns)

    def note_first_is_away(self, now_ns: int) -> None:
        """Note that the first broker does not answer a probe."""
        self._return_pause.begin(now_ns, self._return_backoff.next_s())


class MqttStage:
    """Connects, sends the outbox, and reconnects after each failure.

    A failure of the network raises a fault, never an exception. Of several brokers the first that answers is used, and
    the first of all again when it is back; if it refuses one of `pairs`, the next pair is tried.
    `downlink` takes what is received. `shrink_jpeg` makes pictures fit the broker's packets.
    """

    name = "mqtt"

    def __init__(
        self,
        session: MqttSession,
        broker: BrokerConfig,
        faults: FaultRegistry,
        get_birth: Callable[[], BirthInputs],
        rng: random.Random,
        downlink: Downlink = Downlink(),  # noqa: B008 - frozen
        shrink_jpeg: ShrinkJpeg = lambda _jpeg, _max_bytes: None,
        pairs: ClientPairs | None = None,
    ) -> None:
        """`pairs` are those of the configuration if None."""
        self._session = session
        self._pairs = only_pair(broker) if pairs is None else pairs
        self._pair = ClientPair(broker=broker)
        self._pair_choice = PairChoice(len(broker.urls))
        self._choice = BrokerChoice(broker.urls)
        self._is_settled = False
        self._downlink = downlink
        self._shrink_jpeg = shrink_jpeg
        self._faults = faults
        self._get_birth = get_birth
        self._clock = session.clock
        self._backoff = ReconnectBackoff(rng)
        self._connect_pause = Pause()
        self._certificate_expiry = CertificateExpiry(broker, faults, self._clock)

    def run_once(self, stopping: threading.Event) -> None:
        """Connect, or send and receive for up to POLL_TIMEOUT_S seconds."""
        connection = self._session.connection
        if connection is None:
            wait_s = self._connect_pause.remaining_s(self._clock.boottime_ns())
            if wait_s > 0:
                stopping.wait(min(wait_s, POLL_TIMEOUT_S))
                return
            self._pair = self._pair_choice.choose(self._pairs.read())
            self._is_settled = False
            self._certificate_expiry.broker = self._pair.broker
            self._certificate_expiry.check()
            connection = self._session.connection = MqttConnection(
                msgspec.structs.replace(self._pair.broker, url=self._choice.url),
                self._session.outbox,
                self._faults,
                self._get_birth,
                self._session.now_s,
                self._session.unstored,
                self._downlink,
                self._shrink_jpeg,
            )
        self._certificate_expiry.check_if_due()
        try:
            connection.poll(POLL_TIMEOUT_S)
            if connection.is_online:
                self._check_online(connection)
        except MqttConnectionError as error:
            self._on_connection_error(connection, error)
        except UserError as error:
            # A file of its certificate or password is damaged or missing: the box records without a broker.
            self._on_connection_error(connection, MqttConnectionError("refused", str(error)))
        except BaseException:
            self._drop_connection(connection)
            raise

    def close(self) -> None:
        """Flush the outbox, publish that the box has stopped, and disconnect."""
        connection, self._session.connection = self._session.connection, None
        if connection is not None:
            _leave(connection, FLUSH_IDLE_S, MAX_FLUSH_S, "asked to stop")

    def _on_connection_error(self, connection: MqttConnection, error: MqttConnectionError) -> None:
        log.warning("broker: %s", error)
        is_refused = error.kind == "certificate"
        if not self._pair_choice.note_failed(self._pair, is_refused=is_refused):
            self._choice.note_ended()
        code = FAULT_CODES[error.kind]
        self._faults.raise_fault(code, "broker", error)
        for other in FAULT_CODES.values():
            if other != code:
                self._faults.clear(other, "broker")
        self._drop_connection(connection)

    def _drop_connection(self, connection: MqttConnection) -> None:
        self._session.connection = None
        connection.abort()
        self._connect_pause.begin(
            self._clock.boottime_ns(), self._backoff.next_delay_s(connection.connected_s)
        )

    def _check_online(self, connection: MqttConnection) -> None:
        """Leave the broker if that was requested, or if a standby is connected and the first broker is back."""
        now_ns = self._clock.boottime_ns()
        self._choice.note_online(now_ns)
        if not self._is_settled:
            self._is_settled = True
            given_up = self._pair_choice.note_online()
            self._pair = ClientPair(broker=self._pairs.settle_trial(self._pair, given_up))
            self._certificate_expiry.broker = self._pair.broker
        reason = self._session.take_reconnect_reason()
        if reason is None and self._choice.should_probe_first(now_ns):
            if tls.can_reach(self._choice.first_url):
                reason = f"{self._choice.first_url} is back"
            else:
                self._choice.note_first_is_away(now_ns)
        if reason is None:
            return
        log.info("connecting again: %s", reason)
        self._session.connection = None
        self._choice.note_ended()
        _leave(connection, 0, 0, f"connecting again: {reason}")


def _leave(connection: MqttConnection, idle_s: float, max_s: float, reason: str) -> None:
    try:
        connection.disconnect(idle_s, max_s, reason)
    except MqttConnectionError as error:
        log.warning("the last status did not reach the broker: %s", error)
        connection.abort()
