"""Checks of a certificate that a server has issued, before it is tried in place of the present one. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from agent.base.pem import FIELD_ERRORS

MAX_INTERMEDIATES = 3
MAX_LIFETIME = timedelta(days=400)
"""As of the certificate of a centre: one that is stolen ends by itself."""
CLOCK_TOLERANCE = timedelta(minutes=5)
"""The clock of the authority may be ahead by this."""
_MAX_REASON_CHARS, _MAX_SHOWN_CHARS = 300, 80


class NotUsable(ValueError):
    """The answer has no certificate that may replace the present one. `str(error)` is one line."""


def select_issued(
    certificates: Sequence[x509.Certificate],
    key: ec.EllipticCurvePrivateKey,
    current: x509.Certificate,
    box_id: str,
    authorities: Sequence[x509.Certificate],
    now: datetime,
) -> tuple[x509.Certificate, ...]:
    """Return the certificate for this key and the intermediate ones up to a pinned authority.

    It is one of a TLS client with the names of the present one, is valid now, for longer than that, and for MAX_LIFETIME
    at most. Raises: NotUsable.
    """
    issued = next((one for one in certificates if _is_for_key(one, key)), None)
    if issued is None:
        raise NotUsable("the answer has no certificate for the key of the request")
    try:
        _check_names(issued, current, box_id)
        _check_validity(issued, current, now)
        return _verify_path(issued, certificates, authorities, now)
    except (VerificationError, *FIELD_ERRORS) as error:
        if isinstance(error, NotUsable):
            raise
        raise NotUsable(_one_line(error)) from error


def renewal_time(certificate: x509.Certificate, early_ratio: float) -> datetime:
    """Return when to renew: at two thirds of its life, less this ratio of it."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin + (end - begin) * (2 / 3 - early_ratio)


def _check_names(issued: x509.Certificate, current: x509.Certificate, box_id: str) -> None:
    names = [str(name.value) for name in issued.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [box_id]:
        shown = ", ".join(names)[:_MAX_SHOWN_CHARS]
        raise NotUsable(f"its name is {shown!r}; allowed: {box_id!r}, as box.id")
    if issued.subject != current.subject:
        raise NotUsable("its name is not that of the present certificate")
    if _alternative_names(issued) != _alternative_names(current):
        raise NotUsable("its alternative names are not those of the present certificate")


def _check_validity(issued: x509.Certificate, current: x509.Certificate, now: datetime) -> None:
    begin, end = issued.not_valid_before_utc, issued.not_valid_after_utc
    if not begin - CLOCK_TOLERANCE <= now <= end:
        raise NotUsable(f"valid from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}, not now")
    if end - begin > MAX_LIFETIME:
        raise NotUsable(
            f"it is valid for {(end - begin).days} days; allowed: {MAX_LIFETIME.days} days"
        )
    if end <= current.not_valid_after_utc:
        raise NotUsable(f"it ends on {end:%Y-%m-%d %H:%M}, not after the present one")


def _verify_path(
    issued: x509.Certificate,
    certificates: Sequence[x509.Certificate],
    authorities: Sequence[x509.Certificate],
    now: datetime,
) -> tuple[x509.Certificate, ...]:
    """Return the path to a pinned authority without that one (RFC 5280, 6).

    Raises: VerificationError, or one of FIELD_ERRORS.
    """
    verifier = (
        PolicyBuilder()
        .store(Store(list(authorities)))
        .time(max(now, issued.not_valid_before_utc))
        .max_chain_depth(MAX_INTERMEDIATES)
        .extension_policies(
            ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=_CLIENT_POLICY
        )
        .build_client_verifier()
    )
    intermediates = [one for one in certificates if one != issued]
    return tuple(verifier.verify(issued, intermediates).chain[:-1])


def _check_basic_constraints(
    _policy: Policy, _certificate: x509.Certificate, constraints: x509.BasicConstraints | None
) -> None:
    if constraints is not None and constraints.ca:
        raise NotUsable("it is one of an authority")


def _check_key_usage(_policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage) -> None:
    if not usage.digital_signature or usage.key_cert_sign or usage.crl_sign:
        raise NotUsable("its key usage is not digitalSignature")


def _check_extended_key_usage(
    _policy: Policy, _certificate: x509.Certificate, usage: x509.ExtendedKeyUsage
) -> None:
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise NotUsable("its extended key usage is not clientAuth")


_CLIENT_POLICY = (
    # Any extension may be there, as long as it is not critical or the library knows it.
    ExtensionPolicy.permit_all()
    .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, _check_basic_constraints)
    .require_present(x509.KeyUsage, Criticality.AGNOSTIC, _check_key_usage)
    .require_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _check_extended_key_usage)
)


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _is_for_key(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bool:
    try:
        return certificate.public_key() == key.public_key()
    except FIELD_ERRORS:
        return False


def _one_line(error: Exception) -> str:
    line = " ".join(str(error).split())[:_MAX_REASON_CHARS]
    return "".join(char if char.isprintable() else "?" for char in line)
