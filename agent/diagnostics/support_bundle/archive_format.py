"""A support bundle: one file with all that support wants to know, signed by its box. Pure.

    vigie-bundle-<box>-<time>/
      manifest.json     what is in it, and what was left out and why
      ...               the files
      SHA256SUMS        of all of these, as sha256sum(1) writes it
      SHA256SUMS.sig    the box's Ed25519 signature of SHA256SUMS, 64 bytes

The same contents give the same bytes.
"""

import gzip
import hashlib
import io
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Sequence
from typing import Annotated, BinaryIO

import msgspec

from agent.base.signed_manifest import (
    SUMS_FILE,
    BadManifest,
    Sha256,
    check_signature,
    decode_manifest,
    decode_sums,
    encode_manifest,
    encode_sums,
)

MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "SHA256SUMS.sig"
MAX_FILES = 64
MAX_TOTAL_BYTES = 16_000_000
"""Of all files together, unpacked; a verifier reads no more."""
MAX_FILE_BYTES = 2_000_000
_FILE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,60}")
_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


class BundleFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the bundle. `cut`: only its newest bytes are there."""

    name: str
    data: bytes
    truncated: bool = False


class OmittedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is not in the bundle, and why."""

    name: str
    reason: str


class SupportBundleInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Whose bundle it is. `made` is RFC 3339; `clock_synced`: whether that can be trusted."""

    box: str
    created_time: str
    clock_synced: bool
    boot: str
    versions: dict[str, str]


class ManifestEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A file, as the manifest has it."""

    name: str
    size_bytes: int
    sha256: Sha256
    truncated: bool


class SupportBundleManifest(SupportBundleInfo, frozen=True, kw_only=True):
    """`manifest.json`. `public_key` is the base64 of the key that has signed, None where the box has
    none yet.
    """

    v: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    public_key: str | None
    files: tuple[ManifestEntry, ...]
    omitted: tuple[OmittedFile, ...]


