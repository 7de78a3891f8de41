"""The scene editor for a camera on a head: reads a folder of its presets, and writes the page that has all of it.

```
presets.json      the answer of `vigie ptz preset list --json`
panorama.jpg      the snapshot of a sweep; may be left out
gate.jpg          a picture of the preset `gate`, or gate.png or gate.webp; may be left out
gate.toml         its scene; may be left out
```
"""

from pathlib import Path

import msgspec

from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.json_decode import MalformedJson, decode_json
from agent.ptz.preset_store import MAX_PRESETS, Preset
from agent.ptz.ptz_args import PtzResult
from agent.scene_editor.assemble import EditorPicture, SceneText, assemble_page
from centre.scene_page import read_picture, read_scene, write_page

PRESETS_NAME, PANORAMA_NAME, PAGE_NAME = "presets.json", "panorama.jpg", "presets.scene.html"
MAX_PRESETS_BYTES = 1_048_576
MAX_PANORAMA_BYTES = 16_777_216
MAX_PICTURE_BYTES = 134_217_728
"""Of all presets together: a browser holds the page as text."""
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


class HeadViews(msgspec.Struct, frozen=True, kw_only=True):
    """The views of a head: pictures and scenes by preset, and the panorama as it was sent."""

    presets: tuple[Preset, ...]
    panorama: bytes | None
    pictures: dict[str, EditorPicture]
    scenes: dict[str, SceneText]


class _Answer(msgspec.Struct, frozen=True):
    """The reply to the command, or its result alone."""

    result: PtzResult | None = None
    presets: tuple[Preset, ...] | None = None


def write_preset_page(folder: Path) -> Path:
    """Write the page into the folder and return its path. Raises: UserError that names a file."""
    return write_page(folder / PAGE_NAME, assemble_page(data={"head": read_head_views(folder)}))


def read_head_views(folder: Path) -> HeadViews:
    """Read the folder. Raises: UserError that names a file."""
    presets = _read_presets(folder / PRESETS_NAME)
    pictures: dict[str, EditorPicture] = {}
    scenes: dict[str, SceneText] = {}
    for preset in presets:
        candidates = (folder / f"{preset.name}{suffix}" for suffix in _PICTURE_SUFFIXES)
        picture = next((path for path in candidates if path.exists()), None)
        if picture is not None:
            pictures[preset.name] = read_picture(picture)
        if sum(len(each.jpeg) for each in pictures.values()) > MAX_PICTURE_BYTES:
            raise UserError(f"{folder}: pictures: allowed: {MAX_PICTURE_BYTES} bytes in all")
        scene = folder / f"{preset.name}.toml"
        if scene.exists():
            scenes[preset.name] = read_scene(scene)
    panorama = folder / PANORAMA_NAME
    return HeadViews(
        presets=presets,
        panorama=_read(panorama, MAX_PANORAMA_BYTES) if panorama.exists() else None,
        pictures=pictures,
        scenes=scenes,
    )


def _read_presets(path: Path) -> tuple[Preset, ...]:
    lines = _read(path, MAX_PRESETS_BYTES).strip().splitlines()
    try:
        answer = decode_json(lines[-1] if lines else b"", _Answer)
    except MalformedJson as error:
        raise UserError(
            f"{path}: {error}; allowed: the answer of `vigie ptz preset list --json`"
        ) from error
    presets = answer.presets or (answer.result and answer.result.presets) or ()
    if not 0 < len(presets) <= MAX_PRESETS:
        raise UserError(f"{path}: {len(presets)} presets; allowed: 1 to {MAX_PRESETS}")
    return presets


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        return read_regular_file(path, max_bytes)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
