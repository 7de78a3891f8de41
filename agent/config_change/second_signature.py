"""Changes of the configuration that are irreversible: they need the signatures of two people. Pure.

`agent.config.desired_keys` has the table of keys and changes; here is how each change is found.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from agent.capture.camera_source import CameraSource
from agent.config.configuration import CameraConfig, Config
from agent.config.control import Action
from agent.config.desired_config import changed_cameras, scene_key
from agent.config.desired_keys import CENTRE_KEYS, MAX_HIDDEN_SHARE, Harm, TwoPersonChange
from agent.config.desired_store import ConfigLayer
from agent.config.heads import TourConfig
from agent.config.recording import FootageRules
from agent.config_change.desired_message import ConfigSigner
from agent.config_change.start_config import StartConfig, to_pose
from agent.detection.mask_cover import covers, hidden_share
from agent.recording.retention.eviction_plan import EvictionPreview
from drivers.contracts import Pose
from drivers.media import Polygon

StoredPresets: TypeAlias = Mapping[str, Mapping[str, Pose]]
"""The pose of each preset that is stored in the box itself, by head."""
PreviewEviction: TypeAlias = Callable[[FootageRules], EvictionPreview]
"""Returns the footage that other rules would evict."""
MAX_NAMED_HOLDS = 5


class IrreversibleChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change that two people sign: its harm, and a line that begins with its key."""

    harm: Harm
    line: str


def weakened_protections(
    old: StartConfig, new: StartConfig, stored: StoredPresets
) -> tuple[str, ...]:
    """Return a line for each mask that hides less than before, and for footage that is kept for longer."""
    changes = irreversible_changes(old, new, stored)
    return tuple(change.line for change in changes if change.harm == "uncovers")


def irreversible_changes(
    old: StartConfig, new: StartConfig, stored: StoredPresets
) -> tuple[IrreversibleChange, ...]:
    """Return the changes that two people sign, by the table of `desired_keys`."""
    before = {source.config.name: source for source in old.sources}
    pairs = [
        (before[source.config.name], source)
        for source in new.sources
        if source.config.name in before
    ]
    return (
        *_uncovers(_longer_retention(old.config, new.config)),
        *_changed_settings(old.config, new.config),
        *_removed_views(old.config, new.config),
        *(change for pair in pairs for change in _changed_scenes(*pair)),
        *_uncovers(_moved_presets(old, new, stored)),
    )


def unpermitted_changes(
    old: StartConfig,
    new: StartConfig,
    layer: ConfigLayer,
    signers: Sequence[ConfigSigner],
    stored: StoredPresets,
    preview_eviction: PreviewEviction,
) -> tuple[str, ...]:
    """Return a line for each reason why the people may not change this: held footage, their roles, or that it needs two.

    Lines of a change that would evict footage are followed by those of the footage.
    """
    config = old.config
    changes = irreversible_changes(old, new, stored)
    harms = {change.harm for change in changes}
    preview = (
        preview_eviction(new.config.footage_rules) if "destroys" in harms else EvictionPreview()
    )
    below_held = tuple(_quotas_below_held(config, new.config, preview))
    if below_held:
        return below_held
    actions: tuple[Action, ...] = (
        ("configure", "lift_mask") if "uncovers" in harms else ("configure",)
    )
    refused = unpermitted_actions(old, layer, signers, actions)
    if not refused and len(signers) < 2:  # noqa: PLR2004 - people
        lines = (f"{change.line}; allowed: with signatures of two people" for change in changes)
        return (*lines, *_describe_evicted(preview))
    return refused


def unpermitted_actions(
    old: StartConfig, layer: ConfigLayer, signers: Sequence[ConfigSigner], actions: Iterable[Action]
) -> tuple[str, ...]:
    """Return a line for each action on what a version changes that the role of a person does not permit."""
    heads = {head.name: head.camera for head in old.config.head}
    cameras = changed_cameras(old.layer or ConfigLayer(), layer, heads)
    return tuple(
        f"the role {signer.role} of {signer.name!r} does not permit {action!r} on "
        f"{', '.join(cameras) or 'the box'}"
        for signer in signers
        for action in actions
        if signer.role is not None and not old.config.control.permits(signer.role, action, cameras)
    )


