"""The error that refuses a signed message, and its reasons, which health counts. Pure."""

from typing import Literal

RefusalReason = Literal[
    "unsigned",
    "too_large",
    "malformed",
    "wrong_type",
    "bad_certificate",
    "unknown_authority",
    "certificate_expired",
    "revoked",
    "revocations_lost",
    "forged",
    "same_person",
    "wrong_role",
    "other_box",
    "other_verb",
    "other_centre",
    "stale",
    "early",
    "other_session",
    "old_number",
]
"""Why a signed message is refused.

unsigned             it has no signature
too_large            it has more bytes than its kind may have
malformed            it is no JWS of the allowed form, or its claims do not match their schema
wrong_type           it was signed as another kind of message
bad_certificate      its certificate is none, or not one of a signer
unknown_authority    no authority of control.ca has issued the certificate
certificate_expired  the certificate is not valid now
revoked              the revocation list names the certificate
revocations_lost     the stored revocation list is lost, and none has come since; a stop passes
forged               a signature does not match
same_person          two signatures are of one person
wrong_role           the role of a signer does not permit it
other_box            it is for another box
other_verb           it is a command of another topic
other_centre         it is on the topic of another centre than the one that signed it
stale                it has expired, or is valid for too long
early                it was issued in the future
other_session        it names another session than the present one, or none though the clock is not trusted
old_number           a revocation list with a number that was exceeded already
"""


class RefusedMessage(Exception):
    """A message is refused for `reason`; `str(error)` is one line, which may quote the message."""

    def __init__(self, reason: RefusalReason, message: str) -> None:
        super().__init__(_one_line(message))
        self.reason: RefusalReason = reason


_MAX_CHARS = 300


def _one_line(message: str) -> str:
    """Return a text of bounded length without control characters."""
    text = " ".join(message.split())
    text = "".join(char if char.isprintable() else "?" for char in text[: _MAX_CHARS + 1])
    return text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]} ..."
