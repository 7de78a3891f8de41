"""A technician's scene in place of the one in force. Pure, apart from the files that are read.

The scene becomes part of the configuration on top of the box's file. The next version of the centre is complete, so it
replaces the scene, unless it has it too.
"""

import msgspec

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.base.message import Message
from agent.config.configuration import BoxFile, CameraConfig, Config
from agent.config.desired_store import BoxScene, ConfigLayer, DesiredStore
from agent.config_change import start_config
from agent.config_change.scene_request import SceneView
from agent.config_change.second_signature import weakened_protections
from agent.config_change.start_config import RefusedVersion, StartConfig


def with_scene(
    layer: ConfigLayer, config: Config, view: SceneView, toml: str, by: str, since: str
) -> ConfigLayer:
    """Return a version with a technician's scene in it. Raises UserError if there is no such view."""
    camera = next((one for one in config.camera if one.name == view.camera), None)
    if camera is None:
        names = ", ".join(one.name for one in config.camera)
        raise UserError(f"{view.key}: no such camera; allowed: {names}")
    on_head = any(head.camera == view.camera for head in config.head)
    if on_head and view.preset is None:
        raise UserError(f"{view.key}: the camera is on a head; allowed: a preset")
    if not on_head and view.preset is not None:
        raise UserError(f"{view.key}: the camera is on no head; allowed: no preset")
    scene: str | dict[str, str] = toml
    if view.preset is not None:
        earlier = layer.scenes.get(view.camera, {})
        scene = {**(earlier if isinstance(earlier, dict) else {}), view.preset: toml}
    others = tuple(
        one for one in layer.at_box if (one.camera, one.preset) != (view.camera, view.preset)
    )
    at_box = BoxScene(camera=view.camera, preset=view.preset, by=by, since=since)
    return msgspec.structs.replace(
        layer, scenes={**layer.scenes, view.camera: scene}, at_box=(*others, at_box)
    )


def check_scene(
    file: BoxFile, current: StartConfig, layer: ConfigLayer, store: DesiredStore, clock: Clock
) -> StartConfig:
    """Return a version with a technician's scene as the agent would start with it.

    A scene that hides less than the one in force needs two people, who sign a version of the centre. Raises:
    RefusedVersion; OSError.
    """
    new = start_config.check_version(file, layer, store, clock)
    weakened = weakened_protections(current, new, {})
    if weakened:
        store.discard_new_files(layer.digest)
        raise RefusedVersion(
            Message("{line}; allowed: by the centre, with signatures of two people", line=line)
            for line in weakened
        )
    return new


def differ_in_scenes_only(old: StartConfig, new: StartConfig) -> bool:
    """Return whether a version can be put in force live: nothing but scenes differs, and each camera is open to it."""
    is_open = all(source.scene_error is None for source in (*old.sources, *new.sources))
    is_same = old.presets == new.presets
    return is_open and is_same and _without_scenes(old.config) == _without_scenes(new.config)


def _without_scenes(config: Config) -> Config:
    def strip(camera: CameraConfig) -> CameraConfig:
        detect = msgspec.structs.replace(camera.detect, scene=None, scenes={})
        return msgspec.structs.replace(camera, detect=detect)

    return msgspec.structs.replace(config, camera=tuple(map(strip, config.camera)))
