"""The configuration of `[time]` in a real chronyd, against real servers of NTS and NTP on this machine."""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from agent.provisioning.time_config import RUNTIME_DIR, STATE_DIR, TimeConfig, render_files
from tests.free_port import free_port
from tests.settings_files import make_key, to_private_pem

EXTRACTED = Path(__file__).parents[2] / ".cache/chrony/usr/sbin/chronyd"
CHRONYD = shutil.which("chronyd", path="/usr/sbin:/usr/bin") or EXTRACTED
USER = pwd.getpwuid(os.geteuid()).pw_name
ANSWER_TIMEOUT_S = 30
"""A good server sets the clock after six seconds: a burst of four measurements."""
REFUSAL_TIMEOUT_S = 12
START_TIMEOUT_S = 60.0
SERVER_CONFIG = """
port {ntp_port}
bindaddress 127.0.0.1
cmdport 0
bindcmdaddress /
pidfile {folder}/server.pid
local stratum 1
allow 127.0.0.0/8
"""
NTS_SERVER_CONFIG = """
ntsport {nts_port}
ntsserverkey {folder}/server.key
ntsservercert {folder}/server.crt
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path(CHRONYD).exists(), reason="needs chrony: make setup-test"),
]


class Authority:
    """Signs the certificates of time servers."""

    def __init__(self) -> None:
        self._key = make_key()
        self.pem = self._sign("time authority", self._key, is_authority=True)

    def issue(self, folder: Path, name: str, valid_in_days: int = 0) -> None:
        """Write a server's key and its certificate, which is valid from then on for ten years."""
        key = make_key()
        (folder / "server.key").write_text(to_private_pem(key))
        (folder / "server.key").chmod(0o600)
        (folder / "server.crt").write_text(self._sign(name, key, valid_in_days=valid_in_days))

    def _sign(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        *,
        is_authority: bool = False,
        valid_in_days: int = 0,
    ) -> str:
        begin = datetime.now(UTC) + timedelta(days=valid_in_days - 1)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "time authority")]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


class TimeServer:
    """A chronyd that gives this machine's time, and sets no clock."""

    def __init__(self, folder: Path, *, nts: bool) -> None:
        self.folder = folder
        self.ntp_port, self.nts_port = free_port(), free_port()
        text = SERVER_CONFIG + (NTS_SERVER_CONFIG if nts else "")
        config = folder / "server.conf"
        config.write_text(
            text.format(folder=folder, ntp_port=self.ntp_port, nts_port=self.nts_port)
        )
        self._log = folder / "server.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [CHRONYD, "-d", "-x", "-U", "-u", USER, "-f", config], stdout=log, stderr=log
            )
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not (folder / "server.pid").exists():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline_s, self._log.read_text()
            time.sleep(0.05)

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(START_TIMEOUT_S)


def gets_time(
    server: TimeServer, time_config: TimeConfig, ca: str | None, timeout_s: int
) -> tuple[bool, str]:
    """Whether a client with a box's configuration takes this server's time, and its log."""
    runtime, state = server.folder / "runtime", server.folder / "state"
    for folder in (runtime, state):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o750)
    for name, text in render_files(time_config, ca).items():
        # The paths and ports of this machine.
        here = text.replace(f"/{RUNTIME_DIR}/", f"{runtime}/").replace(STATE_DIR, str(state))
        port = f"ntsport {server.nts_port}" if time_config.nts else f"port {server.ntp_port}"
        (runtime / name).write_text(here.replace(" iburst", f" iburst {port}"))
    done = subprocess.run(
        [
            *(CHRONYD, "-Q", "-d", "-U", "-u", USER, "-t", str(timeout_s)),
            *("-f", runtime / "chrony.conf"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def nts_server(tmp_path: Path, authority: Authority) -> Iterator[TimeServer]:
    authority.issue(tmp_path, "localhost")
    server = TimeServer(tmp_path, nts=True)
    yield server
    server.close()


def nts_config(name: str = "localhost") -> TimeConfig:
    return TimeConfig(servers=(name,), nts=True, ca="time.pem")


def test_a_server_with_a_certificate_of_the_settings_authority_sets_the_clock(
    nts_server: TimeServer, authority: Authority
) -> None:
    is_set, log = gets_time(nts_server, nts_config(), authority.pem, ANSWER_TIMEOUT_S)
    assert is_set, log


def test_a_server_of_another_authority_does_not(nts_server: TimeServer) -> None:
    is_set, log = gets_time(nts_server, nts_config(), Authority().pem, REFUSAL_TIMEOUT_S)
    assert not is_set, log
    assert "certificate is NOT trusted" in log


def test_a_server_of_another_name_does_not(tmp_path: Path, authority: Authority) -> None:
    authority.issue(tmp_path, "time.example")
    server = TimeServer(tmp_path, nts=True)
    try:
        is_set, log = gets_time(server, nts_config(), authority.pem, REFUSAL_TIMEOUT_S)
        assert not is_set, log
        assert "name in the certificate does not match" in log
    finally:
        server.close()


def test_a_server_that_does_not_authenticate_itself_sets_no_clock_that_wants_it(
    tmp_path: Path, authority: Authority
) -> None:
    server = TimeServer(tmp_path, nts=False)
    try:
        is_set, log = gets_time(server, nts_config(), authority.pem, REFUSAL_TIMEOUT_S)
        assert not is_set, log
        plain = TimeConfig(servers=("127.0.0.1",))
        is_set, log = gets_time(server, plain, None, ANSWER_TIMEOUT_S)
        assert is_set, log
    finally:
        server.close()


def test_a_box_that_starts_years_ago_accepts_a_certificate_that_is_not_valid_yet(
    tmp_path: Path, authority: Authority
) -> None:
    authority.issue(tmp_path, "localhost", valid_in_days=400)
    server = TimeServer(tmp_path, nts=True)
    try:
        is_set, log = gets_time(server, nts_config(), authority.pem, ANSWER_TIMEOUT_S)
        assert is_set, log
    finally:
        server.close()
