"""The names of the classes that a model's file has in its TensorFlow Lite metadata: texts in a ZIP archive behind the model.

Pure. For the child that loads the model: its owner, or a server, may have written anything.
"""

import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator

from agent.detection.model_card import ModelRefused

MAX_FILES = 64
MAX_BYTES = 1_048_576
"""Of all files together, unpacked."""
MAX_NAMES = 4096
MAX_NAME_CHARS = 200

_DIRECTORY_END = b"PK\x05\x06"
_MAX_DIRECTORY_END_BYTES = 65_557
"""A reader of ZIP finds the archive by this record, which a comment of 64 KiB may follow."""
_READ_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    RuntimeError,
    NotImplementedError,
    ValueError,
    EOFError,
)
"""A damaged directory or file, one with a password, one of an unknown compression."""


def read_class_names(model: str, content: bytes) -> tuple[str, ...]:
    """Return the lines of each file of the metadata, whatever its name; none without metadata.

    Raises: ModelRefused if one of them cannot be read as lines of text: it could name a class that is not looked at.
    """
    if _DIRECTORY_END not in content[-_MAX_DIRECTORY_END_BYTES:]:
        return ()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _read_names(archive)
    except _READ_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelRefused(f"model {model!r}: its metadata: {reason}") from error


def _read_names(archive: zipfile.ZipFile) -> tuple[str, ...]:
    """Raises: one of _READ_ERRORS."""
    items = archive.infolist()
    if len(items) > MAX_FILES:
        raise ValueError(f"{len(items)} files; allowed: {MAX_FILES}")
    left_bytes = MAX_BYTES
    names: list[str] = []
    for item in items:
        with archive.open(item) as file:
            data = file.read(left_bytes + 1)
        left_bytes -= len(data)
        if left_bytes < 0:
            raise ValueError(f"more than {MAX_BYTES} bytes; allowed: {MAX_BYTES}")
        names += _lines(data.decode("utf-8-sig"))
    if len(names) > MAX_NAMES:
        raise ValueError(f"{len(names)} class names; allowed: {MAX_NAMES}")
    return tuple(names)


def _lines(text: str) -> Iterator[str]:
    """Raises: ValueError."""
    for line in text.splitlines():
        name = line.strip()
        if len(name) > MAX_NAME_CHARS:
            raise ValueError(f"a line of {len(name)} characters; allowed: {MAX_NAME_CHARS}")
        if not name.replace("\t", " ").isprintable():
            raise ValueError("a line that cannot be printed; allowed: names of classes")
        if name:
            yield name
