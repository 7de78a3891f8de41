"""`vigie key tls`: the authorities and certificates of a broker, and what it refuses."""

import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from agent.__main__ import main
from centre.broker_certificates import LIFETIME

NAMES = ("--broker", "broker.example.org", "--box", "pole-17", "--centre", "centre")
PEOPLE = ("--person", "amina", "--person", "watch")
Printed = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tls"
    assert main(["key", "tls", str(folder), *NAMES, *PEOPLE]) == 0
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("name", "authority", "purpose"),
    [
        ("broker.example.org", "ca", "sslserver"),
        ("pole-17", "ca", "sslclient"),
        ("centre", "ca", "sslclient"),
        ("amina", "people-ca", "sslclient"),
        ("watch", "people-ca", "sslclient"),
    ],
)
def test_each_certificate_is_valid_by_its_own_authority_alone(
    name: str, authority: str, purpose: str, folder: Path
) -> None:
    def verify(issuer: str, used_for: str) -> int:
        words = ["openssl", "verify", "-x509_strict", "-purpose", used_for, "-CAfile"]
        files = [str(folder / f"{issuer}.crt"), str(folder / f"{name}.crt")]
        return subprocess.run([*words, *files], capture_output=True, check=False).returncode

    other = {"ca": "people-ca", "people-ca": "ca"}[authority]
    wrong_purpose = {"sslserver": "sslclient", "sslclient": "sslserver"}[purpose]
    assert verify(authority, purpose) == 0
    assert verify(other, purpose) != 0
    assert verify(authority, wrong_purpose) != 0
    certificate = x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())
    assert certificate.subject.rfc4514_string() == f"CN={name}"
    end = certificate.not_valid_after_utc - datetime.now(UTC)
    assert LIFETIME - timedelta(hours=1) < end <= LIFETIME


def test_keys_are_their_owners_alone(folder: Path) -> None:
    modes = {stat.S_IMODE(file.stat().st_mode) for file in folder.glob("*.key")}
    assert modes == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_command_that_is_pasted_twice_overwrites_nothing_and_says_so_in_one_line(
    folder: Path, capsys: Printed
) -> None:
    before = contents(folder)
    assert main(["key", "tls", str(folder), *NAMES, *PEOPLE]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{folder}/broker.example.org.crt: exists; allowed: another name, or move it" in line
    assert contents(folder) == before


def test_a_later_certificate_is_of_the_same_authority(folder: Path) -> None:
    before = contents(folder)
    assert main(["key", "tls", str(folder), "--box", "pole-18"]) == 0
    after = contents(folder)
    assert set(after) - set(before) == {"pole-18.crt", "pole-18.key"}
    assert {name: after[name] for name in before} == before
    authority = x509.load_pem_x509_certificate(after["ca.crt"])
    x509.load_pem_x509_certificate(after["pole-18.crt"]).verify_directly_issued_by(authority)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "ca.crt: exists; allowed: a new folder, or names of certificates"),
        (("--box", "pole-17"), "pole-17.crt: exists"),
        (("--box", "pole-18", "--person", "centre"), "centre.crt: exists"),
        (("--person", "ca"), "ca.crt: exists"),
        (("--box", "twin", "--person", "twin"), "twin: named twice; allowed: each name once"),
        (("--person", "+"), "--person '+': allowed: lower case letters"),
        (("--box", "../pole"), "--box '../pole': allowed: lower case letters"),
        (("--broker", "mqtts://h:8883"), "--broker 'mqtts://h:8883': allowed: a host's name"),
    ],
)
def test_what_it_refuses_writes_nothing(
    words: tuple[str, ...], message: str, folder: Path, capsys: Printed
) -> None:
    before = contents(folder)
    capsys.readouterr()
    assert main(["key", "tls", str(folder), *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert contents(folder) == before


@pytest.mark.parametrize("missing", ["ca.key", "people-ca.crt"])
def test_without_a_file_of_an_authority_no_new_authority_is_made(
    missing: str, folder: Path, capsys: Printed
) -> None:
    (folder / missing).unlink()
    before = contents(folder)
    assert main(["key", "tls", str(folder), "--box", "pole-18"]) == 2
    assert f"{missing}: missing; allowed: both authorities" in capsys.readouterr().err
    assert contents(folder) == before


def test_an_authority_with_the_key_of_another_is_refused(folder: Path, capsys: Printed) -> None:
    (folder / "ca.key").write_bytes((folder / "people-ca.key").read_bytes())
    assert main(["key", "tls", str(folder), "--box", "pole-18"]) == 2
    assert f"ca.key: not the key of {folder}/ca.crt" in capsys.readouterr().err
