"""The configuration that the centre wants of a box: its message, and its merge with the box's own file. Pure.

The box's file stays the base. Settings are named by their keys, of cameras and heads below their names, and
scenes are whole files:

    {"box": "pole-17", "version": 8, "settings": {"camera": {"north": {"detect": {"fps": 5}}}},
     "scenes": {"north": "[[mask]]...", "dome": {"gate": "..."}}}

A version is complete: a key or a scene that it does not name has the value of the base.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeAlias

import msgspec

from agent.base.count_proof import CountProof
from agent.base.sha256 import Sha256, sha256_hex
from agent.config import desired_keys
from agent.config.fisheye import VIEW_DRIVER
from agent.config.heads import PanDeg, TiltDeg
from agent.config.names import HttpsUrl, Name, is_card_path

MAX_MESSAGE_BYTES = 131_072
MAX_VERSION_STEP = 1000
"""Largest step from the version decided about to the next one. A box decides about each once, so without a bound one message with
the largest number would be the last.
"""
MIN_CONFIRM_S, MAX_CONFIRM_S = 30.0, 900.0
MAX_SCENE_CHARS = 65_536
MODEL_KEY = "camera[].detect.model"
MAX_MODELS, MAX_CARD_CHARS, MAX_DELIVERED_BYTES = 8, 16_384, 67_108_864

MAX_REHEARSAL_SPAN = timedelta(hours=6)
MIN_YEAR, MAX_YEAR = 2000, 9000

Time = Annotated[datetime, msgspec.Meta(tz=True)]
SceneText = Annotated[str, msgspec.Meta(max_length=MAX_SCENE_CHARS)]
SceneTexts: TypeAlias = dict[Name, SceneText | dict[Name, SceneText]]
"""By camera: the text of its scene or, of a camera on a head, the text of each preset's."""
SceneFiles: TypeAlias = Mapping[str, str | Mapping[str, str]]
"""By camera: the path of its scene, or of each preset's."""
CardFiles: TypeAlias = Mapping[str, str]
"""By model: the path of its card."""
_Line = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^\x00-\x1f\x7f]{1,64}$(?!\n)",
        extra={"allowed": "one line of 1 to 64 characters"},
    ),
]


class DesiredPreset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pose of a preset, in the head's own degrees."""

    pan_deg: PanDeg
    tilt_deg: TiltDeg
    zoom: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0


class DesiredModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model of one's own: the text of its card, which has the hash of its file, and the address of the file."""

    card: Annotated[str, msgspec.Meta(max_length=MAX_CARD_CHARS)]
    url: HttpsUrl
    size_bytes: Annotated[int, msgspec.Meta(ge=1, le=MAX_DELIVERED_BYTES)]


class DesiredContent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part on top of the box's file: settings by their keys, scenes by camera, presets by head, models by name.

    `proofs` are those of counts, by camera.
    """

    settings: dict[str, Any] = {}
    scenes: SceneTexts = {}
    presets: dict[Name, Annotated[dict[Name, DesiredPreset], msgspec.Meta(max_length=256)]] = {}
    models: Annotated[dict[Name, DesiredModel], msgspec.Meta(max_length=MAX_MODELS)] = {}
    proofs: dict[Name, CountProof] = {}

    def content(self) -> "DesiredContent":
        """Return this alone, without what a version has in addition."""
        return DesiredContent(
            settings=self.settings,
            scenes=self.scenes,
            presets=self.presets,
            models=self.models,
            proofs=self.proofs,
        )

    def keys(self) -> tuple[str, ...]:
        """Return the names of all that is set, such as `record.max_age_h` and `scenes.north`."""
        return (
            *(key for key, _value in iter_leaves(self.settings)),
            *(f"scenes.{name}" for name in sorted(self.scenes)),
            *(f"presets.{head}.{name}" for head in self.presets for name in self.presets[head]),
            *(f"models.{name}" for name in sorted(self.models)),
            *(f"proofs.{name}" for name in sorted(self.proofs)),
        )


class DesiredRehearsal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The span of recorded footage that a version is rehearsed on: 6 hours at most."""

    begin: Time
    end: Time

    def __post_init__(self) -> None:
        """Raise ValueError if the span is none, or too long."""
        is_span = timedelta() < self.end - self.begin <= MAX_REHEARSAL_SPAN
        # Times near the ends of the calendar have no UTC.
        if not is_span or self.begin.year < MIN_YEAR or self.end.year > MAX_YEAR:
            raise ValueError(
                "begin and end: allowed: end after begin, by at most 6 h, in the years "
                f"{MIN_YEAR} to {MAX_YEAR}"
            )


