"""agent.base.http_client on one end of a pair of sockets: its requests, and answers of servers that are not trusted."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent.base.http_client import (
    MAX_CHUNK_BYTES,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    HttpClient,
    HttpFailed,
    HttpResponse,
    NotHttp,
    read_body,
)

OK = b"HTTP/1.1 200 OK\r\n"
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Server:
    """Has answered before the request comes; nothing follows."""

    def __init__(self, answer: bytes) -> None:
        self._client_end, self.connection = socket.socketpair()
        self.connected: list[tuple[str, int]] = []
        self.connection.sendall(answer)
        self.connection.shutdown(socket.SHUT_WR)

    def connect(self, server: tuple[str, int], _timeout_s: float) -> socket.socket:
        self.connected.append(server)
        return self._client_end

    @contextmanager
    def get(self, url: str = "http://media.example/a") -> Iterator[HttpResponse]:
        with HttpClient(TLS, 60.0, self.connect).request("GET", url, {}) as response:
            yield response

    def close(self) -> None:
        self._client_end.close()
        self.connection.close()


@contextmanager
def server(answer: bytes) -> Iterator[Server]:
    made = Server(answer)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize(
    ("url", "connected", "target", "host"),
    [
        ("http://media.example/a", ("media.example", 80), "/a", "media.example"),
        ("http://media.example?b=1", ("media.example", 80), "/?b=1", "media.example"),
        ("http://media.example:80/", ("media.example", 80), "/", "media.example"),
        ("http://media.example:8080/", ("media.example", 8080), "/", "media.example:8080"),
        ("http://[fd12::7]/", ("fd12::7", 80), "/", "[fd12::7]"),
        ("http://[fd12::7]:8080/", ("fd12::7", 8080), "/", "[fd12::7]:8080"),
        ("http://médias.example/", ("médias.example", 80), "/", "xn--mdias-bsa.example"),
    ],
)
def test_a_request_names_the_host_as_its_url_does(
    url: str, connected: tuple[str, int], target: str, host: str
) -> None:
    with server(OK + b"\r\n") as made:
        with made.get(url) as response:
            assert response.status == 200
        assert made.connected == [connected]
        head = made.connection.recv(1000).decode()
    assert head == f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"


@pytest.mark.parametrize(
    "url", ["http://media.example/é", "http://media.example/a\r\nX:b", "http://a..b/"]
)
def test_an_address_that_cannot_be_in_a_request_is_one_line(url: str) -> None:
    with server(b"") as made, pytest.raises(HttpFailed) as caught, made.get(url):
        pass
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (OK + b"Content-Length: 5\r\n\r\nstreet", b"stree"),
        (
            OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nstr\r\n3;x=y\r\neet\r\n0\r\n\r\n",
            b"street",
        ),
        (b"HTTP/1.0 200 OK\r\n\r\nstreet", b"street"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
    ids=["length", "chunked", "until the end", "interim answer", "none"],
)
def test_a_body_is_read_to_its_end(answer: bytes, body: bytes) -> None:
    with server(answer) as made, made.get() as response:
        assert read_body(response, 10) == body


def test_of_a_longer_body_one_byte_more_is_read() -> None:
    with server(OK + b"\r\nstreet") as made, made.get() as response:
        assert read_body(response, 3) == b"stre"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (OK + b"Content-Length: 9\r\n\r\nstreet", "3 bytes are missing"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nstreet", "incomplete chunked read"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n6\r\nstreet\r\nx\r\n", "chunk"),
    ],
)
def test_of_a_body_that_ends_too_early_what_arrived_is_yielded(answer: bytes, message: str) -> None:
    received: list[bytes] = []
    with server(answer) as made, made.get() as response, pytest.raises(HttpFailed, match=message):
        received.extend(response.body)
    assert b"".join(received) == b"street"


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\xff garbage\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46" + bytes(100),
        OK + b"Content-Length: -5\r\n\r\n",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nstreet",
        OK + b"Transfer-Encoding: gzip\r\n\r\n",
        OK + b"X: " + b"x" * (MAX_HEAD_BYTES + MAX_CHUNK_BYTES) + b"\r\n\r\n",
        OK + b"X: y\r\n" * (MAX_HEADERS + 1) + b"\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
)
def test_a_head_that_is_not_http_is_one_line(answer: bytes) -> None:
    with server(answer) as made, pytest.raises(NotHttp) as caught, made.get():
        pass
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 200


@pytest.mark.parametrize("answer", [b"", OK, b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_an_end_before_the_answer_is_a_failure_of_the_link(answer: bytes) -> None:
    with server(answer) as made:
        with pytest.raises(HttpFailed, match="closed without an answer") as caught, made.get():
            pass
        assert not isinstance(caught.value, NotHttp)


def send_half_a_body(made: Server) -> HttpResponse:
    def body() -> Iterator[bytes]:
        made.connection.recv(1000)
        made.connection.close()
        yield b"street"

    client = HttpClient(TLS, 60.0, made.connect)
    headers = {"Content-Length": "12"}
    with client.request("PUT", "http://media.example/a", headers, body()) as response:
        return response


def test_a_server_may_refuse_a_body_before_it_has_it() -> None:
    with server(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n") as made:
        assert send_half_a_body(made).status == 413


def test_a_server_cannot_have_accepted_a_body_that_it_does_not_have() -> None:
    with server(OK + b"Content-Length: 0\r\n\r\n") as made, pytest.raises(HttpFailed, match="pipe"):
        send_half_a_body(made)