def _uncovers(lines: Iterable[str]) -> Iterator[IrreversibleChange]:
    return (IrreversibleChange(harm="uncovers", line=line) for line in lines)


def _quotas_below_held(old: Config, new: Config, preview: EvictionPreview) -> Iterator[str]:
    """Yield a line for each quota that would become smaller, and smaller than the held footage."""
    subjects = [
        ("max_bytes", f"camera {held.camera}", held.size_bytes, held.holds) for held in preview.held
    ]
    total_bytes = sum(held.size_bytes for held in preview.held)
    all_holds = tuple(dict.fromkeys(name for held in preview.held for name in held.holds))
    subjects.append(("box_max_bytes", "the box", total_bytes, all_holds))
    for name, subject, held_bytes, holds in subjects:
        quota = getattr(new.record, name)
        if quota < min(getattr(old.record, name), held_bytes):
            yield (
                f"record.{name} = {quota}: {held_bytes} bytes of {subject} are held "
                f"({_join(holds)}); allowed: {held_bytes} or more"
            )


def _join(names: Sequence[str]) -> str:
    more = f", and {len(names) - MAX_NAMED_HOLDS} more" if len(names) > MAX_NAMED_HOLDS else ""
    return ", ".join(names[:MAX_NAMED_HOLDS]) + more


def _describe_evicted(preview: EvictionPreview) -> Iterator[str]:
    """Yield a line for the footage of each camera that would go at once."""
    for span in preview.evicted:
        yield (
            f"would go at once: {span.size_bytes / 1e6:.1f} MB of {span.camera}, {span.files} files, "
            f"from {span.first_time} to {span.last_time}"
        )
    if preview.unread:
        yield f"not listed yet after the start: the footage of {', '.join(preview.unread)}"


def _changed_settings(old: Config, new: Config) -> Iterator[IrreversibleChange]:
    """Yield the changes that the old and the new value of a key show."""
    for key, changes in CENTRE_KEYS.items():
        for name, old_value, new_value in _iter_values(key, old, new):
            for change in changes:
                for line in _describe_change(change, name, old_value, new_value):
                    yield IrreversibleChange(harm=change.harm, line=line)


def _removed_views(old: Config, new: Config) -> Iterator[IrreversibleChange]:
    """Yield a line for each view that detects and is no longer there: a version removes no other camera."""
    left = {camera.name for camera in new.camera}
    for camera in old.camera:
        if camera.name not in left and camera.detect.enabled:
            line = f"camera.{camera.name}: the view would be removed, and nothing detected in it"
            yield IrreversibleChange(harm="blinds", line=line)


