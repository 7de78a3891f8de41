"""Camera sources: from the configuration to drivers, options, scenes and models, checked."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.base.event_type import EventType
from agent.capture.onvif_events import REPORTED, OnvifEventFeed
from agent.config import configuration, toml_decode
from agent.config.configuration import CameraConfig, Config
from agent.detection import model_card
from agent.detection import scene as scenes
from agent.detection.rules import registry
from agent.detection.scene import Scene
from drivers import catalog
from drivers.contracts import Camera, StreamRequest
from drivers.errors import DriverError
from drivers.onvif.credentials import OnvifAccess
from drivers.onvif.events import open_event_feed
from drivers.transcoding import open_transcoded

OpenCamera = Callable[[StreamRequest], Camera]
CAMERA_EVENT_TYPES: tuple[EventType, ...] = (*registry.EVENT_TYPES, REPORTED)
"""Every kind of event that is about a camera, so that footage of it can be held."""


class CameraSource(msgspec.Struct, frozen=True, kw_only=True):
    """A checked camera of the configuration: how to open its streams, and its scene.

    `open_detect` opens the second stream, if detection has one of its own. `scenes` are those of a
    camera on a head, by preset, and None for a fixed camera. With a `scene_error` the camera is not
    opened, because its masks are not known. `open_feed` subscribes to the camera's own events, and
    is None if the configuration wants none.
    """

    config: CameraConfig
    scene: Scene
    scenes: Mapping[str, Scene] | None = None
    scene_error: str | None = None
    open_main: OpenCamera
    open_detect: OpenCamera | None
    open_feed: Callable[[], OnvifEventFeed] | None = None


BadScenePolicy = Literal["refuse", "close"]
"""Effect of a scene that cannot be loaded: refuse the configuration, or close its camera alone. A
box on a pole runs with the cameras that are left, or with none, and reports the fault."""


def load_sources(
    path: Path, clock: Clock, on_bad_scene: BadScenePolicy = "refuse"
) -> tuple[Config, tuple[CameraSource, ...]]:
    """Read a configuration file and the scenes that it names.

    Raises: UserError if a key, a driver's option, a scene or a model's name is wrong.
    """
    config = configuration.load(path)
    return config, build_sources(config, clock, str(path), on_bad_scene)


def build_sources(
    config: Config, clock: Clock, location: str, on_bad_scene: BadScenePolicy = "refuse"
) -> tuple[CameraSource, ...]:
    """Build the cameras of a configuration; `location` begins the messages, such as the file's name.

    Raises: UserError as `load_sources`.
    """
    allowed_kinds = [event_type.kind for event_type in CAMERA_EVENT_TYPES]
    for index, kind in enumerate(config.hold.kinds):
        if kind not in allowed_kinds:
            raise UserError(
                f"{location}: hold.kinds[{index}] = {kind!r}: unknown; "
                f"allowed: {', '.join(allowed_kinds)}"
            )
    cameras_on_heads = {head.camera for head in config.head}
    return tuple(
        _build_source(
            camera,
            clock,
            location,
            f"camera[{index}]",
            on_bad_scene,
            is_on_head=camera.name in cameras_on_heads,
        )
        for index, camera in enumerate(config.camera)
    )


def _build_source(
    camera: CameraConfig,
    clock: Clock,
    location: str,
    key: str,
    on_bad_scene: BadScenePolicy,
    *,
    is_on_head: bool,
) -> CameraSource:
    if camera.detect.enabled and camera.detect.model not in model_card.list_model_names():
        allowed = ", ".join(model_card.list_model_names())
        raise UserError(
            f"{location}: {key}.detect.model = {camera.detect.model!r}: unknown; allowed: {allowed}"
        )
    if not camera.detect.enabled and not camera.record:
        raise UserError(
            f"{location}: {key}: neither watched nor recorded; "
            "allowed: record = true, detect.enabled = true, or both"
        )
    if camera.transcode and not camera.record:
        raise UserError(
            f"{location}: {key}.transcode = true: has no use with record = false; "
            "allowed: with record = true"
        )
    scene, preset_scenes, scene_error = Scene(), dict[str, Scene](), None
    try:
        if camera.detect.scene:
            scene = scenes.load_scene(Path(camera.detect.scene))
        for preset, path in camera.detect.scenes.items():
            preset_scenes[preset] = scenes.load_scene(Path(path))
    except UserError as error:
        if on_bad_scene == "refuse":
            raise
        scene_error = str(error)
    main = _opener(camera, camera.options, clock, location, f"{key}.options")
    detect_options = camera.detect_options
    return CameraSource(
        config=camera,
        scene=scene,
        scenes=preset_scenes if is_on_head else None,
        scene_error=scene_error,
        open_main=_transcoding_opener(camera.name, main) if camera.transcode else main,
        open_detect=None
        if detect_options is None
        else _opener(camera, detect_options, clock, location, f"{key}.detect_options"),
        open_feed=_feed_opener(camera),
    )


def _feed_opener(camera: CameraConfig) -> Callable[[], OnvifEventFeed] | None:
    onvif = camera.onvif
    if onvif is None or not onvif.events:
        return None
    access = OnvifAccess(url=onvif.url, username=onvif.username, password_file=onvif.password_file)

    def open_feed() -> OnvifEventFeed:
        return open_event_feed(f"camera {camera.name!r}", access)

    return open_feed


def _transcoding_opener(name: str, open_camera: OpenCamera) -> OpenCamera:
    return lambda wanted: open_transcoded(f"camera {name!r}", open_camera, wanted)


def _opener(
    camera: CameraConfig, raw_options: dict[str, object], clock: Clock, location: str, key: str
) -> OpenCamera:
    try:
        module = catalog.load_camera_driver(camera.driver)
    except DriverError as error:
        raise UserError(f"{location}: {key.rsplit('.', 1)[0]}.driver: {error}") from error
    options: msgspec.Struct = toml_decode.convert(raw_options, module.Options, location, key)

    def open_camera(wanted: StreamRequest) -> Camera:
        return module.open_camera(camera.name, options, wanted, clock.boottime_ns)

    return open_camera
