"""A mosquitto on a free port, stopped after the test."""

import re
import shutil
import signal
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.__main__ import main
from tests.free_port import free_port

DOCS = Path(__file__).parents[3] / "docs"


def read_doc_block(page: str, name: str) -> str:
    """A fenced block of a page in docs/, by the name behind its language."""
    text = (DOCS / page).read_text()
    found = re.search(rf"^```\w+ {re.escape(name)}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no block {name}"
    return found[1]


class Mosquitto:
    """Started with a configuration, and started again on the same port after a stop or a kill."""

    def __init__(self, folder: Path, config: str = "allow_anonymous true\n") -> None:
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        if program is None:
            pytest.skip("needs mosquitto: apt-get install mosquitto")
        self.port = free_port()
        self.people_port = free_port()
        self._program = program
        self._file = folder / "mosquitto.conf"
        listener = "" if "listener" in config else f"listener {self.port} 127.0.0.1\n"
        text = listener + config.replace("listener 8883", f"listener {self.port} 127.0.0.1")
        text = text.replace("listener 8884", f"listener {self.people_port} 127.0.0.1")
        self._file.write_text(f"user {Path.home().owner()}\nlog_dest stderr\n{text}")
        self._process: subprocess.Popen[str] | None = None
        self._drain_thread = threading.Thread()
        self._reloaded = threading.Event()
        self.start()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The broker's process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when it listens."""
        self._process = subprocess.Popen(
            [self._program, "-c", str(self._file)],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        output: list[str] = []
        stderr = self._process.stderr
        assert stderr is not None
        for line in stderr:
            output.append(line)
            if " running" in line:
                self._drain_thread = threading.Thread(
                    target=self._drain, args=(stderr,), daemon=True
                )
                self._drain_thread.start()
                return
        self._process.wait()
        raise AssertionError("mosquitto did not start:\n" + "".join(output))

    def reload(self) -> None:
        """Read the access list and the revoked certificates again, as `systemctl reload` does."""
        assert self._process is not None
        self._reloaded.clear()
        self._process.send_signal(signal.SIGHUP)
        assert self._reloaded.wait(60)

    def _drain(self, stderr: IO[str]) -> None:
        """A full pipe would stop the broker at its next line of log."""
        for line in stderr:
            if "Reloading config" in line:
                self._reloaded.set()

    def stop(self, signal_number: signal.Signals) -> None:
        """SIGTERM, or SIGKILL as a crash."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal_number)
        while True:
            try:
                process.wait(1.0)
                break
            except subprocess.TimeoutExpired:
                # Between saying that it runs and doing so it forgets a signal (2.0.21).
                process.send_signal(signal_number)
        self._drain_thread.join()
        assert process.stderr is not None
        process.stderr.close()


T61_CONFIG = """
[req]
string_mask = nombstr
distinguished_name = name
x509_extensions = extensions
[name]
[extensions]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,digitalSignature
subjectAltName = DNS:localhost
"""


def make_t61_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of localhost, signed by itself, and its key. The accent in its name makes that T.61,
    as OpenSSL wrote it for many years.
    """
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl: apt-get install openssl")
    (folder / "t61.cnf").write_text(T61_CONFIG)
    request_args = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -utf8 -config t61.cnf"
    )
    subject_args = "-subj /CN=Salé -days 90 -keyout t61.key -out t61.crt"
    subprocess.run(
        ["openssl", *request_args.split(), *subject_args.split()],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder / "t61.crt", folder / "t61.key"


class Certificates:
    """Made with the command of docs/centre.md, in a folder."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("needs openssl: apt-get install openssl")
        self.folder = folder
        self._make()

    def make_certificate(self, name: str, kind: str = "box") -> None:
        """One of a box, a centre or a person, or of the broker."""
        self._make("--broker" if name == "localhost" else f"--{kind}", name)

    def issue(self, name: str, *, subject: str | None = None, days: tuple[int, int]) -> None:
        """A certificate of the authority that is good from one day to another, counted from now,
        with another subject than its name where one is given.
        """
        self.make_certificate(name)
        authority = x509.load_pem_x509_certificate((self.folder / "ca.crt").read_bytes())
        signer = serialization.load_pem_private_key((self.folder / "ca.key").read_bytes(), None)
        original = x509.load_pem_x509_certificate((self.folder / f"{name}.crt").read_bytes())
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        now = datetime.now(UTC)
        reissued = x509.CertificateBuilder(
            authority.subject,
            original.subject if subject is None else x509.Name.from_rfc4514_string(subject),
            original.public_key(),
            x509.random_serial_number(),
            now + timedelta(days=days[0]),
            now + timedelta(days=days[1]),
            list(original.extensions),
        ).sign(signer, hashes.SHA256())
        (self.folder / f"{name}.crt").write_bytes(reissued.public_bytes(serialization.Encoding.PEM))

    def revoke(self, name: str) -> None:
        """Write both authorities' lists of revoked certificates, with this box in that of the boxes."""
        function = read_doc_block("centre.md", "revocation")
        subprocess.run(
            ["sh", "-eu", "-c", f"{function}\nrevoke ca {name}\nrevoke people-ca"],
            cwd=self.folder,
            check=True,
            capture_output=True,
        )

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def _make(self, *arguments: str) -> None:
        assert main(["key", "tls", str(self.folder), *arguments]) == 0


def documented_config(folder: Path, *, with_revocations: bool = False) -> str:
    """The broker's configuration of docs/centre.md with the certificates and the access list of a folder."""
    text = read_doc_block("centre.md", "mosquitto.conf")
    if with_revocations:
        for line in read_doc_block("centre.md", "revocation.conf").splitlines():
            authority = f"cafile {line.removeprefix('crlfile ').replace('.crl', '.crt')}\n"
            assert authority in text
            text = text.replace(authority, f"{authority}{line}\n")
    text = text.replace("/etc/mosquitto/certs/broker.", f"{folder}/localhost.")
    text = text.replace("/etc/mosquitto/certs/", f"{folder}/")
    return text.replace("/etc/mosquitto/vigie.acl", f"{folder}/vigie.acl")


def write_access_list(folder: Path, *blocks: str) -> None:
    """The access list of docs/centre.md, in a folder."""
    acl = folder / "vigie.acl"
    acl.write_text("\n".join(read_doc_block("centre.md", name) for name in blocks))
    acl.chmod(0o600)
