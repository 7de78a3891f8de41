"""Check that the files of an export folder are those that its sums and its manifest list.

The first file that is not raises VerificationFailed.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.base.file_read import read_regular_file
from agent.base.progress import ProgressCallback
from agent.base.signed_manifest import SUMS_FILE, BadManifest, decode_manifest, decode_sums
from agent.recording.export.manifest import (
    FILE_MANAGER_FILES,
    MANIFEST_FILE,
    SEGMENTS_DIR,
    UNLISTED_FILES,
    ExportProblemKind,
    Manifest,
)

_SEGMENT_PATH_PATTERN = re.compile(rf"{SEGMENTS_DIR}/([^/]+\.mp4)")
_READ_BYTES = 1 << 20
MAX_LIST_BYTES = 1 << 26
"""Of the sums and of the manifest: 400,000 files."""
MAX_LINE_BYTES = 1 << 24
"""Of a line of the chain: the receipt of an export lists its segments."""


def escape_non_utf8(path: str) -> str:
    """Escape the bytes of a file's name that JSON cannot have."""
    return path.encode("utf-8", "backslashreplace").decode()


class VerificationProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Problem of an export: its kind, the file or line, and the reason."""

    problem: ExportProblemKind
    location: str
    reason: str

    def __post_init__(self) -> None:
        """Escape the location: it may be a file's name."""
        msgspec.structs.force_setattr(self, "location", escape_non_utf8(self.location))

    def __str__(self) -> str:
        return f"{self.problem}: {self.location}: {self.reason}"


class VerificationFailed(Exception):
    """Ends the verification at the first problem."""

    def __init__(self, problem: ExportProblemKind, location: str, reason: str) -> None:
        super().__init__(reason)
        self.problem = VerificationProblem(problem=problem, location=location, reason=reason)


class FileDigest(msgspec.Struct, frozen=True):
    """Sum and size of a file in the folder."""

    sha256: str
    size_bytes: int


class CheckedFiles(msgspec.Struct, frozen=True):
    """Files of the folder whose sums are right, by path, and the paths of those that are ignored."""

    digests: dict[str, FileDigest]
    ignored: tuple[str, ...]


def check_sums(folder: Path, progress: ProgressCallback) -> CheckedFiles:
    """Check that SHA256SUMS lists exactly the other files with their sums."""
    present = set(_iter_file_paths(folder))
    if SUMS_FILE not in present:
        raise VerificationFailed("sums", SUMS_FILE, "is missing")
    listed_sums = {os.fsdecode(path): sum_ for path, sum_ in _decode_sums(folder).items()}
    present.remove(SUMS_FILE)
    for path in sorted(listed_sums):
        if path not in present:
            raise VerificationFailed("sums", path, f"is listed in {SUMS_FILE} and does not exist")
    ignored = {path for path in present - listed_sums.keys() if _is_of_file_manager(path)}
    present -= ignored
    sizes = {path: (folder / path).stat().st_size for path in present}
    total_bytes, done_bytes = sum(sizes.values()), 0
    found: dict[str, FileDigest] = {}
    for path in sorted(present):
        if path not in listed_sums:
            raise VerificationFailed("sums", path, f"is not listed in {SUMS_FILE}")
        digest = hashlib.sha256()
        size_bytes = 0
        for data in _read_chunks(folder / path):
            digest.update(data)
            size_bytes += len(data)
            done_bytes += len(data)
            progress(min(done_bytes, total_bytes), total_bytes)
        if digest.hexdigest() != listed_sums[path]:
            raise VerificationFailed("sums", path, f"its SHA-256 differs from {SUMS_FILE}")
        found[path] = FileDigest(listed_sums[path], size_bytes)
    return CheckedFiles(found, tuple(sorted(ignored)))


def read_lines(folder: Path, path: str, expected: FileDigest) -> Iterator[bytes]:
    """Yield the lines of a file again, then check that they are the bytes of `check_sums`.

    A medium may answer differently at each reading. The alternative, to keep the bytes of the first one,
    would take memory for a chain of any length.
    """
    digest = hashlib.sha256()
    with (folder / path).open("rb") as file:
        while line := file.readline(MAX_LINE_BYTES + 1):
            if len(line) > MAX_LINE_BYTES:
                raise VerificationFailed(
                    "sums", path, f"a line is longer than {MAX_LINE_BYTES} bytes"
                )
            digest.update(line)
            yield line
    if digest.hexdigest() != expected.sha256:
        raise VerificationFailed("sums", path, "reads differently the second time")


def check_manifest(folder: Path, found: dict[str, FileDigest]) -> Manifest:
    """Check that the manifest lists every file but three, with size and sum."""
    if MANIFEST_FILE not in found:
        raise VerificationFailed("manifest", MANIFEST_FILE, "is missing")
    if found[MANIFEST_FILE].size_bytes > MAX_LIST_BYTES:
        raise VerificationFailed(
            "manifest", MANIFEST_FILE, f"is larger than {MAX_LIST_BYTES} bytes"
        )
    data = b"".join(read_lines(folder, MANIFEST_FILE, found[MANIFEST_FILE]))
    try:
        manifest = decode_manifest(MANIFEST_FILE, data, Manifest)
    except BadManifest as error:
        raise VerificationFailed("manifest", error.location, error.reason) from error
    listed = {file.path: FileDigest(file.sha256, file.size_bytes) for file in manifest.files}
    if len(listed) != len(manifest.files):
        raise VerificationFailed("manifest", MANIFEST_FILE, "lists a file twice")
    present = {path: file for path, file in found.items() if path not in UNLISTED_FILES}
    for path in sorted(listed.keys() ^ present.keys()):
        reason = "does not exist" if path in listed else "is not listed in the manifest"
        raise VerificationFailed("manifest", path, reason)
    for path in sorted(listed):
        if listed[path] != present[path]:
            raise VerificationFailed("manifest", path, "its size or sum differs from the manifest")
    segments = [match[1] for path in listed if (match := _SEGMENT_PATH_PATTERN.fullmatch(path))]
    everywhere = manifest.all_segments
    same_segments = sorted(segments) == sorted(manifest.segments)
    if not same_segments or not everywhere or len(set(everywhere)) != len(everywhere):
        raise VerificationFailed(
            "manifest", f"{SEGMENTS_DIR}/", "differs from the manifest's list of segments"
        )
    return manifest


def _is_of_file_manager(path: str) -> bool:
    return path.rpartition("/")[2] in FILE_MANAGER_FILES


def _decode_sums(folder: Path) -> dict[bytes, str]:
    try:
        return decode_sums(read_regular_file(folder / SUMS_FILE, MAX_LIST_BYTES))
    except OSError as error:
        raise VerificationFailed("sums", SUMS_FILE, error.strerror or str(error)) from error
    except BadManifest as error:
        raise VerificationFailed("sums", error.location, error.reason) from error


def _iter_file_paths(folder: Path) -> Iterator[str]:
    """Yield the paths of all files below a folder, with `/`."""
    pending_folders = [folder]
    while pending_folders:
        for path in pending_folders.pop().iterdir():
            if path.is_dir() and not path.is_symlink():
                pending_folders.append(path)
                continue
            name = path.relative_to(folder).as_posix()
            if path.is_symlink() or not path.is_file():
                raise VerificationFailed("sums", name, "is not a regular file")
            yield name


def _read_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            yield data
