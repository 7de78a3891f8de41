"""Client of vigie-fetch.service: a GET for root, sent by a process that is not root.

On an image root's update unit has no network. One connection to the socket is one GET: a request, a reply, and the
body in chunks; an empty one ends it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec

from agent.base.http_client import MAX_CHUNK_BYTES, HttpResponse
from agent.base.tls_authorities import read_authorities
from agent.update.https_get import HttpError, HttpGet, direct_get
from drivers.local_wire import MessageDecoder, connect

SOCKET = Path("run/vigie-fetch.socket")
"""Socket of vigie-fetch.socket, below the root of the system."""
MAX_MESSAGE_BYTES = 1 << 21
REPLY_TIMEOUT_S = 180.0
"""For each message: the service's own time-outs of each redirect, and its start on a busy board."""


class FetchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One GET. `ca_pem` are the authorities to trust, by default the system's."""

    url: str
    headers: dict[str, str]
    ca_pem: str | None = None


class FetchReply(msgspec.Struct, frozen=True, kw_only=True, tag="reply"):
    """Status and headers of the response, or `error` if there is none."""

    status: int = 0
    reason: str = ""
    headers: dict[str, str] = {}
    error: str | None = None


class FetchChunk(msgspec.Struct, frozen=True, kw_only=True, tag="chunk"):
    """A part of the body. One without data is its end."""

    data: Annotated[bytes, msgspec.Meta(max_length=MAX_CHUNK_BYTES)]


FetchMessage: TypeAlias = FetchReply | FetchChunk
_DECODER: MessageDecoder[FetchMessage] = MessageDecoder(FetchMessage)


def make_http_get(root: Path, ca_file: Path | None) -> HttpGet:
    """Return a GET by the service if the system has one, else by this process. Raises: UserError."""
    ca_pem = read_authorities(ca_file, str(ca_file))
    path = root / SOCKET
    return partial(_get, path, ca_pem) if path.exists() else direct_get(ca_pem, str(ca_file))


@contextmanager
def _get(
    path: Path, ca_pem: str | None, url: str, headers: Mapping[str, str]
) -> Iterator[HttpResponse]:
    request = FetchRequest(url=url, headers=dict(headers), ca_pem=ca_pem)
    try:
        connection = connect(path, REPLY_TIMEOUT_S, MAX_MESSAGE_BYTES)
    except OSError as error:
        raise _failed(url, error) from error
    with connection:
        messages = connection.replies(request, _DECODER, REPLY_TIMEOUT_S)
        try:
            reply = next(messages, None)
        except OSError as error:
            raise _failed(url, error) from error
        if not isinstance(reply, FetchReply):
            raise _failed(url, "it has ended without a reply")
        if reply.error is not None:
            raise HttpError(reply.error)
        yield HttpResponse(
            status=reply.status,
            reason=reply.reason,
            headers=reply.headers,
            body=_iter_chunks(messages),
        )


def _iter_chunks(messages: Iterator[FetchMessage]) -> Iterator[bytes]:
    try:
        for message in messages:
            if not isinstance(message, FetchChunk):
                break
            if not message.data:
                return
            yield message.data
    except OSError as error:
        raise HttpError(f"the connection broke: {error}") from error
    raise HttpError("the connection broke; see the journal of vigie-fetch")


def _failed(url: str, reason: object) -> HttpError:
    return HttpError(f"{url}: vigie-fetch.service: {reason}")
