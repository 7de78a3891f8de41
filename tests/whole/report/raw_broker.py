"""A broker that speaks MQTT 5 byte by byte, for packets that no mosquitto sends."""

import socket
import threading
from collections.abc import Callable

from agent.config.broker import BrokerConfig
from tests.loopback_server import LoopbackServer
from tests.whole.report.mqtt_packets import PUBACK, PUBLISH, MqttPacketSplitter, packet_id

CONNECT, CONNACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 8, 9, 12, 13, 14
"""MQTT 5.0, 2.1.2."""


def varint(number: int) -> bytes:
    """A variable byte integer, 1.5.5."""
    encoded = bytearray()
    while True:
        number, digit = divmod(number, 128)
        encoded.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(encoded)


def packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + varint(len(body)) + body


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return len(data).to_bytes(2, "big") + data


def publish(
    topic: str | bytes,
    payload: bytes,
    *,
    qos: int = 0,
    retained: bool = False,
    repeated: bool = False,
    mid: int = 1,
    properties: bytes = b"",
) -> bytes:
    """A PUBLISH, 3.3."""
    flags = repeated << 3 | qos << 1 | retained
    identifier = mid.to_bytes(2, "big") if qos else b""
    head = text(topic) + identifier + varint(len(properties)) + properties
    return packet(PUBLISH << 4 | flags, head + payload)


def connack(reason_code: int = 0, properties: bytes = b"") -> bytes:
    return packet(CONNACK << 4, bytes([0, reason_code]) + varint(len(properties)) + properties)


def puback(mid: bytes, reason_code: int = 0) -> bytes:
    return packet(PUBACK << 4, mid + bytes([reason_code]))


def disconnect(reason_code: int) -> bytes:
    return packet(DISCONNECT << 4, bytes([reason_code, 0]))


def suback(body: bytes) -> bytes:
    """Grants QoS 1 to each filter of a SUBSCRIBE, 3.8. Its properties are shorter than 128 bytes."""
    at, filters = 3 + body[2], 0
    while at < len(body):
        at += 2 + int.from_bytes(body[at : at + 2], "big") + 1
        filters += 1
    return packet(SUBACK << 4, body[:2] + b"\0" + b"\1" * filters)


class RawBroker(LoopbackServer):
    """Serves one connection after another. `answer` makes the answer to a PUBLISH from its packet identifier."""

    def __init__(
        self, *, greeting: bytes = connack(), answer: Callable[[bytes], bytes] = puback
    ) -> None:
        super().__init__(self._serve_next)
        self.connects: list[bytes] = []
        self.published: list[tuple[int, bytes]] = []
        self.ready = threading.Event()
        """A connection has subscribed."""
        self._greeting, self._answer = greeting, answer
        self._stream: socket.socket | None = None
        self._turn = threading.Lock()

    @property
    def config(self) -> BrokerConfig:
        return BrokerConfig(url=f"mqtt://127.0.0.1:{self.port}", keepalive_s=5)

    def send(self, data: bytes) -> bool:
        """Send bytes on the present connection. False if the box has closed it."""
        stream = self._stream
        if stream is None:
            return False
        try:
            stream.sendall(data)
        except OSError:
            return False
        return True

    def _serve_next(self, stream: socket.socket) -> None:
        with self._turn:
            try:
                self._stream = stream
                splitter = MqttPacketSplitter()
                while data := stream.recv(65_536):
                    for first, body in splitter.feed(data):
                        self._reply(stream, first, body)
            finally:
                stream.close()
                self.ready.clear()

    def _reply(self, stream: socket.socket, first: int, body: bytes) -> None:
        match first >> 4:
            case 1:
                self.connects.append(body)
                stream.sendall(self._greeting)
            case 8:
                stream.sendall(suback(body))
                self.ready.set()
            case 12:
                stream.sendall(packet(PINGRESP << 4, b""))
            case 3:
                self.published.append((first, body))
                stream.sendall(self._answer(packet_id(first, body).to_bytes(2, "big")))
