"""Certificates of the tests' TLS servers."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CA_FILE = "ca.crt"
CA_USAGES = ("key_cert_sign", "crl_sign")
OTHER_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
    *("key_agreement", "encipher_only", "decipher_only"),
)
CA_USAGE = x509.KeyUsage(**dict.fromkeys(CA_USAGES, True), **dict.fromkeys(OTHER_USAGES, False))


class ServerCertificate:
    """An authority, and a certificate of it for a name or an address: CA_FILE, `server.crt` and `server.key`."""

    def __init__(self, folder: Path, host: str = "localhost") -> None:
        folder.mkdir(exist_ok=True)
        self.ca, self.certificate, self.key = (
            folder / file for file in (CA_FILE, "server.crt", "server.key")
        )
        ca_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        ca_id = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
        ca = (
            _builder("centre", ca_key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(CA_USAGE, critical=True)
            .add_extension(ca_id, critical=False)
        )
        authority_id = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_id)
        server = (
            _builder(host, server_key)
            .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
            .add_extension(authority_id, critical=False)
        )
        for file, builder in ((self.ca, ca), (self.certificate, server)):
            certificate = builder.sign(ca_key, hashes.SHA256())
            file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.key.write_bytes(
            server_key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


def _builder(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return x509.CertificateBuilder(
        _name("centre"),
        _name(subject),
        key.public_key(),
        x509.random_serial_number(),
        now - timedelta(days=1),
        now + timedelta(days=30),
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
