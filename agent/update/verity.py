"""Whether a bundle's payload is the one that was signed, before anything is written from it.

A bundle of RAUC's verity format is, in this order: the payload (squashfs), its dm-verity hash tree, the
signed manifest as CMS, and the length of that in 8 bytes. The manifest holds the tree's root, salt and
size. `rauc info` checks the signature over the manifest and looks at nothing else, so all of the tree is
made anew here and compared (kernel.org, device-mapper/verity: version 1, SHA-256, blocks of 4096 bytes).
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from agent.update.errors import UpdateError

BLOCK = 4096
_LENGTH_BYTES = 8
_CHUNK = 256 * BLOCK


class BundleCorrupt(UpdateError):
    """The payload is not what was signed; why, in one line."""


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """What the signed manifest says of the payload."""

    root: str
    salt: str
    tree_bytes: int


def check(path: Path, signed: Signed, progress: Callable[[int, int], None]) -> None:
    """Read it all. `progress` is told the bytes that are done, and of how many.

    Raises Damaged, or OSError.
    """
    with path.open("rb") as file:
        payload_bytes = _payload_bytes(file, signed)
        salt = bytes.fromhex(signed.salt)
        file.seek(0)
        level = _hashes(_chunks(file, payload_bytes, progress), salt)
        levels = []
        while len(level) > BLOCK:
            levels.append(level)
            level = _hashes(iter((level,)), salt)
        levels.append(level)
        root = hashlib.sha256(salt + level).hexdigest()
        if root != signed.root:
            raise BundleCorrupt("the payload is not the one that was signed")
        if file.read(signed.tree_bytes) != b"".join(reversed(levels)):
            raise BundleCorrupt("the payload's hash tree is damaged")


def _payload_bytes(file: BinaryIO, signed: Signed) -> int:
    whole = file.seek(0, os.SEEK_END)
    if whole < _LENGTH_BYTES:
        raise BundleCorrupt(f"{whole} bytes: no bundle")
    file.seek(-_LENGTH_BYTES, os.SEEK_END)
    cms_bytes = int.from_bytes(file.read(_LENGTH_BYTES), "big")
    payload = whole - _LENGTH_BYTES - cms_bytes - signed.tree_bytes
    if payload < 2 * BLOCK or payload % BLOCK:
        raise BundleCorrupt("its parts do not add up: it was cut or added to")
    return payload


def _chunks(
    file: BinaryIO, payload_bytes: int, progress: Callable[[int, int], None]
) -> Iterator[bytes]:
    done = 0
    while done < payload_bytes:
        chunk = file.read(min(_CHUNK, payload_bytes - done))
        if not chunk:
            raise BundleCorrupt("it became shorter while it was read")
        done += len(chunk)
        yield chunk
        progress(done, payload_bytes)


def _hashes(chunks: Iterator[bytes], salt: bytes) -> bytes:
    """The hashes of all blocks, filled up to whole blocks."""
    salted = hashlib.sha256(salt)
    found = bytearray()
    for chunk in chunks:
        view = memoryview(chunk)
        for begin in range(0, len(view), BLOCK):
            one = salted.copy()
            one.update(view[begin : begin + BLOCK])
            found += one.digest()
    return bytes(found.ljust(-(-len(found) // BLOCK) * BLOCK, b"\0"))
