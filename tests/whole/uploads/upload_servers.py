"""A real tus server and a real S3-compatible server over TLS, and presigned URLs for the latter."""

import base64
import hmac
import json
import shutil
import ssl
import subprocess
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import pytest

from tests.server_certificate import ServerCertificate

PROGRAM_DIR = Path(__file__).parent / "servers"
INSTALLED_DIR = Path(__file__).parents[3] / ".cache" / "upload-servers"
ACCESS_KEY = SECRET_KEY = "S3RVER"  # noqa: S105 - what this server is made with
BUCKET = "clips"


class UploadServers:
    """Both servers in one process of node, as long as the block lasts."""

    def __init__(self, folder: Path) -> None:
        node = shutil.which("node")
        if node is None or not (INSTALLED_DIR / "node_modules").is_dir():
            pytest.skip("needs node and the upload servers: make setup-test")
        self.folder = folder
        certificate = ServerCertificate(folder)
        self.ca = certificate.ca
        for name in ("tus", "s3"):
            (folder / name).mkdir()
        program = INSTALLED_DIR / "main.mjs"
        self._process = subprocess.Popen(
            [node, program, folder, certificate.certificate, certificate.key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the upload servers did not start"
        ports = json.loads(line)
        self.tus_port, self.s3_port = int(ports["tus"]), int(ports["s3"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def tus_url(self, port: int | None = None) -> str:
        return f"https://localhost:{port or self.tus_port}/files?ticket=secret"

    def tus_files(self) -> list[bytes]:
        """The uploads that the tus server has."""
        return [
            path.read_bytes()
            for path in sorted((self.folder / "tus").iterdir())
            if path.suffix != ".json"
        ]

    def presign(self, method: str, key: str, port: int | None = None, **query: str | int) -> str:
        """A presigned URL of an object, through a proxy's port: AWS signature version 2, which this server
        checks; it does not check version 4.
        """
        expires = int(datetime.now(UTC).timestamp()) + 3600
        resource = "&".join(
            f"{name}={value}" if value != "" else name for name, value in sorted(query.items())
        )
        path = f"/{BUCKET}/{key}" + (f"?{resource}" if resource else "")
        to_sign = f"{method}\n\n\n{expires}\n{path}"
        signature = base64.b64encode(hmac.digest(SECRET_KEY.encode(), to_sign.encode(), "sha1"))
        fields = {"AWSAccessKeyId": ACCESS_KEY, "Expires": expires, "Signature": signature.decode()}
        host = f"https://localhost:{port or self.s3_port}"
        return f"{host}{path}{'&' if resource else '?'}{urlencode(fields)}"

    def request(self, method: str, url: str) -> bytes:
        """A request of the centre itself."""
        context = ssl.create_default_context(cafile=str(self.ca))
        request = urllib.request.Request(url, method=method)  # noqa: S310 - our own server
        with urllib.request.urlopen(request, context=context) as response:  # noqa: S310 - the same
            return bytes(response.read())

    def get_object(self, key: str) -> bytes:
        return self.request("GET", self.presign("GET", key))

    def create_multipart(self, key: str) -> str:
        """The id of a new multipart upload."""
        document = ET.fromstring(  # noqa: S314 - from our own server
            self.request("POST", self.presign("POST", key, uploads=""))
        )
        upload_id = next(each.text for each in document.iter() if each.tag.endswith("UploadId"))
        assert upload_id
        return upload_id

    def multipart_target(
        self, key: str, part_count: int, part_bytes: int, port: int | None = None
    ) -> dict[str, object]:
        """The upload of a command, as the centre gives it."""
        upload_id = self.create_multipart(key)
        return {
            "kind": "s3_multipart",
            "part_urls": [
                self.presign("PUT", key, port, partNumber=number, uploadId=upload_id)
                for number in range(1, part_count + 1)
            ],
            "part_bytes": part_bytes,
            "complete_url": self.presign("POST", key, port, uploadId=upload_id),
        }
