"""A support bundle: one file with all that support wants to know, signed by its box. Pure.

    vigie-bundle-<box>-<time>/
      manifest.json     what is in it, and what was left out and why
      ...               the files
      SHA256SUMS        of all of these, as sha256sum(1) writes it
      SHA256SUMS.sig    the box's Ed25519 signature of SHA256SUMS, 64 bytes

The same contents give the same bytes.
"""

import base64
import gzip
import hashlib
import io
import re
import tarfile
import zlib
from collections.abc import Callable, Sequence
from typing import Annotated, BinaryIO

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.sig"
MOST_FILES = 64
MOST_BYTES = 16_000_000
"""Of all files together, unpacked; a verifier reads no more."""
FILE_MOST_BYTES = 2_000_000
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,60}")
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")
_SUM = re.compile(r"([0-9a-f]{64})  ([a-z0-9._-]+)")

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the bundle. `cut`: only its newest bytes are there."""

    name: str
    data: bytes
    cut: bool = False


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is not in the bundle, and why."""

    name: str
    why: str


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Whose bundle it is. `made` is RFC 3339; `clock_synced`: whether that can be trusted."""

    box: str
    made: str
    clock_synced: bool
    boot: str
    versions: dict[str, str]


class FileTold(msgspec.Struct, frozen=True, kw_only=True):
    """A file, as the manifest has it."""

    name: str
    size_bytes: int
    sha256: Sha256
    cut: bool


class BundleManifest(About, frozen=True, kw_only=True):
    """`manifest.json`. `public_key` is the base64 of the key that has signed, None where the box has
    none yet.
    """

    v: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    public_key: str | None
    files: tuple[FileTold, ...]
    left_out: tuple[LeftOut, ...]


class BundleVerification(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a bundle. `manifest` is there where it could be read; `signed_by` where the
    signature is good.
    """

    ok: bool
    why: str
    manifest: BundleManifest | None = None
    signed_by: str | None = None


class BadBundle(Exception):
    """It is no bundle, or not the one that was made. One sentence says why."""


