"""drivers.onvif.client against a peer that answers without end, in a compressed bomb or with hostile XML."""

import gzip
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from drivers.errors import DriverError
from drivers.onvif.client import OnvifClient
from drivers.onvif.credentials import OnvifAccess
from drivers.onvif.library import MAX_ANSWER_BYTES
from tests.contracts.peer_memory import peak_memory_bytes, reset_peak_memory

MAX_GROWTH_BYTES = 100 * MAX_ANSWER_BYTES
"""With the tree of the XML, and Python's objects made of it."""
CHUNK_BYTES = 65_536
BOMB = gzip.compress(b" " * 200_000_000, compresslevel=9)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml\r\n"
ENVELOPE = b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>%s</s:Body></s:Envelope>'
ENTITIES = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">%s]>' % b"".join(
    b'<!ENTITY %c "%s">' % (letter, b"&%c;" % (letter - 1) * 10) for letter in b"bcdefghij"
)


def sized(body: bytes, headers: bytes = b"") -> bytes:
    return HEAD + headers + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
ANSWERS: dict[str, tuple[bytes, bytes]] = {
    "chunks without end": (CHUNKED, b"%x\r\n%s\r\n" % (CHUNK_BYTES, b" " * CHUNK_BYTES)),
    "a body without a length": (HEAD + b"\r\n", b" " * CHUNK_BYTES),
    "a length of 6 GB": (HEAD + b"Content-Length: 6000000000\r\n\r\n", b" " * CHUNK_BYTES),
    "headers without end": (HEAD, b"X-More: " + b"a" * 4000 + b"\r\n"),
    "a header line without end": (HEAD + b"X-More: ", b"a" * CHUNK_BYTES),
    "a compressed bomb": (sized(BOMB, b"Content-Encoding: gzip\r\n"), b""),
    "deep XML": (sized(ENVELOPE % (b"<a>" * 300_000)), b""),
    "wide XML": (sized(ENVELOPE % (b"<a/>" * 250_000)), b""),
    "entities that expand": (sized(ENTITIES + ENVELOPE % b"&j;"), b""),
    "an entity of a file": (
        sized(b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>' + ENVELOPE % b"&a;"),
        b"",
    ),
}


@contextmanager
def hostile_camera(answer: bytes, repeated: bytes) -> Iterator[str]:
    """The address of a camera that answers each request with `answer`, then `repeated` without end."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(CHUNK_BYTES)
            connection.sendall(answer)
            while repeated:
                connection.sendall(repeated)
            connection.recv(1)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    listener.close()


@pytest.mark.parametrize("name", ANSWERS)
def test_a_hostile_answer_is_refused_within_bounded_memory(name: str) -> None:
    with hostile_camera(*ANSWERS[name]) as url:
        client = OnvifClient("camera 'tram'", OnvifAccess(url=url, timeout_s=3.0))
        before_bytes = reset_peak_memory()
        try:
            with pytest.raises(DriverError) as caught:
                client.call("devicemgmt", "GetDeviceInformation")
            growth_bytes = peak_memory_bytes() - before_bytes
        finally:
            client.close()
    assert caught.value.kind in ("protocol", "timeout")
    assert growth_bytes < MAX_GROWTH_BYTES
