"""Login by challenge and response.

The challenge is `BOX NAME NONCE`, valid once. The response is a code of eight digits that the office
derives from the box's secret, or the signature of a technician's token. docs/console.md specifies both.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.base import atomic_file
from agent.base.errors import UserError
from agent.base.secret_file import read_secret
from agent.config.console_settings import ConsoleSettings
from agent.config.names import TECHNICIAN_NAME_PATTERN

DIGITS = 8
SECRET_BYTES = 32
NONCE_BYTES = 5
"""40 bits: eight letters, short enough for the phone."""
DOMAIN_TAG = b"vigie console 1\n"

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O or U."""
_LOOKALIKES = str.maketrans("OIL", "011")
_NONCE_PATTERN = re.compile(f"[{_ALPHABET}]{{8}}")
_BOX_ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """One challenge. Both sides compute with `message`."""

    box_id: str
    name: str
    nonce: str

    @property
    def text(self) -> str:
        """The challenge as a person reads it out: the nonce in two halves."""
        return f"{self.box_id} {self.name} {self.nonce[:4]}-{self.nonce[4:]}"

    @property
    def message(self) -> bytes:
        """The bytes that are signed, or are the input of the HMAC."""
        return DOMAIN_TAG + f"{self.box_id} {self.name} {self.nonce}".encode()


def generate_challenge(box_id: str, name: str, random_bytes: Callable[[int], bytes]) -> Challenge:
    """Make a challenge with a random nonce."""
    number = int.from_bytes(random_bytes(NONCE_BYTES), "big")
    nonce = "".join(_ALPHABET[number >> shift & 31] for shift in range(35, -1, -5))
    return Challenge(box_id=box_id, name=name, nonce=nonce)


def parse_challenge(text: str) -> Challenge:
    """Parse a challenge as typed by a person. Raises UserError."""
    parts = text.split()
    if len(parts) >= 3:  # noqa: PLR2004 - box, name, nonce
        box_id, name = parts[0].lower(), parts[1].lower()
        nonce = "".join(parts[2:]).replace("-", "").upper().translate(_LOOKALIKES)
        if (
            _BOX_ID_PATTERN.fullmatch(box_id)
            and TECHNICIAN_NAME_PATTERN.fullmatch(name)
            and _NONCE_PATTERN.fullmatch(nonce)
        ):
            return Challenge(box_id=box_id, name=name, nonce=nonce)
    raise UserError(f"challenge {text!r}: allowed: BOX NAME XXXX-XXXX, as the console shows it")


def compute_code(secret: bytes, challenge: Challenge) -> str:
    """Compute the code: HMAC-SHA-256, truncated to eight digits as in RFC 4226, section 5.3."""
    digest = hmac.digest(secret, challenge.message, hashlib.sha256)
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}d}"


def is_signature_valid(public_key: str, challenge: Challenge, answer: str) -> bool:
    """True if the answer is the token's signature in base64."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(base64.b64decode(answer, validate=True), challenge.message)
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return True


def generate_secret(random_bytes: Callable[[int], bytes]) -> str:
    """Make a secret, in the form of its file."""
    return base64.b64encode(random_bytes(SECRET_BYTES)).decode() + "\n"


def write_secret(path: Path, random_bytes: Callable[[int], bytes]) -> None:
    """Write a new secret to a new file that its owner alone may read. Raises OSError."""
    atomic_file.create_durably(path, generate_secret(random_bytes).encode(), 0o600)


class Authenticator:
    """Verifier of responses. `technicians` are the tokens' public keys by name.

    Without a secret and without technicians every response is refused.
    """

    def __init__(
        self,
        box_id: str,
        secret: bytes | None,
        technicians: Mapping[str, str],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._box_id = box_id
        self._secret = secret
        self._technicians = dict(technicians)
        self._random_bytes = random_bytes
        self._pending: Challenge | None = None

    @property
    def is_provisioned(self) -> bool:
        """True if any response can be valid."""
        return self._secret is not None or bool(self._technicians)

    def can_authenticate(self, name: str) -> bool:
        """True if a response can be valid for this name."""
        return self._secret is not None or name in self._technicians

    def issue_challenge(self, name: str) -> Challenge:
        """Make a challenge; the previous one is invalid from now on."""
        self._pending = generate_challenge(self._box_id, name, self._random_bytes)
        return self._pending

    def verify_token(self, answer: str) -> bool:
        """Return True if the answer is the signature of the name's token. If so, the challenge is used."""
        challenge = self._pending
        key = None if challenge is None else self._technicians.get(challenge.name)
        if challenge is None or key is None:
            return False
        is_valid = is_signature_valid(key, challenge, answer.replace(" ", ""))
        if is_valid:
            self._pending = None
        return is_valid

    def verify_code(self, answer: str) -> bool:
        """Return True if the answer is the code. Each challenge takes one."""
        challenge, self._pending = self._pending, None
        if challenge is None or self._secret is None:
            return False
        typed = answer.replace(" ", "").replace("-", "")
        return hmac.compare_digest(typed.encode(), compute_code(self._secret, challenge).encode())


def make_authenticator(settings: ConsoleSettings) -> tuple[Authenticator, str | None]:
    """Make the verifier of logins; and the problem of a secret's file that cannot be used."""
    problem, secret = None, None
    secret_file = Path(settings.console.secret_file)
    if secret_file.exists():
        try:
            secret = read_secret(secret_file)
        except UserError as error:
            problem = str(error)
    technicians = settings.console.technician
    id_counts = Counter(technician.id for technician in technicians)
    # An invalid configuration may have an id twice: receipts would be ambiguous, so neither may log in.
    keys = {
        technician.id: technician.public_key
        for technician in technicians
        if id_counts[technician.id] == 1
    }
    return Authenticator(settings.box_id, secret, keys, os.urandom), problem
