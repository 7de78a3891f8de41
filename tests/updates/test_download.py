"""agent.update.download from a real server: resumed, started again, rejected."""

import hashlib
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.base import http_client
from agent.update import download, https_get
from agent.update.download import Download, DownloadSpec
from agent.update.errors import DownloadRejected, UpdateError
from agent.update.https_get import HttpError
from tests.own_address import own_ipv6_address
from tests.updates.file_server import FileServer

DATA = random.Random(5).randbytes(700_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def file(server: FileServer) -> Iterator[str]:
    server.files["/a.raucb"], server.tags["/a.raucb"] = DATA, '"one"'
    return server.url("/a.raucb")


class Waits:
    """Waiting takes no time here; it is counted."""

    def __init__(self, stop_after: int = 100) -> None:
        self.seconds: list[float] = []
        self._stop_after = stop_after

    def __call__(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return len(self.seconds) >= self._stop_after


def fetch(wanted: DownloadSpec, folder: Path, waits: Waits | None = None) -> bytes:
    steps: list[tuple[int, int]] = []
    path = Download(wanted, folder, https_get.direct_get(None)).fetch(
        lambda done, total: steps.append((done, total)), waits or Waits()
    )
    assert all(total == len(DATA) for _, total in steps)
    assert steps == sorted(steps)
    return path.read_bytes()


def test_a_whole_file_comes_in_one_go_and_is_not_fetched_twice(
    server: FileServer, file: str, tmp_path: Path
) -> None:
    wanted = DownloadSpec(suffix=".raucb", url=file, sha256=SHA256, size_bytes=len(DATA))
    assert fetch(wanted, tmp_path) == DATA
    assert [path.name for path in tmp_path.iterdir()] == [wanted.file_name]
    assert fetch(wanted, tmp_path) == DATA
    assert server.ranges == [None]


def test_an_interrupted_download_is_resumed(server: FileServer, file: str, tmp_path: Path) -> None:
    server.break_after_bytes = [100_000, 250_000, 10]
    waits = Waits()
    assert fetch(DownloadSpec(suffix=".raucb", url=file), tmp_path, waits) == DATA
    assert server.ranges == [None, "bytes=100000-", "bytes=350000-", "bytes=350010-"]
    assert server.sent_bytes == len(DATA)
    assert waits.seconds == [1.0, 1.0, 1.0]


def test_a_partial_download_survives_a_restart(
    server: FileServer, file: str, tmp_path: Path
) -> None:
    server.break_after_bytes = [300_000]
    with pytest.raises(HttpError, match="400000 bytes are missing"):
        fetch(DownloadSpec(suffix=".raucb", url=file), tmp_path, Waits(stop_after=1))
    assert fetch(DownloadSpec(suffix=".raucb", url=file), tmp_path) == DATA
    assert server.ranges == [None, "bytes=300000-"]


@pytest.mark.parametrize("how", ["another file", "no ranges", "no tag"])
def test_a_download_starts_again_without_proof_that_the_file_is_the_same(
    server: FileServer, file: str, tmp_path: Path, how: str
) -> None:
    server.break_after_bytes = [300_000]
    if how == "no tag":
        server.tags.clear()
    with pytest.raises(HttpError):
        fetch(DownloadSpec(suffix=".raucb", url=file), tmp_path, Waits(stop_after=1))
    fresh = DATA
    if how == "another file":
        fresh = DATA[::-1]
        server.files["/a.raucb"], server.tags["/a.raucb"] = fresh, '"two"'
    server.supports_ranges = how != "no ranges"
    assert fetch(DownloadSpec(suffix=".raucb", url=file), tmp_path) == fresh


def test_a_download_with_a_known_hash_is_resumed_without_an_etag(
    server: FileServer, file: str, tmp_path: Path
) -> None:
    server.tags.clear()
    server.break_after_bytes = [300_000]
    assert fetch(DownloadSpec(suffix=".raucb", url=file, sha256=SHA256), tmp_path) == DATA
    assert server.ranges == [None, "bytes=300000-"]


def test_an_absent_server_is_retried_with_longer_waits_and_then_given_up(
    server: FileServer, file: str, tmp_path: Path
) -> None:
    server.next_statuses = [503] * 20
    waits = Waits()
    with pytest.raises(HttpError, match="503"):
        fetch(DownloadSpec(suffix=".raucb", url=file), tmp_path, waits)
    assert waits.seconds == [1.0, 4.0, 16.0, 60.0, 60.0]
    assert len(server.ranges) == download.MAX_ATTEMPTS


def test_a_slow_server_is_given_up_and_what_it_sent_is_kept(
    server: FileServer, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(https_get, "PACE_S", 0)
    monkeypatch.setattr(http_client, "MIN_PACE_BYTES", len(DATA) + 1)
    with pytest.raises(HttpError, match=r"the connection broke: too slow: \d+ bytes in 0 s"):
        fetch(DownloadSpec(suffix=".raucb", url=file), tmp_path, Waits(stop_after=1))
    (part,) = tmp_path.glob("*.part")
    part_bytes = part.stat().st_size
    monkeypatch.undo()
    assert fetch(DownloadSpec(suffix=".raucb", url=file), tmp_path) == DATA
    assert server.ranges == [None, f"bytes={part_bytes}-"]
    assert part_bytes > 0


def test_a_server_that_answers_without_end_is_given_up(
    server: FileServer, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "HEAD_TIMEOUT_S", 0.1)
    server.sends_no_answer = True
    with pytest.raises(HttpError, match="no whole head of an answer in 0 s"):
        download.fetch_bytes(file, 1000, https_get.direct_get(None))


def test_a_file_with_another_hash_is_deleted_and_not_fetched_again_that_day(
    server: FileServer, file: str, tmp_path: Path
) -> None:
    wanted = DownloadSpec(suffix=".raucb", url=file, sha256="0" * 64)
    with pytest.raises(DownloadRejected, match="its SHA-256 is another"):
        fetch(wanted, tmp_path)
    assert not list(tmp_path.glob("*.raucb"))
    with pytest.raises(DownloadRejected, match="less than a day ago"):
        fetch(wanted, tmp_path)
    assert len(server.ranges) == 1
    made_s = (tmp_path / f"{wanted.file_name}.wrong").stat().st_mtime
    tomorrow = Download(wanted, tmp_path, https_get.direct_get(None), lambda: made_s + 86_401)
    with pytest.raises(DownloadRejected, match="its SHA-256 is another"):
        tomorrow.fetch(lambda _done, _total: None, Waits())
    assert len(server.ranges) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size_bytes": 5}, "700000 bytes; expected: 5"),
        ({"path": "/b.raucb"}, "404"),
        ({"says_length": False}, "no Content-Length"),
        ({"huge": True}, "MB free"),
    ],
    ids=["size", "absent", "no length", "no room"],
)
def test_an_impossible_download_is_not_started(
    server: FileServer,
    file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, object],
    message: str,
) -> None:
    server.sends_length = bool(change.get("says_length", True))
    if change.get("huge"):
        monkeypatch.setattr(download, "RESERVE_BYTES", 1 << 60)
    size = change.get("size_bytes")
    url = server.url(str(change.get("path", "/a.raucb")))
    wanted = DownloadSpec(
        suffix=".raucb", url=url, size_bytes=size if isinstance(size, int) else None
    )
    with pytest.raises(UpdateError, match=message):
        fetch(wanted, tmp_path)
    assert not list(tmp_path.iterdir())
    assert file


