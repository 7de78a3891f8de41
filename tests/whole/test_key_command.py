"""`vigie key`: from a new authority to a certificate that a box takes, and its revocation."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from agent.__main__ import main
from agent.authority.certificate import (
    ControlCertificate,
    is_issued_by,
    read_control_certificate,
)
from agent.authority.signed_message import parse_message
from agent.base.clock import rfc3339
from agent.reporting import topics
from centre import control_keys
from tests.whole import demo_values
from tests.whole.report.broker import Mosquitto
from tests.whole.report.reporting_box import wait_until


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    folder = tmp_path / "control"
    assert main(["key", "authority", str(folder), "Casablanca"]) == 0
    return folder


def certify(authority: Path, name: str, *arguments: str) -> int:
    request(authority, name)
    return issue(authority, name, name, *arguments)


def request(authority: Path, name: str) -> None:
    assert main(["key", "request", name, "--key", str(authority.parent / f"{name}.key")]) == 0


def issue(authority: Path, file: str, name: str, *arguments: str, out: str | None = None) -> int:
    """Certify the request of a file under a name."""
    csr, pem = authority.parent / f"{file}.csr", authority.parent / f"{out or file}.pem"
    named = ("--name", name, "--out", str(pem))
    return main(["key", "issue", str(authority), str(csr), *named, *arguments])


def read(authority: Path, name: str) -> ControlCertificate:
    certificate = control_keys.load_certificate(authority.parent / f"{name}.pem")
    return read_control_certificate(certificate.public_bytes(Encoding.DER))


def test_a_person_makes_their_key_and_the_authority_certifies_it(authority: Path) -> None:
    assert certify(authority, "amina", "--role", "operator") == 0
    folder = authority.parent
    identity = control_keys.load_identity(folder / "amina.pem", folder / "amina.key")
    certificate = read_control_certificate(identity.certificate.public_bytes(Encoding.DER))
    assert (certificate.name, certificate.role) == ("amina", "operator")
    assert is_issued_by(identity.certificate, control_keys.load_authority(authority).certificate)
    lifetime = identity.certificate.not_valid_after_utc - identity.certificate.not_valid_before_utc
    assert lifetime.total_seconds() == 12 * 3600
    secrets = (folder / "amina.key", authority / control_keys.CA_KEY_FILE)
    assert [stat.S_IMODE(file.stat().st_mode) for file in secrets] == [0o600, 0o600]


def test_the_authority_types_the_name_and_sees_all_of_the_certificate(
    authority: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request(authority, "samira")
    shown_by_request = capsys.readouterr().out.split()[-1]
    assert issue(authority, "samira", "Amina El Fassi", "--role", "supervisor") == 0
    issued = read(authority, "samira")
    begin, end = (
        rfc3339(time)
        for time in (
            issued.certificate.not_valid_before_utc,
            issued.certificate.not_valid_after_utc,
        )
    )
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  name    Amina El Fassi",
        "  role    supervisor",
        f"  key     {shown_by_request}",
        f"  serial  {issued.serial}",
        f"  valid   {begin} to {end}",
        "  The request asked for the name 'samira'.",
    ]


def test_without_a_name_nothing_is_certified(authority: Path) -> None:
    request(authority, "amina")
    csr, pem = authority.parent / "amina.csr", authority.parent / "amina.pem"
    words = ["--role", "operator", "--out", str(pem)]
    assert main(["key", "issue", str(authority), str(csr), *words]) == 2
    assert not pem.exists()


@pytest.mark.parametrize("name", ["amina ", " amina", "\u0430mina", "am  ina", "ami\u200bna", ""])
def test_a_name_outside_the_alphabet_is_refused_in_one_line(
    authority: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    request(authority, "amina")
    assert issue(authority, "amina", name, "--role", "operator") == 2
    assert main(["key", "request", name, "--key", str(authority.parent / "b.key")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("allowed: 1 to 64 characters, in NFC, of one script" in line for line in lines)
    assert not (authority.parent / "amina.pem").exists()


def test_a_name_is_certified_in_nfc(authority: Path) -> None:
    request(authority, "amina")
    assert issue(authority, "amina", "Ami\u0301na", "--role", "operator") == 0
    assert read(authority, "amina").name == "Am\u00edna"


def test_a_key_has_one_name_and_is_certified_again_under_it(
    authority: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request(authority, "amina")
    assert issue(authority, "amina", "amina", "--role", "supervisor") == 0
    assert issue(authority, "amina", "badr", "--role", "supervisor", out="badr") == 2
    assert "was certified as 'amina'; allowed: a key of its own" in capsys.readouterr().err
    assert issue(authority, "amina", "Amina", "--role", "supervisor", out="again") == 0
    assert "Another key" not in capsys.readouterr().out


def test_a_second_key_under_one_name_is_shown_as_that_of_one_person(
    authority: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert certify(authority, "amina", "--role", "supervisor") == 0
    request(authority, "b")
    capsys.readouterr()
    assert issue(authority, "b", "Amlna", "--role", "supervisor") == 0
    assert "Another key has a certificate for 'amina' until " in capsys.readouterr().out


def test_certificates_of_one_second_begin_at_two_times(authority: Path) -> None:
    names = ("amina", "badr", "jonas")
    for name in names:
        assert certify(authority, name, "--role", "supervisor") == 0
    begins = {read(authority, name).certificate.not_valid_before_utc for name in names}
    assert len(begins) == len(names)


def test_a_damaged_list_of_issued_certificates_is_one_line(
    authority: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (authority / control_keys.ISSUED_FILE).write_bytes(b"\0")
    assert certify(authority, "amina", "--role", "operator") == 2
    assert control_keys.ISSUED_FILE in capsys.readouterr().err


def test_a_system_has_a_certificate_for_three_months(authority: Path) -> None:
    assert certify(authority, "city", "--role", "centre") == 0
    certificate = control_keys.load_certificate(authority.parent / "city.pem")
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 90


def test_a_person_gets_no_certificate_for_longer_than_a_day(
    authority: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert certify(authority, "amina", "--role", "operator", "--hours", "25") == 2
    assert "allowed for the role 'operator'" in capsys.readouterr().err
    assert not (authority.parent / "amina.pem").exists()


def test_nothing_is_overwritten(authority: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert certify(authority, "amina", "--role", "operator") == 0
    key = (authority.parent / "amina.key").read_bytes()
    assert main(["key", "request", "amina", "--key", str(authority.parent / "amina.key")]) == 2
    assert main(["key", "authority", str(authority), "Other"]) == 2
    assert (authority.parent / "amina.key").read_bytes() == key
    assert "allowed: a new" in capsys.readouterr().err


def test_the_key_of_another_certificate_is_refused_by_name(
    authority: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("amina", "jonas"):
        certify(authority, name, "--role", "operator")
    folder = authority.parent
    arguments = ["--signer", str(folder / "amina.pem"), "--signer-key", str(folder / "jonas.key")]
    assert main(["send", "pole-17", "snapshot", *arguments, "--broker", "mqtt://localhost"]) == 2
    assert f"not the key of {folder / 'amina.pem'}" in capsys.readouterr().err


def test_a_revocation_list_is_published_retained_and_its_number_grows(
    authority: Path, mosquitto: Mosquitto
) -> None:
    certify(authority, "amina", "--role", "operator")
    revoke = ["key", "revoke", str(authority)]
    broker = ["--broker", mosquitto.url]
    assert main([*revoke, str(authority.parent / "amina.pem"), *broker]) == 0
    assert main([*revoke, *broker]) == 0
    received: list[bytes] = []
    box = demo_values.connect_client("box", mosquitto.port)
    box.on_message = lambda _client, _data, message: received.append(message.payload)
    demo_values.subscribe(box, topics.REVOCATIONS_TOPIC)
    wait_until(lambda: bool(received))
    box.disconnect()
    box.loop_stop()
    claims = parse_message(received[0], "vigie-revocations+jws").claims
    amina = control_keys.load_certificate(authority.parent / "amina.pem")
    assert (claims["number"], claims["serials"]) == (1, [f"{amina.serial_number:x}"])


def test_a_broker_that_does_not_answer_leaves_the_list_to_be_published_again(
    authority: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("centre.broker_connection.ANSWER_TIMEOUT_S", 0.5)
    assert main(["key", "revoke", str(authority), "--broker", "mqtt://127.0.0.1:1"]) == 2
    assert "is written, and not published" in capsys.readouterr().err
