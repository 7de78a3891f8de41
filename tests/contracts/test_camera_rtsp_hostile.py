"""drivers.camera.rtsp against a peer that describes its stream without end, or with false lengths."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from drivers.av_stream import MAX_ALLOCATION_BYTES
from drivers.errors import DriverError
from tests.contracts.conftest import open_driver
from tests.contracts.peer_memory import peak_memory_bytes, reset_peak_memory

OK = b"RTSP/1.0 200 OK\r\nCSeq: %s\r\n"
SDP = b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n"
MEDIA = b"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
DESCRIPTIONS: dict[str, tuple[bytes, bytes]] = {
    "a length of 1 GB": (SDP % 1_000_000_000, MEDIA * 1000),
    "a length of 2 GB and more": (SDP % 3_000_000_000, MEDIA * 1000),
    "headers without end": (b"", b"X-More: " + b"a" * 4000 + b"\r\n"),
    "a header line without end": (b"X-More: ", b"a" * 65_536),
    "a million media": (SDP % (len(MEDIA) * 1_000_000), MEDIA * 1000),
    "a line without end": (SDP % 100_000_000, b"a" * 65_536),
}


@contextmanager
def hostile_camera(header: bytes, repeated: bytes) -> Iterator[str]:
    """The address of a camera that answers DESCRIBE with `header`, then `repeated` without end."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while request := connection.recv(65_536):
                sequence = re.search(rb"CSeq: (\d+)", request)
                assert sequence
                connection.sendall(OK % sequence[1])
                if not request.startswith(b"DESCRIBE"):
                    connection.sendall(b"Public: DESCRIBE, SETUP, PLAY\r\n\r\n")
                    continue
                connection.sendall(header)
                while True:
                    connection.sendall(repeated)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    yield f"rtsp://127.0.0.1:{listener.getsockname()[1]}/live"
    listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    listener.close()


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_hostile_description_is_refused_within_bounded_memory(name: str) -> None:
    with hostile_camera(*DESCRIPTIONS[name]) as url:
        before_bytes = reset_peak_memory()
        with pytest.raises(DriverError) as caught:
            open_driver("rtsp", {"url": url, "open_timeout_s": 2.0})
        growth_bytes = peak_memory_bytes() - before_bytes
    assert caught.value.kind in ("protocol", "timeout")
    assert growth_bytes < 2 * MAX_ALLOCATION_BYTES
