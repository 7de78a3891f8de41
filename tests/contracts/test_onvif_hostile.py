"""drivers.onvif.client against a peer that answers without end, in a compressed bomb or with hostile XML."""

import gzip
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic

import pytest

from drivers.child import requests
from drivers.child.fork_server import ForkServer
from drivers.errors import DriverError
from drivers.onvif import client as onvif_client
from drivers.onvif.child import MAX_MEMORY_BYTES
from drivers.onvif.client import FORK_SERVER, OnvifClient
from drivers.onvif.credentials import OnvifAccess
from tests.contracts.event_camera import running_event_camera
from tests.contracts.onvif_peer import running_onvif_camera, search_until_found
from tests.contracts.own_network import CAMERA
from tests.contracts.peer_memory import (
    children_of,
    peak_memory_bytes,
    reset_peak_memory,
    sampled_growth,
)
from tests.loopback_server import LoopbackServer

AGENT_GROWTH_BYTES = 8_000_000
"""Nothing of an answer reaches the agent."""
CHUNK_BYTES = 65_536
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml\r\n"
ENVELOPE = b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>%s</s:Body></s:Envelope>'
ENTITIES = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">%s]>' % b"".join(
    b'<!ENTITY %c "%s">' % (letter, b"&%c;" % (letter - 1) * 10) for letter in b"bcdefghij"
)


def sized(body: bytes, headers: bytes = b"") -> bytes:
    return HEAD + headers + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
Answer = tuple[bytes, bytes]
"""Bytes that are sent once, and bytes that are then sent without end."""


def compressed_bomb() -> Answer:
    bomb = gzip.compress(b" " * 200_000_000, compresslevel=9)
    return sized(bomb, b"Content-Encoding: gzip\r\n"), b""


