"""Decompression of images as streams.

Zstandard by the program `zstd`, because Python has it from 3.14 only; xz and gzip by Python.
"""

import gzip
import lzma
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

IMAGE_SUFFIXES = (".img", ".raw")
COMPRESSED_SUFFIXES = (".zst", ".xz", ".gz")


def has_image_suffix(name: str) -> bool:
    """Return whether the name ends like an image's, compressed or not."""
    for suffix in COMPRESSED_SUFFIXES:
        name = name.removesuffix(suffix)
    return name.endswith(IMAGE_SUFFIXES)


class CorruptImage(Exception):
    """The image cannot be decompressed to its end; the message says why."""


class ImageStream(Protocol):
    """A decompressed image."""

    def read(self, size: int, /) -> bytes:
        """Read `size` bytes, fewer only at the end. Raises: CorruptImage, or OSError."""
        ...


@contextmanager
def open_decompressed(path: Path) -> Iterator[ImageStream]:
    """Open the decompressed image. Raises: CorruptImage or OSError, also from the with block."""
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
    path.stat()  # a missing file raises OSError here as well
    command = ["zstd", "--decompress", "--stdout", "--quiet", "--", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: S603 - fixed words
        try:
            yield process
        finally:
            process.kill()


class _ZstdStream:
    """Output of zstd, whose exit code is checked at the end."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def read(self, size: int, /) -> bytes:
        stdout, stderr = self._process.stdout, self._process.stderr
        if stdout is None or stderr is None:
            raise CorruptImage("zstd without pipes")
        data = stdout.read(size)
        if len(data) < size and self._process.wait():
            message = " ".join(stderr.read().decode(errors="replace").split())
            raise CorruptImage(message or "zstd failed")
        return data
