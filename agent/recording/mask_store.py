"""Store of mask versions.

A camera whose stream arrives encoded is recorded unmasked. The receipt of each segment has the version
of the masks at that time: the SHA-256 of the file in this store.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from agent.base.atomic_file import make_dir, replace_atomically
from agent.base.damaged_file import is_set_aside, set_aside
from agent.base.file_read import read_regular_file
from agent.base.json_decode import MalformedJson, decode_json
from agent.base.sha256 import Sha256, sha256_hex
from agent.recording.custody.receipts import SegmentClosed
from drivers.media import Polygon

MASKS_DIR = "masks"
"""Folder of the versions, in the state folder."""
_SUFFIX = ".json"
_MAX_BYTES = 1_048_576


class MaskingError(Exception):
    """A clip cannot be masked, so there is no clip. The message is one line."""


def version(masks: Sequence[Polygon]) -> str:
    """Return the version of masks as in receipts: 64 hexadecimal digits."""
    return sha256_hex(msgspec.json.encode(masks))


def store(folder: Path, masks: Sequence[Polygon]) -> str:
    """Store masks durably for later exports and return their version. Raises OSError."""
    version_id = version(masks)
    path = folder / (version_id + _SUFFIX)
    try:
        load(folder, version_id)
    except MaskingError as error:
        if os.path.lexists(path):
            set_aside(path, error)
    else:
        return version_id
    make_dir(folder)
    replace_atomically(path, msgspec.json.encode(masks), 0o666, apply_umask=True)
    return version_id


def load(folder: Path, version_id: str) -> tuple[Polygon, ...]:
    """Load the masks of a version. Raises MaskingError if they are missing or altered."""
    try:
        # From a receipt, which may be damaged.
        name = msgspec.convert(version_id, Sha256) + _SUFFIX
        content = read_regular_file(folder / name, _MAX_BYTES)
        if sha256_hex(content) != version_id:
            raise MaskingError(f"masks {version_id}: the file was altered")
        return decode_json(content, tuple[Polygon, ...])
    except OSError as error:
        raise MaskingError(f"masks {version_id}: {error.strerror or error}") from error
    except (msgspec.ValidationError, MalformedJson) as error:
        raise MaskingError(f"masks {version_id!r}: no version of masks: {error}") from error


def set_damaged_aside(folder: Path) -> None:
    """Set the damaged versions aside; one that is in use is stored again when its camera opens."""
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return
    except OSError as error:
        set_aside(folder, error)
        return
    for name in names:
        if name.startswith(".") or is_set_aside(name):
            continue
        try:
            load(folder, name.removesuffix(_SUFFIX))
        except MaskingError as error:
            set_aside(folder / name, error)


def masks_to_apply(folder: Path, segments: Iterable[SegmentClosed]) -> tuple[Polygon, ...]:
    """Return the union of the masks to apply to a clip of these segments.

    A clip across a change of masks hides what either version hides. Raises MaskingError if the masks
    of a segment are unknown.
    """
    found: dict[Polygon, None] = {}
    for closed in segments:
        if closed.mask_applied != "export":
            continue
        if closed.mask is None:
            raise MaskingError(f"segment {closed.segment}: its receipt has no version of masks")
        found.update(dict.fromkeys(load(folder, closed.mask)))
    return tuple(found)
