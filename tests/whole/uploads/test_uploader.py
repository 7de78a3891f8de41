"""agent.clips.uploader on a real tus server and a real S3-compatible one, over links that are cut, and on
servers that lie.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.clips.clip_task import MadeFile, UploadProgress
from agent.clips.upload_target import MIN_PART_BYTES, PresignedPut, Tus, UploadTarget
from agent.clips.uploader import HttpsClient, LinkError, Refused, Uploader, load_authority
from tests.loopback_server import TcpProxy
from tests.whole.uploads.scripted_server import ScriptedServer
from tests.whole.uploads.upload_servers import UploadServers

SIZE_BYTES = 2 * MIN_PART_BYTES + 1_234_567
MAX_TRIES = 60


class Upload:
    """A file, and its upload over as many tries as it takes."""

    def __init__(self, folder: Path, ca: Path | None, size_bytes: int = SIZE_BYTES) -> None:
        self.path = folder / "clip"
        self.content = hashlib.shake_128(b"street").digest(size_bytes)
        self.path.write_bytes(self.content)
        self.made = MadeFile(
            sha256=hashlib.sha256(self.content).hexdigest(),
            size_bytes=size_bytes,
            media_type="video/mp4",
            begin="",
            end="",
        )
        self.progress = UploadProgress()
        self.steps: list[UploadProgress] = []
        self.errors: list[str] = []
        self.on_step: Callable[[], None] = lambda: None
        self._ca = None if ca is None else str(ca)

    def try_once(self, target: UploadTarget) -> None:
        client = HttpsClient(load_authority(self._ca), 65_536, lambda _size, _offset: None)
        Uploader(client, self.path, self.made, self.progress, self._note).upload(target)

    def finish(self, target: UploadTarget) -> None:
        """Try until it is complete."""
        for _ in range(MAX_TRIES):
            try:
                self.try_once(target)
            except LinkError as error:
                self.errors.append(str(error))
            else:
                return
        raise AssertionError(self.errors)

    def _note(self, progress: UploadProgress) -> None:
        self.progress = progress
        self.steps.append(progress)
        self.on_step()


def as_target(upload: dict[str, Any]) -> UploadTarget:
    return msgspec.convert(upload, UploadTarget)


def test_a_file_is_put_whole(servers: UploadServers, tmp_path: Path) -> None:
    upload = Upload(tmp_path, servers.ca)
    upload.finish(PresignedPut(url=servers.presign("PUT", "whole.mp4")))
    assert servers.get_object("whole.mp4") == upload.content
    assert upload.errors == []


def test_a_put_that_is_cut_begins_again(servers: UploadServers, tmp_path: Path) -> None:
    upload = Upload(tmp_path, servers.ca)
    with TcpProxy(servers.s3_port, 1_000_000) as proxy:
        target = PresignedPut(url=servers.presign("PUT", "again.mp4", proxy.port))
        with pytest.raises(LinkError):
            upload.try_once(target)
        proxy.cut_after_bytes = None
        upload.finish(target)
    assert servers.get_object("again.mp4") == upload.content


def test_parts_that_s3_has_are_not_sent_again(servers: UploadServers, tmp_path: Path) -> None:
    upload = Upload(tmp_path, servers.ca)
    with TcpProxy(servers.s3_port) as proxy:
        target = as_target(servers.multipart_target("parts.mp4", 5, MIN_PART_BYTES, proxy.port))

        def cut_the_second_part() -> None:
            proxy.cut_after_bytes = 1_000_000

        upload.on_step = cut_the_second_part
        with pytest.raises(LinkError):
            upload.try_once(target)
        assert len(upload.progress.etags) == 1
        upload.on_step, proxy.cut_after_bytes = lambda: None, None
        upload.finish(target)
        assert proxy.cuts == 1
        assert SIZE_BYTES <= proxy.sent_bytes < SIZE_BYTES + 1_200_000
    assert servers.get_object("parts.mp4") == upload.content
    assert len(upload.progress.etags) == 3


def test_a_file_that_needs_more_parts_than_were_given_is_refused(
    servers: UploadServers, tmp_path: Path
) -> None:
    target = as_target(servers.multipart_target("few.mp4", 2, MIN_PART_BYTES))
    with pytest.raises(Refused, match="allowed: 2 parts of 5242880 bytes"):
        Upload(tmp_path, servers.ca).try_once(target)


def test_tus_is_resumed_to_the_byte(servers: UploadServers, tmp_path: Path) -> None:
    upload = Upload(tmp_path, servers.ca)
    with TcpProxy(servers.tus_port, 3_000_000) as proxy:
        upload.finish(Tus(url=servers.tus_url(proxy.port)))
        # No connection carries the whole file: an upload that began again would never end.
        assert proxy.cuts >= SIZE_BYTES // 3_000_000
    assert upload.content in servers.tus_files()
    assert len([step for step in upload.steps if step.location]) == 1


def test_a_tus_upload_that_the_server_has_lost_is_created_again(
    servers: UploadServers, tmp_path: Path
) -> None:
    upload = Upload(tmp_path, servers.ca, 100_000)
    upload.progress = UploadProgress(location=f"https://localhost:{servers.tus_port}/files/gone")
    upload.finish(Tus(url=servers.tus_url()))
    assert len(upload.errors) == 1
    assert upload.content in servers.tus_files()


def test_a_wrong_signature_is_refused_with_the_code_of_s3(
    servers: UploadServers, tmp_path: Path
) -> None:
    url = servers.presign("PUT", "one.mp4").replace("one.mp4", "two.mp4")
    with pytest.raises(Refused, match=r"localhost answers PUT with 403 \(SignatureDoesNotMatch\)"):
        Upload(tmp_path, servers.ca, 1000).try_once(PresignedPut(url=url))


def answer(status: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


CREATED = answer("201 Created", "Location: /files/1")
HOSTILE_LINKS = {
    "nothing": b"",
    "garbage": b"\x00\xff garbage\r\n\r\n",
    "busy": answer("503 Slow Down"),
    "too many": answer("429 Too Many Requests", "Retry-After: 5"),
    "an endless body": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200_000,
    "a long header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
}


@pytest.mark.parametrize("script", HOSTILE_LINKS.values(), ids=HOSTILE_LINKS.keys())
def test_a_bad_answer_is_another_try(tmp_path: Path, script: bytes) -> None:
    with ScriptedServer(tmp_path, script) as server:
        with pytest.raises(LinkError) as caught:
            Upload(tmp_path, server.ca, 1000).try_once(PresignedPut(url=server.url))
        assert "secret" not in str(caught.value)
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("value", "after_s"),
    [("5", 5.0), ("999999999", 3600.0), ("-5", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None)],
)
def test_retry_after_is_bounded(tmp_path: Path, value: str, after_s: float | None) -> None:
    script = answer("429 Too Many Requests", f"Retry-After: {value}")
    with ScriptedServer(tmp_path, script) as server, pytest.raises(LinkError) as caught:
        Upload(tmp_path, server.ca, 1000).try_once(PresignedPut(url=server.url))
    assert caught.value.after_s == after_s


@pytest.mark.parametrize("status", ["301 Moved", "307 Temporary Redirect", "403 Forbidden"])
def test_a_redirect_is_not_followed_and_a_refusal_is_final(tmp_path: Path, status: str) -> None:
    script = answer(status, "Location: https://localhost:1/elsewhere")
    with ScriptedServer(tmp_path, script) as server:
        with pytest.raises(Refused, match=f"localhost answers PUT with {status[:3]}"):
            Upload(tmp_path, server.ca, 1000).try_once(PresignedPut(url=server.url))
        assert len(server.requests) == 1


LYING_TUS = {
    "no location": (answer("201 Created"),),
    "another host": (answer("201 Created", "Location: https://evil.example/files/1"),),
    "plain http": (answer("201 Created", "Location: http://localhost/files/1"),),
    "another port": (answer("201 Created", "Location: https://localhost:1/files/1"),),
    "no offset": (CREATED, answer("200 OK")),
    "an offset beyond": (CREATED, answer("200 OK", "Upload-Offset: 1001")),
    "a negative offset": (CREATED, answer("200 OK", "Upload-Offset: -1")),
    "a word": (CREATED, answer("200 OK", "Upload-Offset: ten")),
    "no progress": (
        CREATED,
        answer("200 OK", "Upload-Offset: 0"),
        answer("204 No Content", "Upload-Offset: 0"),
    ),
    "more than was sent": (
        CREATED,
        answer("200 OK", "Upload-Offset: 10"),
        answer("204 No Content", "Upload-Offset: 5000"),
    ),
}


@pytest.mark.parametrize("scripts", LYING_TUS.values(), ids=LYING_TUS.keys())
def test_a_tus_server_that_lies_is_refused(tmp_path: Path, scripts: tuple[bytes, ...]) -> None:
    with ScriptedServer(tmp_path, *scripts) as server:
        with pytest.raises(Refused):
            Upload(tmp_path, server.ca, 1000).try_once(Tus(url=server.url))
        assert len(server.requests) == len(scripts)


def test_s3_that_could_not_put_the_parts_together_is_asked_again(tmp_path: Path) -> None:
    part = answer("200 OK", 'ETag: "1"')
    failed = answer("200 OK", body=b"<Error><Code>InternalError</Code></Error>")
    done = answer("200 OK", body=b"<CompleteMultipartUploadResult/>")
    with ScriptedServer(tmp_path, part, failed, done) as server:
        target = as_target(
            {
                "kind": "s3_multipart",
                "part_urls": [server.url],
                "part_bytes": MIN_PART_BYTES,
                "complete_url": server.url,
            }
        )
        upload = Upload(tmp_path, server.ca, 1000)
        upload.finish(target)
        assert [line.split()[0] for line in server.requests] == ["PUT", "POST", "POST"]
        assert len(upload.errors) == 1


def test_a_part_without_an_etag_is_refused(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, answer("200 OK", "ETag: <script>")) as server:
        target = as_target(
            {
                "kind": "s3_multipart",
                "part_urls": [server.url],
                "part_bytes": MIN_PART_BYTES,
                "complete_url": server.url,
            }
        )
        with pytest.raises(Refused, match="sends no ETag"):
            Upload(tmp_path, server.ca, 1000).try_once(target)


def test_a_server_of_an_unknown_authority_gets_nothing(tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, answer("200 OK")) as server:
        with pytest.raises(LinkError, match="CERTIFICATE_VERIFY_FAILED"):
            Upload(tmp_path, None, 1000).try_once(PresignedPut(url=server.url))
        assert server.requests == []