class DesiredConfig(DesiredContent, frozen=True, kw_only=True):
    """The configuration that the centre wants, as a whole. Its `version` grows with each change.

    It is rolled back unless the box works within `confirm_s`. `base` is the digest of the content that it was made from,
    see `content_digest`: if another is in force, the version is refused. With `rehearse` it is not put in force: the box tries its
    detection on recorded footage, next to the one in force, and reports the differences.
    """

    box: Name
    version: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    confirm_s: Annotated[float, msgspec.Meta(ge=MIN_CONFIRM_S, le=MAX_CONFIRM_S)] = 180.0
    base: Sha256 | None = None
    rehearse: DesiredRehearsal | None = None


class PlainDesiredConfig(DesiredConfig, frozen=True, kw_only=True):
    """On `down/config`, of a box without a control authority: `by` and `role` are claims. Retained, without `rehearse`."""

    by: _Line
    role: _Line


def content_digest(content: DesiredContent) -> str:
    """Return the SHA-256 of what a version sets: its JSON with sorted keys, without spaces."""
    return sha256_hex(msgspec.json.encode(content.content(), order="sorted"))


def iter_refused_keys(tables: Mapping[str, Any], content: DesiredContent) -> Iterator[str]:
    """Yield a line for each key that the centre may not set, or that names nothing of the base `tables`."""
    for key, value in content.settings.items():
        if key not in desired_keys.LISTS_BY_NAME:
            yield from _refused_below(value, key, key)
        elif not isinstance(value, dict):
            yield f"{key}: allowed: a table by the name of each {key}"
        else:
            yield from _refused_entries(tables, key, value)
    for prefix, kind, named in (
        ("scenes", "camera", content.scenes),
        ("proofs", "camera", content.proofs),
        ("presets", "head", content.presets),
    ):
        names = _names(tables, kind)
        if kind == "camera":
            names += new_views(tables, content.settings)
        for name in named:
            if name not in names:
                yield _unknown_name(f"{prefix}.{name}", kind, names)


