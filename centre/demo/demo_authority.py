"""The demo's control authority: it certifies the demo's operators, and is forgotten when the demo ends."""

from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from agent.authority.certificate import PERSON_LIFETIME, issue_certificate, make_authority
from agent.authority.signed_message import SigningIdentity
from agent.base.control_role import ControlRole
from centre.control_keys import CLOCK_TOLERANCE


class DemoAuthority:
    """Writes its certificate to `ca_file`, and keeps all keys in memory."""

    def __init__(self, ca_file: Path, now: datetime) -> None:
        """Raise OSError if the file cannot be written."""
        self.ca_file = ca_file
        self._begin = now - CLOCK_TOLERANCE
        self._end = self._begin + PERSON_LIFETIME
        key = Ed25519PrivateKey.generate()
        certificate = make_authority(
            "the demo", key, not_before=self._begin, not_after=self._end, serial=1
        )
        self._authority = SigningIdentity(certificate, key)
        self._identities: dict[tuple[str, ControlRole], SigningIdentity] = {}
        ca_file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def identity(self, name: str, role: ControlRole) -> SigningIdentity:
        """Return the key and certificate of a person or a system, the same at each call."""
        known = self._identities.get((name, role))
        if known is not None:
            return known
        number = len(self._identities) + 1
        key = Ed25519PrivateKey.generate()
        certificate = issue_certificate(
            key.public_key(),
            name,
            role,
            authority=self._authority,
            # Two people have certificates of two times.
            not_before=self._begin + timedelta(seconds=number),
            not_after=self._end,
            serial=number + 1,
        )
        return self._identities.setdefault((name, role), SigningIdentity(certificate, key))
