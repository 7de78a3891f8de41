"""`make audit`: the real pip-audit with the box's lock, and a stand-in for PyPI."""

import http.server
import json
import os
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.server_certificate import ServerCertificate

ROOT = Path(__file__).parents[2]
PIP_AUDIT = ROOT / ".cache/audit/bin/pip-audit"
HOST = "pypi.org"
LOCKED = re.findall(
    r"^([\w.-]+)==(\S+)", (ROOT / "images/requirements-box.lock").read_text(), re.MULTILINE
)
VULNERABILITY = {
    "id": "PYSEC-2026-1",
    "aliases": [],
    "fixed_in": ["99"],
    "summary": "reads past its end",
}

pytestmark = pytest.mark.skipif(
    not PIP_AUDIT.exists(), reason="needs pip-audit in .cache/audit: make setup-test"
)


@contextmanager
def pypi(folder: Path, answers: Mapping[str, bytes]) -> Iterator[dict[str, str]]:
    """The environment of a program for which this proxy is PyPI. A package without an answer is not found."""
    certificate = ServerCertificate(folder / "pypi", HOST)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            assert self.path == f"{HOST}:443"
            self.send_response(200)
            self.end_headers()
            plain = self.rfile, self.wfile
            with (
                context.wrap_socket(self.connection, server_side=True) as tls,
                tls.makefile("rb") as self.rfile,
                tls.makefile("wb") as self.wfile,
            ):
                self.handle_one_request()
            self.rfile, self.wfile = plain
            self.close_connection = True

        def do_GET(self) -> None:
            body = answers.get(self.path.split("/")[2])
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield {
                "HTTPS_PROXY": f"http://127.0.0.1:{server.server_port}",
                "REQUESTS_CA_BUNDLE": str(certificate.ca),
            }
        finally:
            server.shutdown()
            thread.join()


def audit(folder: Path, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the command that images/README.md prints."""
    inherited = {key: one for key, one in os.environ.items() if "proxy" not in key.lower()}
    return subprocess.run(
        ["make", "--silent", "--old-file=.cache/audit/.done", "audit"],
        cwd=ROOT,
        env={**inherited, **environ, "PIP_CACHE_DIR": str(folder), "XDG_CACHE_HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def answers(**changed: bytes | None) -> dict[str, bytes]:
    every = {name: json.dumps({"vulnerabilities": []}).encode() for name, _ in LOCKED}
    return {name: body for name, body in (every | changed).items() if body is not None}


def test_packages_without_known_vulnerabilities_pass(tmp_path: Path) -> None:
    with pypi(tmp_path, answers()) as environ:
        done = audit(tmp_path, environ)
    assert done.returncode == 0, done.stderr
    assert "No known vulnerabilities found" in done.stdout + done.stderr


def test_a_vulnerable_package_fails(tmp_path: Path) -> None:
    body = json.dumps({"vulnerabilities": [VULNERABILITY]}).encode()
    with pypi(tmp_path, answers(lxml=body)) as environ:
        done = audit(tmp_path, environ)
    assert done.returncode != 0
    assert VULNERABILITY["id"] in done.stdout


@pytest.mark.parametrize("missing", [("lxml",), tuple(name for name, _ in LOCKED)])
def test_a_package_that_could_not_be_compared_fails(
    tmp_path: Path, missing: tuple[str, ...]
) -> None:
    with pypi(tmp_path, answers(**dict.fromkeys(missing))) as environ:
        done = audit(tmp_path, environ)
    assert done.returncode != 0
    assert "could not be audited" in done.stderr
    assert "No known vulnerabilities" not in done.stdout + done.stderr


def test_without_a_network_it_fails(tmp_path: Path) -> None:
    with pypi(tmp_path, {}) as environ:
        pass
    done = audit(tmp_path, environ)
    assert done.returncode != 0
    assert "No known vulnerabilities" not in done.stdout + done.stderr


def test_the_printed_check_is_this_target() -> None:
    page = (ROOT / "images/README.md").read_text(encoding="utf-8")
    (block,) = re.findall(
        r"^## Known vulnerabilities$.*?^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL
    )
    commands = [line.split("#")[0].strip() for line in block.splitlines()]
    assert commands[0] == "make audit"
