"""agent.provisioning.enrolment: the request suits a real authority, and only a matching certificate is
accepted.
"""

import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.base.errors import UserError
from agent.config.broker import BrokerConfig
from agent.provisioning.enrolment import Enrolment
from tests.whole.technician import LOGGED_OUT_PROMPT, ConsoleTechnician, make_box_folder

NOW = datetime(2026, 11, 25, tzinfo=UTC)


class Authority:
    """Signs whatever it is given."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = folder / f"{name}.pem"
        own = self._signed(self.name, self.key.public_key(), NOW, ca=True)
        self.file.write_text(own)

    def sign(self, request: str, *, name: str | None = None, since: datetime = NOW) -> str:
        requested = x509.load_pem_x509_csr(request.encode())
        assert requested.is_signature_valid
        subject = requested.subject
        if name is not None:
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        public = requested.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        return self._signed(subject, public, since)

    def _signed(
        self,
        subject: x509.Name,
        public: ec.EllipticCurvePublicKey,
        since: datetime,
        *,
        ca: bool = False,
    ) -> str:
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(since - timedelta(days=1))
            .not_valid_after(since + timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        pem = made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return pem.decode()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def broker(folder: Path, **more: str) -> BrokerConfig:
    return BrokerConfig(
        url="mqtts://centre",
        ca=str(folder / "ca.pem"),
        certificate=str(folder / "box.pem"),
        key=str(folder / "box.key"),
        **more,
    )


def enrolment(folder: Path) -> Enrolment:
    return Enrolment(folder / "state", "casa-0001", broker(folder))


def test_a_certificate_request_gives_a_pair_that_openssl_accepts(
    tmp_path: Path, authority: Authority
) -> None:
    enrol = enrolment(tmp_path)
    reported = enrol.install(authority.sign(enrol.create_request()), NOW, clock_synced=True)
    assert str(reported[0]) == "Certificate of casa-0001, valid until 2027-11-25."
    for name in ("box.key", "box.pem"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    words = ["x509", "-in", "box.pem", "-noout", "-pubkey"]
    of_certificate = subprocess.run(
        ["openssl", *words], cwd=tmp_path, capture_output=True, check=True
    )
    of_key = subprocess.run(
        ["openssl", "pkey", "-in", "box.key", "-pubout"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert of_certificate.stdout == of_key.stdout


def test_the_old_pair_is_kept_next_to_the_new_one(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "box.pem").write_text("old certificate")
    (tmp_path / "box.key").write_text("old key")
    enrol = enrolment(tmp_path)
    enrol.install(authority.sign(enrol.create_request()), NOW, clock_synced=True)
    assert (tmp_path / "box.pem.before").read_text() == "old certificate"
    assert (tmp_path / "box.key.before").read_text() == "old key"
    assert "BEGIN CERTIFICATE" in (tmp_path / "box.pem").read_text()


def test_a_repeated_certificate_request_has_the_same_key(
    tmp_path: Path, authority: Authority
) -> None:
    first = enrolment(tmp_path).create_request()
    enrolment(tmp_path).create_request()
    assert enrolment(tmp_path).install(authority.sign(first), NOW, clock_synced=True)


def test_the_key_of_a_request_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    enrolment(tmp_path).create_request()
    assert (tmp_path / "state" / "enrol" / "request.key").stat().st_mode & 0o777 == 0o600


def test_without_configured_paths_the_pairs_location_is_shown(
    tmp_path: Path, authority: Authority
) -> None:
    only_ca = BrokerConfig(url="mqtts://centre", ca=str(authority.file))
    enrol = Enrolment(tmp_path / "state", "casa-0001", only_ca)
    reported = enrol.install(authority.sign(enrol.create_request()), NOW, clock_synced=True)
    assert "Set broker.key = " in str(reported[1])
    assert (tmp_path / "state" / "enrol" / "box.pem").exists()


def test_a_mismatched_certificate_changes_nothing(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "box.pem").write_text("old certificate")
    enrol = enrolment(tmp_path)
    request = enrol.create_request()
    unknown_authority = Authority(tmp_path / "state", "unknown")
    other = Enrolment(tmp_path / "other", "casa-0001", broker(tmp_path)).create_request()
    late = NOW - timedelta(days=800)
    for pem, why in (
        ("junk", "not a certificate in PEM"),
        (authority.sign(other), "not for the key"),
        (authority.sign(request, name="casa-0002"), "its name is 'casa-0002'"),
        (authority.sign(request, since=late), "not today"),
        (unknown_authority.sign(request), "not signed by broker.ca"),
    ):
        with pytest.raises(UserError, match=why):
            enrol.install(pem, NOW, clock_synced=True)
        assert (tmp_path / "box.pem").read_text() == "old certificate"
        assert not (tmp_path / "box.key").exists()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not a certificate in PEM"),
        (b"junk", "not a certificate in PEM"),
        (None, "No such file"),
    ],
)
def test_a_broken_broker_ca_is_named_and_changes_nothing(
    tmp_path: Path, authority: Authority, content: bytes | None, why: str
) -> None:
    enrol = enrolment(tmp_path)
    signed = authority.sign(enrol.create_request())
    authority.file.unlink()
    if content is not None:
        authority.file.write_bytes(content)
    with pytest.raises(UserError, match=why) as caught:
        enrol.install(signed, NOW, clock_synced=True)
    assert f"broker.ca = {str(authority.file)!r}: " in str(caught.value)
    assert not (tmp_path / "box.key").exists()


def test_a_malformed_certificate_is_refused(tmp_path: Path, authority: Authority) -> None:
    enrol = enrolment(tmp_path)
    der = ssl.PEM_cert_to_DER_cert(authority.sign(enrol.create_request()))
    name, curve = b"\x0c\x09casa-0001", bytes.fromhex("06082a8648ce3d030107")
    for broken in (
        der.replace(name, b"\x14\x09casa-\xe9001"),
        der.replace(curve, bytes.fromhex("06082a8648ce3d030163")),
    ):
        assert broken != der
        with pytest.raises(UserError, match="its key or its name cannot be read"):
            enrol.install(ssl.DER_cert_to_PEM_cert(broken), NOW, clock_synced=True)


def test_a_damaged_request_key_is_reported(tmp_path: Path, authority: Authority) -> None:
    enrol = enrolment(tmp_path)
    signed = authority.sign(enrol.create_request())
    locked = authority.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"somebody's"),
    )
    for content in (b"junk", locked):
        (tmp_path / "state" / "enrol" / "request.key").write_bytes(content)
        with pytest.raises(UserError, match="damaged: begin with enrol request"):
            enrol.install(signed, NOW, clock_synced=True)


def test_without_a_trusted_clock_certificate_dates_are_not_checked(
    tmp_path: Path, authority: Authority
) -> None:
    enrol = enrolment(tmp_path)
    old = authority.sign(enrol.create_request(), since=NOW - timedelta(days=800))
    assert enrol.install(old, NOW, clock_synced=False)


def test_a_certificate_without_a_request_is_refused(tmp_path: Path, authority: Authority) -> None:
    other = Enrolment(tmp_path / "other", "casa-0001", None).create_request()
    with pytest.raises(UserError, match="begin with enrol request"):
        enrolment(tmp_path).install(authority.sign(other), NOW, clock_synced=True)


CONFIG = """
[box]
id = "casa-0001"
site = "Bd Mohammed V"
state = "state"
[broker]
url = "mqtts://127.0.0.1:1"
ca = "ca.pem"
certificate = "box.pem"
key = "box.key"
[[camera]]
name = "north"
driver = "fake"
options = {}
"""


@pytest.fixture
def seat(tmp_path: Path) -> Iterator[ConsoleTechnician]:
    technician = ConsoleTechnician(make_box_folder(tmp_path / "box", CONFIG))
    yield technician
    technician.unplug()


def test_over_the_cable_the_request_is_copied_and_the_certificate_pasted(
    tmp_path: Path, seat: ConsoleTechnician
) -> None:
    box = tmp_path / "box"
    authority = Authority(box)
    seat.log_in()
    screen = seat.run_command("enrol request")
    begin, end = "-----BEGIN CERTIFICATE REQUEST-----", "-----END CERTIFICATE REQUEST-----"
    request = begin + screen.partition(begin)[2].partition(end)[0] + end + "\n"
    signed = authority.sign(request, since=datetime.now(UTC))
    seat.send(b"enrol certificate\r")
    seat.read_until_seen("Ctrl-C cancels.\r\n")
    seat.send(signed.replace("\n", "\r").encode())
    assert "Certificate of casa-0001" in seat.read_until("casa-0001> ")
    assert "pass broker.certificate of casa-0001: valid until" in seat.run_command("check 13")
    assert "PRIVATE" not in seat.log
    seat.send(b"logout\r")
    seat.read_until(LOGGED_OUT_PROMPT)
