"""agent.pole_page.page_service: a new certificate for each page, whose key is on no disk."""

import hashlib
import ipaddress
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.pole_page.page_service import make_certificate, make_tls_context

NOW = datetime(2026, 11, 25, tzinfo=UTC)
ADDRESSES = ("192.168.4.1", "fd00::1")


def test_the_certificate_is_of_the_boxs_addresses_and_valid_for_a_day() -> None:
    made = make_certificate("casa-0001", ADDRESSES, NOW)
    (certificate,) = x509.load_pem_x509_certificates(made.certificate_pem)
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == list(map(ipaddress.ip_address, ADDRESSES))
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.not_valid_before_utc <= NOW <= certificate.not_valid_after_utc
    validity = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert validity <= timedelta(days=2)
    der = ssl.PEM_cert_to_DER_cert(made.certificate_pem.decode())
    assert made.fingerprint == hashlib.sha256(der).hexdigest()


def test_each_page_has_a_key_of_its_own() -> None:
    made = {make_certificate("casa-0001", ADDRESSES, NOW).fingerprint for _ in range(3)}
    assert len(made) == 3


def test_the_key_is_readable_by_its_user_alone_and_gone_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []

    load = ssl.SSLContext.load_cert_chain

    def record(context: ssl.SSLContext, path: Path) -> None:
        modes.extend(stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent))
        load(context, path)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", record)
    context = make_tls_context(make_certificate("casa-0001", ADDRESSES, NOW), tmp_path)
    assert modes == [0o600, 0o700]
    assert list(tmp_path.iterdir()) == []
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
