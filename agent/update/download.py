"""A download that resumes: over a broken link, a reboot and a power cut.

    update/<name>.part         what has come
    update/<name>.part.json    of which file: its address, its length, the server's tag for it
    update/<name>              whole
    update/<name>.wrong        it was whole, and another file than was wanted

What has come is thrown away where the server now has another file. A whole file is not yet a good one: its
hash is compared where it is known, and its signature and payload are checked before it is installed.
"""

import hashlib
import logging
import os
import re
import shutil
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.base import atomic_file
from agent.base.errors import UserError
from agent.update import https_get
from agent.update.errors import UpdateError
from agent.update.feed import BUNDLE_MOST_BYTES
from agent.update.https_get import HttpResponse, WebError

log = logging.getLogger(__name__)

RESERVE_BYTES = 64_000_000
"""So much stays free on the disk."""
SYNC_EVERY_BYTES = 16_000_000
ASK_AGAIN_S = 86_400.0
TRIES = 6
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)", re.ASCII)
_OK, _PARTIAL, _NOT_SATISFIABLE = 200, 206, 416

Progress = Callable[[int, int], None]
Wait = Callable[[float], bool]
"""Waits for so many seconds; True where it is to stop instead."""


class DownloadSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A file. `sha256` and `size_bytes` where they are known before."""

    url: str
    sha256: str | None = None
    size_bytes: int | None = None

    @property
    def name(self) -> str:
        """What it is called here: not by the server's words."""
        return (self.sha256 or hashlib.sha256(self.url.encode()).hexdigest())[:32] + ".raucb"


class _Begun(msgspec.Struct, frozen=True, kw_only=True):
    """What a part is a part of. `tag` is a strong ETag, or Last-Modified; empty: it has none."""

    url: str
    tag: str
    total: int


_BEGUN = msgspec.json.Decoder(_Begun)


class DownloadGone(UpdateError):
    """It is not to be had, or is another file, and another try does not help; why, in one line."""