def new_views(tables: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """Return the names of the views that the settings add to the cameras of the base."""
    cameras, names = settings.get("camera"), _names(tables, "camera")
    return [
        name
        for name, table in (cameras.items() if isinstance(cameras, dict) else ())
        if table is not None and name not in names and _is_view(tables, name, table)
    ]


def merge(
    tables: Mapping[str, Any],
    content: DesiredContent,
    scene_files: SceneFiles,
    card_files: CardFiles,
) -> dict[str, Any]:
    """Return the base `tables` with the settings, scenes and models in place of its own; presets are no part of it.

    All keys are allowed, see `iter_refused_keys`.
    """
    merged = dict(tables)
    for key, value in content.settings.items():
        if key in desired_keys.LISTS_BY_NAME:
            merged[key] = [
                merge_values(item, value.get(item.get("name"), {}))
                for item in tables.get(key, [])
                if value.get(item.get("name"), {}) is not None
            ]
            if key == "camera":
                added = new_views(tables, content.settings)
                merged[key] += [{"name": name, **value[name]} for name in added]
        else:
            merged[key] = merge_values(tables.get(key), value)
    merged["camera"] = [
        _with_model(_with_scene(camera, scene_files.get(camera.get("name", ""))), card_files)
        for camera in merged.get("camera", [])
    ]
    return merged


def scene_key(camera: str, preset: str | None) -> str:
    """Return the name of a scene in messages, such as `scenes.north` and `scenes.dome.gate`."""
    return f"scenes.{camera}.{preset or ''}".removesuffix(".")


def changed_cameras(
    old: DesiredContent, new: DesiredContent, camera_of_head: Mapping[str, str | None]
) -> tuple[str, ...]:
    """Return the cameras that another version changes something for, or none if that is the box as a whole."""
    if old.models != new.models:
        return ()
    cameras = [*_differing(old.scenes, new.scenes), *_differing(old.proofs, new.proofs)]
    heads = [*_differing(old.presets, new.presets)]
    for key in _differing(old.settings, new.settings):
        tables = [content.settings.get(key, {}) for content in (old, new)]
        if key == "camera":
            cameras += _differing(*tables)
        elif key == "head":
            heads += _differing(*tables)
        else:
            return ()
    names = [*cameras, *(camera_of_head.get(head) for head in heads)]
    return tuple(sorted({name for name in names if name})) if all(names) else ()


def name_entries(line: str, tables: Mapping[str, Any]) -> str:
    """Replace the number of a camera or a head in a message by its name: the centre does not know the file."""

    def name_of(match: re.Match[str]) -> str:
        items = tables.get(match["list"], [])
        index = int(match["index"])
        return f"{match['list']}.{items[index]['name']}" if index < len(items) else match[0]

    return _ENTRY.sub(name_of, line)


_ENTRY = re.compile(r"\b(?P<list>camera|head)\[(?P<index>\d+)\]")


def _is_view(tables: Mapping[str, Any], name: str, table: object) -> bool:
    """Return whether a camera of a version is a view of a fisheye camera: one of the base, or a new one. Null takes a view away."""
    for camera in tables.get("camera", []):
        if camera["name"] == name:
            return bool(camera.get("driver") == VIEW_DRIVER)
    return table is None or (isinstance(table, dict) and table.get("driver") == VIEW_DRIVER)


def _refused_entries(
    tables: Mapping[str, Any], kind: str, entries: Mapping[str, object]
) -> Iterator[str]:
    names = _names(tables, kind)
    for name, table in entries.items():
        if kind == "camera" and _is_view(tables, name, table):
            yield from _refused_in_view(table, f"{kind}.{name}")
        elif name in names:
            yield from _refused_below(table, f"{kind}.{name}", f"{kind}[]")
        else:
            yield _unknown_name(f"{kind}.{name}", kind, names)


def _refused_in_view(table: object, path: str) -> Iterator[str]:
    """Yield a line for each key that the centre may not set of a view. Its options are no address: they name a camera of the box."""
    if table is None:
        return
    if not isinstance(table, dict):
        yield f"{path}: allowed: a table, or null for no such view"
        return
    for key, item in table.items():
        if key != "options" and not (key == "driver" and item == VIEW_DRIVER):
            yield from _refused_below(item, f"{path}.{key}", f"camera[].{key}")


def _refused_below(value: object, path: str, key: str) -> Iterator[str]:
    """`path` is as in the message, and `key` as in the list of keys."""
    if desired_keys.is_settable(key) and not isinstance(value, dict):
        if key == MODEL_KEY and isinstance(value, str) and is_card_path(value):
            yield f"{path} = {value!r}: a file of the box; allowed: the name of a model"
        return
    if isinstance(value, dict) and not desired_keys.refusal_reason(key):
        for name, item in value.items():
            yield from _refused_below(item, f"{path}.{name}", f"{key}.{name}")
        return
    reason = desired_keys.refusal_reason(key)
    if reason is not None:
        yield f"{path}: the centre may not set it: {reason}; allowed: {_allowed_keys()}"
    else:
        yield f"{path}: unknown key; allowed: {_allowed_keys()}"


def _allowed_keys() -> str:
    return ", ".join(sorted(desired_keys.CENTRE_KEYS)).replace("[]", ".NAME")


def iter_leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the keys of nested tables, such as `record.max_age_h`, and their values."""
    for key, value in sorted(table.items()):
        if isinstance(value, dict):
            yield from iter_leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _differing(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    return [key for key in {**old, **new} if old.get(key) != new.get(key)]


def _names(tables: Mapping[str, Any], key: str) -> list[str]:
    return [item["name"] for item in tables.get(key, [])]


def _unknown_name(path: str, kind: str, names: list[str]) -> str:
    return f"{path}: no such {kind}; there are: {', '.join(names) or 'none'}"


def merge_values(base: Any, value: Any) -> Any:
    """Return tables with those of `value` in them; any other value replaces the one before."""
    if not isinstance(base, dict) or not isinstance(value, dict):
        return value
    return {**base, **{key: merge_values(base.get(key), item) for key, item in value.items()}}


def _with_model(camera: Mapping[str, Any], card_files: CardFiles) -> Mapping[str, Any]:
    detect = camera.get("detect", {})
    model = detect.get("model")
    if not isinstance(model, str) or model not in card_files:
        return camera
    return {**camera, "detect": {**detect, "model": card_files[model]}}


def _with_scene(
    camera: Mapping[str, Any], scene: str | Mapping[str, str] | None
) -> Mapping[str, Any]:
    if scene is None:
        return camera
    detect = dict(camera.get("detect", {}))
    if isinstance(scene, str):
        detect["scene"] = scene
    else:
        detect["scenes"] = {**detect.get("scenes", {}), **scene}
    return {**camera, "detect": detect}
