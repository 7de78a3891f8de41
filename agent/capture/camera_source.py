"""From a configuration to cameras that can be opened: drivers, their options, scenes, models."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.capture.onvif_events import OnvifEventFeed
from agent.config import configuration, strict
from agent.config.configuration import CameraConfig, Config
from agent.detection import model_card
from agent.detection import scene as scenes
from agent.detection.scene import Scene
from drivers import catalog
from drivers.contracts import Camera, Wanted
from drivers.errors import DriverError
from drivers.onvif.credentials import Access
from drivers.transcoding import open_transcoded

OpenCamera = Callable[[Wanted], Camera]


class CameraSource(msgspec.Struct, frozen=True, kw_only=True):
    """A camera of the configuration, checked: how to open its streams, and its scene.

    `open_detect` is of the second stream, where it has one for detection. `scenes` are those of a
    camera on a head, by preset; None where it stands still. `refused` says why a scene could not
    be loaded: nobody knows what is masked then, so the camera is not opened. `open_feed` subscribes
    to what the camera reports itself, None where nobody wants to hear it.
    """

    config: CameraConfig
    scene: Scene
    scenes: Mapping[str, Scene] | None = None
    refused: str | None = None
    open_main: OpenCamera
    open_detect: OpenCamera | None
    open_feed: Callable[[], OnvifEventFeed] | None = None


OnBadScene = Literal["refuse", "close"]
"""What a scene that cannot be loaded does: refuse all, or close its camera and no other one. A
box on a pole goes on with what is left, and its centre is told; without any camera it has nothing
to go on with."""


def load(
    path: Path, clock: Clock, on_bad_scene: OnBadScene = "refuse"
) -> tuple[Config, tuple[CameraSource, ...]]:
    """A configuration file with all that it names, checked.

    Raises BadInput where a key, a driver's option, a scene or a model's name is wrong.
    """
    config = configuration.load(path)
    return config, sources(config, clock, str(path), on_bad_scene)


def sources(
    config: Config, clock: Clock, where: str, on_bad_scene: OnBadScene = "refuse"
) -> tuple[CameraSource, ...]:
    """The cameras of a configuration; `where` begins messages, such as the file's name.

    Raises BadInput as `load`, and where no camera at all is left that could be opened.
    """
    on_heads = {head.camera for head in config.head}
    found = tuple(
        _source(
            camera,
            clock,
            where,
            f"camera[{index}]",
            on_bad_scene,
            turns=camera.name in on_heads,
        )
        for index, camera in enumerate(config.camera)
    )
    refusals = [source.refused for source in found if source.refused is not None]
    if len(refusals) == len(found):
        raise UserError(refusals[0])
    return found


def _source(
    camera: CameraConfig,
    clock: Clock,
    where: str,
    under: str,
    on_bad_scene: OnBadScene,
    *,
    turns: bool,
) -> CameraSource:
    if camera.detect.enabled and camera.detect.model not in model_card.names():
        allowed = ", ".join(model_card.names())
        raise UserError(
            f"{where}: {under}.detect.model = {camera.detect.model!r}: unknown; allowed: {allowed}"
        )
    if not camera.detect.enabled and not camera.record:
        raise UserError(
            f"{where}: {under}: neither watched nor recorded; "
            "allowed: record = true, detect.enabled = true, or both"
        )
    if camera.transcode and not camera.record:
        raise UserError(
            f"{where}: {under}.transcode = true: has no use with record = false; "
            "allowed: with record = true"
        )
    scene, places, refused = Scene(), dict[str, Scene](), None
    try:
        if camera.detect.scene:
            scene = scenes.load(Path(camera.detect.scene))
        for preset, path in camera.detect.scenes.items():
            places[preset] = scenes.load(Path(path))
    except UserError as error:
        if on_bad_scene == "refuse":
            raise
        refused = str(error)
    main = _opener(camera, camera.options, clock, where, f"{under}.options")
    second = camera.detect_options
    return CameraSource(
        config=camera,
        scene=scene,
        scenes=places if turns else None,
        refused=refused,
        open_main=_transcoded(camera.name, main) if camera.transcode else main,
        open_detect=None
        if second is None
        else _opener(camera, second, clock, where, f"{under}.detect_options"),
        open_feed=_feed(camera),
    )


def _feed(camera: CameraConfig) -> Callable[[], OnvifEventFeed] | None:
    onvif = camera.onvif
    if onvif is None or not onvif.events:
        return None
    access = Access(url=onvif.url, username=onvif.username, password_file=onvif.password_file)

    def open_feed() -> OnvifEventFeed:
        # Here, because the SOAP library takes some 40 MB: it is for those who want it.
        from drivers.onvif.events import open_feed  # noqa: PLC0415

        return open_feed(f"camera {camera.name!r}", access)

    return open_feed


def _transcoded(name: str, open_camera: OpenCamera) -> OpenCamera:
    return lambda wanted: open_transcoded(f"camera {name!r}", open_camera, wanted)


def _opener(
    camera: CameraConfig, given: dict[str, object], clock: Clock, where: str, under: str
) -> OpenCamera:
    try:
        module = catalog.camera_module(camera.driver)
    except DriverError as error:
        raise UserError(f"{where}: {under.rsplit('.', 1)[0]}.driver: {error}") from error
    options: msgspec.Struct = strict.into(given, module.Options, where, under)

    def open_camera(wanted: Wanted) -> Camera:
        return module.open_camera(camera.name, options, wanted, clock.boottime_ns)

    return open_camera
