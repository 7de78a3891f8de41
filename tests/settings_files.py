"""Settings files of boxes, good ones to begin with, and the certificates that go into them."""

import base64
import tomllib
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.config import toml_writer

BOX = "casa-0001"
CONSOLE_SECRET = base64.b64encode(b"a secret of thirty-two bytes, so").decode()
PASSWORD = "correct horse battery"  # noqa: S105 - not a real secret
_PEM = serialization.Encoding.PEM


def make_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def to_private_pem(private_key: ec.EllipticCurvePrivateKey) -> str:
    private_format, no_encryption = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return private_key.private_bytes(_PEM, private_format, no_encryption).decode()


class CertificateAuthority:
    """The authority that signs the certificates of the broker and of boxes."""

    def __init__(self) -> None:
        self._key = make_key()
        self.pem = self._sign("centre", self._key.public_key())

    def sign(self, name: str, public_key: ec.EllipticCurvePublicKey) -> str:
        """A certificate for an unrelated key."""
        return self._sign(name, public_key)

    def sign_request(self, request_pem: str) -> str:
        """A certificate for a request."""
        request = x509.load_pem_x509_csr(request_pem.encode())
        (name,) = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        public_key = request.public_key()
        assert isinstance(public_key, ec.EllipticCurvePublicKey)
        return self._sign(str(name.value), public_key)

    def _sign(self, name: str, public_key: ec.EllipticCurvePublicKey) -> str:
        def to_name(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        certificate = (
            x509.CertificateBuilder()
            .subject_name(to_name(name))
            .issuer_name(to_name("centre"))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
            .add_extension(x509.BasicConstraints(ca=name == "centre", path_length=None), True)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(_PEM).decode()


CENTRE_AUTHORITY = CertificateAuthority()

GOOD_SETTINGS = f"""
[box]
id = "{BOX}"
site = "Bd Mohammed V / Rue Chaouia"

[broker]
url = "mqtts://centre.example:8883"
ca = "ca.pem"
certificate = "box.pem"
key = "box.key"

[[camera]]
name = "north"
driver = "rtsp"
[camera.options]
url = "rtsp://10.0.0.21/main"
username = "vigie"
password_file = "north.password"
[camera.detect]
scene = "north.scene.toml"

[time]
servers = ["pool.ntp.org"]

[files]
"ca.pem" = '''
{CENTRE_AUTHORITY.pem}'''
"north.scene.toml" = '''
[[line]]
name = "stop"
from = [0.1, 0.5]
to = [0.9, 0.5]
'''

[secrets]
"console.secret" = "{CONSOLE_SECRET}"
"north.password" = "{PASSWORD}"
"""


def changed_settings(**tables: dict[str, Any]) -> bytes:
    """The good file with keys of some tables set, or taken out with None."""
    settings = tomllib.loads(GOOD_SETTINGS)
    for table, keys in tables.items():
        settings.setdefault(table, {})
        for name, value in keys.items():
            settings[table][name] = value
            if value is None:
                del settings[table][name]
    return toml_writer.dumps(settings).encode()
