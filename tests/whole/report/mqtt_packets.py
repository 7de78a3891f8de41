"""MQTT packets in a stream of bytes, and a proxy that counts what is in flight through it."""

import socket
from collections import defaultdict

from tests.loopback_server import TcpProxy

PUBLISH, PUBACK = 3, 4
"""MQTT 5.0, 2.1.2."""


class MqttPacketSplitter:
    """MQTT packets out of a stream of bytes: first byte and body (MQTT 5.0, 2.1)."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        self._buffer += data
        packets = []
        while True:
            length = shift = 0
            at = 1
            while True:
                if at >= len(self._buffer):
                    return packets
                byte = self._buffer[at]
                length |= (byte & 0x7F) << shift
                at += 1
                shift += 7
                if not byte & 0x80:
                    break
            if len(self._buffer) < at + length:
                return packets
            packets.append((self._buffer[0], bytes(self._buffer[at : at + length])))
            del self._buffer[: at + length]


def packet_id(first: int, body: bytes) -> int:
    """The packet identifier of a PUBLISH at QoS 1 is behind the topic."""
    at = 2 + int.from_bytes(body[:2], "big") if first >> 4 == PUBLISH else 0
    return int.from_bytes(body[at : at + 2], "big")


class InFlightProxy(TcpProxy):
    """Counts the messages at QoS 1 that its clients have sent and that are not acknowledged."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.max_in_flight = 0
        self._in_flight: defaultdict[socket.socket, set[int]] = defaultdict(set)
        self._splitters: defaultdict[tuple[socket.socket, bool], MqttPacketSplitter] = defaultdict(
            MqttPacketSplitter
        )

    def observe(self, data: bytes, client: socket.socket, *, is_from_client: bool) -> None:
        in_flight = self._in_flight[client]
        for first, body in self._splitters[client, is_from_client].feed(data):
            if is_from_client and first >> 4 == PUBLISH and first & 0x06:
                in_flight.add(packet_id(first, body))
            elif not is_from_client and first >> 4 == PUBACK:
                in_flight.discard(packet_id(first, body))
            self.max_in_flight = max(self.max_in_flight, len(in_flight))
