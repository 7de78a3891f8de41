"""The seam over paho: one object for each connection, driven by its owner's thread.

The only place that imports paho. What paho does badly is kept out by how it is used:

- Its network thread dies of an exception and leaves `is_connected()` true: it has none here. The
  owner calls `turn`; an exception comes out there.
- It keeps messages in memory, hands them all over at a reconnect, ignoring every limit, and takes
  them while offline: a connection has a client of its own, and `publish` needs a connection.
- Its `disconnect` and `loop_stop` may block: nothing is waited for here but in `turn`.
- Its reconnect has no jitter: it never reconnects.
- It binds each socket before it connects, which a service that may not listen is forbidden: `_Client`.
- A PUBACK's reason code is seen in its callback alone: `Published` carries it.
- Its keep-alive hangs up where the answer to a PINGREQ is late, though it waits behind a picture that a
  slow link carries away: it is asked only where nothing has left for a while.
"""

import logging
import selectors
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.config.configuration import BrokerConfig
from agent.reporting.mqtt import connect_error, leaving, tls
from agent.reporting.mqtt.connect_error import LinkError
from agent.reporting.mqtt.leaving import TcpSendState

log = logging.getLogger(__name__)

USER_TIMEOUT_S = 30.0
"""How long the kernel keeps on sending what nobody acknowledges, tcp(7) TCP_USER_TIMEOUT; at most
the keep-alive. Without it a link that is gone is found after up to twice the keep-alive. On an uplink
of 20 kbit/s with 20 to 60 kB of queue, which TCP overfills at first, 14.5 s without an acknowledgement were
measured: half of this.
"""
READS_IN_A_TURN = 64
RECEIVE_MAXIMUM_DEFAULT = 65_535
"""MQTT 5.0, 3.2.2.3.3: what a server that does not say takes."""


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The broker took the connection, and `receive_maximum` messages at once at the most."""

    receive_maximum: int


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """The broker's PUBACK, with its reason code (MQTT 5.0, 3.4.2.1); below 0x80 is success."""

    mid: int
    code: int
    reason: str


class Subscribed(msgspec.Struct, frozen=True, kw_only=True):
    """The broker's SUBACK. `refused` is the first reason at or above 0x80, or None."""

    refused: str | None


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A message for us. `response_topic` and `correlation` are MQTT's, for who waits for a reply."""

    topic: str
    payload: bytes
    retained: bool
    properties: tuple[tuple[str, str], ...]
    response_topic: str | None = None
    correlation: bytes | None = None


LinkEvent: TypeAlias = Accepted | Published | Subscribed | Received