def test_redirects_are_followed_up_to_a_limit(
    server: FileServer, file: str, tmp_path: Path
) -> None:
    server.redirects["/moved"] = file
    assert fetch(DownloadSpec(suffix=".raucb", url=server.url("/moved")), tmp_path) == DATA
    server.redirects["/round"] = server.url("/round")
    with pytest.raises(HttpError, match="more than 3 redirects"):
        fetch(
            DownloadSpec(suffix=".raucb", url=server.url("/round")), tmp_path, Waits(stop_after=1)
        )
    server.redirects["/file"] = "file:///etc/passwd"
    with pytest.raises(HttpError, match="not a URL"):
        fetch(DownloadSpec(suffix=".raucb", url=server.url("/file")), tmp_path, Waits(stop_after=1))


@pytest.mark.parametrize("to", ["http://[::1", "http://127.0.0.1:99999/x", "http://a\x01b/"])
def test_a_redirect_to_an_invalid_address_is_reported(
    server: FileServer, tmp_path: Path, to: str
) -> None:
    server.redirects["/moved"] = to
    url = server.url("/moved")
    with pytest.raises(HttpError) as caught:
        fetch(DownloadSpec(suffix=".raucb", url=url), tmp_path, Waits(stop_after=1))
    assert str(caught.value).startswith(f"{url}: redirects to {to!r}: not a URL; allowed: ")


@pytest.mark.parametrize("url", ["http://[::1", "https://127.0.0.1:99999/feed", "file:///x"])
def test_an_invalid_address_is_not_requested(url: str) -> None:
    with pytest.raises(HttpError, match="not a URL; allowed: ") as caught:
        download.fetch_bytes(url, 1000, https_get.direct_get(None))
    assert str(caught.value).startswith(repr(url))


def test_a_colon_at_the_end_of_an_address_is_not_a_port() -> None:
    url = f"http://[{own_ipv6_address()}]"
    with pytest.raises(HttpError, match=re.escape(url)):
        download.fetch_bytes(f"{url}/", 1000, https_get.direct_get(None))


def test_a_partial_file_longer_than_the_whole_is_downloaded_again(
    server: FileServer, file: str, tmp_path: Path
) -> None:
    server.break_after_bytes = [300_000]
    with pytest.raises(HttpError):
        fetch(DownloadSpec(suffix=".raucb", url=file), tmp_path, Waits(stop_after=1))
    (part,) = tmp_path.glob("*.part")
    part.write_bytes(bytes(len(DATA) + 1))
    assert fetch(DownloadSpec(suffix=".raucb", url=file), tmp_path) == DATA


def test_a_small_file_has_a_bound(server: FileServer) -> None:
    server.files["/feed"] = bytes(1000)
    assert len(download.fetch_bytes(server.url("/feed"), 1000, https_get.direct_get(None))) == 1000
    with pytest.raises(HttpError, match="more than 999 bytes"):
        download.fetch_bytes(server.url("/feed"), 999, https_get.direct_get(None))
