"""agent.authority.signed_message: one form of a signed message, and everything else is refused. No I/O."""

import base64
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from agent.authority.refusal import RefusedMessage
from agent.authority.signed_message import (
    MAX_MESSAGE_BYTES,
    parse_message,
    read_unverified_claims,
    sign_message,
    verify_signatures,
)
from tests.authority_rig import ControlKeys

KEYS = ControlKeys()
AMINA, BADR = KEYS.identity("amina"), KEYS.identity("badr")
CLAIMS = {"box": "pole-17", "id": "one", "args": {"do": "list"}}
SIGNED = sign_message(CLAIMS, "vigie-command+jws", AMINA)
TWICE = sign_message(CLAIMS, "vigie-command+jws", AMINA, BADR)


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def reason_of(data: bytes) -> str:
    with pytest.raises(RefusedMessage) as refusal:
        parse_message(data, "vigie-command+jws")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400
    return refusal.value.reason


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The signed message after a change of its document."""
    document = msgspec.json.decode(SIGNED)
    change(document)
    return msgspec.json.encode(document)


def with_header(**changes: Any) -> bytes:
    """The signed message with other members in its protected header; None removes one."""

    def change(document: dict[str, Any]) -> None:
        signature = document["signatures"][0]
        header = msgspec.json.decode(decode(signature["protected"])) | changes
        header = {name: value for name, value in header.items() if value is not None}
        signature["protected"] = encode(msgspec.json.encode(header))

    return changed(change)


def with_raw(payload: bytes | None = None, header: bytes | None = None) -> bytes:
    """The signed message with other bytes in its payload or header."""

    def change(document: dict[str, Any]) -> None:
        if payload is not None:
            document["payload"] = encode(payload)
        if header is not None:
            document["signatures"][0]["protected"] = encode(header)

    return changed(change)


def test_what_was_signed_is_read_and_verified() -> None:
    for data, keys in ((SIGNED, [AMINA.key]), (TWICE, [AMINA.key, BADR.key])):
        message = parse_message(data, "vigie-command+jws")
        assert message.claims == CLAIMS
        assert len(message.certificates) == len(keys)
        verify_signatures(message, [key.public_key() for key in keys])


def test_the_form_is_that_of_rfc_7515() -> None:
    document = msgspec.json.decode(SIGNED)
    assert set(document) == {"payload", "signatures"}
    (signature,) = document["signatures"]
    assert set(signature) == {"protected", "signature"}
    header = msgspec.json.decode(decode(signature["protected"]))
    assert (header["alg"], header["typ"]) == ("Ed25519", "vigie-command+jws")
    # RFC 8032 over the signing input of RFC 7515, section 5.1, without the library that signed.
    signing_input = f"{signature['protected']}.{document['payload']}".encode()
    AMINA.key.public_key().verify(decode(signature["signature"]), signing_input)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "malformed"),
        (b"\xff", "malformed"),
        (b"[" * 10_000, "malformed"),
        (b"7", "unsigned"),
        (b"{}", "unsigned"),
        (msgspec.json.encode(CLAIMS), "unsigned"),
        (b" " * (MAX_MESSAGE_BYTES + 1), "too_large"),
        (SIGNED.replace(b'{"payload"', b'{"payload":"e30","payload"'), "malformed"),
        (SIGNED.replace(b'{"protected"', b'{"\\u0070rotected":"e30","protected"'), "malformed"),
        (changed(lambda d: d.update(header={"kid": "x"})), "malformed"),
        (changed(lambda d: d["signatures"][0].update(header={"kid": "x"})), "malformed"),
        (changed(lambda d: d.update(protected=d["signatures"][0]["protected"])), "malformed"),
        (changed(lambda d: d.update(signatures=[])), "malformed"),
        (changed(lambda d: d.update(signatures=d["signatures"] * 3)), "malformed"),
        (changed(lambda d: d.update(payload=None)), "malformed"),
        (changed(lambda d: d.pop("payload")), "malformed"),
        (changed(lambda d: d["signatures"][0].pop("protected")), "malformed"),
        (changed(lambda d: d.update(payload=d["payload"] + "=")), "malformed"),
        (changed(lambda d: d.update(payload=d["payload"] + "\n")), "malformed"),
        (changed(lambda d: d.update(payload="e3 0")), "malformed"),
        (changed(lambda d: d.update(payload="e31")), "malformed"),
        (with_raw(payload=b'{"a":1,"a":2}'), "malformed"),
        (with_raw(payload=b'{"args":{"a":1,"a":2}}'), "malformed"),
        (with_raw(payload=b"[]"), "malformed"),
        (with_raw(payload=b'{"a":NaN}'), "malformed"),
        (with_raw(payload=b'{"a":"\\ud800"}'), "malformed"),
        (with_raw(payload=b"\xfe\xff\x00{\x00}"), "malformed"),
        (with_raw(header=b'{"alg":"Ed25519","alg":"none"}'), "malformed"),
        (with_header(alg="none"), "malformed"),
        (with_header(alg="EdDSA"), "malformed"),
        (with_header(alg="HS256"), "malformed"),
        (with_header(alg=None), "malformed"),
        (with_header(crit=["exp"], exp=1), "malformed"),
        (with_header(b64=False), "malformed"),
        (with_header(kid="x"), "malformed"),
        (with_header(jku="https://example.org/keys"), "malformed"),
        (with_header(typ="vigie-ack+jws"), "wrong_type"),
        (with_header(typ="VIGIE-COMMAND+JWS"), "wrong_type"),
        (with_header(typ=None), "malformed"),
        (with_header(typ=f"x\n{'y' * 9000}"), "wrong_type"),
        (with_header(x5c=None), "malformed"),
        (with_header(x5c=[]), "malformed"),
        (with_header(x5c=["AAAA", "AAAA"]), "malformed"),
        (with_header(x5c=["A-_A"]), "bad_certificate"),
        (with_header(x5c=["AAAA\n"]), "bad_certificate"),
        (with_header(x5c=["AAB="]), "bad_certificate"),
        (with_header(x5c=["A" * 4000]), "bad_certificate"),
    ],
)
def test_any_other_form_is_refused(data: bytes, reason: str) -> None:
    assert reason_of(data) == reason


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (with_raw(payload=b'{"box":"pole-18"}'), [AMINA]),
        (SIGNED, [BADR]),
        (TWICE, [BADR, AMINA]),
        (TWICE, [AMINA, KEYS.identity("amina")]),
        (changed(lambda d: d["signatures"][0].update(signature="")), [AMINA]),
        (changed(lambda d: d["signatures"][0].update(signature="A" * 86)), [AMINA]),
        (changed(lambda d: d["signatures"][0].update(signature="A" * 5000)), [AMINA]),
        (changed(lambda d: d["signatures"][0].update(signature="é")), [AMINA]),
    ],
)
def test_a_signature_that_does_not_match_is_forged(data: bytes, keys: list[Any]) -> None:
    message = parse_message(data, "vigie-command+jws")
    with pytest.raises(RefusedMessage) as refusal:
        verify_signatures(message, [identity.key.public_key() for identity in keys])
    assert refusal.value.reason == "forged"


def test_each_flipped_bit_of_a_message_is_refused() -> None:
    key = AMINA.key.public_key()
    accepted = 0
    for position in range(0, len(SIGNED), 7):
        data = bytearray(SIGNED)
        data[position] ^= 1 << position % 7
        try:
            verify_signatures(parse_message(bytes(data), "vigie-command+jws"), [key])
        except RefusedMessage:
            continue
        accepted += 1
    assert accepted == 0


def test_another_key_has_not_signed_it() -> None:
    message = parse_message(SIGNED, "vigie-command+jws")
    with pytest.raises(RefusedMessage):
        verify_signatures(message, [Ed25519PrivateKey.generate().public_key()])
    with pytest.raises(RefusedMessage):
        verify_signatures(message, [Ed25519PublicKey.from_public_bytes(bytes(32))])


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_and_have_no_claims(data: bytes) -> None:
    with pytest.raises(RefusedMessage):
        parse_message(data, "vigie-command+jws")
    assert read_unverified_claims(data) is None


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.none() | st.booleans() | st.text(max_size=8) | st.integers(-(2**53), 2**53),
        max_size=5,
    )
)
def test_any_claims_are_read_as_they_were_signed(claims: dict[str, Any]) -> None:
    message = parse_message(sign_message(claims, "vigie-ack+jws", AMINA), "vigie-ack+jws")
    verify_signatures(message, [AMINA.key.public_key()])
    assert message.claims == claims


def test_the_claims_of_a_refused_message_can_be_read_to_answer_it() -> None:
    assert read_unverified_claims(with_header(alg="none")) == CLAIMS
    assert read_unverified_claims(msgspec.json.encode(CLAIMS)) is None
