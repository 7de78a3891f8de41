"""agent.base.device_identity: the box's own key."""

import subprocess
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.base.device_identity import KEY_FILE, DeviceIdentity


def test_a_key_is_created_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "identity"
    made, found = DeviceIdentity.load_or_create(folder), DeviceIdentity.load_or_create(folder)
    assert made.public_key_raw == found.public_key_raw
    assert (folder.stat().st_mode & 0o777, (folder / KEY_FILE).stat().st_mode & 0o777) == (
        0o700,
        0o600,
    )
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]


def test_a_signature_verifies_with_the_public_key(tmp_path: Path) -> None:
    identity = DeviceIdentity.load_or_create(tmp_path)
    public_key = Ed25519PublicKey.from_public_bytes(identity.public_key_raw)
    public_key.verify(identity.sign(b"footage"), b"footage")
    with pytest.raises(InvalidSignature):
        public_key.verify(identity.sign(b"footage"), b"other footage")


def test_a_key_file_readable_by_others_gets_its_mode_restricted(tmp_path: Path) -> None:
    DeviceIdentity.load_or_create(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    DeviceIdentity.load_or_create(tmp_path)
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600


OTHER_KIND = X25519PrivateKey.generate().private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)


def test_each_single_flipped_bit_of_the_key_file_is_found(tmp_path: Path) -> None:
    own = DeviceIdentity.load_or_create(tmp_path).public_key_raw
    data = (tmp_path / KEY_FILE).read_bytes()
    assert DeviceIdentity.load(tmp_path).public_key_raw == own  # type: ignore[union-attr] # it is there
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / KEY_FILE).write_bytes(damaged)
        assert DeviceIdentity.load(tmp_path) is None


def test_a_private_key_without_its_public_key_or_with_another_one_is_damaged(
    tmp_path: Path,
) -> None:
    DeviceIdentity.load_or_create(tmp_path / "own")
    DeviceIdentity.load_or_create(tmp_path / "other")
    path = tmp_path / "own" / KEY_FILE
    own, other = path.read_bytes(), (tmp_path / "other" / KEY_FILE).read_bytes()
    half = own.index(b"-----BEGIN PUBLIC KEY-----")
    for damaged in (own[:half], own[half:], own[:half] + other[half:], own + b"\n"):
        path.write_bytes(damaged)
        assert DeviceIdentity.load(path.parent) is None


def test_openssl_reads_both_keys_of_the_file(tmp_path: Path) -> None:
    identity = DeviceIdentity.load_or_create(tmp_path)
    for arguments in (["pkey", "-pubout"], ["pkey", "-pubin"]):
        made = subprocess.run(
            ["openssl", *arguments, "-in", tmp_path / KEY_FILE, "-outform", "DER"],
            capture_output=True,
            check=True,
            timeout=30,
        )
        assert made.stdout[-32:] == identity.public_key_raw


@pytest.mark.parametrize(
    "damaged", [b"", b"\0" * 119, OTHER_KIND], ids=["empty", "zeros", "X25519"]
)
def test_an_unreadable_key_is_set_aside_and_a_new_one_created(
    tmp_path: Path, damaged: bytes
) -> None:
    old = DeviceIdentity.load_or_create(tmp_path)
    for number in (1, 2):
        (tmp_path / KEY_FILE).write_bytes(damaged)
        new = DeviceIdentity.load_or_create(tmp_path)
        assert new.damaged_key_file == f"box.key.damaged-{number}"
        assert (tmp_path / new.damaged_key_file).read_bytes() == damaged
        assert new.public_key_raw != old.public_key_raw
    assert DeviceIdentity.load_or_create(tmp_path).damaged_key_file is None


def test_a_power_cut_during_the_creation_leaves_no_key_or_a_whole_one(tmp_path: Path) -> None:
    (tmp_path / ".box.key.making").write_bytes(b"half a k")
    identity = DeviceIdentity.load_or_create(tmp_path)
    assert identity.damaged_key_file is None
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
