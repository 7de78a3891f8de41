"""Transport over paho: one object for each connection, driven by its owner's thread.

The only user of paho's client. It avoids what paho does badly:

- Its network thread dies of an exception and leaves `is_connected()` true: no network thread is
  used. The owner calls `poll`, which raises the exception.
- It keeps messages in memory, sends them all at a reconnect, ignoring every limit, and accepts them
  while offline: each connection has a client of its own, and `publish` needs a connection.
- Its `disconnect` and `loop_stop` may block: only `poll` waits.
- Its reconnect has no jitter: it is off.
- It keeps all that a broker sends, and binds each socket before it connects: `BoundedClient`.
- A PUBACK's reason code is passed to its callback only: `Puback` carries it.
- Its keep-alive disconnects if the answer to a PINGREQ is late, though the PINGREQ waits behind a
  picture on a slow link: it is called only if no byte was acknowledged for a while.
"""

import logging
import selectors
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.base.message import Message
from agent.config.broker import BrokerConfig
from agent.reporting.mqtt import connect_error, tls
from agent.reporting.mqtt.connect_error import MqttConnectionError
from agent.reporting.mqtt.packet_properties import (
    DEFAULT_RECEIVE_MAXIMUM,
    JSON_CONTENT_TYPE,
    connect_properties,
    disconnect_properties,
    publish_header_bytes,
    publish_properties,
    read_connack,
    subscribe_properties,
    will_properties,
)
from agent.reporting.mqtt.packets import (
    PacketTooLarge,
    Puback,
    ReceivedPublish,
    Suback,
    TransportEvent,
    Will,
)

log = logging.getLogger(__name__)

TCP_USER_TIMEOUT_S = 30.0
"""TCP_USER_TIMEOUT of tcp(7): how long sent bytes may stay unacknowledged; at most the keep-alive.

Without it a dead link is found after up to twice the keep-alive. On an uplink of 20 kbit/s with 20 to
60 kB of queue, which TCP overfills at first, up to 14.5 s without an acknowledgement were measured.
"""
MAX_READS_PER_POLL = 64
CANCEL_INTERVAL_S = 0.2

EventT = TypeVar("EventT", bound=TransportEvent)

MAX_RECEIVED_BYTES = 262_144
"""A command has 16 kB at most, an acknowledgement with a thousand ranges some 20 kB. The broker drops what is
larger (MQTT 5.0, 3.1.2.11.4), and the connection of one that does not is closed: one message of 200 MB took 685 MB of
memory.
"""

_TCP_INFO = struct.Struct("=24x I 92x Q 16x I")
"""Of tcp_info in linux/tcp.h: tcpi_unacked, tcpi_bytes_acked and tcpi_notsent_bytes."""


class BoundedClient(paho.Client):
    """A client of MQTT 5 that closes the connection of a broker that sends more than was asked for.

    paho keeps a packet of any size, and messages of QoS 2 until a PUBREL, which may never come: up to 65,535. A broker
    keeps the client's Maximum Packet Size and the QoS of its subscriptions (MQTT 5.0, 3.1.2.11.4 and 3.8.4); one under
    an attacker's control keeps nothing.

    systemd.resource-control(5), SocketBindDeny=: a service that may not listen on TCP may not bind(2) either.
    """

    def __init__(self, client_id: str, max_received_bytes: int) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        self._max_received_bytes = max_received_bytes

    def _sock_recv(self, bufsize: int) -> bytes:
        # The first read of a packet's rest asks for all of it.
        if bufsize > self._max_received_bytes:
            raise ConnectionError(
                f"the broker sends a packet of {bufsize} bytes; allowed: {self._max_received_bytes}"
            )
        return super()._sock_recv(bufsize)

    def _handle_publish(self) -> MQTTErrorCode:
        command: Any = self._in_packet["command"]
        qos = command >> 1 & 0b11
        if qos > 1:
            self._easy_log(LogLevel.MQTT_LOG_ERR, f"the broker sends QoS {qos}; allowed: 0 or 1")
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        return super()._handle_publish()

    def _create_socket_connection(self) -> socket.socket:
        return socket.create_connection((self._host, self._port), timeout=self._connect_timeout)