def build(
    folder: str,
    about: About,
    contents: Sequence[Content],
    left_out: Sequence[LeftOut],
    public_key: str | None,
    sign: Callable[[bytes], bytes] | None,
) -> bytes:
    """The bundle's bytes. What is too large is cut to its end, and what there is no room for is left
    out; both are told. `folder` is the name of the folder within.
    """
    kept: list[Content] = []
    out = list(left_out)
    room = MOST_BYTES
    for content in contents:
        fitting = _fitted(content)
        if len(fitting.data) > room or len(kept) == MOST_FILES:
            out.append(LeftOut(name=content.name, why="there was no room for it"))
            continue
        room -= len(fitting.data)
        kept.append(fitting)
    manifest = BundleManifest(
        **msgspec.structs.asdict(about),
        public_key=public_key,
        files=tuple(
            FileTold(name=one.name, size_bytes=len(one.data), sha256=_hash(one.data), cut=one.cut)
            for one in kept
        ),
        left_out=tuple(out),
    )
    files = {MANIFEST: msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"}
    files |= {one.name: one.data for one in kept}
    sums = "".join(f"{_hash(data)}  {name}\n" for name, data in sorted(files.items())).encode()
    files[SUMS] = sums
    if sign is not None:
        files[SIGNATURE] = sign(sums)
    return _packed(folder, files)


def verify(file: BinaryIO, known_key: str | None = None) -> BundleVerification:
    """Whether a bundle is what its box signed. `known_key` is the box's public key in base64, as the
    centre knows it by another way: without it the verdict is that the bundle agrees with itself.

    Never raises for what is in the file.
    """
    manifest = None
    try:
        files = unpack(file)
        manifest = _manifest(files)
        signed_by = _check(files, manifest, known_key)
    except BadBundle as error:
        return BundleVerification(ok=False, why=str(error), manifest=manifest)
    return BundleVerification(ok=True, why="good", manifest=manifest, signed_by=signed_by)


def unpack(file: BinaryIO) -> dict[str, bytes]:
    """The files of a bundle by their names, unchecked. Raises BadBundle; reads MOST_BYTES at most."""
    files: dict[str, bytes] = {}
    room = 2 * MOST_BYTES
    try:
        # Bounded before tarfile sees it: its own headers may name any length.
        with gzip.open(file, "rb") as plain:
            data = plain.read(room + 1)
        if len(data) > room:
            raise BadBundle(f"larger than {room} bytes")
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for member in tar:
                folder, _, name = member.name.partition("/")
                if not member.isreg() or not _FOLDER.fullmatch(folder):
                    raise BadBundle(f"{member.name[:80]!r}: allowed: files in one folder")
                # The holes of a sparse file take no room in the archive, and all of it in memory.
                if member.issparse() or not 0 <= member.size <= len(data):
                    raise BadBundle(f"{member.name[:80]!r}: says that it is larger than the bundle")
                if name not in (SUMS, SIGNATURE) and not _NAME.fullmatch(name):
                    raise BadBundle(f"{member.name[:80]!r}: no name of a file of a bundle")
                reader = tar.extractfile(member)
                if name in files or len(files) > MOST_FILES + 2 or reader is None:
                    raise BadBundle(f"{name}: is there twice, or one too many")
                files[name] = reader.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
        raise BadBundle(f"no tar.gz file, or a torn one: {error}") from error
    return files


def _manifest(files: dict[str, bytes]) -> BundleManifest:
    try:
        return msgspec.json.decode(files[MANIFEST], type=BundleManifest)
    except KeyError as error:
        raise BadBundle(f"{MANIFEST}: is missing") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadBundle(f"{MANIFEST}: {error}") from error


def _check(files: dict[str, bytes], manifest: BundleManifest, known_key: str | None) -> str | None:
    """Everything that is there, against the sums, and they against the signature."""
    sums = files.get(SUMS)
    if sums is None:
        raise BadBundle(f"{SUMS}: is missing")
    named = _read_sums(sums)
    there = files.keys() - {SUMS, SIGNATURE}
    for name in sorted(there ^ named.keys()):
        raise BadBundle(f"{name}: {'is missing' if name in named else f'not in {SUMS}'}")
    for name in sorted(there):
        if _hash(files[name]) != named[name]:
            raise BadBundle(f"{name}: was changed after it was made")
    told = {one.name: (one.sha256, one.size_bytes) for one in manifest.files}
    found = {name: (named[name], len(files[name])) for name in there - {MANIFEST}}
    if told != found:
        raise BadBundle(f"{MANIFEST}: names other files than there are")
    return _check_signature(sums, files.get(SIGNATURE), manifest.public_key, known_key)


def _check_signature(
    sums: bytes, signature: bytes | None, public_key: str | None, known_key: str | None
) -> str | None:
    if public_key is None or signature is None:
        if known_key is None and public_key is None and signature is None:
            return None
        raise BadBundle(f"{SIGNATURE}: not signed")
    if known_key is not None and known_key != public_key:
        raise BadBundle(f"signed by {public_key}, which is not the key that is known")
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(signature, sums)
    except (InvalidSignature, ValueError) as error:
        raise BadBundle(f"{SIGNATURE}: is not the signature of {SUMS} by {public_key}") from error
    return public_key


def _read_sums(data: bytes) -> dict[str, str]:
    sums: dict[str, str] = {}
    for line in data.decode("ascii", "replace").splitlines():
        match = _SUM.fullmatch(line)
        if match is None or match[2] in sums:
            raise BadBundle(f"{SUMS}: {line[:80]!r} is no line of it")
        sums[match[2]] = match[1]
    return sums


def _fitted(content: Content) -> Content:
    """At most FILE_MOST_BYTES, the newest; a text is cut at a line's end."""
    if not _NAME.fullmatch(content.name) or content.name == MANIFEST:
        raise ValueError(f"{content.name!r} is no name of a file of a bundle")
    if len(content.data) <= FILE_MOST_BYTES:
        return content
    end = content.data[-FILE_MOST_BYTES:]
    return msgspec.structs.replace(content, data=end[end.find(b"\n") + 1 :], cut=True)


def _packed(folder: str, files: dict[str, bytes]) -> bytes:
    """Without users, modes and times of this machine."""
    out = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, data in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(data)
            member.mode = 0o600
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
