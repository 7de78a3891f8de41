"""A TCP proxy that can go dumb without hanging up, and counts what is in flight through it."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

from tests.free_port import free_port

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


class FreezingProxy:
    """Forwards to `port` until `freeze`; from then on it reads and answers nothing."""

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self.max_in_flight = 0
        self.connections = 0
        self._target_port = port
        self._is_flowing = threading.Event()
        self._is_flowing.set()
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._threads = [threading.Thread(target=self._accept_connections)]

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def freeze(self) -> None:
        self._is_flowing.clear()

    def thaw(self) -> None:
        """New connections are served again; those that were frozen are cut."""
        self.cut_connections()
        self._is_flowing.set()

    def cut_connections(self) -> None:
        """End the connections that there are."""
        with self._lock:
            for each in self._sockets:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._is_flowing.set()
        self.cut_connections()
        for thread in self._threads:
            thread.join()
        self._listener.close()
        for each in self._sockets:
            each.close()

    def _accept_connections(self) -> None:
        while True:
            try:
                client_socket, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._sockets.append(client_socket)
                self.connections += 1
            try:
                server_socket = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:
                client_socket.shutdown(socket.SHUT_RDWR)
                continue
            in_flight: set[int] = set()
            with self._lock:
                self._sockets.append(server_socket)
            for source, sink in ((client_socket, server_socket), (server_socket, client_socket)):
                thread = threading.Thread(target=self._forward, args=(source, sink, in_flight))
                self._threads.append(thread)
                thread.start()

    def _forward(self, source: socket.socket, sink: socket.socket, in_flight: set[int]) -> None:
        splitter = MqttPacketSplitter()
        try:
            is_outgoing = source.getpeername()[1] != self._target_port
            while data := source.recv(65_536):
                self._is_flowing.wait()
                for first, body in splitter.feed(data):
                    self._count(is_outgoing, first, body, in_flight)
                sink.sendall(data)
        except OSError:
            pass
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def _count(self, is_outgoing: bool, first: int, body: bytes, in_flight: set[int]) -> None:
        with self._lock:
            if is_outgoing and first >> 4 == PUBLISH and first & 0x06:
                in_flight.add(packet_id(first, body))
            elif not is_outgoing and first >> 4 == PUBACK:
                in_flight.discard(packet_id(first, body))
            self.max_in_flight = max(self.max_in_flight, len(in_flight))
