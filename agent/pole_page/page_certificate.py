"""The page's own certificate: made when the page is turned on, valid for a day, and gone with the process.

It is signed by itself, so a browser warns of it. The technician compares its fingerprint with the one at the console. A
certificate of a public authority would need a public name and a connection to it.
"""

import ipaddress
import os
import ssl
import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALIDITY = timedelta(days=1)
"""In each direction: a phone may be some hours ahead of a box, or behind it."""


class PageCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate and its key in PEM. `fingerprint` is the SHA-256 of the certificate in hex."""

    certificate_pem: bytes
    key_pem: bytes
    fingerprint: str


def make_certificate(box_id: str, addresses: Sequence[str], now: datetime) -> PageCertificate:
    """Return a new certificate of a box for its addresses. Its key is ECDSA P-256: every phone accepts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, box_id)])
    names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALIDITY)
        .not_valid_after(now + VALIDITY)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), *names]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return PageCertificate(
        certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
        key_pem=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
    )


def make_tls_context(certificate: PageCertificate, runtime_dir: Path) -> ssl.SSLContext:
    """Return the server's TLS context: TLS 1.2 or later. Raises OSError.

    OpenSSL reads keys from files only, so the key is in a file of mode 0600 for a moment, in `runtime_dir`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A renegotiation costs the server more than the client.
    context.options |= ssl.OP_NO_RENEGOTIATION
    with tempfile.TemporaryDirectory(prefix="tls-", dir=runtime_dir) as folder:
        path = Path(folder) / "page.pem"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(certificate.key_pem + certificate.certificate_pem)
        context.load_cert_chain(path)
    return context
