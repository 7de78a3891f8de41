"""Format of a support bundle: one tar.gz file, signed by its box. Pure.

    vigie-bundle-<box>-<time>/
      manifest.json     the files, and the omitted ones with their reasons
      ...               the files
      SHA256SUMS        of all of these, as sha256sum(1) writes it
      SHA256SUMS.sig    the box's Ed25519 signature of SHA256SUMS, 64 bytes

The same contents give the same bytes.
"""

import gzip
import io
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Sequence
from typing import Annotated, BinaryIO

import msgspec

from agent.base.json_format import encode_indented
from agent.base.sha256 import Sha256, sha256_hex
from agent.base.signed_manifest import (
    SUMS_FILE,
    BadManifest,
    check_signature,
    decode_manifest,
    decode_sums,
    encode_sums,
    verified_text,
)

MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "SHA256SUMS.sig"
MAX_FILES = 64
MAX_TOTAL_BYTES = 16_000_000
"""Size of all files together, unpacked; a verifier reads no more."""
MAX_FILE_BYTES = 2_000_000
_FILE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,60}")
_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


class BundleFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the bundle. `truncated`: only its newest bytes are included."""

    name: str
    data: bytes
    truncated: bool = False


class OmittedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is not in the bundle, and why."""

    name: str
    reason: str


class SupportBundleInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Origin of a bundle. `created_time` is RFC 3339, and reliable if `clock_synced`."""

    box: str
    created_time: str
    clock_synced: bool
    boot: str
    versions: dict[str, str]


class ManifestEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A file's entry in the manifest."""

    name: str
    size_bytes: int
    sha256: Sha256
    truncated: bool


class SupportBundleManifest(SupportBundleInfo, frozen=True, kw_only=True):
    """`manifest.json`. `public_key` is the signing key in base64, None if the box has none yet."""

    v: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    public_key: str | None
    files: tuple[ManifestEntry, ...]
    omitted: tuple[OmittedFile, ...]


class SupportBundleVerification(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a verification.

    `manifest` is None if it could not be read, `signed_by` None if the signature is not valid.
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
    """Return the bundle's bytes. `folder` is the name of the folder in the archive.

    A file that is too large is truncated to its end, and files beyond MAX_TOTAL_BYTES are omitted;
    the manifest lists both.
    """
    kept_files: list[BundleFile] = []
    omitted = list(omitted_files)
    remaining_bytes = MAX_TOTAL_BYTES
    for file in bundle_files:
        fitted = _truncate(file)
        if len(fitted.data) > remaining_bytes or len(kept_files) == MAX_FILES:
            omitted.append(OmittedFile(name=file.name, reason="the bundle has no room for it"))
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
                sha256=sha256_hex(file.data),
                truncated=file.truncated,
            )
            for file in kept_files
        ),
        omitted=tuple(omitted),
    )
    data_by_name = {MANIFEST_FILE: encode_indented(manifest)}
    data_by_name |= {file.name: file.data for file in kept_files}
    sums = encode_sums({name: sha256_hex(data) for name, data in data_by_name.items()})
    data_by_name[SUMS_FILE] = sums
    if sign is not None:
        data_by_name[SIGNATURE_FILE] = sign(sums)
    return _pack(folder, data_by_name)


def verify(file: BinaryIO, known_key: str | None = None) -> SupportBundleVerification:
    """Verify a bundle's hashes and signature.

    `known_key` is the box's public key in base64, from a source other than the bundle: without it
    the result only shows that the bundle is consistent. Never raises for the file's content.
    """
    manifest = None
    try:
        files = unpack(file)
        manifest = _read_manifest(files)
        signed_by = _check_sums(files, manifest, known_key)
    except BadManifest as error:
        return SupportBundleVerification(ok=False, reason=str(error), manifest=manifest)
    reason = verified_text(is_origin_verified=known_key is not None)
    return SupportBundleVerification(ok=True, reason=reason, manifest=manifest, signed_by=signed_by)


def unpack(file: BinaryIO) -> dict[str, bytes]:
    """Return the files of a bundle by name, unverified. Reads MAX_TOTAL_BYTES. Raises BadManifest."""
    files: dict[str, bytes] = {}
    max_bytes = 2 * MAX_TOTAL_BYTES
    try:
        # Bounded before tarfile reads it: a header may declare any length.
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
                # The holes of a sparse file take no space in the archive, but their full size in memory.
                if member.issparse() or not 0 <= member.size <= len(data):
                    raise BadManifest(
                        repr(member.name[:80]), "declares more bytes than the bundle has"
                    )
                if name not in (SUMS_FILE, SIGNATURE_FILE) and not _FILE_NAME.fullmatch(name):
                    raise BadManifest(repr(member.name[:80]), "is not the name of a bundle's file")
                reader = tar.extractfile(member)
                if name in files or len(files) > MAX_FILES + 2 or reader is None:
                    raise BadManifest(name, f"is duplicate, or one of more than {MAX_FILES} files")
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
    """Check every file against the sums, and the sums against the signature."""
    sums = files.get(SUMS_FILE)
    if sums is None:
        raise BadManifest(SUMS_FILE, "is missing")
    listed = {os.fsdecode(name): sum_ for name, sum_ in decode_sums(sums).items()}
    present = files.keys() - {SUMS_FILE, SIGNATURE_FILE}
    for name in sorted(present ^ listed.keys()):
        raise BadManifest(name, "is missing" if name in listed else f"is not in {SUMS_FILE}")
    for name in sorted(present):
        if sha256_hex(files[name]) != listed[name]:
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
    """Truncate to the newest MAX_FILE_BYTES; a text begins at a whole line."""
    if not _FILE_NAME.fullmatch(file.name) or file.name == MANIFEST_FILE:
        raise ValueError(f"{file.name!r} is not the name of a bundle's file")
    if len(file.data) <= MAX_FILE_BYTES:
        return file
    tail = file.data[-MAX_FILE_BYTES:]
    return msgspec.structs.replace(file, data=tail[tail.find(b"\n") + 1 :], truncated=True)


def _pack(folder: str, files: dict[str, bytes]) -> bytes:
    """Pack without users, modes and times of this machine: the same contents give the same bytes."""
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
