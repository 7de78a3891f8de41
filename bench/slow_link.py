"""A TCP proxy with the rate of a weak uplink, for what a box sends to its broker."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

_PIECE_BYTES = 500
_BUFFER_BYTES = 4096
"""Little waits in the proxy itself: the rest waits in the box, as before a modem."""


@contextlib.contextmanager
def slow_uplink(port: int, bytes_per_s: float) -> Iterator[int]:
    """Forward connections to a port of this machine. Yields the port of the proxy."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        threading.Thread(target=_accept, args=(listener, port, bytes_per_s), daemon=True).start()
        yield int(listener.getsockname()[1])


def _accept(listener: socket.socket, port: int, bytes_per_s: float) -> None:
    with contextlib.suppress(OSError):
        while True:
            box, _ = listener.accept()
            broker = socket.create_connection(("127.0.0.1", port))
            for source, sink, rate in ((box, broker, bytes_per_s), (broker, box, float("inf"))):
                arguments = (source, sink, rate)
                threading.Thread(target=_forward, args=arguments, daemon=True).start()


def _forward(source: socket.socket, sink: socket.socket, bytes_per_s: float) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            sink.sendall(piece)
            time.sleep(len(piece) / bytes_per_s)
        sink.shutdown(socket.SHUT_WR)