class SocketWait:
    """Waits for one socket, or for `wake`. Used by one thread, but for `wake`."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        self._registered_events: int | None = None

    def wait(self, stream: socket.socket, timeout_s: float, *, want_write: bool) -> None:
        """Wait until the socket can be read, or with `want_write` written, or `wake` is called."""
        self._register(stream, want_write=want_write)
        for key, _ in self._selector.select(timeout_s):
            if key.fileobj is self._wake_in:
                self._drain_wake()

    def wake(self) -> None:
        """End the wait. Thread-safe."""
        try:
            self._wake_out.send(b"!")
        except (BlockingIOError, OSError):
            # Awake already, or closed.
            return

    def unregister(self, stream: socket.socket | None) -> None:
        """Forget the socket, before it is closed."""
        if self._registered_events is not None and stream is not None:
            self._selector.unregister(stream)
        self._registered_events = None

    def close(self) -> None:
        """Close what the wait itself has open."""
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def _register(self, stream: socket.socket, *, want_write: bool) -> None:
        events = selectors.EVENT_READ
        if want_write:
            events |= selectors.EVENT_WRITE
        if self._registered_events is None:
            self._selector.register(stream, events)
        elif self._registered_events != events:
            self._selector.modify(stream, events)
        self._registered_events = events

    def _drain_wake(self) -> None:
        try:
            while self._wake_in.recv(4096):
                pass
        except BlockingIOError:
            return


class TcpSendState(msgspec.Struct, frozen=True, kw_only=True):
    """How many bytes the other end's kernel has acknowledged, and whether that is all of them."""

    acked_bytes: int
    is_all_acked: bool


def read_send_state(stream: socket.socket) -> TcpSendState:
    """Return the state of a connected socket, by TCP_INFO of tcp(7). Raises OSError."""
    tcp_info = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    unacked, acked_bytes, unsent_bytes = _TCP_INFO.unpack(tcp_info)
    return TcpSendState(acked_bytes=acked_bytes, is_all_acked=unacked == 0 and unsent_bytes == 0)


