"""The file that comes with a request: read from its descriptor up to a bound."""

import os
from collections.abc import Iterator

from agent.base.errors import UserError
from agent.base.message import Message

_CHUNK_BYTES = 1 << 20


def iter_upload(fd: int | None, max_bytes: int) -> Iterator[bytes]:
    """Yield the parts of an upload. Raises UserError if there is none, or if it is larger than `max_bytes`."""
    if fd is None:
        raise UserError(Message("allowed: with a file"))
    received_bytes = 0
    while chunk := os.read(fd, min(_CHUNK_BYTES, max_bytes + 1 - received_bytes)):
        received_bytes += len(chunk)
        if received_bytes > max_bytes:
            raise UserError(Message("the file: allowed: {max_bytes} bytes", max_bytes=max_bytes))
        yield chunk


def read_upload(fd: int | None, max_bytes: int) -> bytes:
    """Return a whole upload. Raises UserError as `iter_upload`."""
    return b"".join(iter_upload(fd, max_bytes))
