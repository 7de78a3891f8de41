"""Changes of the configuration that weaken a protection: they need the signatures of two people. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from agent.app.desired_message import ConfigSigner
from agent.app.start_config import StartConfig, to_pose
from agent.capture.camera_source import CameraSource
from agent.config.configuration import CameraConfig, Config
from agent.config.control import Action
from agent.config.desired_config import changed_cameras, scene_key
from agent.config.desired_store import ConfigLayer
from agent.detection.mask_cover import covers
from drivers.contracts import Pose

StoredPresets: TypeAlias = Mapping[str, Mapping[str, Pose]]
"""The pose of each preset that is stored in the box itself, by head."""


def weakened_protections(
    old: StartConfig, new: StartConfig, stored: StoredPresets
) -> tuple[str, ...]:
    """Return a line for each mask that hides less than before, and for footage that is kept for longer."""
    before = {source.config.name: source for source in old.sources}
    after = [source for source in new.sources if source.config.name in before]
    return (
        *_longer_retention(old.config, new.config),
        *(line for source in after for line in _weaker_masks(before[source.config.name], source)),
        *_moved_presets(old, new, stored),
    )


def unpermitted_changes(
    old: StartConfig,
    new: StartConfig,
    layer: ConfigLayer,
    signers: Sequence[ConfigSigner],
    stored: StoredPresets,
) -> tuple[str, ...]:
    """Return a line for each reason why the people may not change this: their roles, or that it needs two."""
    config = old.config
    heads = {head.name: head.camera for head in config.head}
    cameras = changed_cameras(old.layer or ConfigLayer(), layer, heads)
    weakened = weakened_protections(old, new, stored)
    actions: tuple[Action, ...] = ("configure", "lift_mask") if weakened else ("configure",)
    refused = tuple(
        f"the role {signer.role} of {signer.name!r} does not permit {action!r} on "
        f"{', '.join(cameras) or 'the box'}"
        for signer in signers
        for action in actions
        if signer.role is not None and not config.control.permits(signer.role, action, cameras)
    )
    if not refused and len(signers) < 2:  # noqa: PLR2004 - people
        return tuple(f"{line}; allowed: with signatures of two people" for line in weakened)
    return refused


def _longer_retention(old: Config, new: Config) -> Iterator[str]:
    before = {camera.name: camera for camera in old.camera}
    for camera in new.camera:
        old_h = _retention_h(old, before.get(camera.name))
        new_h = _retention_h(new, camera)
        if new_h > old_h:
            yield f"camera.{camera.name}: footage would be kept for {new_h:g} h, now {old_h:g} h"
    for name in ("event_days", "command_days", "pre_s", "post_s"):
        old_value, new_value = getattr(old.hold, name), getattr(new.hold, name)
        if new_value > old_value:
            yield f"hold.{name} = {new_value:g}: now {old_value:g}"
    for kind in new.hold.kinds:
        if kind not in old.hold.kinds:
            yield f"hold.kinds: {kind!r} would be held, now it is not"


def _retention_h(config: Config, camera: CameraConfig | None) -> float:
    if camera is None or not camera.record:
        return 0.0
    institution = camera.institution
    limit_h = None if institution is None else institution.max_age_h
    max_age_h = config.record.max_age_h
    return max_age_h if limit_h is None else min(max_age_h, limit_h)


def _weaker_masks(old: CameraSource, new: CameraSource) -> Iterator[str]:
    name = new.config.name
    for preset in sorted({"", *_scenes(old), *_scenes(new)}):
        if not covers(new.masks_at(preset), old.masks_at(preset)):
            yield f"{scene_key(name, preset)}: its masks hide less than those in force"
    has_masks = any(old.masks_at(preset) for preset in ("", *_scenes(old)))
    if has_masks and old.config.transcode and not new.config.transcode:
        yield f"camera.{name}.transcode = false: the pixels under its masks would be stored"


def _moved_presets(old: StartConfig, new: StartConfig, stored: StoredPresets) -> Iterator[str]:
    """Yield a line for each preset that masks were drawn at and that is somewhere else: they hide another part."""
    old_sources, sources = (
        {source.config.name: source for source in one.sources} for one in (old, new)
    )
    for head in new.config.head:
        camera = head.camera or ""
        if camera not in old_sources or not old_sources[camera].masks_at(""):
            continue
        before, after = (_poses(one, head.name, stored) for one in (old, new))
        for preset in sorted(_scenes(sources[camera])):
            if preset in after and before.get(preset) != after[preset]:
                yield f"presets.{head.name}.{preset}: masks were drawn at it, and it would be moved"


def _poses(config: StartConfig, head: str, stored: StoredPresets) -> dict[str, Pose]:
    desired = config.presets.get(head, {})
    return {**stored.get(head, {}), **{name: to_pose(preset) for name, preset in desired.items()}}


def _scenes(source: CameraSource) -> Mapping[str, object]:
    return source.scenes or {}
