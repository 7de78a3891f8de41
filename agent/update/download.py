"""Downloads that resume after a broken link, a reboot or a power cut.

    update/<name>.part         bytes received so far
    update/<name>.part.json    URL, length and validator of the file
    update/<name>              the complete file
    update/<name>.wrong        marker: the complete file had another hash than expected

A partial file is discarded if the server now has another version. A complete file is not yet trusted: its hash is
compared if it is known, and its signature and payload are checked before it is installed.
"""

import logging
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.base import atomic_file
from agent.base.errors import UserError
from agent.base.http_client import HttpResponse, read_body
from agent.base.progress import ProgressCallback
from agent.base.sha256 import file_sha256_hex, sha256_hex
from agent.base.state_file import StateFile
from agent.base.url import without_query
from agent.update.errors import DownloadRejected, UpdateError
from agent.update.feed import MAX_BUNDLE_BYTES
from agent.update.https_get import HttpError, HttpGet

log = logging.getLogger(__name__)

RESERVE_BYTES = 64_000_000
"""Bytes that stay free on the disk."""
SYNC_EVERY_BYTES = 16_000_000
REJECTED_RETRY_S = 86_400.0
MAX_ATTEMPTS = 6
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})", re.ASCII)
_CONTENT_LENGTH = re.compile(r"\d{1,18}", re.ASCII)
_OK, _PARTIAL, _NOT_SATISFIABLE = 200, 206, 416
WaitOrStop = Callable[[float], bool]
"""Waits for a number of seconds; returns True if the download is to stop."""


class DownloadSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The file to download. `suffix` is that of its kind; `sha256` and `size_bytes` are checked if given."""

    url: str
    suffix: str
    sha256: str | None = None
    size_bytes: int | None = None

    @property
    def shown_url(self) -> str:
        """The URL for messages and logs."""
        return without_query(self.url)

    @property
    def file_name(self) -> str:
        """The local name, which does not depend on the server."""
        return (self.sha256 or sha256_hex(self.url.encode()))[:32] + self.suffix


class _PartInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The file that a part belongs to. `validator` is a strong ETag, Last-Modified, or empty."""

    url: str
    validator: str
    total_bytes: int


