"""The settings file that is written to the card of a box."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.console.login import write_secret
from tests.image.footage import CAMERA_TEXT
from tests.image.outside_services import BROKER_URL

BOX = "casa-0001"
FILE_NAME = "vigie-settings.toml"
SETTINGS_TEMPLATE = """
[box]
id = "{box}"
site = "Bd Mohammed V / Rue Chaouia"
[broker]
url = "{broker}"
insecure = true
[health]
interval_s = 5
{more}
{camera}
[secrets]
"console.secret" = "{secret}"
"""


def new_secret(file: Path) -> str:
    """The office's copy of the console's secret, and its text."""
    write_secret(file, os.urandom)
    return file.read_text().strip()


def make_authority_pem() -> str:
    """An authority that signs brokers' certificates, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=365)
    ).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def good_settings_text(secret: str, extra: str = "") -> str:
    """Good ones, of a box that records without detection: what is tested is not the detector."""
    return SETTINGS_TEMPLATE.format(
        box=BOX, broker=BROKER_URL, camera=CAMERA_TEXT, secret=secret, more=extra
    )
