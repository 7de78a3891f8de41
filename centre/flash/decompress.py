"""What an image holds, unpacked as it is read.

Zstandard is unpacked by the program of that name, which whoever builds images has anyway; Python has it
from 3.14 on. The rest is Python's own.
"""

import gzip
import lzma
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from agent.base.errors import UserError

IMAGE_SUFFIXES = (".img", ".raw")
COMPRESSED_SUFFIXES = (".zst", ".xz", ".gz")


def has_image_suffix(name: str) -> bool:
    """Whether this may be an image, packed or not."""
    for suffix in COMPRESSED_SUFFIXES:
        name = name.removesuffix(suffix)
    return name.endswith(IMAGE_SUFFIXES)


class CorruptImage(Exception):
    """It cannot be unpacked to its end. `str(error)` says why."""


class ImageStream(Protocol):
    """What is read from."""

    def read(self, size: int, /) -> bytes:
        """So many bytes; fewer at the end alone. Raises Damaged, OSError."""
        ...


def check_tools(path: Path) -> None:
    """Raises UserError where what unpacks this is not installed."""
    if path.name.endswith(".zst") and shutil.which("zstd") is None:
        raise UserError("flash: the program zstd is missing; allowed: apt-get install zstd")


@contextmanager
def open_decompressed(path: Path) -> Iterator[ImageStream]:
    """A stream of it. Raises Damaged, OSError; so does the block that reads from it."""
    try:
        if path.name.endswith(".zst"):
            with _run_zstd(path) as process:
                yield _ZstdStream(process)
        elif path.name.endswith(".xz"):
            with lzma.open(path) as stream:
                yield stream
        elif path.name.endswith(".gz"):
            with gzip.open(path) as stream:
                yield stream
        else:
            with path.open("rb") as stream:
                yield stream
    except (lzma.LZMAError, zlib.error, gzip.BadGzipFile, EOFError) as error:
        raise CorruptImage(str(error)) from error


@contextmanager
def _run_zstd(path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    path.stat()  # so that a file that is not there is told as any other is
    command = ["zstd", "--decompress", "--stdout", "--quiet", "--", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: S603 - fixed words
        try:
            yield process
        finally:
            process.kill()


class _ZstdStream:
    """At its end the program has to say that all was well."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def read(self, size: int, /) -> bytes:
        stdout, stderr = self._process.stdout, self._process.stderr
        if stdout is None or stderr is None:
            raise CorruptImage("zstd has no output")
        data = stdout.read(size)
        if len(data) < size and self._process.wait():
            message = " ".join(stderr.read().decode(errors="replace").split())
            raise CorruptImage(message or "zstd failed")
        return data
