"""drivers.local_wire: messages, open files and deadlines between the processes of a box."""

import os
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.local_wire import (
    HEADER,
    MAX_ERROR_CHARS,
    LocalConnection,
    MalformedMessage,
    MessageBuffer,
    MessageDecoder,
    connect,
    listen,
    pack_message,
)

MAX_BYTES = 10_000
WITHIN_S = 10.0


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str = ""


DECODER = MessageDecoder(Note)
Pair = tuple[socket.socket, LocalConnection]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A peer's socket, and the connection that reads it, with one open file a message."""
    peer, near = socket.socketpair()
    with peer, LocalConnection(near, MAX_BYTES, max_files=1) as connection:
        yield peer, connection


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@given(
    st.lists(st.text(max_size=200), max_size=5),
    st.lists(st.integers(1, 50), min_size=1, max_size=10),
)
def test_messages_are_the_same_however_their_bytes_are_cut(
    texts: list[str], cuts: list[int]
) -> None:
    sent = b"".join(pack_message(Note(text)) for text in texts)
    buffer, received, at = MessageBuffer(MAX_BYTES), list[str](), 0
    while at < len(sent):
        size = cuts[at % len(cuts)]
        buffer.add(sent[at : at + size])
        at += size
        while (found := buffer.next()) is not None:
            received.append(DECODER.decode(found[0]).text)
    assert received == texts
    assert buffer.is_empty


@given(st.binary(max_size=200))
def test_no_bytes_raise_another_error(data: bytes) -> None:
    buffer = MessageBuffer(MAX_BYTES, 1)
    buffer.add(data)
    with suppress(MalformedMessage):
        while buffer.next() is not None:
            pass
    with suppress(MalformedMessage):
        MessageDecoder[Any](Any).decode(data)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (HEADER.pack(MAX_BYTES + 1, 0), "a message of 10001 bytes; allowed: 10000"),
        (HEADER.pack(2**32 - 1, 0), "a message of 4294967295 bytes"),
        (HEADER.pack(1, 2), "a message with 2 open files; allowed: 1"),
    ],
)
def test_a_message_above_its_maximum_is_refused_before_it_is_read(
    pair: Pair, header: bytes, reason: str
) -> None:
    peer, connection = pair
    peer.sendall(header)
    with pytest.raises(MalformedMessage, match=reason):
        connection.receive(DECODER, WITHIN_S)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode(7),
        msgspec.msgpack.encode({"text": 1}),
        msgspec.msgpack.encode({"other": "x" * 2000 + "\n"}),
        msgspec.msgpack.encode(Note()) * 2,
        b"\x81\xa4text\xa1\xff",
        b"\x81\xa1x" + b"\x91" * 9000,
        b"\xdd\xff\xff\xff\xff",
    ],
)
def test_a_message_of_another_type_is_one_error_with_one_line(pair: Pair, body: bytes) -> None:
    peer, connection = pair
    peer.sendall(HEADER.pack(len(body), 0) + body)
    with pytest.raises(MalformedMessage) as error:
        connection.receive(DECODER, WITHIN_S)
    assert str(error.value).isprintable()
    assert len(str(error.value)) <= MAX_ERROR_CHARS


def test_the_peers_end_is_none_between_messages_and_an_error_within_one(pair: Pair) -> None:
    peer, connection = pair
    peer.sendall(pack_message(Note("a")))
    peer.shutdown(socket.SHUT_WR)
    assert connection.receive(DECODER, WITHIN_S) == Note("a")
    assert connection.receive(DECODER, WITHIN_S) is None
    other, near = socket.socketpair()
    with near, LocalConnection(other, MAX_BYTES) as cut:
        near.sendall(pack_message(Note("a"))[:-1])
        near.shutdown(socket.SHUT_WR)
        with pytest.raises(MalformedMessage, match="ended within a message"):
            cut.receive(DECODER, WITHIN_S)


def test_one_deadline_covers_the_whole_message_of_a_slow_peer(pair: Pair) -> None:
    peer, connection = pair
    ended = threading.Event()

    def trickle() -> None:
        for byte in pack_message(Note("x" * 1000)):
            if ended.wait(0.01):
                return
            peer.send(bytes([byte]))

    thread = threading.Thread(target=trickle)
    thread.start()
    begin_s = monotonic()
    try:
        with pytest.raises(TimeoutError):
            connection.receive(DECODER, 0.2)
        assert 0.2 <= monotonic() - begin_s < WITHIN_S
    finally:
        ended.set()
        thread.join()


