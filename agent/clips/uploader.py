"""Uploader: sends a file to a target, from where an earlier try has ended. Run in the child.

A presigned PUT begins again. S3 keeps the parts that it has answered with their ETag. A tus server is asked
how many bytes it has. A request cannot be stopped while it waits; the agent ends the child instead.
"""

import base64
import re
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urljoin

import msgspec

from agent.base.http_client import (
    HttpClient,
    HttpFailed,
    HttpResponse,
    parse_retry_after,
    read_body,
)
from agent.base.tls_authorities import read_authorities, trust_authorities
from agent.clips.clip_task import MadeFile, UploadProgress
from agent.clips.upload_target import (
    PresignedPut,
    S3Multipart,
    SecretUrl,
    Tus,
    UploadTarget,
    host_of,
    is_https,
    is_same_origin,
)

PACE_S = 120.0
"""S3 sends blanks while it puts parts together; a child that is silent for longer is killed."""
MAX_ANSWER_BYTES = 65_536
MAX_RETRY_AFTER_S = 3600.0
_RETRY_STATUSES = (408, 423, 425, 429)
_MIN_SERVER_ERROR = 500
_S3_ERROR_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")

TUS_PATCH_BYTES = 8 * 1024 * 1024
"""Of one PATCH: a server or a proxy may keep a request in memory until it is complete."""
_TUS = {"Tus-Resumable": "1.0.0"}
_ETAG = re.compile(r'"?[A-Za-z0-9+/=_.:-]{1,200}"?', re.ASCII)
_NOT_FOUND, _CONFLICT, _GONE = 404, 409, 410
_MAX_OFFSET_DIGITS = 18


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


class Uploader:
    """Uploads one file. `on_progress` is called with each step that need not be repeated."""

    def __init__(
        self,
        client: HttpsClient,
        path: Path,
        made: MadeFile,
        progress: UploadProgress,
        on_progress: Callable[[UploadProgress], None],
    ) -> None:
        self._client = client
        self._path = path
        self._made = made
        self.progress = progress
        self._on_progress = on_progress

    def upload(self, target: UploadTarget) -> None:
        """Send what the target does not have yet. Raises: LinkError, Refused, OSError."""
        if isinstance(target, PresignedPut):
            self._client.request("PUT", target.url, {}, self._section(0, self._made.size_bytes))
        elif isinstance(target, S3Multipart):
            self._upload_parts(target)
        else:
            self._upload_to_tus(target)

    def _section(self, offset: int, size_bytes: int) -> FileSection:
        return FileSection(path=self._path, offset=offset, size_bytes=size_bytes)

    def _advance(self, **changes: object) -> None:
        self.progress = msgspec.structs.replace(self.progress, **changes)
        self._on_progress(self.progress)

    def _upload_parts(self, target: S3Multipart) -> None:
        total_bytes, part_bytes = self._made.size_bytes, target.part_bytes
        part_count = max(1, -(-total_bytes // part_bytes))
        if part_count > len(target.part_urls):
            raise Refused(
                f"the clip has {total_bytes} bytes; allowed: "
                f"{len(target.part_urls)} parts of {part_bytes} bytes",
            )
        for index in range(len(self.progress.etags), part_count):
            offset = index * part_bytes
            answer = self._client.request(
                "PUT",
                target.part_urls[index],
                {},
                self._section(offset, min(part_bytes, total_bytes - offset)),
            )
            etag = answer.headers.get("etag") or ""
            if not _ETAG.fullmatch(etag):
                raise Refused(f"{host_of(target.complete_url)} sends no ETag of a part")
            self._advance(etags=(*self.progress.etags, etag))
        self._complete_parts(target)

    def _complete_parts(self, target: S3Multipart) -> None:
        was_tried = self.progress.is_completing
        if not was_tried:
            self._advance(is_completing=True)
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            for number, etag in enumerate(self.progress.etags, start=1)
        )
        document = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        try:
            # Without a Content-Type: a signature of version 2 covers it.
            answer = self._client.request("POST", target.complete_url, {}, document)
        except Refused as error:
            if was_tried and error.status == _NOT_FOUND:
                raise Refused(
                    f"{error}: all parts were sent, and it may have been completed before; compare the SHA-256 "
                    f"{self._made.sha256} there",
                    error.status,
                ) from error
            raise
        # S3 sends its status before it has put the parts together, and an error in the body.
        if b"CompleteMultipartUploadResult" not in answer.body or b"<Error>" in answer.body:
            raise LinkError(f"{host_of(target.complete_url)} could not put the parts together")

    def _upload_to_tus(self, target: Tus) -> None:
        location = self.progress.location
        if location is None:
            location = self._create_tus_upload(target)
            self._advance(location=location)
        offset = self._tus_offset(location)
        total_bytes = self._made.size_bytes
        while offset < total_bytes:
            size_bytes = min(TUS_PATCH_BYTES, total_bytes - offset)
            headers = {
                **_TUS,
                "Content-Type": "application/offset+octet-stream",
                "Upload-Offset": str(offset),
            }
            try:
                answer = self._client.request(
                    "PATCH", location, headers, self._section(offset, size_bytes)
                )
            except Refused as error:
                if error.status == _CONFLICT:  # another try's last bytes have arrived meanwhile
                    raise LinkError(str(error)) from error
                raise
            offset = read_offset(answer, location, offset + 1, offset + size_bytes)

    def _create_tus_upload(self, target: Tus) -> SecretUrl:
        media_type = base64.b64encode(self._made.media_type.encode()).decode()
        answer = self._client.request(
            "POST",
            target.url,
            {
                **_TUS,
                "Upload-Length": str(self._made.size_bytes),
                "Upload-Metadata": f"filetype {media_type}",
            },
            b"",
        )
        try:
            location = urljoin(target.url, answer.headers["location"])
        except (KeyError, ValueError):
            location = ""
        if not is_https(location) or not is_same_origin(location, target.url):
            raise Refused(
                f"{host_of(target.url)} creates the upload at no https address of its own"
            )
        return location

    def _tus_offset(self, location: SecretUrl) -> int:
        """Return how many bytes the server has. An upload that it has lost is created again."""
        try:
            answer = self._client.request("HEAD", location, _TUS)
        except Refused as error:
            if error.status in (_NOT_FOUND, _GONE):
                self._advance(location=None)
                raise LinkError(f"{error}: the server has lost the upload") from error
            raise
        return read_offset(answer, location, 0, self._made.size_bytes)


def read_offset(answer: Answer, location: SecretUrl, lowest: int, highest: int) -> int:
    """Return the offset that a tus server says. Raises: Refused if it cannot be that."""
    text = answer.headers.get("upload-offset") or ""
    is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_OFFSET_DIGITS
    if not is_number or not lowest <= int(text) <= highest:
        raise Refused(
            f"{host_of(location)} says that it has {text[:20]!r} bytes; allowed: {lowest} to {highest}"
        )
    return int(text)
