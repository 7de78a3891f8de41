"""Decryption of sealed segments with a recipient's private key, at the centre."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.base.atomic_file import open_replacement
from agent.base.clock import unix_ns
from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.json_decode import MalformedJson, decode_json
from agent.base.progress import ProgressCallback, no_progress
from agent.recording.encryption.key_wrapping import unwrap_segment_key
from agent.recording.encryption.keys import SegmentKey
from agent.recording.export import clip as clip_writer
from agent.recording.export.export_request import check_new_folder
from agent.recording.export.folder_check import MAX_LIST_BYTES
from agent.recording.export.manifest import CLIP_FILE, MANIFEST_FILE, Manifest
from agent.recording.export.segment_reader import SegmentReader, decrypt_samples
from agent.recording.mp4_reader import (
    DamagedFootage,
    strip_moof_encryption,
    strip_moov_encryption,
)
from agent.recording.segment_name import KEYS_SUFFIX, parse_segment_name

_COPY_BYTES = 1 << 20
_MP4_SUFFIX = ".mp4"


class UnsealResult(msgspec.Struct, frozen=True, kw_only=True):
    """The plain segments written, and the clip of an export's span."""

    folder: Path
    segments: tuple[str, ...]
    clip: Path | None


def unseal(segment: Path, keys_file: Path, private_key: X25519PrivateKey, out: Path) -> None:
    """Write the plain segment to `out`, atomically.

    Its MP4 boxes keep their offsets; those that describe the encryption become free space. Raises:
    UserError if the segment is missing, not sealed or damaged, or the key does not open it; OSError if
    `out` cannot be written.
    """
    key = unwrap_segment_key(keys_file, private_key)
    try:
        reader = SegmentReader(segment)
    except OSError as error:
        raise UserError(f"segment {str(segment)!r}: {error.strerror or error}") from error
    except DamagedFootage as error:
        raise UserError(f"segment {str(segment)!r}: damaged: {error}") from error
    with reader:
        if reader.header.kid is None:
            raise UserError(f"segment {str(segment)!r}: it is not sealed")
        if reader.header.kid != key.kid:
            raise UserError(f"segment {str(segment)!r}: {keys_file.name} is of another segment")
        try:
            with open_replacement(out, 0o666) as file:
                _copy_decrypted(reader, key, file)
        except DamagedFootage as error:
            raise UserError(f"segment {str(segment)!r}: damaged: {error}") from error


def _copy_decrypted(reader: SegmentReader, key: SegmentKey, out: BinaryIO) -> None:
    out.write(reader.read(0, reader.moov_offset))
    out.write(strip_moov_encryption(reader.moov))
    offset = reader.first_fragment_offset
    for fragment in reader.iter_fragments():
        out.write(strip_moof_encryption(fragment.moof))
        out.write(reader.read(fragment.offset + len(fragment.moof), fragment.data_offset))
        data = reader.read(fragment.data_offset, fragment.data_end)
        decrypt_samples(data, fragment.run, key)
        out.write(data)
        out.write(reader.read(fragment.data_end, fragment.end))
        offset = fragment.end
    while offset < reader.size_bytes:
        end = min(offset + _COPY_BYTES, reader.size_bytes)
        out.write(reader.read(offset, end))
        offset = end


def unseal_all(
    path: Path,
    private_key: X25519PrivateKey,
    out: Path,
    progress: ProgressCallback = no_progress,
) -> UnsealResult:
    """Unseal a segment, or all below a folder, into the folder `out`.

    `progress` counts segments. Raises: UserError if there is none, `out` is not empty, or the key does
    not open one; OSError.
    """
    segments = _find_sealed_segments(path)
    if not segments:
        raise UserError(
            f"{str(path)!r}: no sealed segment here: no {_MP4_SUFFIX} with a {_MP4_SUFFIX}{KEYS_SUFFIX}"
        )
    check_new_folder(out)
    names = tuple(segment.name for segment in segments)
    if len(set(names)) != len(names):
        raise UserError(f"{str(path)!r}: two segments have one name; unseal each folder on its own")
    out.mkdir(parents=True, exist_ok=True)
    progress(0, len(segments))
    for count, segment in enumerate(segments, start=1):
        keys_file = segment.with_name(segment.name + KEYS_SUFFIX)
        try:
            unseal(segment, keys_file, private_key, out / segment.name)
        except BaseException:
            with suppress(OSError):
                out.rmdir()
            raise
        progress(count, len(segments))
    return UnsealResult(
        folder=out, segments=names, clip=_write_export_clip(path / MANIFEST_FILE, out, names)
    )


def _find_sealed_segments(path: Path) -> list[Path]:
    if path.is_file():
        found = [path]
    elif path.is_dir():
        found = sorted(path.rglob(f"*{_MP4_SUFFIX}"))
    else:
        raise UserError(f"{str(path)!r}: no such file or folder")
    return [
        candidate
        for candidate in found
        if candidate.with_name(candidate.name + KEYS_SUFFIX).is_file()
    ]


def _write_export_clip(
    manifest_file: Path, out: Path, segment_names: tuple[str, ...]
) -> Path | None:
    """Write the clip of an export's span, or return None if there is no manifest."""
    try:
        manifest = decode_json(read_regular_file(manifest_file, MAX_LIST_BYTES), Manifest)
    except (OSError, MalformedJson):
        return None
    sources = []
    for name in segment_names:
        parsed = parse_segment_name(name)
        if parsed is not None:
            sources.append(clip_writer.clip_source(out / name, parsed))
    begin = unix_ns(datetime.fromisoformat(manifest.begin_time))
    end = unix_ns(datetime.fromisoformat(manifest.end_time))
    try:
        return clip_writer.write_clip(sources, begin, end, out / CLIP_FILE, lambda _kid: None).path
    except clip_writer.ClipError:
        return None
