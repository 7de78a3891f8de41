"""agent.update.verity: the payload of a bundle against its signed root, as in dm-verity."""

import hashlib
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.update import verity
from agent.update.verity import BLOCK_BYTES, SignedPayload, UpdateBundleCorrupt

SALT = bytes(range(32))
CMS = b"a signed manifest"


def tree(payload: bytes) -> tuple[bytes, str]:
    """As in the kernel's documentation, level by level from the root."""

    def hashed(block: bytes) -> bytes:
        return hashlib.sha256(SALT + block).digest()

    levels, level = [], payload
    while len(level) > BLOCK_BYTES:
        row = b"".join(
            hashed(level[at : at + BLOCK_BYTES]) for at in range(0, len(level), BLOCK_BYTES)
        )
        level = row + bytes(-len(row) % BLOCK_BYTES)
        levels.insert(0, level)
    return b"".join(levels), hashed(level).hex()


def bundle(folder: Path, blocks: int) -> tuple[Path, SignedPayload]:
    payload = random.Random(blocks).randbytes(blocks * BLOCK_BYTES)
    hashes, root = tree(payload)
    path = folder / "x.raucb"
    path.write_bytes(payload + hashes + CMS + len(CMS).to_bytes(8, "big"))
    return path, SignedPayload(root_hash=root, salt=SALT.hex(), hash_tree_bytes=len(hashes))


def nothing(_done: int, _total: int) -> None:
    """Ignore the progress."""


@pytest.mark.parametrize("blocks", [2, 127, 128, 129, 300, 16384, 16385])
def test_a_signed_payload_verifies_and_is_read_to_its_end(tmp_path: Path, blocks: int) -> None:
    path, signed = bundle(tmp_path, blocks)
    seen: list[tuple[int, int]] = []
    verity.verify_payload(path, signed, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (blocks * BLOCK_BYTES, blocks * BLOCK_BYTES)


@pytest.mark.skipif(shutil.which("veritysetup") is None, reason="needs cryptsetup-bin")
def test_the_root_hash_equals_that_of_veritysetup(tmp_path: Path) -> None:
    payload, hashes = tmp_path / "payload", tmp_path / "hashes"
    payload.write_bytes(random.Random(1).randbytes(300 * BLOCK_BYTES))
    made = subprocess.run(
        ["veritysetup", "format", "--no-superblock", f"--salt={SALT.hex()}", payload, hashes],
        capture_output=True,
        text=True,
        check=True,
    )
    root = made.stdout.partition("Root hash:")[2].split()[0]
    path = tmp_path / "x.raucb"
    data = payload.read_bytes() + hashes.read_bytes() + CMS + len(CMS).to_bytes(8, "big")
    path.write_bytes(data)
    signed = SignedPayload(root_hash=root, salt=SALT.hex(), hash_tree_bytes=hashes.stat().st_size)
    verity.verify_payload(path, signed, nothing)


@pytest.mark.parametrize("seed", range(20))
def test_one_bit_anywhere_in_payload_or_tree_is_found(tmp_path: Path, seed: int) -> None:
    path, signed = bundle(tmp_path, 200)
    data = bytearray(path.read_bytes())
    at = random.Random(seed).randrange(200 * BLOCK_BYTES + signed.hash_tree_bytes)
    data[at] ^= 1 << seed % 8
    path.write_bytes(data)
    with pytest.raises(UpdateBundleCorrupt):
        verity.verify_payload(path, signed, nothing)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-BLOCK_BYTES],
        lambda data: data + b"x",
        lambda data: data[:5],
        lambda data: data[:0],
        lambda data: data[BLOCK_BYTES:],
        lambda data: data[:-8] + b"\xff" * 8,
    ],
)
def test_a_truncated_or_extended_bundle_is_found(tmp_path: Path, change: object) -> None:
    path, signed = bundle(tmp_path, 10)
    assert callable(change)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UpdateBundleCorrupt):
        verity.verify_payload(path, signed, nothing)


def test_another_root_hash_or_salt_is_refused(tmp_path: Path) -> None:
    path, signed = bundle(tmp_path, 10)
    for root, salt in ((signed.root_hash, "00" * 32), ("00" * 32, signed.salt)):
        other = SignedPayload(root_hash=root, salt=salt, hash_tree_bytes=signed.hash_tree_bytes)
        with pytest.raises(UpdateBundleCorrupt, match="not the one that was signed"):
            verity.verify_payload(path, other, nothing)
