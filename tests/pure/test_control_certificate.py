"""agent.authority.certificate: the certificates of signers, and what is none. No I/O."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from agent.authority.certificate import (
    MAX_CENTRE_LIFETIME,
    MAX_PERSON_LIFETIME,
    ControlCertificate,
    check_authority,
    check_dates,
    check_two_people,
    is_issued_by,
    read_control_certificate,
)
from agent.authority.refusal import RefusedMessage
from agent.authority.signed_message import SigningIdentity
from agent.base.control_role import CONTROL_ROLES, ControlRole
from tests.authority_rig import NOW, ControlKeys

KEYS = ControlKeys()


def to_der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("role", CONTROL_ROLES)
def test_name_role_and_serial_number_come_from_the_certificate(role: ControlRole) -> None:
    identity = KEYS.identity("Amina El Fassi", role, serial=0xAB12)
    issued = read_control_certificate(to_der(identity.certificate))
    assert (issued.name, issued.role, issued.serial) == ("Amina El Fassi", role, "ab12")
    assert issued.public_key == identity.key.public_key()
    assert is_issued_by(issued.certificate, KEYS.authority.certificate)


@pytest.mark.parametrize(
    ("role", "lifetime", "good"),
    [
        ("operator", MAX_PERSON_LIFETIME, True),
        ("operator", MAX_PERSON_LIFETIME + timedelta(seconds=1), False),
        ("supervisor", timedelta(days=365), False),
        ("centre", MAX_CENTRE_LIFETIME, True),
        ("centre", MAX_CENTRE_LIFETIME + timedelta(seconds=1), False),
    ],
)
def test_a_certificate_ends_within_a_day_and_that_of_a_centre_within_400_days(
    role: ControlRole, lifetime: timedelta, good: bool
) -> None:
    der = to_der(KEYS.identity("x", role, lifetime=lifetime).certificate)
    if good:
        read_control_certificate(der)
    else:
        assert "valid for" in problem_of(der)


def problem_of(der: bytes) -> str:
    with pytest.raises(RefusedMessage) as refusal:
        read_control_certificate(der)
    assert refusal.value.reason == "bad_certificate"
    return str(refusal.value)


def build(
    change: Callable[[x509.CertificateBuilder], x509.CertificateBuilder] = lambda b: b,
    *,
    subject: tuple[tuple[ObjectIdentifier, str], ...] = (
        (NameOID.ORGANIZATION_NAME, "operator"),
        (NameOID.COMMON_NAME, "amina"),
    ),
    usage: str = "digital_signature",
    extended_usage: ObjectIdentifier | None = ExtendedKeyUsageOID.CLIENT_AUTH,
    is_authority: bool = False,
    key: Any = None,
) -> bytes:
    """A certificate of the authority that differs from a good one."""
    public_key = (key or Ed25519PrivateKey.generate()).public_key()
    usages = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(oid, text) for oid, text in subject]))
        .issuer_name(KEYS.authority.certificate.subject)
        .public_key(public_key)
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(hours=12))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**(usages | {usage: True})), critical=True)
    )
    if extended_usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([extended_usage]), critical=False)
    return to_der(change(builder).sign(KEYS.authority.key, None))


CN, O = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME  # noqa: E741 - the field's abbreviations


@pytest.mark.parametrize(
    ("der", "problem"),
    [
        (build(subject=((O, "operator"),)), "0 times CN"),
        (build(subject=((O, "operator"), (CN, "a"), (CN, "b"))), "2 times CN"),
        (build(subject=((CN, "amina"),)), "0 times O"),
        (build(subject=((O, "operator"), (O, "supervisor"), (CN, "a"))), "2 times O"),
        (build(subject=((O, "king"), (CN, "a"))), "O = 'king'"),
        (build(subject=((O, "operator"), (CN, "a\nb"))), "CN = 'a\\nb'"),
        (build(subject=((O, "operator"), (CN, "a\u202eb"))), "CN = "),
        (build(subject=((O, "operator"), (CN, "amina "))), "CN = 'amina ': allowed: "),
        (build(subject=((O, "operator"), (CN, "\u0430mina"))), "CN = '\\u0430mina'"),
        (build(usage="key_encipherment"), "digitalSignature"),
        (build(extended_usage=ExtendedKeyUsageOID.SERVER_AUTH), "clientAuth"),
        (build(extended_usage=None), "no extended key usage"),
        (build(is_authority=True), "one of an authority"),
        (build(key=ec.generate_private_key(ec.SECP256R1())), "not Ed25519"),
        (
            build(
                lambda b: b.add_extension(
                    x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00"),
                    critical=True,
                )
            ),
            "unknown critical extension: 1.2.3.4",
        ),
        (to_der(KEYS.authority.certificate), "0 times O"),
        (b"", "no certificate"),
        (b"\x30\x80" * 500, "no certificate"),
    ],
)
def test_another_certificate_is_none_of_a_signer(der: bytes, problem: str) -> None:
    assert problem in problem_of(der)


def test_an_unknown_extension_that_is_not_critical_is_ignored() -> None:
    extension = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    read_control_certificate(build(lambda b: b.add_extension(extension, critical=False)))


def test_an_authority_of_the_same_name_has_not_issued_it() -> None:
    other = ControlKeys()
    certificate = KEYS.identity().certificate
    assert other.authority.certificate.subject == KEYS.authority.certificate.subject
    assert not is_issued_by(certificate, other.authority.certificate)


def test_a_signer_issues_no_certificates() -> None:
    amina = KEYS.identity("amina")
    nested = ControlKeys()
    nested.authority = amina
    certificate = nested.identity("mallory", "supervisor").certificate
    assert not is_issued_by(certificate, KEYS.authority.certificate)
    with pytest.raises(RefusedMessage, match="not one of an authority"):
        check_authority(amina.certificate)


def test_an_authority_has_an_ed25519_key() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "other")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    with pytest.raises(RefusedMessage, match="not Ed25519"):
        check_authority(certificate)
    check_authority(KEYS.authority.certificate)


@pytest.mark.parametrize(
    ("offset", "good"),
    [
        (timedelta(seconds=-301), False),
        (timedelta(seconds=-300), True),
        (timedelta(hours=11), True),
        (timedelta(hours=12), False),
    ],
)
def test_a_certificate_is_valid_between_its_dates(offset: timedelta, good: bool) -> None:
    certificate = ControlKeys().identity().certificate
    if good:
        check_dates(certificate, "amina", NOW + offset)
        return
    with pytest.raises(RefusedMessage) as refusal:
        check_dates(certificate, "amina", NOW + offset)
    assert refusal.value.reason == "certificate_expired"


AMINA_KEY = Ed25519PrivateKey.generate()


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"name": "Amina"}, "a name that counts as one"),
        ({"name": "Am\u00edn-a"}, "a name that counts as one"),
        ({"name": "badr", "key": AMINA_KEY}, "one key"),
        ({"name": "badr", "serial": 0x77}, "one serial number, 77"),
        ({"name": "badr", "begin": NOW}, "one begin of their certificates, 00:00:00"),
    ],
)
def test_two_people_have_two_names_two_keys_and_certificates_of_two_times(
    changes: dict[str, Any], same: str
) -> None:
    amina = to_signer(KEYS.identity("amina", key=AMINA_KEY, serial=0x77, begin=NOW))
    other = to_signer(KEYS.identity(**changes))
    with pytest.raises(RefusedMessage) as refusal:
        check_two_people(amina, other)
    assert refusal.value.reason == "same_person"
    assert same in str(refusal.value)
    assert repr(amina.name) in str(refusal.value)
    check_two_people(amina, to_signer(KEYS.identity("badr")))


def to_signer(identity: SigningIdentity) -> ControlCertificate:
    return read_control_certificate(to_der(identity.certificate))
