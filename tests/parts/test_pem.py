"""agent.base.pem: a hostile certificate or key is one error in one line, whatever the library raises for it."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from agent.__main__ import main
from agent.base import pem
from agent.base.errors import UserError
from agent.config.broker import BrokerConfig
from agent.reporting.mqtt.certificate_expiry import read_validity
from tests.settings_files import BOX, CENTRE_AUTHORITY, changed_settings, make_key, to_private_pem

# Of serial numbers that are not positive.
pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
KEY = make_key()
DER = x509.load_pem_x509_certificate(
    CENTRE_AUTHORITY.sign(BOX, KEY.public_key()).encode()
).public_bytes(serialization.Encoding.DER)
KEY_DER = KEY.private_bytes(
    serialization.Encoding.DER,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)
VERSION_3 = b"\xa0\x03\x02\x01\x02"
"""RFC 5280, 4.1.2.1."""
UTC_TIME, EC_KEY_OID = b"260101000000Z", b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"


def to_pem(der: bytes, label: str = "CERTIFICATE") -> bytes:
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{text}-----END {label}-----\n".encode()


def replaced(old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new)
    assert DER.count(old) >= 1
    return DER.replace(old, new)


HOSTILE = {
    "version 2": replaced(VERSION_3, b"\xa0\x03\x02\x01\x01"),
    "version 4": replaced(VERSION_3, b"\xa0\x03\x02\x01\x03"),
    "version 127": replaced(VERSION_3, b"\xa0\x03\x02\x01\x7f"),
    "version -1": replaced(VERSION_3, b"\xa0\x03\x02\x01\xff"),
    "month 13": replaced(UTC_TIME, b"261301000000Z"),
    "day 0": replaced(UTC_TIME, b"260100000000Z"),
    "no digits": replaced(UTC_TIME, b"26-101000000Z"),
    "unknown key algorithm": replaced(EC_KEY_OID, b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x7f"),
    "name not UTF-8": replaced(BOX.encode(), b"casa-\xff\xfe01"),
    "another name": replaced(BOX.encode(), b"casa-0002"),
    "cut off": DER[:100],
    "empty": b"",
    "garbage": bytes(range(256)) * 4,
    "endless length": b"\x30\x84\xff\xff\xff\xff",
    "indefinite length": b"\x30\x80" * 10_000,
    "nested": b"\x30\x82\x10\x00" * 5_000,
    "not DER": b"\x30\x0b" + b"\x06\x09" + b"\xff" * 9,
    "with more behind it": DER + b"\0",
}

ANY_AUTHORITY = [
    HOSTILE[name] for name in ("another name", "name not UTF-8", "unknown key algorithm")
]


def problem_of(load: Callable[[], object]) -> str:
    """The message of the one error that is allowed, empty if there is none."""
    try:
        load()
    except (UserError, pem.MalformedCertificate) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("der", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_certificate_is_refused_in_one_line(der: bytes, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        pem.load_box_certificate(to_pem(der), BOX, "box.pem")
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("box.pem: ")
    # The agent reads its dates before each connection.
    file = tmp_path / "box.pem"
    file.write_bytes(to_pem(der))
    for key in ("certificate", "ca"):
        broker = BrokerConfig(url="mqtts://broker", **{key: str(file)})  # type: ignore[arg-type]
        assert "\n" not in problem_of(lambda: read_validity(broker, key))  # type: ignore[arg-type] # noqa: B023


@pytest.mark.parametrize("der", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("name", ["box.pem", "ca.pem"])
def test_provision_check_reports_a_hostile_certificate_in_one_line(
    der: bytes, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "ca.pem" and der in ANY_AUTHORITY:
        pytest.skip("TLS takes it as an authority")
    file = tmp_path / "vigie-settings.toml"
    files: dict[str, str] = {
        "box.pem": CENTRE_AUTHORITY.sign(BOX, KEY.public_key()),
        name: to_pem(der).decode(),
    }
    file.write_bytes(changed_settings(files=files, secrets={"box.key": to_private_pem(KEY)}))
    assert main(["provision", "--check", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"vigie: {file}: ")


def flipped(data: bytes) -> list[bytes]:
    """The data with each of its bits flipped, one at a time."""
    return [
        data[:index] + bytes([data[index] ^ 1 << bit]) + data[index + 1 :]
        for index in range(len(data))
        for bit in range(8)
    ]


@pytest.mark.parametrize(
    ("der", "label", "load"),
    [
        (DER, "CERTIFICATE", lambda data: pem.load_box_certificate(data, BOX, "box.pem")),
        (DER, "CERTIFICATE", lambda data: pem.load_authorities(data, "ca.pem")),
        (KEY_DER, "PRIVATE KEY", lambda data: pem.load_public_key(data, "box.key")),
    ],
    ids=["certificate", "authority", "key"],
)
def test_no_flipped_bit_raises_another_error(
    der: bytes, label: str, load: Callable[[bytes], object]
) -> None:
    for data in flipped(der):
        for text in (to_pem(data, label), data):
            assert "\n" not in problem_of(lambda: load(text))  # noqa: B023 - called at once


def test_no_flipped_bit_of_a_peers_certificate_raises_another_error() -> None:
    for data in flipped(DER):
        assert "\n" not in problem_of(lambda: pem.decode_der_certificate(data))  # noqa: B023 - the same
