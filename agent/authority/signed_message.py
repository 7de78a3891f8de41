"""Signed messages: JWS (RFC 7515) in its general JSON serialization, by one person or two. Pure.

    {"payload": "<base64url of the claims>",
     "signatures": [{"protected": "<base64url of the header>", "signature": "<base64url>"}]}

The header of each signature is protected, and has exactly three members: `alg`, `typ` (RFC 8725, 3.11: a message of one
kind is none of another) and `x5c` with the certificate of the signer, which its authority has issued directly. The claims
are one JSON object. No member is there twice, and base64 has one form only: there is one text of a signed message.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from agent.authority.refusal import RefusedMessage
from agent.base.json_decode import MalformedJson, decode_unique_json

ALGORITHM = "Ed25519"
"""EdDSA over Ed25519 under its fully specified name (RFC 9864), which deprecates `EdDSA`: that one allows Ed448 as well."""
MAX_SIGNERS = 2
SIGNATURE_BYTES = 64
MAX_CERTIFICATE_BYTES = 2048
"""DER. One that `vigie key` issues has 400."""
MAX_MESSAGE_BYTES = 65_536

MessageType = Literal[
    "vigie-command+jws",
    "vigie-config+jws",
    "vigie-ack+jws",
    "vigie-centre-state+jws",
    "vigie-revocations+jws",
    "vigie-incident+jws",
]
"""The header `typ` of each kind of message."""


class SigningIdentity(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Ed25519PrivateKey


class JwsSignature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One signature: its protected header and itself, each in base64url."""

    protected: str
    signature: str


class JwsMessage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signed message: JWS in the general JSON serialization, by one person or two.

    `payload` is the base64url of the claims. The header of a signature has `alg` (`Ed25519`), `typ` and `x5c` with one
    certificate.
    """

    payload: str
    signatures: Annotated[
        tuple[JwsSignature, ...], msgspec.Meta(min_length=1, max_length=MAX_SIGNERS)
    ]


class _Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    alg: str
    typ: str
    x5c: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=1)]


class ParsedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the allowed form whose signatures are not verified yet.

    `certificates` are those of the signers, in DER, in the order of the signatures.
    """

    jws: JwsMessage
    certificates: tuple[bytes, ...]
    claims: dict[str, Any]


def sign_message(claims: object, message_type: MessageType, *signers: SigningIdentity) -> bytes:
    """Return the signed message of one or two signers. `claims` are a struct or a dictionary."""
    members: list[jws.HeaderDict] = []
    keys: dict[str, OKPKey] = {}
    for signer in signers:
        certificate = base64.b64encode(signer.certificate.public_bytes(Encoding.DER)).decode()
        keys[certificate] = OKPKey.import_key(signer.key)
        members.append({"protected": {"alg": ALGORITHM, "typ": message_type, "x5c": [certificate]}})
    document = jws.serialize_json(
        members, msgspec.json.encode(claims), _key_finder(keys), registry=_REGISTRY
    )
    return msgspec.json.encode(msgspec.convert(document, JwsMessage))


def parse_message(
    data: bytes, message_type: MessageType, *, max_bytes: int = MAX_MESSAGE_BYTES
) -> ParsedMessage:
    """Parse a message of one kind. Raises: RefusedMessage."""
    if len(data) > max_bytes:
        raise RefusedMessage("too_large", f"{len(data)} bytes; allowed: {max_bytes}")
    try:
        document = decode_unique_json(data)
    except MalformedJson as error:
        raise RefusedMessage("malformed", f"not JSON: {error}") from error
    if not isinstance(document, dict) or "signatures" not in document:
        raise RefusedMessage("unsigned", "not signed; allowed: a JWS in JSON, of control.ca")
    try:
        message = msgspec.convert(document, JwsMessage)
    except msgspec.ValidationError as error:
        raise RefusedMessage("malformed", f"not a JWS of one or two signatures: {error}") from error
    certificates = tuple(
        _read_header(signature.protected, message_type) for signature in message.signatures
    )
    return ParsedMessage(
        jws=message, certificates=certificates, claims=_read_claims(message.payload)
    )


