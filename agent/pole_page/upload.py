"""The file that comes with a request: read from its descriptor, of the size that was announced."""

import os
from collections.abc import Iterator

import msgspec

from agent.base.errors import UserError
from agent.base.message import Message

_CHUNK_BYTES = 1 << 20


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A file of `size_bytes`, to be read once: its descriptor may be that of a pipe."""

    fd: int
    size_bytes: int

    def parts(self) -> Iterator[bytes]:
        """Yield the file in parts. Raises UserError if it has another size, such as after a cut."""
        received_bytes = 0
        while chunk := os.read(self.fd, _CHUNK_BYTES):
            received_bytes += len(chunk)
            if received_bytes > self.size_bytes:
                break
            yield chunk
        if received_bytes != self.size_bytes:
            raise UserError(
                Message(
                    "the file: {received} bytes have come; allowed: {size}",
                    received=received_bytes,
                    size=self.size_bytes,
                )
            )

    def read(self) -> bytes:
        """Return the whole file. Raises UserError as `parts`."""
        return b"".join(self.parts())
