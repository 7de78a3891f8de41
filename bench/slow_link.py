"""A TCP proxy between a box and its broker: counts the bytes, and can have the rate of a weak uplink."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

_PIECE_BYTES = 500
_BUFFER_BYTES = 4096
"""Little waits in the proxy itself: the rest waits in the box, as before a modem."""


class Link:
    """A link to a broker, at `port` of this machine. The counters are of the bytes that have passed."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.sent_bytes = 0
        """From the box to the broker."""
        self.received_bytes = 0

    @property
    def url(self) -> str:
        """The broker's address through this link."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def total_bytes(self) -> int:
        """Both directions."""
        return self.sent_bytes + self.received_bytes

    def count_sent(self, size_bytes: int) -> None:
        """Count bytes from the box to the broker."""
        self.sent_bytes += size_bytes

    def count_received(self, size_bytes: int) -> None:
        """Count bytes from the broker to the box."""
        self.received_bytes += size_bytes


@contextlib.contextmanager
def link_to(port: int, uplink_bytes_per_s: float = float("inf")) -> Iterator[Link]:
    """Forward connections to a port of this machine."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        link = Link(int(listener.getsockname()[1]))
        arguments = (listener, port, uplink_bytes_per_s, link)
        threading.Thread(target=_accept, args=arguments, daemon=True).start()
        yield link


def _accept(listener: socket.socket, port: int, uplink_bytes_per_s: float, link: Link) -> None:
    with contextlib.suppress(OSError):
        while True:
            box, _ = listener.accept()
            broker = socket.create_connection(("127.0.0.1", port))
            for arguments in (
                (box, broker, uplink_bytes_per_s, link.count_sent),
                (broker, box, float("inf"), link.count_received),
            ):
                threading.Thread(target=_forward, args=arguments, daemon=True).start()


def _forward(
    source: socket.socket, sink: socket.socket, bytes_per_s: float, count: Callable[[int], None]
) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            sink.sendall(piece)
            count(len(piece))
            time.sleep(len(piece) / bytes_per_s)
        sink.shutdown(socket.SHUT_WR)
