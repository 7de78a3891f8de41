"""Claims of a message whose signature this side cannot verify, for lack of the control authority. Pure.

They decide nothing: the box verifies what it obeys.
"""

import base64
import binascii
from typing import TypeVar

from agent.authority.signed_message import JwsMessage
from agent.reporting import topics

T = TypeVar("T")


def decode_unverified(payload: bytes, claims_type: type[T]) -> T | None:
    """Return the claims of a signed or an unsigned message, or None if it has none of this type."""
    signed = topics.decode_as(JwsMessage, payload)
    if signed is not None:
        try:
            payload = base64.urlsafe_b64decode(signed.payload + "=" * (-len(signed.payload) % 4))
        except (binascii.Error, ValueError):
            return None
    return topics.decode_as(claims_type, payload)