class PahoTransport:
    """One connection to a broker, from `connect` to `close`. Used by one thread."""

    def __init__(
        self,
        broker: BrokerConfig,
        client_id: str,
        will: Will | None,
        max_received_bytes: int = MAX_RECEIVED_BYTES,
    ) -> None:
        """`max_received_bytes` is the largest packet that the broker may send."""
        self._broker = broker
        self._address = tls.parse_broker_url(broker.url)
        self._events: list[TransportEvent] = []
        self._error: MqttConnectionError | None = None
        self._last_error_log = ""
        self._max_received_bytes = max_received_bytes
        self._limits = read_connack(None)
        self._is_connack_received = False
        self._wait = SocketWait()
        self._session_expiry_s = 0 if will is None else will.delay_s
        self._client = self._new_client(client_id, will)
        self._send_state = TcpSendState(acked_bytes=0, is_all_acked=True)
        self._send_progress_s = time.monotonic()

    def connect(self) -> None:
        """Open the socket and send CONNECT. Blocks for up to CONNECT_TIMEOUT_S for the network and as
        long for TLS; `poll` returns the CONNACK.

        The outbox knows which messages have not arrived, and a session on the broker would be a second, worse
        record of it. So a session ends with its connection, except that a will waits only as long as its
        session lives, and that a clean start would end it and publish the will (MQTT 5.0, 3.1.3.2.2). Raises:
        MqttConnectionError; UserError if a file of the configuration cannot be read any more.
        """
        context = tls.load_ssl_context(self._broker)
        if context is not None:
            context.sslsocket_class = tls.TlsSocket
            self._client.tls_set_context(context)
        password = tls.read_password(self._broker)
        if self._broker.username is not None:
            self._client.username_pw_set(self._broker.username, password)
        try:
            self._client.connect(
                self._address.host,
                self._address.port,
                keepalive=self._broker.keepalive_s,
                clean_start=self._session_expiry_s == 0,
                properties=connect_properties(self._max_received_bytes, self._session_expiry_s),
            )
        except (OSError, ssl.CertificateError, UnicodeError) as error:  # the last of a host's name
            raise connect_error.error_from_exception(
                self._host_port, self._address, error
            ) from error
        self._raise_stored_error()

    def poll(self, timeout_s: float) -> list[TransportEvent]:
        """Wait for the network or for `wake`, read and write, and return the events.

        Raises: MqttConnectionError if the connection has ended.
        """
        stream = self._client.socket()
        if stream is None:
            raise self._connection_error()
        self._wait.wait(
            cast("socket.socket", stream),
            0 if self._has_buffered_data(stream) else timeout_s,
            want_write=self._client.want_write(),
        )
        for _ in range(MAX_READS_PER_POLL):
            before = len(self._events)
            self._raise_on_error_code(self._client.loop_read())
            if len(self._events) == before and not self._has_buffered_data(self._client.socket()):
                break
        self._raise_on_error_code(self._client.loop_write())
        self._update_send_state()
        if time.monotonic() - self._send_progress_s >= self._client.keepalive:
            self._raise_on_error_code(self._client.loop_misc())
        self._raise_stored_error()
        events, self._events = self._events, []
        return events

    def wait_for(
        self,
        event_type: type[EventT],
        timeout_s: float,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> EventT:
        """Poll until an event of a type comes, and drop the others. `is_cancelled` is read several times a second.

        Raises: MqttConnectionError if none comes within `timeout_s`, or the connection has ended.
        """
        deadline_s = time.monotonic() + timeout_s
        while (remaining_s := deadline_s - time.monotonic()) > 0 and not is_cancelled():
            for event in self.poll(min(remaining_s, CANCEL_INTERVAL_S)):
                if isinstance(event, event_type):
                    return event
        raise MqttConnectionError(
            "unreachable", Message("no answer in {seconds:g} s", seconds=timeout_s)
        )

    @property
    def send_state(self) -> TcpSendState:
        """The TCP send state as of the last `poll`."""
        return self._send_state

    @property
    def max_packet_bytes(self) -> int:
        """The largest packet that the broker takes."""
        return self._limits.max_packet_bytes

    def wake(self) -> None:
        """End the wait of `poll`. Thread-safe."""
        self._wait.wake()

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
        content_type: str = JSON_CONTENT_TYPE,
    ) -> int:
        """Publish at QoS 1. Return the packet id that its `Puback` will carry.

        The caller counts the messages in flight; paho would exceed every limit. A broker without
        retained messages gets none. Raises: PacketTooLarge, MqttConnectionError.
        """
        size_bytes = len(payload) + publish_header_bytes(
            topic, properties, response_topic, correlation
        )
        if size_bytes > self.max_packet_bytes:
            raise PacketTooLarge(size_bytes, self.max_packet_bytes)
        info = self._client.publish(
            topic,
            payload,
            qos=1,
            retain=retained and self._limits.is_retain_available,
            properties=publish_properties(
                content_type, expiry_s, tuple(properties), response_topic, correlation
            ),
        )
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._connection_error()
        return info.mid

    def subscribe(
        self,
        filters: Sequence[str],
        commands: Sequence[str] = (),
        *,
        subscription_id: int | None = None,
    ) -> None:
        """Subscribe at QoS 1; `poll` returns the Suback. Raises: MqttConnectionError.

        A message for one of `commands` keeps its sender's retain flag, though it is new (MQTT 5.0, 3.8.3.1). Each
        message that the broker receives from now on carries `subscription_id` (3.8.2.1.2). A broker without
        identifiers need not store commands for a client that is away: they are subscribed at QoS 0.
        """
        if not self._limits.has_subscription_ids:
            subscription_id = None
        options = [(topic_filter, SubscribeOptions(qos=1)) for topic_filter in filters]
        qos = 0 if subscription_id is None else 1
        options += [
            (topic_filter, SubscribeOptions(qos=qos, retainAsPublished=True))
            for topic_filter in commands
        ]
        code, _ = self._client.subscribe(options, properties=subscribe_properties(subscription_id))
        self._raise_on_error_code(code)

    def close(self) -> None:
        """Disconnect; the will is not published if the broker had accepted the connection."""
        self._wait.unregister(cast("socket.socket | None", self._client.socket()))
        self._client.on_disconnect = None
        if self._client.socket() is not None and self._is_connack_received:
            self._client.disconnect(properties=disconnect_properties())
        self._close_all()

    def abort(self) -> None:
        """Close without a DISCONNECT, as after a failure."""
        self._client.on_disconnect = None
        self._close_all()

    def _close_all(self) -> None:
        self._wait.unregister(cast("socket.socket | None", self._client.socket()))
        stream = self._client.socket()
        if stream is not None:
            stream.close()
        self._wait.close()

    def _new_client(self, client_id: str, will: Will | None) -> BoundedClient:
        client = BoundedClient(client_id, self._max_received_bytes)
        client.connect_timeout = connect_error.CONNECT_TIMEOUT_S
        # SendWindow is smaller; this keeps paho from queueing behind a window of its own.
        client.max_inflight_messages_set(DEFAULT_RECEIVE_MAXIMUM)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_log = self._on_log
        client.on_socket_open = self._on_socket_open
        if will is not None:
            client.will_set(
                will.topic, will.payload, qos=1, retain=True, properties=will_properties(will)
            )
        return client

    # The callbacks run within `connect` and `poll`, on the owner's thread. They only record.

    def _on_socket_open(self, _client: object, _data: object, stream: Any) -> None:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        limit_s = min(TCP_USER_TIMEOUT_S, self._broker.keepalive_s)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(limit_s * 1000))

    def _on_connect(
        self, _client: object, _data: object, _flags: object, reason: Any, properties: Any
    ) -> None:
        self._is_connack_received = True
        if reason.is_failure:
            kind = connect_error.connack_error_kind(reason.value, self._broker)
            self._error = MqttConnectionError(
                kind, connect_error.at_broker(self._host_port, _broker_says(reason))
            )
            return
        self._limits = read_connack(properties)
        self._events.append(self._limits)

    def _on_disconnect(
        self, _client: object, _data: object, flags: Any, reason: Any, _properties: object
    ) -> None:
        if self._error is None and flags.is_disconnect_packet_from_server:
            self._error = MqttConnectionError(
                "unreachable", connect_error.at_broker(self._host_port, _broker_says(reason))
            )

    def _on_publish(
        self, _client: object, _data: object, mid: int, reason: Any, _properties: object
    ) -> None:
        self._events.append(Puback(mid=mid, reason_code=reason.value, reason=str(reason)))

    def _on_subscribe(
        self, _client: object, _data: object, _mid: int, reasons: Any, _properties: object
    ) -> None:
        failure_reason = next((str(reason) for reason in reasons if reason.is_failure), None)
        self._events.append(Suback(failure_reason=failure_reason))

    def _on_message(self, _client: object, _data: object, message: Any) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            log.warning("a message on a topic that is not UTF-8 is left out")
            return
        pairs = tuple(getattr(message.properties, "UserProperty", ()))
        self._events.append(
            ReceivedPublish(
                topic=topic,
                payload=message.payload,
                retained=message.retain,
                properties=pairs,
                response_topic=getattr(message.properties, "ResponseTopic", None),
                correlation=getattr(message.properties, "CorrelationData", None),
                expiry_s=getattr(message.properties, "MessageExpiryInterval", None),
                subscription_ids=tuple(getattr(message.properties, "SubscriptionIdentifier", ())),
            )
        )

    def _on_log(self, _client: object, _data: object, level: int, text: str) -> None:
        if level == LogLevel.MQTT_LOG_ERR:
            self._last_error_log = text

    @property
    def _host_port(self) -> str:
        return f"{self._address.host}:{self._address.port}"

    def _update_send_state(self) -> None:
        stream = self._client.socket()
        if stream is None:
            return
        current = read_send_state(cast("socket.socket", stream))
        if current.acked_bytes > self._send_state.acked_bytes:
            self._send_progress_s = time.monotonic()
        is_all_acked = current.is_all_acked and not self._client.want_write()
        self._send_state = TcpSendState(acked_bytes=current.acked_bytes, is_all_acked=is_all_acked)

    @staticmethod
    def _has_buffered_data(stream: Any) -> bool:
        """Return True if TLS holds bytes that no selector reports."""
        return isinstance(stream, ssl.SSLSocket) and stream.pending() > 0

    def _raise_on_error_code(self, code: MQTTErrorCode) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._connection_error()

    def _raise_stored_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _connection_error(self) -> MqttConnectionError:
        """Return the most precise reason for the end of the connection."""
        if self._error is not None:
            return self._error
        alert = tls.find_alert(self._last_error_log)
        if alert is not None:
            return connect_error.error_from_alert(self._host_port, alert)
        if not self._is_connack_received and self._address.is_tls:
            # The alert with the reason is often lost with the connection's reset.
            problem = Message("the broker hung up at once; it may not accept broker.certificate")
            if self._broker.certificate is None:
                problem = Message(
                    "the broker hung up at once; it may want a certificate: set broker.certificate "
                    "and broker.key, of a command --certificate and --key"
                )
            return MqttConnectionError(
                "certificate", connect_error.at_broker(self._host_port, problem)
            )
        text = self._last_error_log or Message("the connection is gone")
        return MqttConnectionError("unreachable", connect_error.at_broker(self._host_port, text))


def _broker_says(reason: object) -> Message:
    return Message("the broker says: {reason}", reason=str(reason))
