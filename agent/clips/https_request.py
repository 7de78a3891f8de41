"""One HTTPS request with a part of a file as its body, to a server that is not trusted. Run in the child.

http.client of the standard library, as the downloads of updates use (agent/update/https_get.py): one library
for both. It has no deadline for a whole answer and cannot be stopped; the agent ends the child instead. No
redirect is followed, and no proxy of the environment is used.
"""

import contextlib
import http.client
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from agent.base.errors import UserError
from agent.base.file_read import MAX_PEM_BYTES, read_regular_file
from agent.base.message import Message
from agent.clips.upload_target import SecretUrl, host_of

TIMEOUT_S = 30.0
"""Without any byte: a slow link is no error, a dead one is."""
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
    """Return the TLS context that trusts the authorities of `[link] ca`, by default the system's.

    Raises: UserError that names the key, the file and what is wrong with it.
    """
    if ca is None:
        return ssl.create_default_context()
    try:
        pem = read_regular_file(Path(ca), MAX_PEM_BYTES).decode("ascii", "ignore")
        return ssl.create_default_context(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        raise UserError(
            Message("{label}: holds no certificate in PEM form", label=f"link.ca = {ca!r}")
        ) from error
    except OSError as error:
        raise UserError(
            Message(
                "{label}: {problem}",
                label=f"link.ca = {ca!r}",
                problem=error.strerror or str(error),
            )
        ) from error


class HttpsClient:
    """Sends requests. `before_send(size_bytes, offset)` blocks until the link has room for the next bytes."""

    def __init__(
        self,
        tls_context: ssl.SSLContext,
        chunk_bytes: int,
        before_send: Callable[[int, int], None],
    ) -> None:
        self._tls_context = tls_context
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
        parts = urlsplit(url)
        host = host_of(url)
        connection = http.client.HTTPSConnection(
            host, parts.port or 443, timeout=TIMEOUT_S, context=self._tls_context
        )
        with contextlib.closing(connection):
            try:
                connection.putrequest(
                    method,
                    f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}",
                    skip_accept_encoding=True,
                )
                for name, value in headers.items():
                    connection.putheader(name, value)
                if body is not None:
                    connection.putheader("Content-Length", str(_length(body)))
                connection.endheaders()
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise LinkError(f"{host}: {_error_text(error)}") from error
            send_error = None if body is None else self._send_body(connection, body)
            answer = receive_answer(host, method, connection.getresponse)
        if send_error is not None:
            raise LinkError(f"{host}: {_error_text(send_error)}") from send_error
        return answer

    def _send_body(
        self, connection: http.client.HTTPSConnection, body: FileSection | bytes
    ) -> OSError | None:
        """Send the body. Return the error if the server closes: it may have answered before."""
        pieces = [(body, 0)] if isinstance(body, bytes) else _read_pieces(body, self._chunk_bytes)
        for data, offset in pieces:
            if not isinstance(body, bytes):
                self._before_send(len(data), offset)
            try:
                connection.send(data)
            except OSError as error:
                return error
        return None


def _length(body: FileSection | bytes) -> int:
    return len(body) if isinstance(body, bytes) else body.size_bytes


def _read_pieces(body: FileSection, chunk_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Yield pieces with their offsets in the file. Raises: OSError if the file is shorter."""
    with body.path.open("rb") as file:
        file.seek(body.offset)
        end = body.offset + body.size_bytes
        while (offset := file.tell()) < end:
            data = file.read(min(chunk_bytes, end - offset))
            if not data:
                raise OSError(f"{body.path.name}: shorter than it was")
            yield data, offset


def receive_answer(
    host: str, method: str, get_response: Callable[[], http.client.HTTPResponse]
) -> Answer:
    """Return the answer of a server that has carried out a request. Raises: LinkError, Refused."""
    try:
        with get_response() as response:
            body = response.read(MAX_ANSWER_BYTES + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise LinkError(f"{host}: {_error_text(error)}") from error
    status = response.status
    code = _S3_ERROR_CODE.search(body)
    detail = f" ({code[1].decode()})" if code else ""
    message = f"{host} answers {method} with {status}{detail}"
    if status in _RETRY_STATUSES or status >= _MIN_SERVER_ERROR:
        raise LinkError(message, _retry_after_s(response.headers.get("Retry-After")))
    if not 200 <= status < 300:  # noqa: PLR2004 - RFC 9110: successful
        raise Refused(message, status)
    if len(body) > MAX_ANSWER_BYTES:
        raise LinkError(f"{host}: an answer of more than {MAX_ANSWER_BYTES} bytes")
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(headers=headers, body=body)


def _retry_after_s(text: str | None) -> float | None:
    """Return the seconds of a Retry-After header; a date, which needs a clock, is ignored."""
    if text is None or not text.isascii() or not text.isdigit():
        return None
    return MAX_RETRY_AFTER_S if len(text) > 6 else min(MAX_RETRY_AFTER_S, float(text))  # noqa: PLR2004 - digits


def _error_text(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200]