class Download:
    """Download of one file into a folder."""

    def __init__(
        self,
        spec: DownloadSpec,
        folder: Path,
        http_get: HttpGet,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._spec = spec
        self._http_get = http_get
        self._now_s = now_s
        self._rejected_marker = folder / f"{spec.file_name}.wrong"
        self.path = folder / spec.file_name
        self._part_path = folder / f"{spec.file_name}.part"
        self._part_info_file = StateFile(folder / f"{spec.file_name}.part.json", _PartInfo)

    def fetch(self, on_progress: ProgressCallback, wait: WaitOrStop) -> Path:
        """Download the file, with retries if the connection breaks.

        Raises: DownloadRejected, HttpError or OSError; received bytes are kept for the next call.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.path.exists() and self._is_complete(self.path):
            return self.path
        self._check_not_rejected()
        delay_s = 1.0
        for attempts_left in reversed(range(MAX_ATTEMPTS)):
            bytes_before = self._part_bytes()
            try:
                self._transfer(on_progress)
                break
            except HttpError as error:
                log.warning("%s", error)
                if not attempts_left or wait(delay_s):
                    raise
            # A connection that makes progress is retried at once.
            delay_s = 1.0 if self._part_bytes() > bytes_before else min(60.0, delay_s * 4)
        self._complete()
        return self.path

    def discard(self) -> None:
        """Delete the received bytes."""
        for path in (self._part_path, self._part_info_file.path, self.path):
            path.unlink(missing_ok=True)

    def _check_not_rejected(self) -> None:
        """Refuse a file that had a wrong hash less than a day ago: it is not downloaded every hour."""
        try:
            age_s = self._now_s() - self._rejected_marker.stat().st_mtime
        except FileNotFoundError:
            return
        if 0 <= age_s < REJECTED_RETRY_S:
            raise DownloadRejected(
                f"{self._spec.shown_url}: had another SHA-256 than expected less than a day ago"
            )
        self._rejected_marker.unlink(missing_ok=True)

    def _part_bytes(self) -> int:
        try:
            return self._part_path.stat().st_size
        except FileNotFoundError:
            return 0

    def _read_part_info(self) -> _PartInfo | None:
        part_info = self._part_info_file.read()
        if part_info is None or part_info.url != self._spec.url:
            return None
        return part_info if part_info.validator or self._spec.sha256 else None

    def _transfer(self, on_progress: ProgressCallback) -> None:
        offset, part_info = self._part_bytes(), self._read_part_info()
        if part_info is None or offset > part_info.total_bytes:
            offset = 0
        elif offset == part_info.total_bytes:
            return
        headers = {}
        if part_info and offset:
            headers["Range"] = f"bytes={offset}-"
            if part_info.validator:
                headers["If-Range"] = part_info.validator
        with self._http_get(self._spec.url, headers) as response:
            begin, total = self._check_response(response, offset, part_info)
            if begin == 0:
                self._write_part_info(response, total)
            self._write_body(response, begin, total, on_progress)

    def _check_response(
        self, response: HttpResponse, offset: int, part_info: _PartInfo | None
    ) -> tuple[int, int]:
        """Return the offset of the body and the total size. Raises: DownloadRejected, HttpError."""
        if response.status == _NOT_SATISFIABLE:
            self.discard()
            raise HttpError(f"{self._spec.shown_url}: the file has become shorter; starting again")
        if response.status >= 500 or response.status in (408, 429):  # noqa: PLR2004
            raise HttpError(f"{self._spec.shown_url}: {response.status} {response.reason}")
        if response.status == _PARTIAL and part_info:
            content_range = _CONTENT_RANGE.fullmatch(response.headers.get("content-range") or "")
            if content_range and (int(content_range[1]), int(content_range[2])) == (
                offset,
                part_info.total_bytes,
            ):
                return offset, part_info.total_bytes
            self.discard()
            raise HttpError(f"{self._spec.shown_url}: sent another range than requested")
        if response.status != _OK:
            raise DownloadRejected(f"{self._spec.shown_url}: {response.status} {response.reason}")
        length = response.headers.get("content-length") or ""
        if not _CONTENT_LENGTH.fullmatch(length):
            raise DownloadRejected(f"{self._spec.shown_url}: no Content-Length")
        self._check_size(int(length))
        return 0, int(length)

    def _check_size(self, total_bytes: int) -> None:
        expected_bytes = self._spec.size_bytes
        if expected_bytes is not None and total_bytes != expected_bytes:
            raise DownloadRejected(
                f"{self._spec.shown_url}: {total_bytes} bytes; expected: {expected_bytes}"
            )
        if total_bytes > MAX_BUNDLE_BYTES:
            raise DownloadRejected(
                f"{self._spec.shown_url}: {total_bytes} bytes; allowed: {MAX_BUNDLE_BYTES}"
            )
        self._part_path.unlink(missing_ok=True)
        check_free_space(self.path.parent, total_bytes)

    def _write_part_info(self, response: HttpResponse, total_bytes: int) -> None:
        validator = response.headers.get("etag") or ""
        if not validator.startswith('"'):
            validator = response.headers.get("last-modified") or ""
        self._part_info_file.write(
            _PartInfo(url=self._spec.url, validator=validator, total_bytes=total_bytes)
        )

    def _write_body(
        self, response: HttpResponse, offset: int, total_bytes: int, on_progress: ProgressCallback
    ) -> None:
        unsynced_bytes = 0
        with self._part_path.open("ab" if offset else "wb") as file:
            try:
                for chunk in response.body:
                    offset += len(chunk)
                    if offset > total_bytes:
                        raise HttpError(
                            f"{self._spec.shown_url}: sent more than the {total_bytes} bytes announced"
                        )
                    file.write(chunk)
                    unsynced_bytes += len(chunk)
                    if unsynced_bytes >= SYNC_EVERY_BYTES:
                        file.flush()
                        atomic_file.sync(file.fileno())
                        unsynced_bytes = 0
                    on_progress(offset, total_bytes)
                    if offset == total_bytes:
                        # Before the body's end is read, for which a budget may have to be waited for.
                        return
            finally:
                file.flush()
                atomic_file.sync(file.fileno())

    def _complete(self) -> None:
        if not self._is_complete(self._part_path):
            self.discard()
            self._rejected_marker.touch()
            raise DownloadRejected(f"{self._spec.shown_url}: its SHA-256 is another than expected")
        self._part_path.replace(self.path)
        atomic_file.fsync_dir(self.path.parent)
        self._part_info_file.path.unlink(missing_ok=True)

    def _is_complete(self, path: Path) -> bool:
        expected_sha256 = self._spec.sha256
        if expected_sha256 is None:
            return path == self._part_path
        return file_sha256_hex(path) == expected_sha256


def fetch_bytes(url: str, max_bytes: int, http_get: HttpGet) -> bytes:
    """Download a small file. Raises: HttpError."""
    with http_get(url, {}) as response:
        if response.status != _OK:
            raise HttpError(f"{without_query(url)}: {response.status} {response.reason}")
        body = read_body(response, max_bytes)
    if len(body) > max_bytes:
        raise HttpError(f"{without_query(url)}: more than {max_bytes} bytes")
    return body


def parse_sha256(text: str) -> str:
    """Parse the argument of `--sha256`. Raises: UserError."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise UserError(f"--sha256 {text!r}: allowed: 64 hexadecimal digits")
    return text.lower()


def check_file_sha256(path: Path, sha256: str) -> None:
    """Compare a file's hash. Raises: DownloadRejected if it differs, OSError if it cannot be read."""
    actual = file_sha256_hex(path)
    if actual != sha256:
        raise DownloadRejected(f"{path}: its SHA-256 is {actual}")


def check_free_space(folder: Path, size_bytes: int) -> None:
    """Raise UpdateError if `folder` has no room for a file of `size_bytes` and the reserve."""
    free_bytes = shutil.disk_usage(folder).free
    if size_bytes + RESERVE_BYTES > free_bytes:
        raise UpdateError(
            f"{folder}: {free_bytes / 1e6:.0f} MB free; "
            f"{(size_bytes + RESERVE_BYTES) / 1e6:.0f} MB are needed"
        )