class Will(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker says for us, retained, when we go without a word."""

    topic: str
    payload: bytes


class _Client(paho.Client):
    """paho's client, whose sockets get their own address from the kernel when they connect.

    systemd.resource-control(5), SocketBindDeny=: what may not listen on TCP may not bind(2) either.
    """

    def _create_socket_connection(self) -> socket.socket:
        return socket.create_connection((self._host, self._port), timeout=self._connect_timeout)


class PahoTransport:
    """One connection to a broker, from `connect` to `close`. One thread uses it."""

    def __init__(self, broker: BrokerConfig, client_id: str, will: Will | None) -> None:
        self._broker = broker
        self._address = tls.address_of(broker.url)
        self._events: list[LinkEvent] = []
        self._trouble: LinkError | None = None
        self._last_log = ""
        self._answered = False
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        self._client = self._new_client(client_id, will)
        self._registered: int | None = None
        self._leaving = TcpSendState(arrived_bytes=0, all_of_it=True)
        self._left_s = time.monotonic()

    def connect(self) -> None:
        """Open the socket and greet. Waits link_error.CONNECT_TIMEOUT_S for the network and as long for TLS;
        the broker's answer comes from `turn`.

        Clean start, and a session that ends with the connection: the outbox knows what has not
        arrived, and a session on the broker would be a second, worse memory of the same. Raises
        LinkError; BadInput where a file of the configuration cannot be used any more.
        """
        context = tls.context_of(self._broker)
        if context is not None:
            context.sslsocket_class = tls.TlsSocket
            self._client.tls_set_context(context)
        password = tls.password_of(self._broker)
        if self._broker.username is not None:
            self._client.username_pw_set(self._broker.username, password)
        try:
            self._client.connect(
                self._address.host,
                self._address.port,
                keepalive=self._broker.keepalive_s,
                clean_start=True,
            )
        except (OSError, ssl.CertificateError, UnicodeError) as error:  # the last of a host's name
            raise connect_error.of_opening(self._where, self._address, error) from error
        self._raise_trouble()

    def turn(self, timeout_s: float) -> list[LinkEvent]:
        """Wait for the network or for `wake`, do what is to be done, and tell what came.

        Raises LinkError where the connection is gone.
        """
        stream = self._client.socket()
        if stream is None:
            raise self._gone()
        self._watch(cast("socket.socket", stream))
        if self._pending(stream):
            timeout_s = 0
        for key, _ in self._selector.select(timeout_s):
            if key.fileobj is self._wake_in:
                self._drain_wake()
        for _ in range(READS_IN_A_TURN):
            before = len(self._events)
            self._check(self._client.loop_read())
            if len(self._events) == before and not self._pending(self._client.socket()):
                break
        self._check(self._client.loop_write())
        self._look_at_what_leaves()
        if time.monotonic() - self._left_s >= self._client.keepalive:
            self._check(self._client.loop_misc())
        self._raise_trouble()
        events, self._events = self._events, []
        return events

    @property
    def leaving(self) -> TcpSendState:
        """What has left of all that was sent, as of the last turn."""
        return self._leaving

    def wake(self) -> None:
        """End the wait of `turn`. From any thread."""
        try:
            self._wake_out.send(b"!")
        except (BlockingIOError, OSError):
            # It is awake already, or closed.
            return

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retained: bool = False,
        expiry_s: int | None = None,
        properties: Sequence[tuple[str, str]] = (),
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> int:
        """Send at QoS 1. The number by which `Published` will name it. Raises LinkError.

        The caller keeps count of what is in flight; paho would send beyond every limit.
        """
        named = {
            "MessageExpiryInterval": expiry_s,
            "UserProperty": list(properties) or None,
            "ResponseTopic": response_topic,
            "CorrelationData": correlation,
        }
        carried: Properties | None = None
        if any(value is not None for value in named.values()):
            carried = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            for name, value in named.items():
                if value is not None:
                    setattr(carried, name, value)
        info = self._client.publish(topic, payload, qos=1, retain=retained, properties=carried)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._gone()
        return info.mid

    def subscribe(self, filters: Sequence[str], as_published: Sequence[str] = ()) -> None:
        """Subscribe at QoS 1; `Subscribed` tells the answer. Raises LinkError.

        What comes for one of `as_published` is called retained where its sender asked for that,
        though it comes fresh (MQTT 5.0, 3.8.3.1).
        """
        options = [(each, SubscribeOptions(qos=1)) for each in filters]
        options += [
            (each, SubscribeOptions(qos=1, retainAsPublished=True)) for each in as_published
        ]
        code, _ = self._client.subscribe(options)
        self._check(code)

    def close(self) -> None:
        """Say goodbye, where there is somebody to say it to: then the will is not published."""
        self._forget_socket()
        self._client.on_disconnect = None
        if self._client.socket() is not None and self._answered:
            self._client.disconnect()
        self._drop()

    def abandon(self) -> None:
        """Let go without a word, as after a failure."""
        self._client.on_disconnect = None
        self._drop()

    def _drop(self) -> None:
        self._forget_socket()
        stream = self._client.socket()
        if stream is not None:
            stream.close()
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def _new_client(self, client_id: str, will: Will | None) -> _Client:
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = connect_error.CONNECT_TIMEOUT_S
        # Our own window is smaller; this keeps paho from queueing behind a window of its own.
        client.max_inflight_messages_set(RECEIVE_MAXIMUM_DEFAULT)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_log = self._on_log
        client.on_socket_open = self._on_socket_open
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=True)
        return client

    # The callbacks run within `connect` and `turn`, in the owner's thread. They only take notes.

    def _on_socket_open(self, _client: object, _data: object, stream: Any) -> None:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        limit_s = min(USER_TIMEOUT_S, self._broker.keepalive_s)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(limit_s * 1000))

    def _on_connect(
        self, _client: object, _data: object, _flags: object, reason: Any, properties: Any
    ) -> None:
        self._answered = True
        if reason.is_failure:
            kind = connect_error.kind_of(reason.value, self._broker)
            self._trouble = LinkError(kind, f"{self._where}: the broker says: {reason}")
            return
        most = getattr(properties, "ReceiveMaximum", RECEIVE_MAXIMUM_DEFAULT)
        self._events.append(Accepted(receive_maximum=most))

    def _on_disconnect(
        self, _client: object, _data: object, flags: Any, reason: Any, _properties: object
    ) -> None:
        if self._trouble is None and flags.is_disconnect_packet_from_server:
            self._trouble = LinkError("unreachable", f"{self._where}: the broker says: {reason}")

    def _on_publish(
        self, _client: object, _data: object, mid: int, reason: Any, _properties: object
    ) -> None:
        self._events.append(Published(mid=mid, code=reason.value, reason=str(reason)))

    def _on_subscribe(
        self, _client: object, _data: object, _mid: int, reasons: Any, _properties: object
    ) -> None:
        refused = next((str(reason) for reason in reasons if reason.is_failure), None)
        self._events.append(Subscribed(refused=refused))

    def _on_message(self, _client: object, _data: object, message: Any) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            log.warning("a message on a topic that is not UTF-8 is left out")
            return
        pairs = tuple(getattr(message.properties, "UserProperty", ()))
        self._events.append(
            Received(
                topic=topic,
                payload=message.payload,
                retained=message.retain,
                properties=pairs,
                response_topic=getattr(message.properties, "ResponseTopic", None),
                correlation=getattr(message.properties, "CorrelationData", None),
            )
        )

    def _on_log(self, _client: object, _data: object, level: int, text: str) -> None:
        if level == LogLevel.MQTT_LOG_ERR:
            self._last_log = text

    @property
    def _where(self) -> str:
        return f"{self._address.host}:{self._address.port}"

    def _watch(self, stream: socket.socket) -> None:
        """Have the selector wait for the socket, and for room where something is to be written."""
        wanted = selectors.EVENT_READ
        if self._client.want_write():
            wanted |= selectors.EVENT_WRITE
        if self._registered is None:
            self._selector.register(stream, wanted)
            self._registered = wanted
        elif self._registered != wanted:
            self._selector.modify(stream, wanted)
            self._registered = wanted

    def _look_at_what_leaves(self) -> None:
        stream = self._client.socket()
        if stream is None:
            return
        now = leaving.look(cast("socket.socket", stream))
        if now.arrived_bytes > self._leaving.arrived_bytes:
            self._left_s = time.monotonic()
        all_of_it = now.all_of_it and not self._client.want_write()
        self._leaving = TcpSendState(arrived_bytes=now.arrived_bytes, all_of_it=all_of_it)

    def _forget_socket(self) -> None:
        stream = self._client.socket()
        if self._registered is not None and stream is not None:
            self._selector.unregister(stream)
        self._registered = None

    def _drain_wake(self) -> None:
        try:
            while self._wake_in.recv(4096):
                pass
        except BlockingIOError:
            return

    @staticmethod
    def _pending(stream: Any) -> bool:
        """TLS may have read more from the socket than was asked for; no selector tells of it."""
        return isinstance(stream, ssl.SSLSocket) and stream.pending() > 0

    def _check(self, code: MQTTErrorCode) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._gone()

    def _raise_trouble(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    def _gone(self) -> LinkError:
        """Why the connection ended, as well as it is known."""
        if self._trouble is not None:
            return self._trouble
        alert = tls.alert_in(self._last_log)
        if alert is not None:
            return connect_error.of_alert(self._where, alert)
        if not self._answered and self._address.tls:
            # The alert that says why is often lost with the connection's reset.
            why = "may not accept broker.certificate"
            if self._broker.certificate is None:
                why = "may want a certificate: set broker.certificate and broker.key"
            return LinkError("certificate", f"{self._where}: the broker hung up at once; it {why}")
        said = self._last_log or "the connection is gone"
        return LinkError("unreachable", f"{self._where}: {said}")
