"""paho's client, with a bound on what a broker makes it keep, and sockets that are not bound before they connect."""

import socket
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTErrorCode, MQTTProtocolVersion


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
