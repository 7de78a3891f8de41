"""agent.update.fetch_service: root's downloads by another process, with the same outcome as its own."""

import hashlib
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.base.http_client import MAX_CHUNK_BYTES
from agent.update import download, fetch_client, fetch_service
from agent.update.download import Download, DownloadSpec
from agent.update.errors import UpdateError
from agent.update.fetch_client import FetchChunk, FetchReply
from agent.update.https_get import HttpError, HttpGet
from drivers.local_wire import HEADER, LocalConnection, MessageDecoder, pack_message
from tests.loopback_server import LoopbackServer
from tests.updates.file_server import FileServer

DATA = random.Random(7).randbytes(700_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
TIMEOUT_S = 60.0
ANSWER = pack_message(FetchReply(status=200, headers={"Content-Length": "3"}))
CHUNK = pack_message(FetchChunk(data=b"abc"))


class Service(LoopbackServer):
    """vigie-fetch.socket: each connection gets a `serve` of its own."""

    def __init__(self, root: Path, serve: Callable[[socket.socket], None]) -> None:
        self.root = root
        path = root / fetch_client.SOCKET
        path.parent.mkdir()
        super().__init__(serve, listener=socket.create_server(str(path), family=socket.AF_UNIX))

    @property
    def http_get(self) -> HttpGet:
        return fetch_client.make_http_get(self.root, None)


@pytest.fixture
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    # A short path: unix(7) allows 107 bytes for that of a socket.
    with Service(tmp_path_factory.mktemp("box"), fetch_service.serve_connection) as made:
        yield made


@pytest.fixture
def file(server: FileServer) -> str:
    server.files["/a.raucb"], server.tags["/a.raucb"] = DATA, '"one"'
    return server.url("/a.raucb")


def fetched(spec: DownloadSpec, folder: Path, http_get: HttpGet) -> bytes:
    return (
        Download(spec, folder, http_get)
        .fetch(lambda _done, _total: None, lambda _s: False)
        .read_bytes()
    )


def test_an_interrupted_download_is_resumed(
    server: FileServer, file: str, service: Service, tmp_path: Path
) -> None:
    server.break_after_bytes = [100_000, 250_000]
    spec = DownloadSpec(suffix=".raucb", url=file, sha256=SHA256, size_bytes=len(DATA))
    assert fetched(spec, tmp_path, service.http_get) == DATA
    assert server.ranges[0] is None
    assert all(text and text.startswith("bytes=") for text in server.ranges[1:])


def test_a_redirect_is_followed(server: FileServer, file: str, service: Service) -> None:
    server.redirects["/moved"] = file
    data = download.fetch_bytes(server.url("/moved"), len(DATA), service.http_get)
    assert data == DATA


@pytest.mark.parametrize("url", ["http://[::1", "file:///etc/shadow", "http://127.0.0.1:1/x"])
def test_a_failed_get_has_the_reason_of_a_direct_one(service: Service, url: str) -> None:
    with pytest.raises(UpdateError) as direct:
        download.fetch_bytes(url, 100, fetch_client.direct_get(None))
    with pytest.raises(HttpError) as served:
        download.fetch_bytes(url, 100, service.http_get)
    assert str(served.value) == str(direct.value)


def test_authorities_travel_with_the_request(service: Service, tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("no certificate")
    with pytest.raises(HttpError, match="authorities: holds no certificate in PEM form"):
        download.fetch_bytes(
            "https://127.0.0.1:1/", 100, fetch_client.make_http_get(service.root, ca_file)
        )


def test_a_system_without_the_service_downloads_itself(file: str, tmp_path: Path) -> None:
    http_get = fetch_client.make_http_get(tmp_path, None)
    assert download.fetch_bytes(file, len(DATA), http_get) == DATA


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n\r\nabc",
        HEADER.pack(1000, 0) + b"\x91" * 1000,
        pack_message({"type": "reply", "status": "200"}),
        pack_message({"type": "reply", "headers": {"Content-Length": b"\xff"}}),
        CHUNK,
        ANSWER,
        ANSWER + ANSWER,
        ANSWER + CHUNK,
        ANSWER + CHUNK[:-1],
        ANSWER + HEADER.pack(2**32 - 1, 0) + bytes(100),
        ANSWER + pack_message(FetchChunk(data=bytes(MAX_CHUNK_BYTES + 1))),
    ],
)
def test_a_service_that_misbehaves_ends_in_an_error(
    tmp_path_factory: pytest.TempPathFactory, answer: bytes
) -> None:
    def misbehave(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(answer)

    with (
        Service(tmp_path_factory.mktemp("box"), misbehave) as service,
        pytest.raises(HttpError),
    ):
        download.fetch_bytes("http://127.0.0.1/", 100, service.http_get)


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\n", pack_message({"url": 1}), bytes(range(256)) * 4]
)
def test_a_malformed_request_is_answered(sent: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, LocalConnection(theirs, 10_000) as root:
        theirs.sendall(sent)
        root.end_sending()
        fetch_service.serve_connection(ours)
        reply = root.receive(MessageDecoder(FetchReply), TIMEOUT_S)
    assert reply is not None
    assert reply.error
