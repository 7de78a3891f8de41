"""The centre's side: all sealed segments below a folder, such as an export's, into plain files."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.base.clock import unix_ns
from agent.base.errors import UserError
from agent.recording.encryption.unseal import unseal
from agent.recording.export import clip as clip_writer
from agent.recording.export.manifest import CLIP_FILE, MANIFEST_FILE, Manifest
from agent.recording.segment_name import KEYS_SUFFIX, parse_segment_name

_MP4_SUFFIX = ".mp4"


class UnsealResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was written: plain segments, and the clip of an export's span."""

    folder: Path
    segments: tuple[str, ...]
    clip: Path | None


def unseal_all(
    path: Path,
    private_key: X25519PrivateKey,
    out: Path,
    progress: Callable[[int, int], None] = lambda _count, _total: None,
) -> UnsealResult:
    """Unseal a segment, or each one below a folder, into the folder `out`.

    `progress` is told how many segments are done, and of how many. Raises UserError where there is
    none, `out` has files, or the key opens it not; OSError from the disk.
    """
    segments = _find_sealed_segments(path)
    if not segments:
        raise UserError(
            f"{str(path)!r}: no sealed segment here: no {_MP4_SUFFIX} with a {_MP4_SUFFIX}{KEYS_SUFFIX}"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {str(out)!r}: is there already; allowed: a new or an empty folder")
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
    names = tuple(segment.name for segment in segments)
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
    """The clip of the span that an export's manifest names; None where there is no manifest."""
    try:
        manifest = msgspec.json.decode(manifest_file.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
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
