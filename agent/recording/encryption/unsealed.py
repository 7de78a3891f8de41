"""The centre's side: all sealed segments below a folder, such as an export's, into plain files."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.base.errors import UserError
from agent.recording.encryption.unseal import unseal
from agent.recording.export import clip as cutting
from agent.recording.export.manifest import CLIP, MANIFEST, Manifest
from agent.recording.segment_name import KEYS, parse_segment_name

_MP4 = ".mp4"


class UnsealResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was written: plain segments, and the clip of an export's span."""

    folder: Path
    segments: tuple[str, ...]
    clip: Path | None


def unseal_all(
    path: Path,
    key: X25519PrivateKey,
    out: Path,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> UnsealResult:
    """Unseal a segment, or each one below a folder, into the folder `out`.

    `progress` is told how many segments are done, and of how many. Raises BadInput where there is
    none, `out` has files, or the key opens it not; OSError from the disk.
    """
    sealed = _sealed(path)
    if not sealed:
        raise UserError(f"{str(path)!r}: no sealed segment here: no {_MP4} with a {_MP4}{KEYS}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {str(out)!r}: is there already; allowed: a new or an empty folder")
    out.mkdir(parents=True, exist_ok=True)
    progress(0, len(sealed))
    for done, segment in enumerate(sealed, start=1):
        keys_file = segment.with_name(segment.name + KEYS)
        try:
            unseal(segment, keys_file, key, out / segment.name)
        except BaseException:
            with suppress(OSError):
                out.rmdir()
            raise
        progress(done, len(sealed))
    names = tuple(segment.name for segment in sealed)
    return UnsealResult(folder=out, segments=names, clip=_clip(path / MANIFEST, out, names))


def _sealed(path: Path) -> list[Path]:
    if path.is_file():
        found = [path]
    elif path.is_dir():
        found = sorted(path.rglob(f"*{_MP4}"))
    else:
        raise UserError(f"{str(path)!r}: no such file or folder")
    return [one for one in found if one.with_name(one.name + KEYS).is_file()]


def _clip(manifest_file: Path, out: Path, names: tuple[str, ...]) -> Path | None:
    """The clip of the span that an export's manifest names; None where there is no manifest."""
    try:
        manifest = msgspec.json.decode(manifest_file.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        return None
    sources = []
    for name in names:
        parsed = parse_segment_name(name)
        if parsed is not None:
            sources.append(cutting.utc_source(out / name, parsed))
    begin = cutting.utc_ns(datetime.fromisoformat(manifest.begin_time))
    end = cutting.utc_ns(datetime.fromisoformat(manifest.end_time))
    try:
        return cutting.write_clip(sources, begin, end, out / CLIP, lambda _kid: None).path
    except cutting.CannotCut:
        return None
