"""A control authority, and people and systems with certificates of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.authority.certificate import PERSON_LIFETIME, issue_certificate, make_authority
from agent.authority.control_authority import ControlAuthority
from agent.authority.signed_message import SigningIdentity
from agent.base.clock import Clock
from agent.base.control_role import ControlRole

NOW = datetime(2026, 11, 25, tzinfo=UTC)
"""The begin of `ManualClock`."""


class ControlKeys:
    """The keys of a city: its authority, and identities that it issues. `now` is when they become valid.

    The first begins five minutes before, each further one a second later, as `vigie key issue` has it.
    """

    def __init__(
        self,
        now: datetime = NOW,
        name: str = "Vigie control",
        key: Ed25519PrivateKey | None = None,
    ) -> None:
        self.now = now
        key = key or Ed25519PrivateKey.generate()
        certificate = make_authority(
            name,
            key,
            not_before=now - timedelta(days=1),
            not_after=now + timedelta(days=3650),
            serial=1,
        )
        self.authority = SigningIdentity(certificate, key)
        self._issued = 0

    def identity(
        self,
        name: str = "amina",
        role: ControlRole = "operator",
        *,
        key: Ed25519PrivateKey | None = None,
        begin: datetime | None = None,
        lifetime: timedelta = PERSON_LIFETIME,
        serial: int | None = None,
    ) -> SigningIdentity:
        """A person's or a system's certificate and key."""
        key = key or Ed25519PrivateKey.generate()
        begin = begin or self.now - timedelta(minutes=5) + timedelta(seconds=self._issued)
        self._issued += 1
        certificate = issue_certificate(
            key.public_key(),
            name,
            role,
            authority=self.authority,
            not_before=begin,
            not_after=begin + lifetime,
            serial=serial or x509.random_serial_number(),
        )
        return SigningIdentity(certificate, key)

    def write_ca(self, folder: Path) -> Path:
        """Write `control.ca` into a folder."""
        path = folder / "control-ca.pem"
        path.write_bytes(self.authority.certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def load(self, folder: Path, clock: Clock) -> ControlAuthority:
        """The box's side, with its state in a folder."""
        return ControlAuthority.load(self.write_ca(folder), folder, clock)


def command_claims(args: Any, command_id: str = "one", **changes: Any) -> dict[str, Any]:
    """The claims of a command of `ManualClock`'s first minute."""
    claims = {
        "box": "pole-17",
        "id": command_id,
        "issued": NOW,
        "expires": NOW + timedelta(seconds=60),
        "verb": "ptz",
        "args": args,
    }
    return {name: value for name, value in (claims | changes).items() if value is not None}
