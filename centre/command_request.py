"""A command as a person types it: arguments, names of files, a second signature. Pure."""

import base64
from collections.abc import Sequence
from typing import Any

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from agent.authority.certificate import (
    ControlCertificate,
    check_two_people,
    read_control_certificate,
)
from agent.authority.refusal import RefusedMessage
from agent.authority.signed_message import (
    MAX_MESSAGE_BYTES,
    JwsMessage,
    MessageType,
    ParsedMessage,
    SigningIdentity,
    parse_message,
    sign_message,
    verify_signatures,
)
from agent.base.errors import UserError
from agent.base.json_decode import MalformedJson, decode_any_json, decode_json
from agent.reporting.payloads import OnlineStatus, StatusMessage


def parse_arguments(words: Sequence[str]) -> dict[str, Any]:
    """Return the `args` of a command: of one JSON object, or of NAME=VALUE words.

    A value is JSON if it can be read as such, otherwise a text; `NAME.NAME=VALUE` is a member of an object.
    Raises: UserError.
    """
    if len(words) == 1 and words[0].lstrip().startswith("{"):
        try:
            return decode_json(words[0], dict[str, Any])
        except MalformedJson as error:
            raise UserError(f"ARGS: not a JSON object: {error}") from error
    args: dict[str, Any] = {}
    for word in words:
        path, separator, text = word.partition("=")
        *parents, name = path.split(".")
        if not separator or not all((*parents, name)):
            raise UserError(f"ARGS: {word!r}: allowed: NAME=VALUE, or one JSON object")
        target = args
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise UserError(f"ARGS: {word!r}: {parent!r} has a value already")
        if name in target:
            raise UserError(f"ARGS: {word!r}: given twice; allowed: once")
        target[name] = _parse_value(text)
    return args


def read_request(
    data: bytes, message_type: MessageType, *, max_bytes: int = MAX_MESSAGE_BYTES
) -> ParsedMessage:
    """Return a signed message that was saved. Raises: UserError if it is none."""
    try:
        return parse_message(data, message_type, max_bytes=max_bytes)
    except RefusedMessage as error:
        raise UserError(f"not a {message_type}: {error}") from error


def read_signer(request: ParsedMessage) -> ControlCertificate:
    """Return the certificate of the one person who has signed a saved message.

    Its issuer and its dates are checked by the box. Raises: UserError.
    """
    if len(request.certificates) != 1:
        raise UserError("two people have signed this already; allowed: one")
    try:
        signer = read_control_certificate(request.certificates[0])
        verify_signatures(request, [signer.public_key])
    except RefusedMessage as error:
        raise UserError(str(error)) from error
    return signer


def countersign(
    request: ParsedMessage, message_type: MessageType, identity: SigningIdentity
) -> bytes:
    """Return a signed message with the signature of a second person, over the same bytes.

    Raises: UserError if no box would take the signatures as those of two people.
    """
    try:
        second = read_control_certificate(identity.certificate.public_bytes(Encoding.DER))
        check_two_people(read_signer(request), second)
    except RefusedMessage as error:
        raise UserError(str(error)) from error
    text = request.jws.payload
    claims = msgspec.Raw(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    signed = decode_json(sign_message(claims, message_type, identity), JwsMessage)
    signatures = (*request.jws.signatures, *signed.signatures)
    return msgspec.json.encode(msgspec.structs.replace(request.jws, signatures=signatures))


def needed_session(status: StatusMessage) -> int | None:
    """Return the session that a command must name, None for a box that is away or has a trusted clock."""
    if not isinstance(status.data, OnlineStatus) or status.clock.synced:
        return None
    return status.data.session


def _parse_value(text: str) -> Any:
    try:
        return decode_any_json(text)
    except MalformedJson:
        return text