class SupportBundleVerification(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a bundle. `manifest` is there where it could be read; `signed_by` where the
    signature is good.
    """

    ok: bool
    reason: str
    manifest: SupportBundleManifest | None = None
    signed_by: str | None = None


def build_bundle(
    folder: str,
    info: SupportBundleInfo,
    bundle_files: Sequence[BundleFile],
    omitted_files: Sequence[OmittedFile],
    public_key: str | None,
    sign: Callable[[bytes], bytes] | None,
) -> bytes:
    """The bundle's bytes. What is too large is cut to its end, and what there is no room for is left
    out; both are told. `folder` is the name of the folder within.
    """
    kept_files: list[BundleFile] = []
    omitted = list(omitted_files)
    remaining_bytes = MAX_TOTAL_BYTES
    for file in bundle_files:
        fitted = _truncate(file)
        if len(fitted.data) > remaining_bytes or len(kept_files) == MAX_FILES:
            omitted.append(OmittedFile(name=file.name, reason="there was no room for it"))
            continue
        remaining_bytes -= len(fitted.data)
        kept_files.append(fitted)
    manifest = SupportBundleManifest(
        **msgspec.structs.asdict(info),
        public_key=public_key,
        files=tuple(
            ManifestEntry(
                name=file.name,
                size_bytes=len(file.data),
                sha256=_sha256(file.data),
                truncated=file.truncated,
            )
            for file in kept_files
        ),
        omitted=tuple(omitted),
    )
    data_by_name = {MANIFEST_FILE: encode_manifest(manifest)}
    data_by_name |= {file.name: file.data for file in kept_files}
    sums = encode_sums({name: _sha256(data) for name, data in data_by_name.items()})
    data_by_name[SUMS_FILE] = sums
    if sign is not None:
        data_by_name[SIGNATURE_FILE] = sign(sums)
    return _pack(folder, data_by_name)


def verify(file: BinaryIO, known_key: str | None = None) -> SupportBundleVerification:
    """Whether a bundle is what its box signed. `known_key` is the box's public key in base64, as the
    centre knows it by another way: without it the verdict is that the bundle agrees with itself.

    Never raises for what is in the file.
    """
    manifest = None
    try:
        files = unpack(file)
        manifest = _read_manifest(files)
        signed_by = _check_sums(files, manifest, known_key)
    except BadManifest as error:
        return SupportBundleVerification(ok=False, reason=str(error), manifest=manifest)
    return SupportBundleVerification(ok=True, reason="good", manifest=manifest, signed_by=signed_by)


def unpack(file: BinaryIO) -> dict[str, bytes]:
    """The files of a bundle by their names, unchecked. Raises BadManifest; reads MOST_BYTES at most."""
    files: dict[str, bytes] = {}
    max_bytes = 2 * MAX_TOTAL_BYTES
    try:
        # Bounded before tarfile sees it: its own headers may name any length.
        with gzip.open(file, "rb") as unzipped:
            data = unzipped.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise BadManifest("bundle", f"is larger than {max_bytes} bytes unpacked")
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for member in tar:
                folder, _, name = member.name.partition("/")
                if not member.isreg() or not _FOLDER_NAME.fullmatch(folder):
                    raise BadManifest(
                        repr(member.name[:80]), "is not a file in the bundle's one folder"
                    )
                # The holes of a sparse file take no room in the archive, and all of it in memory.
                if member.issparse() or not 0 <= member.size <= len(data):
                    raise BadManifest(
                        repr(member.name[:80]), "declares more bytes than the bundle has"
                    )
                if name not in (SUMS_FILE, SIGNATURE_FILE) and not _FILE_NAME.fullmatch(name):
                    raise BadManifest(repr(member.name[:80]), "is not the name of a bundle's file")
                reader = tar.extractfile(member)
                if name in files or len(files) > MAX_FILES + 2 or reader is None:
                    raise BadManifest(name, "is there twice, or exceeds the number of files")
                files[name] = reader.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
        raise BadManifest("bundle", f"is not a tar.gz file, or damaged: {error}") from error
    return files


def _read_manifest(files: dict[str, bytes]) -> SupportBundleManifest:
    if MANIFEST_FILE not in files:
        raise BadManifest(MANIFEST_FILE, "is missing")
    return decode_manifest(MANIFEST_FILE, files[MANIFEST_FILE], SupportBundleManifest)


def _check_sums(
    files: dict[str, bytes], manifest: SupportBundleManifest, known_key: str | None
) -> str | None:
    """Everything that is there, against the sums, and they against the signature."""
    sums = files.get(SUMS_FILE)
    if sums is None:
        raise BadManifest(SUMS_FILE, "is missing")
    listed = {os.fsdecode(name): sum_ for name, sum_ in decode_sums(sums).items()}
    present = files.keys() - {SUMS_FILE, SIGNATURE_FILE}
    for name in sorted(present ^ listed.keys()):
        raise BadManifest(name, "is missing" if name in listed else f"is not in {SUMS_FILE}")
    for name in sorted(present):
        if _sha256(files[name]) != listed[name]:
            raise BadManifest(name, "was changed after it was made")
    declared = {entry.name: (entry.sha256, entry.size_bytes) for entry in manifest.files}
    actual = {name: (listed[name], len(files[name])) for name in present - {MANIFEST_FILE}}
    if declared != actual:
        raise BadManifest(MANIFEST_FILE, "lists other files than the bundle has")
    return _check_signature(sums, files.get(SIGNATURE_FILE), manifest.public_key, known_key)


def _check_signature(
    sums: bytes, signature: bytes | None, public_key: str | None, known_key: str | None
) -> str | None:
    if public_key is None or signature is None:
        if known_key is None and public_key is None and signature is None:
            return None
        raise BadManifest(SIGNATURE_FILE, "is missing: not signed")
    check_signature(SUMS_FILE, sums, signature, public_key, known_key)
    return public_key


def _truncate(file: BundleFile) -> BundleFile:
    """At most FILE_MOST_BYTES, the newest; a text is cut at a line's end."""
    if not _FILE_NAME.fullmatch(file.name) or file.name == MANIFEST_FILE:
        raise ValueError(f"{file.name!r} is no name of a file of a bundle")
    if len(file.data) <= MAX_FILE_BYTES:
        return file
    tail = file.data[-MAX_FILE_BYTES:]
    return msgspec.structs.replace(file, data=tail[tail.find(b"\n") + 1 :], truncated=True)


def _pack(folder: str, files: dict[str, bytes]) -> bytes:
    """Without users, modes and times of this machine."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, data in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(data)
            member.mode = 0o600
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