def test_a_message_that_was_late_is_received_later(pair: Pair) -> None:
    peer, connection = pair
    message = pack_message(Note("a"))
    peer.sendall(message[:3])
    with pytest.raises(TimeoutError):
        connection.receive(DECODER, 0.0)
    peer.sendall(message[3:])
    assert connection.receive(DECODER, 0.0) == Note("a")


def test_a_peer_that_does_not_read_stops_no_sender_beyond_its_time(pair: Pair) -> None:
    _, connection = pair
    with pytest.raises(TimeoutError):
        connection.send(Note("x" * 10_000_000), 0.1)


def test_each_message_has_its_own_file_and_untaken_ones_are_closed(tmp_path: Path) -> None:
    before = open_files()
    left, right = socket.socketpair()
    with (
        LocalConnection(left, MAX_BYTES) as sender,
        LocalConnection(right, MAX_BYTES, 1) as reader,
    ):
        for name in ("first", "none", "second", "last"):
            (tmp_path / name).write_text(name)
            with (tmp_path / name).open("rb") as file:
                sender.send(Note(name), WITHIN_S, () if name == "none" else (file.fileno(),))
        assert reader.receive(DECODER, WITHIN_S) == Note("first")
        assert reader.receive(DECODER, WITHIN_S) == Note("none")
        assert reader.take_files() == []
        assert reader.receive(DECODER, WITHIN_S) == Note("second")
        (taken,) = reader.take_files()
        with os.fdopen(taken) as file:
            assert file.read() == "second"
        assert reader.receive(DECODER, WITHIN_S) == Note("last")
    assert open_files() == before


@pytest.mark.parametrize(
    ("declared", "sent"),
    [((0,), (1,)), ((1,), (0,)), ((1,), (2,)), ((1, 1), (1, 0)), ((0, 0), (0, 1))],
)
def test_other_files_than_a_header_names_are_refused_and_closed(
    pair: Pair, declared: tuple[int, ...], sent: tuple[int, ...]
) -> None:
    peer, connection = pair
    before = open_files()
    with Path(os.devnull).open("rb") as file:
        for names, files in zip(declared, sent, strict=True):
            data = pack_message(Note(), names)
            socket.send_fds(peer, [data], [file.fileno()] * files)
    with pytest.raises(MalformedMessage, match="open files"):
        list(iter(lambda: connection.receive(DECODER, WITHIN_S), None))
    connection.close()
    assert open_files() == before - 1


def test_a_file_for_each_byte_of_a_message_is_refused(pair: Pair) -> None:
    peer, connection = pair
    with Path(os.devnull).open("rb") as file:
        for byte in pack_message(Note("x" * 100), 1):
            socket.send_fds(peer, [bytes([byte])], [file.fileno()])
    with pytest.raises(MalformedMessage, match="open files"):
        connection.receive(DECODER, WITHIN_S)


def test_a_listener_has_its_mode_and_a_path_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 30) / "wire.sock"
    path.parent.mkdir()
    with listen(path, 0o600, 1), connect(path, WITHIN_S, MAX_BYTES):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with listen(path, 0o640, 1):
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_no_client_is_refused_from_the_moment_that_its_path_exists(tmp_path: Path) -> None:
    path = tmp_path / "wire.sock"
    connected = 0

    def connect_at_each_step(*_: object) -> None:
        nonlocal connected
        with suppress(FileNotFoundError):
            connect(path, WITHIN_S, MAX_BYTES).close()
            connected += 1

    # At each call and return within `listen`, as a client of another process may come.
    sys.setprofile(connect_at_each_step)
    try:
        listener = listen(path, 0o600, 1000)
    finally:
        sys.setprofile(None)
    listener.close()
    assert connected > 0
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_name_that_is_taken_by_a_folder_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "wire.sock"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        listen(path, 0o600, 1)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_server_that_accepts_nothing_is_a_timeout(tmp_path: Path) -> None:
    path = tmp_path / "wire.sock"
    with listen(path, 0o600, 0), connect(path, WITHIN_S, MAX_BYTES), pytest.raises(TimeoutError):
        connect(path, 0.1, MAX_BYTES)


def test_the_replies_of_a_server_that_refuses_unread_are_read(pair: Pair) -> None:
    peer, connection = pair
    peer.sendall(pack_message(Note("busy")) + pack_message(Note("really")))
    peer.close()
    replies = connection.replies(Note("x" * 5000), DECODER, WITHIN_S)
    assert list(replies) == [Note("busy"), Note("really")]