class Download:
    """One file on its way into a folder."""

    def __init__(
        self,
        wanted: DownloadSpec,
        folder: Path,
        trust: ssl.SSLContext,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._wanted = wanted
        self._trust = trust
        self._now_s = now_s
        self._wrong = folder / f"{wanted.name}.wrong"
        self.path = folder / wanted.name
        self._part = folder / f"{wanted.name}.part"
        self._note = folder / f"{wanted.name}.part.json"

    def fetch(self, progress: Progress, wait: Wait) -> Path:
        """Get it, again and again where the link breaks. Raises Gone, WebError or OSError; what has come
        stays for the next time.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.path.exists() and self._is_whole(self.path):
            return self.path
        self._refuse_wrong()
        pause_s = 1.0
        for left in reversed(range(TRIES)):
            before = self._have_bytes()
            try:
                self._get(progress)
                break
            except WebError as error:
                log.warning("%s", error)
                if not left or wait(pause_s):
                    raise
            # Whoever gets on is not held back.
            pause_s = 1.0 if self._have_bytes() > before else min(60.0, pause_s * 4)
        self._finish()
        return self.path

    def forget(self) -> None:
        """Throw away what has come."""
        for path in (self._part, self._note, self.path):
            path.unlink(missing_ok=True)

    def _refuse_wrong(self) -> None:
        """A server that has another file than the feed says is not asked for all of it each hour."""
        try:
            since_s = self._now_s() - self._wrong.stat().st_mtime
        except FileNotFoundError:
            return
        if 0 <= since_s < ASK_AGAIN_S:
            raise DownloadGone(
                f"{self._wanted.url}: was another file than the feed's, less than a day ago"
            )
        self._wrong.unlink(missing_ok=True)

    def _have_bytes(self) -> int:
        try:
            return self._part.stat().st_size
        except FileNotFoundError:
            return 0

    def _begun(self) -> _Begun | None:
        try:
            begun = _BEGUN.decode(self._note.read_bytes())
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None
        can_resume = begun.url == self._wanted.url and (begun.tag or self._wanted.sha256)
        return begun if can_resume else None

    def _get(self, progress: Progress) -> None:
        have, begun = self._have_bytes(), self._begun()
        if begun is None or have > begun.total:
            have = 0
        elif have == begun.total:
            return
        headers = {"Accept-Encoding": "identity", "User-Agent": "vigie"}
        if begun and have:
            headers["Range"] = f"bytes={have}-"
            if begun.tag:
                headers["If-Range"] = begun.tag
        with https_get.get(self._wanted.url, headers, self._trust) as answer:
            at, total = self._agreed(answer, have, begun)
            if at == 0:
                self._begin(answer, total)
            self._write(answer, at, total, progress)

    def _agreed(self, answer: HttpResponse, have: int, begun: _Begun | None) -> tuple[int, int]:
        """Where what comes begins, and how long the whole is. Raises Gone or WebError."""
        if answer.status == _NOT_SATISFIABLE:
            self.forget()
            raise WebError(f"{self._wanted.url}: has become shorter; from the beginning again")
        if answer.status >= 500 or answer.status in (408, 429):  # noqa: PLR2004
            raise WebError(f"{self._wanted.url}: {answer.status} {answer.reason}")
        if answer.status == _PARTIAL and begun:
            found = _RANGE.fullmatch(answer.headers.get("Content-Range") or "")
            if found and (int(found[1]), int(found[2])) == (have, begun.total):
                return have, begun.total
            self.forget()
            raise WebError(f"{self._wanted.url}: another part than was asked for")
        if answer.status != _OK:
            raise DownloadGone(f"{self._wanted.url}: {answer.status} {answer.reason}")
        length = answer.headers.get("Content-Length") or ""
        if not length.isdecimal():
            raise DownloadGone(f"{self._wanted.url}: the server does not say how long it is")
        self._check_size(int(length))
        return 0, int(length)

    def _check_size(self, total: int) -> None:
        wanted = self._wanted.size_bytes
        if wanted is not None and total != wanted:
            raise DownloadGone(
                f"{self._wanted.url}: {total} bytes, and not the {wanted} of the feed"
            )
        if total > BUNDLE_MOST_BYTES:
            raise DownloadGone(f"{self._wanted.url}: {total} bytes; allowed: {BUNDLE_MOST_BYTES}")
        self._part.unlink(missing_ok=True)
        free = shutil.disk_usage(self.path.parent).free
        if total + RESERVE_BYTES > free:
            raise DownloadGone(
                f"{self.path.parent}: {free / 1e6:.0f} MB free; "
                f"{(total + RESERVE_BYTES) / 1e6:.0f} MB are needed"
            )

    def _begin(self, answer: HttpResponse, total: int) -> None:
        tag = answer.headers.get("ETag") or ""
        if not tag.startswith('"'):
            tag = answer.headers.get("Last-Modified") or ""
        begun = _Begun(url=self._wanted.url, tag=tag, total=total)
        atomic_file.replace_atomically(self._note, msgspec.json.encode(begun), 0o644)

    def _write(self, answer: HttpResponse, at: int, total: int, progress: Progress) -> None:
        unsynced = 0
        with self._part.open("ab" if at else "wb") as file:
            try:
                for piece in answer.pieces():
                    at += len(piece)
                    if at > total:
                        raise WebError(f"{self._wanted.url}: more than the {total} bytes it has")
                    file.write(piece)
                    unsynced += len(piece)
                    if unsynced >= SYNC_EVERY_BYTES:
                        file.flush()
                        os.fsync(file.fileno())
                        unsynced = 0
                    progress(at, total)
            finally:
                file.flush()
                os.fsync(file.fileno())

    def _finish(self) -> None:
        if not self._is_whole(self._part):
            self.forget()
            self._wrong.touch()
            raise DownloadGone(
                f"{self._wanted.url}: not the file that is wanted: its SHA-256 is another"
            )
        self._part.replace(self.path)
        atomic_file.fsync_dir(self.path.parent)
        self._note.unlink(missing_ok=True)

    def _is_whole(self, path: Path) -> bool:
        wanted = self._wanted.sha256
        if wanted is None:
            return path == self._part
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == wanted


def fetch_small(url: str, most_bytes: int, trust: ssl.SSLContext) -> bytes:
    """A small file, whole. Raises WebError."""
    with https_get.get(url, {"User-Agent": "vigie"}, trust) as answer:
        if answer.status != _OK:
            raise WebError(f"{url}: {answer.status} {answer.reason}")
        found = b""
        for piece in answer.pieces():
            found += piece
            if len(found) > most_bytes:
                raise WebError(f"{url}: more than {most_bytes} bytes")
        return found


def check_sha256(word: str) -> str:
    """What a person gave as a hash. Raises BadInput."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", word):
        raise UserError(f"--sha256 {word!r}: allowed: 64 hexadecimal digits")
    return word.lower()


def compare(path: Path, sha256: str) -> None:
    """Raise Gone where a file is another, OSError where it cannot be read."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise DownloadGone(f"{path}: its SHA-256 is {found}")
