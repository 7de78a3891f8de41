"""A process that renews pairs and connects with each until it is killed: `renewal_child.py FOLDER`.

Prints a line for each that is on trial, and one for each that is kept.
"""

import sys
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.config.broker import BrokerConfig
from agent.reporting.renewal.credentials import BoxCredentials

BOX = "pole-17"
BEGIN = datetime(2026, 11, 25, tzinfo=UTC)


def make_certificate(key: ec.EllipticCurvePrivateKey, day: int) -> x509.Certificate:
    """A certificate of the box, signed by itself, that begins on a day."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, BOX)])
    begin = BEGIN + timedelta(days=day)
    return x509.CertificateBuilder(
        name, name, key.public_key(), day + 1, begin, begin + timedelta(days=90)
    ).sign(key, hashes.SHA256())


def main(folder: Path) -> None:
    broker = BrokerConfig(url="mqtts://broker", certificate=str(folder / "box.crt"), key="box.key")
    credentials = BoxCredentials(broker, folder, BOX)
    for number in count(1):
        key = credentials.load_request_key()
        credentials.begin_trial(key, (make_certificate(key, number),))
        report(f"trial {number}")
        credentials.keep_trial()
        report(f"kept {number}")


def report(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
