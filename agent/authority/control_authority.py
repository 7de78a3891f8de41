"""The control authorities of a box: verification of signed messages, and its counts for health."""

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Collection
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from agent.authority import certificate as certificates
from agent.authority.certificate import ControlCertificate
from agent.authority.refusal import RefusalReason, RefusedMessage
from agent.authority.revocation import MAX_REVOCATIONS_BYTES, RevocationList, RevocationStore
from agent.authority.signed_message import (
    MAX_MESSAGE_BYTES,
    MessageType,
    ParsedMessage,
    parse_message,
    verify_signatures,
)
from agent.base.clock import Clock
from agent.base.control_role import CONTROL_ROLES, ControlRole
from agent.base.errors import UserError
from agent.base.file_read import MAX_PEM_BYTES, read_regular_file
from agent.base.health_model import ControlHealth
from agent.base.message import Message, message_of
from agent.base.pem import load_authorities
from agent.base.sha256 import sha256_hex

log = logging.getLogger(__name__)

MAX_CACHED_CERTIFICATES = 256
"""Certificates whose issuer was found. A signature of Ed25519 costs more than the rest of a verification."""


class Signer(msgspec.Struct, frozen=True, kw_only=True):
    """The person or system that signed a message: subject and serial number of the certificate."""

    name: str
    role: ControlRole
    serial: str


class SignedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A verified message: its claims, and one signer or two of different names and keys."""

    claims: dict[str, Any]
    signers: tuple[Signer, ...]


class _Authority(NamedTuple):
    id: str
    certificate: x509.Certificate


class _IssuedCertificate(NamedTuple):
    issued: ControlCertificate
    authority: _Authority


class ControlAuthority:
    """Verifies signed messages for one box. Thread-safe."""

    def __init__(
        self,
        authorities: Collection[x509.Certificate],
        revocations: RevocationStore,
        clock: Clock,
    ) -> None:
        self._authorities = tuple(
            _Authority(sha256_hex(authority.public_bytes(Encoding.DER)), authority)
            for authority in authorities
        )
        self._revocations = revocations
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _IssuedCertificate] = OrderedDict()
        self._refusals: Counter[RefusalReason] = Counter()

    @classmethod
    def load(cls, ca_file: Path, state_dir: Path, clock: Clock) -> "ControlAuthority":
        """Read `control.ca` and the stored revocation lists. Raises: UserError."""
        return cls(read_authorities(ca_file), RevocationStore(state_dir), clock)

    def verify(
        self,
        data: bytes,
        message_type: MessageType,
        *,
        roles: Collection[ControlRole] = CONTROL_ROLES,
        max_bytes: int = MAX_MESSAGE_BYTES,
        needs_revocations: bool = True,
    ) -> SignedMessage:
        """Return a message of one kind whose signers all have one of `roles`.

        Unless it `needs_revocations`, it passes if the revocation list is lost. Raises: RefusedMessage, which is counted.
        """
        try:
            message = self._verify(data, message_type, roles, max_bytes)
            if needs_revocations:
                self._check_revocations()
            return message  # noqa: TRY300 - one handler for all
        except RefusedMessage as refusal:
            self.count_refusal(refusal.reason)
            raise

    def take_revocations(self, data: bytes) -> None:
        """Take a revocation list. A refused one is logged and counted; an empty one, of a topic that was cleared, is none."""
        if not data:
            return
        try:
            self._take_revocations(data)
        except RefusedMessage as refusal:
            self.count_refusal(refusal.reason)
            log.warning("a revocation list is refused, %s: %s", refusal.reason, refusal)

    def check_revocations(self) -> None:
        """Raise RefusedMessage, which is counted, if the revocation list is lost."""
        try:
            self._check_revocations()
        except RefusedMessage as refusal:
            self.count_refusal(refusal.reason)
            raise

    def count_refusal(self, reason: RefusalReason) -> None:
        """Count a message that its receiver refuses."""
        with self._lock:
            self._refusals[reason] += 1

    def health(self) -> ControlHealth:
        """Return the counts since the start."""
        with self._lock:
            refused = dict(self._refusals)
        return ControlHealth(
            refused={str(reason): count for reason, count in sorted(refused.items())},
            revocation_list=max(self._revocations.numbers().values(), default=None),
        )

    def _verify(
        self,
        data: bytes,
        message_type: MessageType,
        roles: Collection[ControlRole],
        max_bytes: int,
    ) -> SignedMessage:
        message = parse_message(data, message_type, max_bytes=max_bytes)
        signers = tuple(self._check_certificate(der) for der in message.certificates)
        for first, second in pairwise(signers):
            certificates.check_two_people(first, second)
        verify_signatures(message, [signer.public_key for signer in signers])
        for signer in signers:
            if signer.role not in roles:
                raise RefusedMessage(
                    "wrong_role",
                    f"{signer.name!r} has the role {signer.role}; allowed: {', '.join(roles)}",
                )
        return SignedMessage(
            claims=message.claims,
            signers=tuple(
                Signer(name=signer.name, role=signer.role, serial=signer.serial)
                for signer in signers
            ),
        )

    def _check_revocations(self) -> None:
        if self._revocations.is_lost:
            raise RefusedMessage(
                "revocations_lost",
                "the stored revocation list is lost; allowed: after the authority's list has come",
            )

    def _take_revocations(self, data: bytes) -> None:
        message = parse_message(data, "vigie-revocations+jws", max_bytes=MAX_REVOCATIONS_BYTES)
        authority = self._sole_authority(message)
        verify_signatures(message, [authority.certificate.public_key()])  # type: ignore[list-item] # by read_authorities
        try:
            received = msgspec.convert(message.claims, RevocationList)
        except msgspec.ValidationError as error:
            raise RefusedMessage("malformed", f"not a revocation list: {error}") from error
        self._revocations.replace(authority.id, received)

    def _sole_authority(self, message: ParsedMessage) -> _Authority:
        """Return the authority that alone has signed a message with its own key. Raises: RefusedMessage."""
        ids = [sha256_hex(der) for der in message.certificates]
        for authority in self._authorities:
            if [authority.id] == ids:
                return authority
        raise RefusedMessage("unknown_authority", "not signed by one authority of control.ca alone")

    def _check_certificate(self, der: bytes) -> ControlCertificate:
        """Return the certificate if it is valid now. Raises: RefusedMessage."""
        found = self._find_issued(der)
        now = self._trusted_now()
        if now is not None:
            certificates.check_dates(found.issued.certificate, found.issued.name, now)
            certificates.check_dates(found.authority.certificate, "its authority", now)
        if self._revocations.is_revoked(found.authority.id, found.issued.serial):
            raise RefusedMessage(
                "revoked",
                f"the certificate {found.issued.serial} of {found.issued.name!r} is revoked",
            )
        return found.issued

    def _find_issued(self, der: bytes) -> _IssuedCertificate:
        digest = sha256_hex(der)
        with self._lock:
            found = self._known.get(digest)
            if found is not None:
                self._known.move_to_end(digest)
                return found
        issued = certificates.read_control_certificate(der)
        for authority in self._authorities:
            if certificates.is_issued_by(issued.certificate, authority.certificate):
                break
        else:
            raise RefusedMessage(
                "unknown_authority",
                f"the certificate of {issued.name!r} is not issued by an authority of control.ca",
            )
        found = _IssuedCertificate(issued, authority)
        with self._lock:
            self._known[digest] = found
            while len(self._known) > MAX_CACHED_CERTIFICATES:
                self._known.popitem(last=False)
        return found

    def _trusted_now(self) -> datetime | None:
        """Return UTC, or None while the clock is not trusted: then no certificate counts as expired."""
        if not self._clock.trust().synced:
            return None
        return self._clock.utc(self._clock.boottime_ns())


def read_authorities(ca_file: Path) -> list[x509.Certificate]:
    """Return the authorities of the file `control.ca`. Raises: UserError."""
    label = f"control.ca = {str(ca_file)!r}"
    try:
        authorities = load_authorities(read_regular_file(ca_file, MAX_PEM_BYTES), label)
    except OSError as error:
        raise UserError(
            Message("{label}: {problem}", label=label, problem=error.strerror or str(error))
        ) from error
    for authority in authorities:
        try:
            certificates.check_authority(authority)
        except RefusedMessage as refusal:
            raise UserError(
                Message("{label}: {problem}", label=label, problem=message_of(refusal))
            ) from refusal
    return authorities