def verify_signatures(message: ParsedMessage, public_keys: Sequence[Ed25519PublicKey]) -> None:
    """Raise RefusedMessage unless each signature is by its key. `public_keys` are those of the certificates."""
    keys = {
        base64.b64encode(certificate).decode(): OKPKey.import_key(key)
        for certificate, key in zip(message.certificates, public_keys, strict=True)
    }
    if not all(_is_signature(signature.signature) for signature in message.jws.signatures):
        raise RefusedMessage("forged", "a signature is none of Ed25519")
    document: jws.GeneralJSONSerialization = msgspec.to_builtins(message.jws)
    try:
        jws.deserialize_json(document, _key_finder(keys), registry=_REGISTRY)
    except (JoseError, ValueError) as error:
        raise RefusedMessage("forged", "a signature does not match") from error


def read_unverified_claims(data: bytes) -> Any:
    """Return the claims of a message that is refused, to answer it, or None if none can be read."""
    try:
        message = msgspec.convert(decode_unique_json(data), JwsMessage)
        return _read_claims(message.payload)
    except (MalformedJson, msgspec.ValidationError, RefusedMessage):
        return None


_REGISTRY = jws.JWSRegistry(algorithms=[ALGORITHM])
# The default of 512 bytes has no room for a certificate. What is read is bounded before joserfc gets it.
_REGISTRY.max_header_length = MAX_CERTIFICATE_BYTES * 2
_REGISTRY.max_payload_length = 1_048_576


def _key_finder(keys: dict[str, OKPKey]) -> Any:
    """Return joserfc's lookup of the key of a signature, by the certificate in its header."""
    return lambda member: keys[member.headers()["x5c"][0]]


def _read_header(protected: str, message_type: MessageType) -> bytes:
    """Return the certificate, in DER, of a protected header that is allowed. Raises: RefusedMessage."""
    try:
        header = msgspec.convert(decode_unique_json(_decode_base64url(protected)), _Header)
    except (MalformedJson, msgspec.ValidationError) as error:
        raise RefusedMessage("malformed", f"the header of a signature: {error}") from error
    if header.alg != ALGORITHM:
        raise RefusedMessage("malformed", f"alg = {header.alg!r}; allowed: {ALGORITHM!r}")
    if header.typ != message_type:
        raise RefusedMessage("wrong_type", f"typ = {header.typ!r}; allowed here: {message_type!r}")
    (text,) = header.x5c
    try:
        certificate = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise RefusedMessage("bad_certificate", f"x5c: not base64: {error}") from error
    if base64.b64encode(certificate).decode() != text:
        raise RefusedMessage("bad_certificate", "x5c: not the base64 of RFC 4648, section 4")
    if len(certificate) > MAX_CERTIFICATE_BYTES:
        raise RefusedMessage(
            "bad_certificate", f"x5c: {len(certificate)} bytes; allowed: {MAX_CERTIFICATE_BYTES}"
        )
    return certificate


def _read_claims(payload: str) -> dict[str, Any]:
    try:
        claims = decode_unique_json(_decode_base64url(payload))
    except MalformedJson as error:
        raise RefusedMessage("malformed", f"the payload is not JSON: {error}") from error
    if not isinstance(claims, dict):
        raise RefusedMessage("malformed", "the payload is no JSON object")
    return claims


def _is_signature(text: str) -> bool:
    try:
        return len(_decode_base64url(text)) == SIGNATURE_BYTES
    except RefusedMessage:
        return False


def _decode_base64url(text: str) -> bytes:
    """Return the bytes of base64url without padding (RFC 7515, section 2). Raises: RefusedMessage."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise RefusedMessage("malformed", f"not base64url: {error}") from error
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != text:
        raise RefusedMessage("malformed", "not the base64url of RFC 7515, section 2")
    return data
