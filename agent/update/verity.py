"""Verify a bundle's payload against the signed hash tree, before anything is written from it.

A bundle of RAUC's verity format is, in this order: the payload (squashfs), its dm-verity hash tree, the
signed manifest as CMS, and the length of that in 8 bytes. The manifest holds the tree's root, salt and
size. `rauc info` checks the signature over the manifest and nothing else, so the whole tree is computed
here and compared (kernel.org, device-mapper/verity: version 1, SHA-256, blocks of 4096 bytes).
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from agent.base.sha256 import sha256_hex
from agent.update.errors import UpdateError

BLOCK_BYTES = 4096
_LENGTH_BYTES = 8
_CHUNK_BYTES = 256 * BLOCK_BYTES


class UpdateBundleCorrupt(UpdateError):
    """The payload is not the signed one."""


class SignedPayload(msgspec.Struct, frozen=True, kw_only=True):
    """Hash tree of the payload, from the signed manifest."""

    root_hash: str
    salt: str
    hash_tree_bytes: int


def verify_payload(
    path: Path, signed: SignedPayload, on_progress: Callable[[int, int], None]
) -> None:
    """Read and verify the payload. `on_progress` gets bytes done and total bytes.

    Raises: UpdateBundleCorrupt, OSError.
    """
    with path.open("rb") as file:
        payload_bytes = _payload_size_bytes(file, signed)
        salt = bytes.fromhex(signed.salt)
        file.seek(0)
        level = _hash_blocks(_read_chunks(file, payload_bytes, on_progress), salt)
        levels = []
        while len(level) > BLOCK_BYTES:
            levels.append(level)
            level = _hash_blocks(iter((level,)), salt)
        levels.append(level)
        root_hash = sha256_hex(salt + level)
        if root_hash != signed.root_hash:
            raise UpdateBundleCorrupt("the payload is not the one that was signed")
        if file.read(signed.hash_tree_bytes) != b"".join(reversed(levels)):
            raise UpdateBundleCorrupt("the payload's hash tree is damaged")


def _payload_size_bytes(file: BinaryIO, signed: SignedPayload) -> int:
    file_bytes = file.seek(0, os.SEEK_END)
    if file_bytes < _LENGTH_BYTES:
        raise UpdateBundleCorrupt(f"{file_bytes} bytes: not a bundle")
    file.seek(-_LENGTH_BYTES, os.SEEK_END)
    cms_bytes = int.from_bytes(file.read(_LENGTH_BYTES), "big")
    payload_bytes = file_bytes - _LENGTH_BYTES - cms_bytes - signed.hash_tree_bytes
    if payload_bytes < 2 * BLOCK_BYTES or payload_bytes % BLOCK_BYTES:
        raise UpdateBundleCorrupt(
            "the sizes of its parts do not add up: it was truncated or extended"
        )
    return payload_bytes


def _read_chunks(
    file: BinaryIO, payload_bytes: int, on_progress: Callable[[int, int], None]
) -> Iterator[bytes]:
    read_bytes = 0
    while read_bytes < payload_bytes:
        chunk = file.read(min(_CHUNK_BYTES, payload_bytes - read_bytes))
        if not chunk:
            raise UpdateBundleCorrupt("the file became shorter while it was read")
        read_bytes += len(chunk)
        yield chunk
        on_progress(read_bytes, payload_bytes)


def _hash_blocks(chunks: Iterator[bytes], salt: bytes) -> bytes:
    """Return the hashes of all blocks, padded to whole blocks."""
    salted = hashlib.sha256(salt)
    hashes = bytearray()
    for chunk in chunks:
        view = memoryview(chunk)
        for begin in range(0, len(view), BLOCK_BYTES):
            digest = salted.copy()
            digest.update(view[begin : begin + BLOCK_BYTES])
            hashes += digest.digest()
    return bytes(hashes.ljust(-(-len(hashes) // BLOCK_BYTES) * BLOCK_BYTES, b"\0"))
