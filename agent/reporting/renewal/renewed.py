"""Outcome of a renewal. Pure."""

from collections.abc import Callable
from typing import TypeAlias

import msgspec


class RenewedCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """The new certificate. Times are RFC 3339, UTC; `serial` is hexadecimal."""

    not_before: str
    not_after: str
    serial: str
    issuer: str


class RenewalFailed(Exception):
    """The certificate was not renewed; the present one stays. `str(error)` is one line."""


OnRenewalEnd: TypeAlias = Callable[[RenewedCertificate | RenewalFailed], None]
RequestRenewal: TypeAlias = Callable[[str, OnRenewalEnd], bool]
"""Requests a renewal for a requester; returns False if another request waits."""
