"""One HTTPS request with a part of a file as its body, to a server that is not trusted. Run in the child.

It cannot be stopped while it waits; the agent ends the child instead.
"""

import re
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from agent.base.http_client import (
    HttpClient,
    HttpFailed,
    HttpResponse,
    parse_retry_after,
    read_body,
)
from agent.base.tls_authorities import read_authorities, trust_authorities
from agent.clips.upload_target import SecretUrl, host_of

PACE_S = 120.0
"""S3 sends blanks while it puts parts together; a child that is silent for longer is killed."""
MAX_ANSWER_BYTES = 65_536
MAX_RETRY_AFTER_S = 3600.0
_RETRY_STATUSES = (408, 423, 425, 429)
_MIN_SERVER_ERROR = 500
_S3_ERROR_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")


class LinkError(Exception):
    """The request failed on the way, or the server is busy; another try may help.

    `str(error)` is one line without the URL. `after_s` is what the server asks for, bounded.
    """

    def __init__(self, message: str, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


class Refused(Exception):
    """The server refuses the request, or answers what it must not. `str(error)` is one line without the URL.

    `status` is 0 if the answer was 2xx.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request that the server has carried out. The names of `headers` are in lower case."""

    headers: Mapping[str, str]
    body: bytes


class FileSection(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a file that is sent."""

    path: Path
    offset: int
    size_bytes: int


def load_authority(ca: str | None) -> ssl.SSLContext:
    """Return the TLS context that trusts the authorities of `[link] ca`, by default the system's. Raises: UserError."""
    label = f"link.ca = {ca!r}"
    return trust_authorities(read_authorities(ca, label), label)


class HttpsClient:
    """Sends requests. `before_send(size_bytes, offset)` blocks until the link has room for the next bytes."""

    def __init__(
        self,
        tls_context: ssl.SSLContext,
        chunk_bytes: int,
        before_send: Callable[[int, int], None],
    ) -> None:
        self._client = HttpClient(tls_context, PACE_S)
        self._chunk_bytes = chunk_bytes
        self._before_send = before_send

    def request(
        self,
        method: str,
        url: SecretUrl,
        headers: Mapping[str, str],
        body: FileSection | bytes | None = None,
    ) -> Answer:
        """Send one request. Raises: LinkError; Refused for an answer that is not 2xx; OSError of the file."""
        host = host_of(url)
        pieces: Iterable[bytes] = ()
        if isinstance(body, FileSection):
            headers = {**headers, "Content-Length": str(body.size_bytes)}
            pieces = self._read_pieces(body)
        elif body is not None:
            headers = {**headers, "Content-Length": str(len(body))}
            pieces = (body,)
        try:
            with self._client.request(method, url, headers, pieces) as response:
                return receive_answer(host, method, response)
        except HttpFailed as error:
            raise LinkError(f"{host}: {error}") from error

    def _read_pieces(self, section: FileSection) -> Iterator[bytes]:
        """Yield the pieces of a section, each when the link has room. Raises: OSError if the file is shorter."""
        with section.path.open("rb") as file:
            file.seek(section.offset)
            end = section.offset + section.size_bytes
            while (offset := file.tell()) < end:
                data = file.read(min(self._chunk_bytes, end - offset))
                if not data:
                    raise OSError(f"{section.path.name}: shorter than it was")
                self._before_send(len(data), offset)
                yield data


def receive_answer(host: str, method: str, response: HttpResponse) -> Answer:
    """Return the answer of a server that has carried out a request. Raises: HttpFailed, LinkError, Refused."""
    body = read_body(response, MAX_ANSWER_BYTES)
    status = response.status
    code = _S3_ERROR_CODE.search(body)
    detail = f" ({code[1].decode()})" if code else ""
    message = f"{host} answers {method} with {status}{detail}"
    if status in _RETRY_STATUSES or status >= _MIN_SERVER_ERROR:
        raise LinkError(
            message, parse_retry_after(response.headers.get("retry-after"), MAX_RETRY_AFTER_S)
        )
    if not 200 <= status < 300:  # noqa: PLR2004 - RFC 9110: successful
        raise Refused(message, status)
    if len(body) > MAX_ANSWER_BYTES:
        raise LinkError(f"{host}: an answer of more than {MAX_ANSWER_BYTES} bytes")
    return Answer(headers=response.headers, body=body)