def _iter_values(key: str, old: Config, new: Config) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name of a key and its values; a key of cameras or heads by the name of each that both have."""
    kind, is_list, rest = key.partition("[].")
    if not is_list:
        yield key, _value_at(old, key), _value_at(new, key)
        return
    before = {item.name: item for item in getattr(old, kind)}
    for item in getattr(new, kind):
        if item.name in before:
            yield (
                f"{kind}.{item.name}.{rest}",
                _value_at(before[item.name], rest),
                _value_at(item, rest),
            )


def _value_at(table: object, key: str) -> Any:
    for name in key.split("."):
        table = getattr(table, name)
    return table


def _describe_change(change: TwoPersonChange, name: str, old: Any, new: Any) -> Iterator[str]:
    """Yield a line if a key changes so. Changes that take more than two values to see are found elsewhere."""
    below = math.inf if change.below is None else change.below
    match change.change:
        case "off" if old and not new:
            yield f"{name} = false: now true"
        case "raised" if new > old:
            yield f"{name} = {_text(new)}: now {_text(old)}"
        case "lowered" if new < min(old, below):
            yield f"{name} = {_text(new)}: now {_text(old)}"
        case "entry added":
            yield from (
                f"{name}: {one!r} would be held, now it is not" for one in new if one not in old
            )
        case "entry removed":
            yield from (
                f"{name}: {one!r} would not be held, now it is" for one in old if one not in new
            )
        case "shorter dwell" if _shortest_dwell_s(new) < min(_shortest_dwell_s(old), below):
            dwell_s = _shortest_dwell_s(new)
            yield f"{name}: dwell_s = {dwell_s:g}, below {below:g}: the head would hardly rest"


def _text(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shortest_dwell_s(tours: Sequence[TourConfig]) -> float:
    return min((stop.dwell_s for tour in tours for stop in tour.stop), default=math.inf)


def _longer_retention(old: Config, new: Config) -> Iterator[str]:
    before = {camera.name: camera for camera in old.camera}
    for camera in new.camera:
        old_h = _retention_h(old, before.get(camera.name))
        new_h = _retention_h(new, camera)
        if new_h > old_h:
            yield f"camera.{camera.name}: footage would be kept for {new_h:g} h, now {old_h:g} h"


def _retention_h(config: Config, camera: CameraConfig | None) -> float:
    if camera is None or not camera.record:
        return 0.0
    institution = camera.institution
    limit_h = None if institution is None else institution.max_age_h
    max_age_h = config.record.max_age_h
    return max_age_h if limit_h is None else min(max_age_h, limit_h)


def _changed_scenes(old: CameraSource, new: CameraSource) -> Iterator[IrreversibleChange]:
    """Yield the changes of a camera's masks and ignored areas, at each preset."""
    name = new.config.name
    for preset in sorted({"", *_scenes(old), *_scenes(new)}):
        key = scene_key(name, preset)
        if not covers(new.masks_at(preset), old.masks_at(preset)):
            yield from _uncovers([f"{key}: its masks hide less than those in force"])
        before, after = (_excluded_at(one, preset) for one in (old, new))
        share = hidden_share(after) if after != before else 0
        if share > MAX_HIDDEN_SHARE and share > (old_share := hidden_share(before)):
            line = f"{key}: {float(share):.0%} of the picture would be hidden or ignored, now {float(old_share):.0%}"
            yield IrreversibleChange(harm="blinds", line=line)
        had_areas, has_areas = (_has_areas(one, preset) for one in (old, new))
        if had_areas and not has_areas:
            line = f"{key}: no line or zone would be left"
            yield IrreversibleChange(harm="blinds", line=line)
    has_masks = any(old.masks_at(preset) for preset in ("", *_scenes(old)))
    if has_masks and old.config.transcode and not new.config.transcode:
        line = f"camera.{name}.transcode = false: the pixels under its masks would be stored"
        yield from _uncovers([line])


def _has_areas(source: CameraSource, preset: str) -> bool:
    scene = source.all_scenes.get(preset)
    return scene is not None and bool(scene.line or scene.zone)


def _excluded_at(source: CameraSource, preset: str) -> tuple[Polygon, ...]:
    """Return the polygons in which nothing is detected at a preset."""
    scene = source.all_scenes.get(preset)
    ignored = () if scene is None else tuple(part.polygon for part in scene.ignore)
    return (*source.masks_at(preset), *ignored)


def _moved_presets(old: StartConfig, new: StartConfig, stored: StoredPresets) -> Iterator[str]:
    """Yield a line for each preset that masks were drawn at and that is somewhere else: they hide another part.

    One that is removed could be set anywhere by the command. Without its scene too the picture there is hidden whole.
    """
    old_sources, sources = (
        {source.config.name: source for source in one.sources} for one in (old, new)
    )
    for head in new.config.head:
        camera = head.camera or ""
        if camera not in old_sources or not old_sources[camera].masks_at(""):
            continue
        before, after = (_poses(one, head.name, stored) for one in (old, new))
        for preset in sorted(_scenes(sources[camera])):
            line = f"presets.{head.name}.{preset}: masks were drawn at it, and it would be"
            if preset in after and before.get(preset) != after[preset]:
                yield f"{line} moved"
            elif preset in before and preset not in after:
                yield f"{line} removed: it could be set elsewhere"


def _poses(config: StartConfig, head: str, stored: StoredPresets) -> dict[str, Pose]:
    desired = config.presets.get(head, {})
    return {**stored.get(head, {}), **{name: to_pose(preset) for name, preset in desired.items()}}


def _scenes(source: CameraSource) -> Mapping[str, object]:
    return source.scenes or {}
