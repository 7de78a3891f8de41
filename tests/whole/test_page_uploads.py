"""agent.pole_page: uploads through the web process, over real TLS, into the pipe of their act."""

import os
import socket
import threading
from contextlib import suppress

import msgspec
import pytest

from agent.console.acts.commissioning import MAX_PHOTO_UPLOAD_BYTES
from tests.whole.pole_page_box import (
    TIMEOUT_S,
    Phone,
)
from tests.whole.served_page import ScriptedActs, reply_done, send


def test_an_upload_reaches_its_act_as_it_comes(phone: Phone, acts: ScriptedActs) -> None:
    data = os.urandom(3_000_000)
    received = bytearray()

    def answer(_request: object, connection: socket.socket, fd: int | None) -> None:
        assert fd is not None
        while chunk := os.read(fd, 65_536):
            received.extend(chunk)
        send(connection, value={"photo": 1})

    acts.answer = answer
    reply = phone.request(
        "POST",
        "/api/uploads/commission_photo?args=%7B%22title%22%3A%22mast%22%7D",
        data,
        {"Content-Type": "application/octet-stream"},
    )
    assert reply.status == 200
    assert bytes(received) == data
    assert msgspec.json.decode(reply.body) == {"photo": 1}
    sent = acts.requests[-1]
    assert (sent["args"], sent["upload_bytes"]) == ({"title": "mast"}, len(data))


def test_an_upload_that_its_act_refuses_early_ends(phone: Phone, acts: ScriptedActs) -> None:
    def answer(_request: object, connection: socket.socket, _fd: int | None) -> None:
        send(connection, error={"code": "refused", "message": "no photo"})

    acts.answer = answer
    with suppress(BrokenPipeError, ConnectionResetError):
        reply = phone.request(
            "POST",
            "/api/uploads/commission_photo",
            bytes(2_000_000),
            {"Content-Type": "application/octet-stream"},
        )
        assert (reply.status, reply.error) == (409, "refused")
    acts.answer = reply_done
    assert phone.act("status").status == 200


def test_an_upload_that_is_cut_off_is_the_end_of_file_for_its_act(
    phone: Phone, acts: ScriptedActs
) -> None:
    sizes: list[int] = []
    is_read = threading.Event()

    def answer(_request: object, connection: socket.socket, fd: int | None) -> None:
        assert fd is not None
        size = 0
        while chunk := os.read(fd, 65_536):
            size += len(chunk)
        sizes.append(size)
        is_read.set()
        send(connection, error={"code": "failed", "message": "cut off"})

    acts.answer = answer
    with phone.connect() as connection:
        head = (
            f"POST /api/uploads/commission_photo HTTP/1.1\r\nHost: {phone.authority}\r\n"
            f"Origin: https://{phone.authority}\r\nCookie: {phone.cookie}\r\n"
            "Content-Type: application/octet-stream\r\nContent-Length: 100000\r\n\r\n"
        )
        connection.sendall(head.encode() + bytes(40_000))
    assert is_read.wait(TIMEOUT_S)
    assert sizes[0] <= 40_000


@pytest.mark.parametrize(
    ("name", "length", "code"),
    [
        ("commission_photo", str(MAX_PHOTO_UPLOAD_BYTES + 1), "too_large"),
        ("commission_photo", "0", "too_large"),
        ("status", "5", "too_large"),
        ("no_such_act", "5", "unknown"),
    ],
)
def test_an_upload_is_refused_before_it_is_read(
    phone: Phone, name: str, length: str, code: str
) -> None:
    reply = phone.request(
        "POST",
        f"/api/uploads/{name}",
        None,
        {"Content-Type": "application/octet-stream", "Content-Length": length},
    )
    assert reply.error == code
