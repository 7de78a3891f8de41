"""Client of vigie-fetch.service: a GET for root, sent by a process that is not root.

On an image root's update unit has no network. One connection to the socket is one GET: a request line, a reply line,
and the body in chunks, each after its length; a length of 0 ends it.
"""

import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import msgspec

from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.base.message import Message
from agent.update.https_get import (
    MAX_CHUNK_BYTES,
    HttpError,
    HttpGet,
    HttpResponse,
    direct_get,
)

SOCKET = Path("run/vigie-fetch.socket")
"""Socket of vigie-fetch.socket, below the root of the system."""
MAX_LINE_BYTES = 1 << 21
MAX_CA_BYTES = 1 << 20
REPLY_TIMEOUT_S = 180.0
"""Without any byte: the service's own time-outs of each redirect, and its start on a busy board."""
CHUNK_LENGTH = struct.Struct(">I")


class FetchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One GET. `ca_pem` are the authorities to trust, by default the system's."""

    url: str
    headers: dict[str, str]
    ca_pem: str | None = None


class FetchReply(msgspec.Struct, frozen=True, kw_only=True):
    """Status and headers of the response, or `error` if there is none."""

    status: int = 0
    reason: str = ""
    headers: dict[str, str] = {}
    error: str | None = None


_REPLY_DECODER = JsonDecoder(FetchReply)


def make_http_get(root: Path, ca_file: Path | None) -> HttpGet:
    """Return a GET by the service if the system has one, else by this process. Raises: UserError."""
    path = root / SOCKET
    if not path.exists():
        return direct_get(ca_file)
    if ca_file is None:
        return partial(_get, path, None)
    try:
        ca_pem = read_regular_file(ca_file, MAX_CA_BYTES).decode("ascii", "ignore")
    except OSError as error:
        raise UserError(
            Message("{label}: {problem}", label=str(ca_file), problem=error.strerror or str(error))
        ) from error
    return partial(_get, path, ca_pem)


@contextmanager
def _get(
    path: Path, ca_pem: str | None, url: str, headers: Mapping[str, str]
) -> Iterator[HttpResponse]:
    request = FetchRequest(url=url, headers=dict(headers), ca_pem=ca_pem)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(REPLY_TIMEOUT_S)
        with connection.makefile("rb") as reader:
            try:
                connection.connect(str(path))
                connection.sendall(msgspec.json.encode(request) + b"\n")
                reply = _REPLY_DECODER.decode(reader.readline(MAX_LINE_BYTES))
            except (OSError, MalformedJson) as error:
                raise HttpError(f"{url}: vigie-fetch.service: {error}") from error
            if reply.error is not None:
                raise HttpError(reply.error)
            yield HttpResponse(reply.status, reply.reason, reply.headers, _iter_chunks(reader))


def _iter_chunks(reader: BinaryIO) -> Iterator[bytes]:
    while True:
        try:
            head = reader.read(CHUNK_LENGTH.size)
            size = CHUNK_LENGTH.unpack(head)[0] if len(head) == CHUNK_LENGTH.size else -1
            chunk = reader.read(size) if 0 < size <= MAX_CHUNK_BYTES else b""
        except OSError as error:
            raise HttpError(f"the connection broke: {error}") from error
        if size == 0:
            return
        if len(chunk) != size:
            raise HttpError("the connection broke; see the journal of vigie-fetch")
        yield chunk
