"""agent.base.json_decode and agent.base.file_read: one error for all that is malformed, bounded reads."""

import json
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.file_read import read_regular_file
from agent.base.json_decode import JsonDecoder, MalformedJson, decode_any_json, decode_json
from drivers.local_wire import MAX_ERROR_CHARS


class NoMembers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Record(msgspec.Struct, frozen=True):
    name: str
    count: int = 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"name":1}',
        b'{"name":"\xff"}',
        b'{"name":"a","count":1e999}',
        b"[" * 100_000,
        b'{"name":' * 100_000,
        b'{"name":"a"}x',
    ],
)
def test_malformed_json_raises_one_error_of_one_line(data: bytes) -> None:
    decoders = (JsonDecoder(Record).decode, lambda data: decode_json(data, Record))
    for decode in decoders:
        with pytest.raises(MalformedJson) as raised:
            decode(data)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("key", ["a\nb", "\x1b[2J", "\u2028", "\ud800", "k" * 70_000])
def test_a_hostile_key_is_named_in_one_short_line(key: str) -> None:
    with pytest.raises(MalformedJson) as error:
        decode_json(json.dumps({key: 1}), NoMembers)
    assert str(error.value).isprintable()
    assert len(str(error.value)) <= MAX_ERROR_CHARS


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_raise_malformed_json(data: bytes) -> None:
    try:
        decode_any_json(data)
    except MalformedJson:
        return


def test_a_whole_regular_file_is_read_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_regular_file(path, 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_regular_file(path, 4)


def test_a_folder_a_loop_a_device_and_a_pipe_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "loop", "zeros", "pipe"):
        with pytest.raises(OSError, match=name):
            read_regular_file(tmp_path / name, 10)
