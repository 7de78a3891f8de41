"""A TCP proxy that can go dumb without hanging up, and counts what is in flight through it."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

from tests.whole.report.broker import free_port

PUBLISH, PUBACK = 3, 4
"""MQTT 5.0, 2.1.2."""


class Frames:
    """MQTT packets out of a stream of bytes: first byte and body (MQTT 5.0, 2.1)."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        self._buffer += data
        out = []
        while True:
            length = shift = 0
            at = 1
            while True:
                if at >= len(self._buffer):
                    return out
                byte = self._buffer[at]
                length |= (byte & 0x7F) << shift
                at += 1
                shift += 7
                if not byte & 0x80:
                    break
            if len(self._buffer) < at + length:
                return out
            out.append((self._buffer[0], bytes(self._buffer[at : at + length])))
            del self._buffer[: at + length]


def packet_id(first: int, body: bytes) -> int:
    """Of a PUBLISH at QoS 1 it stands behind the topic."""
    at = 2 + int.from_bytes(body[:2], "big") if first >> 4 == PUBLISH else 0
    return int.from_bytes(body[at : at + 2], "big")


class Proxy:
    """Forwards to `port` until `freeze`; from then on it reads and answers nothing."""

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self.most_in_flight = 0
        self.connections = 0
        self._to = port
        self._flowing = threading.Event()
        self._flowing.set()
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._threads = [threading.Thread(target=self._accept)]

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def freeze(self) -> None:
        self._flowing.clear()

    def thaw(self) -> None:
        """New connections are served again; those that were frozen are cut."""
        self.cut()
        self._flowing.set()

    def cut(self) -> None:
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
        self._flowing.set()
        self.cut()
        for thread in self._threads:
            thread.join()
        self._listener.close()
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._sockets.append(near)
                self.connections += 1
            try:
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                near.shutdown(socket.SHUT_RDWR)
                continue
            flight: set[int] = set()
            with self._lock:
                self._sockets.append(far)
            for source, sink in ((near, far), (far, near)):
                thread = threading.Thread(target=self._pump, args=(source, sink, flight))
                self._threads.append(thread)
                thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket, flight: set[int]) -> None:
        frames = Frames()
        try:
            outgoing = source.getpeername()[1] != self._to
            while data := source.recv(65_536):
                self._flowing.wait()
                for first, body in frames.feed(data):
                    self._count(outgoing, first, body, flight)
                sink.sendall(data)
        except OSError:
            pass
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def _count(self, outgoing: bool, first: int, body: bytes, flight: set[int]) -> None:
        with self._lock:
            if outgoing and first >> 4 == PUBLISH and first & 0x06:
                flight.add(packet_id(first, body))
            elif not outgoing and first >> 4 == PUBACK:
                flight.discard(packet_id(first, body))
            self.most_in_flight = max(self.most_in_flight, len(flight))