ANSWERS: dict[str, Answer | Callable[[], Answer]] = {
    "chunks without end": (CHUNKED, b"%x\r\n%s\r\n" % (CHUNK_BYTES, b" " * CHUNK_BYTES)),
    "a body without a length": (HEAD + b"\r\n", b" " * CHUNK_BYTES),
    "a length of 6 GB": (HEAD + b"Content-Length: 6000000000\r\n\r\n", b" " * CHUNK_BYTES),
    "headers without end": (HEAD, b"X-More: " + b"a" * 4000 + b"\r\n"),
    "a header line without end": (HEAD + b"X-More: ", b"a" * CHUNK_BYTES),
    "a compressed bomb": compressed_bomb,
    "a redirect": (
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"",
    ),
    "deep XML": (sized(ENVELOPE % (b"<a>" * 300_000)), b""),
    "wide XML": (sized(ENVELOPE % (b"<a/>" * 250_000)), b""),
    "entities that expand": (sized(ENTITIES + ENVELOPE % b"&j;"), b""),
    "an entity of a file": (
        sized(b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>' + ENVELOPE % b"&a;"),
        b"",
    ),
}


def hostile_camera(answer: bytes, repeated: bytes) -> LoopbackServer:
    """A camera that answers each request with `answer`, then `repeated` without end."""

    def serve(connection: socket.socket) -> None:
        connection.recv(CHUNK_BYTES)
        connection.sendall(answer)
        while repeated:
            connection.sendall(repeated)
        connection.recv(1)

    return LoopbackServer(serve)


def warm_up() -> None:
    """Start the fork server, whose start is not part of a time or of memory."""
    client = OnvifClient("camera 'tram'", OnvifAccess(url="http://127.0.0.1:9"))
    with pytest.raises(DriverError, match="cannot be reached"):
        client.has_service("media")
    client.close()


@pytest.mark.parametrize("name", ANSWERS)
def test_a_hostile_answer_is_refused_within_bounded_memory(name: str) -> None:
    warm_up()
    answer = ANSWERS[name]
    with (
        hostile_camera(*(answer() if callable(answer) else answer)) as camera,
        sampled_growth(FORK_SERVER) as child_growth,
    ):
        client = OnvifClient(
            "camera 'tram'", OnvifAccess(url=f"http://127.0.0.1:{camera.port}", timeout_s=3.0)
        )
        before_bytes = reset_peak_memory()
        try:
            with pytest.raises(DriverError) as caught:
                client.has_service("media")
            growth_bytes = peak_memory_bytes() - before_bytes
        finally:
            client.close()
    assert caught.value.kind in ("protocol", "timeout", "crashed")
    assert growth_bytes < AGENT_GROWTH_BYTES
    assert child_growth.bytes < MAX_MEMORY_BYTES


def test_one_camera_breaks_its_child_and_the_other_goes_on(
    event_camera_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "FIRST_BACKOFF_S", 2.0)
    broken, sound = (
        OnvifClient(name, OnvifAccess(url=event_camera_url)) for name in ("broken", "sound")
    )
    try:
        assert broken.has_service("events")
        assert sound.has_service("events")
        assert broken.child_pid is not None
        os.kill(broken.child_pid, signal.SIGSEGV)
        failure = eventual_failure(broken)
        assert failure.kind == "crashed"
        assert "was killed by SIGSEGV" in str(failure)
        with pytest.raises(DriverError) as refused:
            broken.has_service("events")
        assert refused.value is failure, "no child is started before its time"
        assert sound.has_service("events")
        assert returns_in_time(broken)
    finally:
        broken.close()
        sound.close()
    assert children_of(FORK_SERVER) == []


def test_a_child_that_hangs_is_ended(
    monkeypatch: pytest.MonkeyPatch, hostile_server: ForkServer
) -> None:
    monkeypatch.setattr(onvif_client, "FORK_SERVER", hostile_server)
    monkeypatch.setattr(requests, "ANSWER_MARGIN_S", 0.3)
    monkeypatch.setattr(requests, "START_TIMEOUT_S", 5.0)
    client = OnvifClient("camera 'tram'", OnvifAccess(url="http://hang.invalid", timeout_s=0.5))
    try:
        with pytest.raises(DriverError, match="its process hangs: no answer for") as caught:
            client.has_service("events")
    finally:
        client.close()
    assert caught.value.kind == "crashed"
    assert children_of(hostile_server) == []


def test_a_camera_cannot_send_its_client_elsewhere() -> None:
    """The services that it reports, at another host and port, are asked at its own address."""
    with running_event_camera() as camera:
        own_url, camera.url = camera.url, "http://192.0.2.1:1"
        client = OnvifClient("camera 'tram'", OnvifAccess(url=own_url))
        try:
            assert client.read_camera_info().model == "Dome 3"
        finally:
            client.close()


ACTION = (
    b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"'
    b' xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing">'
    b"<s:Header><a:Action>%s</a:Action></s:Header><s:Body>%s</s:Body></s:Envelope>"
)
MATCHES = b"http://schemas.xmlsoap.org/ws/2005/04/discovery/ProbeMatches"
DATAGRAMS = (
    b"garbage \xff\xfe",
    ACTION % (b"", b""),
    ACTION % (MATCHES, b"&j;"),
    ENTITIES + ACTION % (MATCHES, b"&j;"),
    ACTION % (MATCHES, b"<a>" * 2_000),
    ACTION % (MATCHES, b"<a/>" * 1_500),
)


@contextmanager
def hostile_answers_to_searches() -> Iterator[None]:
    """A device of the subnet that answers each search with hostile datagrams."""
    done = threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        device.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        device.bind(("239.255.255.250", 3702))
        group = socket.inet_aton("239.255.255.250") + socket.inet_aton(CAMERA)
        device.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        device.settimeout(0.1)

        def answer() -> None:
            while not done.is_set():
                with suppress(TimeoutError):
                    _, address = device.recvfrom(CHUNK_BYTES)
                    for datagram in DATAGRAMS:
                        device.sendto(datagram, address)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def test_hostile_answers_to_a_search_hide_no_camera_and_take_bounded_memory() -> None:
    with (
        running_onvif_camera(),
        hostile_answers_to_searches(),
        sampled_growth(FORK_SERVER) as child_growth,
    ):
        before_bytes = reset_peak_memory()
        found = search_until_found()
        growth_bytes = peak_memory_bytes() - before_bytes
    assert [camera.name for camera in found] == ["tram-14-front"]
    assert growth_bytes < AGENT_GROWTH_BYTES
    assert child_growth.bytes < MAX_MEMORY_BYTES


@pytest.fixture
def event_camera_url() -> Iterator[str]:
    with running_event_camera() as camera:
        yield camera.url


def eventual_failure(client: OnvifClient) -> DriverError:
    """The next error; a request may still be answered before the signal."""
    for _ in range(100):
        try:
            client.has_service("events")
        except DriverError as error:
            return error
    raise AssertionError("it never failed")


def returns_in_time(client: OnvifClient) -> bool:
    """Whether the camera answers again within the first backoff and a start."""
    deadline_s = monotonic() + 30
    while monotonic() < deadline_s:
        with suppress(DriverError):
            return client.has_service("events")
        threading.Event().wait(0.05)
    return False
