"""agent.base.signed_manifest: one form of sums and signatures is accepted, and no other."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.base.signed_manifest import BadManifest, check_signature, decode_sums, encode_sums

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC_KEY = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
OTHER_KEY = base64.b64encode(bytes(32)).decode()
SUM = b"a" * 64


def test_sums_are_read_back_as_they_were_written() -> None:
    sums = {"b.mp4": "a" * 64, "a b": "0" * 64}
    data = encode_sums(sums)
    assert data.startswith(b"0" * 64 + b"  a b\n")
    assert decode_sums(data) == {path.encode(): sum_ for path, sum_ in sums.items()}


@pytest.mark.parametrize(
    ("data", "location"),
    [
        (SUM + b"  a", "SHA256SUMS"),
        (SUM + b" a\n", "SHA256SUMS:1"),
        (SUM.upper() + b"  a\n", "SHA256SUMS:1"),
        (SUM + b"  a\n\n", "SHA256SUMS:2"),
        (SUM + b"  a\n" + SUM + b"  a\n", "SHA256SUMS:2"),
        (SUM + b"  SHA256SUMS\n", "SHA256SUMS:1"),
    ],
)
def test_any_other_form_of_sums_is_refused(data: bytes, location: str) -> None:
    with pytest.raises(BadManifest) as refused:
        decode_sums(data)
    assert refused.value.location == location


def test_a_signature_is_valid_for_its_bytes_and_its_key_only() -> None:
    signature = KEY.sign(b"sums")
    check_signature("sums", b"sums", signature, PUBLIC_KEY, None)
    check_signature("sums", b"sums", signature, PUBLIC_KEY, PUBLIC_KEY)
    for args, reason in (
        ((b"sums ", signature, PUBLIC_KEY, None), "is not the signature of sums"),
        ((b"sums", signature[:-1], PUBLIC_KEY, None), "is not the signature of sums"),
        ((b"sums", signature, OTHER_KEY, None), "is not the signature of sums"),
        ((b"sums", signature, "no key", None), "is not the signature of sums"),
        ((b"sums", signature, PUBLIC_KEY, OTHER_KEY), "is not the known key"),
    ):
        with pytest.raises(BadManifest, match=reason):
            check_signature("sums", *args)
