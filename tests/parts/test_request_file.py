"""agent.update.request_file: the console's update requests, valid and invalid."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from agent.base.errors import UserError
from agent.update import request_file
from agent.update.request_file import UpdateRequest, UpdateRequestStatus

ME = (os.geteuid(),)
GOOD = b'{"v":1,"id":"0123456789abcdef","action":"mark_good","requester":"amina"}'
BUNDLE = "/run/media/sda1/new.raucb"


def test_a_request_is_executed_once(tmp_path: Path) -> None:
    order = request_file.submit_request(tmp_path, "install", "amina", BUNDLE)
    taken = request_file.take_request(tmp_path, ME)
    assert taken == UpdateRequest(id=order, action="install", requester="amina", bundle_path=BUNDLE)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        request_file.take_request(tmp_path, ME)


def test_a_request_that_waits_is_not_replaced_by_a_second_one(tmp_path: Path) -> None:
    first = request_file.submit_request(tmp_path, "status", "amina")
    with pytest.raises(FileExistsError):
        request_file.submit_request(tmp_path, "rollback", "omar")
    assert [path.name for path in tmp_path.iterdir()] == ["request.json"]
    assert request_file.take_request(tmp_path, ME).id == first


def test_a_waiting_request_can_be_withdrawn_by_its_requester(tmp_path: Path) -> None:
    first = request_file.submit_request(tmp_path, "mark_good", "amina")
    request_file.take_request(tmp_path, ME)
    second = request_file.submit_request(tmp_path, "rollback", "omar")
    assert not request_file.withdraw_request(tmp_path, first)
    assert (tmp_path / "request.json").exists()
    assert request_file.withdraw_request(tmp_path, second)
    assert not request_file.withdraw_request(tmp_path, second)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"mark_good",
        b"[" * 9000,
        GOOD.replace(b'"mark_good"', b'"bad"'),
        GOOD.replace(b'"mark_good"', b'"install"'),
        GOOD.replace(b"}", b',"bundle_path":"/run/media/x.raucb"}'),
        GOOD.replace(b'"mark_good"', b'"install","bundle_path":"/mnt/\\udcff.raucb"'),
        GOOD.replace(b"}", b',"again":true}'),
        GOOD.replace(b"amina", b"a" * 65),
        GOOD.replace(b'"mark_good"', b'"install_release"'),
        GOOD.replace(b'"mark_good"', b'"install_release","version":"https://evil.example/x"'),
        GOOD.replace(b"}", b',"version":"2.0.0"}'),
        GOOD.replace(b"amina", b"amina\\n"),
        GOOD.replace(b"0123", b"../x"),
        GOOD.replace(b'"v":1', b'"v":2'),
        GOOD + b" " * request_file.MAX_REQUEST_BYTES,
    ],
)
def test_an_invalid_request_is_rejected_and_removed(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "request.json").write_bytes(data)
    with pytest.raises(UserError, match=r"^request: "):
        request_file.take_request(tmp_path, ME)
    assert not (tmp_path / "request.json").exists()


@given(st.binary(max_size=200))
def test_any_content_is_a_request_or_bad_input(data: bytes) -> None:
    with suppress(UserError):
        request_file.decode_request(data)


def link_to_a_good_one(path: Path) -> None:
    (path.parent / "other").write_bytes(GOOD)
    path.symlink_to(path.parent / "other")


def folder_with_something(path: Path) -> None:
    path.mkdir()
    (path / "x").touch()


@pytest.mark.parametrize("make", [link_to_a_good_one, folder_with_something, os.mkfifo])
def test_a_link_or_special_file_is_rejected_and_removed(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "request.json")
    with pytest.raises(UserError, match=r"^request: "):
        request_file.take_request(tmp_path, ME)
    assert not (tmp_path / "request.json").exists()
    assert not (tmp_path / "request.json").is_symlink()


def test_a_request_of_another_user_is_rejected_and_removed(tmp_path: Path) -> None:
    request_file.submit_request(tmp_path, "mark_good", "amina")
    with pytest.raises(UserError, match=f"owned by user {os.geteuid()}, which is not allowed"):
        request_file.take_request(tmp_path, (os.geteuid() + 1,))
    assert not (tmp_path / "request.json").exists()


@pytest.mark.parametrize("bundle", ["/run/media/\udcff.raucb", f"/run/media/{'x' * 2000}.raucb"])
def test_an_invalid_bundle_name_is_refused_at_once(tmp_path: Path, bundle: str) -> None:
    with pytest.raises(UserError):
        request_file.submit_request(tmp_path, "install", "amina", bundle)
    assert list(tmp_path.iterdir()) == []


def test_the_status_is_read_completely_or_not_at_all(tmp_path: Path) -> None:
    assert request_file.status_file(tmp_path).read() is None
    for state in ("running", "done"):
        message = UpdateRequestStatus(
            id="1", action="status", requester="amina", state=state, lines=("version 1.0.0",)
        )
        request_file.status_file(tmp_path).write(message)
        assert request_file.status_file(tmp_path).read() == message
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]
    (tmp_path / "status.json").write_bytes(msgspec.json.encode(message)[:-5])
    assert request_file.status_file(tmp_path).read() is None
