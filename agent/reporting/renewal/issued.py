"""Checks of a certificate that a server has issued, before it replaces the present one. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

MAX_CHAIN = 4
CLOCK_TOLERANCE = timedelta(minutes=5)


class NotUsable(ValueError):
    """The answer has no certificate that may replace the present one. `str(error)` is one line."""


def select_issued(
    certificates: Sequence[x509.Certificate],
    key: ec.EllipticCurvePrivateKey,
    current: x509.Certificate,
    authorities: Sequence[x509.Certificate],
    now: datetime,
) -> tuple[x509.Certificate, ...]:
    """Return the certificate for this key and the intermediate ones up to a pinned authority.

    It has the name of the present one, is valid now, and for longer. Raises: NotUsable.
    """
    issued = next((one for one in certificates if _is_for_key(one, key)), None)
    if issued is None:
        raise NotUsable("the answer has no certificate for the key of the request")
    try:
        same_name = issued.subject == current.subject
    except ValueError as error:
        raise NotUsable(f"its name cannot be read: {error}") from error
    if not same_name:
        raise NotUsable("its name is not that of the present certificate")
    if not issued.not_valid_before_utc - CLOCK_TOLERANCE <= now <= issued.not_valid_after_utc:
        raise NotUsable(
            f"valid from {issued.not_valid_before_utc:%Y-%m-%d %H:%M} to "
            f"{issued.not_valid_after_utc:%Y-%m-%d %H:%M}, not now"
        )
    if issued.not_valid_after_utc <= current.not_valid_after_utc:
        raise NotUsable(
            f"it ends on {issued.not_valid_after_utc:%Y-%m-%d %H:%M}, not after the present one"
        )
    chain = [issued]
    while not any(_is_issued_by(chain[-1], authority) for authority in authorities):
        issuer = next(
            (one for one in certificates if one not in chain and _is_issued_by(chain[-1], one)),
            None,
        )
        if issuer is None or len(chain) == MAX_CHAIN:
            raise NotUsable("it is not signed by broker.ca")
        chain.append(issuer)
    return tuple(chain)


def renewal_time(certificate: x509.Certificate, early_ratio: float) -> datetime:
    """Return when to renew: at two thirds of its life, less this ratio of it."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin + (end - begin) * (2 / 3 - early_ratio)


def _is_for_key(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bool:
    try:
        return certificate.public_key() == key.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
