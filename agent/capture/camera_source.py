"""Camera sources: from the configuration to drivers, options, scenes and models, checked."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from agent.base import checked_convert
from agent.base.clock import Clock
from agent.base.count_proof import CountProof
from agent.base.errors import UserError
from agent.base.event_type import EventType
from agent.base.message import Message, message_of
from agent.capture.camera_views import open_view
from agent.capture.onvif_events import REPORTED, OnvifEventFeed
from agent.config import configuration
from agent.config.configuration import CameraConfig, Config
from agent.config.fisheye import LensConfig, ViewOptions
from agent.config.multi_camera import CameraFlow
from agent.config.names import is_card_path
from agent.detection import accelerator_card, model_card
from agent.detection import scene as scenes
from agent.detection.dewarp import Dewarper
from agent.detection.fisheye_calibration import resolve_lens
from agent.detection.fisheye_lens import FisheyeLens
from agent.detection.ground_marks import GeoPosition, local_metres
from agent.detection.model_card import ModelRefused
from agent.detection.pixel_density import iter_low_density_areas
from agent.detection.rules import registry
from agent.detection.scene import Scene
from agent.faults import diagnosis
from drivers import catalog
from drivers.contracts import Camera, StreamRequest
from drivers.errors import DriverError, MaskError
from drivers.masking import WHOLE_PICTURE
from drivers.media import Polygon
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
    is None if the configuration wants none. `frame_size_px` is the width and height of the frames for detection, None if
    only the stream itself states it. `dewarper` is that of a view, whose `open_main` opens its fisheye camera for it alone,
    and `fisheye_masks` are the masks on the picture of that camera. `proof` is that of its counts, None if the centre has sent none.
    """

    config: CameraConfig
    scene: Scene
    scenes: Mapping[str, Scene] | None = None
    scene_error: str | None = None
    open_main: OpenCamera
    open_detect: OpenCamera | None
    open_feed: Callable[[], OnvifEventFeed] | None = None
    frame_size_px: tuple[int, int] | None = None
    dewarper: Dewarper | None = None
    fisheye_masks: tuple[Polygon, ...] = ()
    proof: CountProof | None = None

    def masks_at(self, preset: str) -> Sequence[Polygon]:
        """Return the masks at a preset, or of a camera that does not turn; "" is any other view of a head.

        They are those of `ActiveScene`. Unknown masks hide everything.
        """
        if self.scene_error is not None:
            return WHOLE_PICTURE
        if self.scenes is None:
            return self.scene.masks
        if preset in self.scenes:
            return self.scenes[preset].masks
        return WHOLE_PICTURE if any(scene.masks for scene in self.scenes.values()) else ()

    @property
    def all_scenes(self) -> Mapping[str, Scene]:
        """The scenes by preset; that of a fixed camera is by `""`."""
        return {"": self.scene} if self.scenes is None else self.scenes


MAX_APART_M = 300
"""Of the first marks of two cameras that are joined: those of one pole see the same streets."""
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


def iter_ground_warnings(sources: Iterable[CameraSource]) -> Iterator[str]:
    """Yield a line for each mark that does not agree with the others, and for each line and zone of too few pixels.

    The pixels per metre are known if the configuration states the size of the pictures: else the running agent knows.
    """
    for source in sources:
        for preset, scene in source.all_scenes.items():
            place = f"camera {source.config.name}" + (f", preset {preset}" if preset else "")
            for index in () if scene.ground_plane is None else scene.ground_plane.set_aside:
                yield f"{place}: ground.point[{index}] does not agree with the other marks and is set aside"
            if source.frame_size_px is not None:
                for area in iter_low_density_areas(scene, *source.frame_size_px):
                    yield f"{place}: {diagnosis.describe_density(area)}"


def build_sources(
    config: Config, clock: Clock, location: str, on_bad_scene: BadScenePolicy = "refuse"
) -> tuple[CameraSource, ...]:
    """Build the cameras of a configuration; `location` begins the messages, such as the file's name.

    Raises: UserError as `load_sources`.
    """
    for conflict in iter_camera_conflicts(config, location):
        raise UserError(conflict)
    sources = tuple(
        build_source(config, index, clock, location, on_bad_scene)
        for index in range(len(config.camera))
    )
    if on_bad_scene == "refuse":
        for conflict in iter_tracking_conflicts(config, sources, location):
            raise UserError(conflict)
    return sources


def iter_tracking_conflicts(
    config: Config, sources: Iterable[CameraSource], location: str
) -> Iterator[Message]:
    """Yield a line for each scene that does not fit `[multi_camera_tracking]`, of the sources that could be built.

    A box on a pole runs with such a scene: the counts of its flows between cameras are not trusted.
    """
    tracking = config.multi_camera_tracking
    if tracking is None:
        return
    scenes_by_name = {
        source.config.name: source.scene
        for source in sources
        if source.config.name in tracking.cameras and source.scene_error is None
    }
    files = {camera.name: camera.detect.scene for camera in config.camera}
    first: tuple[str, GeoPosition] | None = None
    for name, scene in scenes_by_name.items():
        label = f"{files[name] or f'{location}: camera {name!r}: detect.scene'}: ground"
        plane = scene.ground_plane
        if plane is None or plane.origin is None:
            yield Message(
                "{label}: has no positions; allowed: marks with latitude and longitude, by which multi_camera_tracking joins cameras",
                label=label,
            )
            continue
        first = first or (name, plane.origin)
        apart_m = math.hypot(*local_metres(first[1], plane.origin))
        if apart_m > MAX_APART_M:
            yield Message(
                "{label}: {apart_m:.0f} m from that of camera {other!r}; allowed: up to {max_m} m, around one pole",
                label=label,
                apart_m=apart_m,
                other=first[0],
                max_m=MAX_APART_M,
            )
    for index, flow in enumerate(tracking.flow):
        key = f"{location}: multi_camera_tracking.flow[{index}]"
        yield from _iter_flow_conflicts(flow, scenes_by_name, key)


def _iter_flow_conflicts(
    flow: CameraFlow, scenes_by_name: Mapping[str, Scene], key: str
) -> Iterator[Message]:
    """Yield a line for each end of a flow that its scene does not have, and for a name that another has already."""
    labels = set(flow.labels)
    for end, place in (("from", flow.origin), ("to", flow.destination)):
        scene = scenes_by_name.get(place.camera)
        if scene is None:
            return
        areas = {line.name: line.labels for line in scene.line}
        areas |= {zone.name: zone.labels for zone in scene.zone}
        if place.name not in areas:
            yield Message(
                "{label}: not in the scene; allowed: the name of a line or zone",
                label=f"{key}.{end}.name = {place.name!r}",
            )
            return
        labels &= set(areas[place.name])
        if end == "to" and flow.name in (*areas, *(one.name for one in scene.flow)):
            yield Message(
                "{label}: used by {first_key} already; allowed: a name of its own for each line, zone and flow",
                label=f"{key}.name = {flow.name!r}",
                first_key=f"camera {place.camera!r}",
            )
    if not labels:
        yield Message(
            "{label}: counts nothing; allowed: a label in common with its `from` and its `to`",
            label=f"{key}.labels",
        )


def iter_camera_conflicts(config: Config, location: str) -> Iterator[Message]:
    """Yield a line for each kind of event that no camera has, and for each accelerator that cannot be used as configured."""
    allowed_kinds = [event_type.kind for event_type in CAMERA_EVENT_TYPES]
    for index, kind in enumerate(config.hold.kinds):
        if kind not in allowed_kinds:
            yield Message(
                "{label}: unknown; allowed: {allowed}",
                label=f"{location}: hold.kinds[{index}] = {kind!r}",
                allowed=", ".join(allowed_kinds),
            )
    for conflict in _iter_accelerator_conflicts(config.camera):
        yield Message("{label}: {problem}", label=location, problem=conflict)


def _check_model(model: str, key: str, on_bad_scene: BadScenePolicy) -> None:
    """Raises: UserError. A box on a pole runs without a card that is wrong: the fault DET-01 says so."""
    if not is_card_path(model):
        names = model_card.list_model_names()
        if model not in names:
            raise UserError(
                Message(
                    "{label}: unknown; allowed: {allowed}, or the path of a card",
                    label=f"{key} = {model!r}",
                    allowed=", ".join(names),
                )
            )
    elif on_bad_scene == "refuse":
        try:
            model_card.find_model(model)
        except ModelRefused as error:
            raise UserError(
                Message("{label}: {problem}", label=key, problem=message_of(error))
            ) from error


def build_source(
    config: Config, index: int, clock: Clock, location: str, on_bad_scene: BadScenePolicy
) -> CameraSource:
    """Build the camera at an index of the configuration. Raises: UserError as `load_sources`."""
    camera, key = config.camera[index], f"camera[{index}]"
    is_on_head = any(head.camera == camera.name for head in config.head)
    if camera.detect.enabled:
        _check_model(camera.detect.model, f"{location}: {key}.detect.model", on_bad_scene)
    if not camera.detect.enabled and not camera.record and camera.lens is None:
        raise UserError(
            Message(
                "{label}: neither watched nor recorded; allowed: record = true, detect.enabled = true, or both",
                label=f"{location}: {key}",
            )
        )
    if camera.transcode and not camera.record:
        raise UserError(
            Message(
                "{label}: has no use with record = false; allowed: with record = true",
                label=f"{location}: {key}.transcode = true",
            )
        )
    if camera.view_of is not None:
        return _build_view(config, index, clock, location, on_bad_scene)
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
    if camera.lens is not None:
        _find_lens(camera.lens, f"{location}: {key}.lens")
        _check_fisheye_scene(scene, str(camera.detect.scene), on_bad_scene)
    main_options = _load_options(camera, camera.options, location, f"{key}.options")
    main = _opener(camera, main_options, clock)
    detect_options = (
        None
        if camera.detect_options is None
        else _load_options(camera, camera.detect_options, location, f"{key}.detect_options")
    )
    return CameraSource(
        config=camera,
        scene=scene,
        scenes=preset_scenes if is_on_head else None,
        scene_error=scene_error,
        open_main=_transcoding_opener(camera.name, main) if camera.transcode else main,
        open_detect=None if detect_options is None else _opener(camera, detect_options, clock),
        open_feed=_feed_opener(camera),
        frame_size_px=_frame_size_px(detect_options or main_options),
    )


def _build_view(
    config: Config, index: int, clock: Clock, location: str, on_bad_scene: BadScenePolicy
) -> CameraSource:
    """Build a view of a fisheye camera. Raises: UserError as `load_sources`."""
    camera, key = config.camera[index], f"camera[{index}]"
    view = checked_convert.convert(camera.options, ViewOptions, location, f"{key}.options")
    fisheyes = {
        one.name: one.lens for one in config.camera if one.lens is not None and one.view_of is None
    }
    if view.camera not in fisheyes:
        raise UserError(configuration.no_fisheye(f"{location}: {key}", view.camera, fisheyes))
    fisheye_index = [one.name for one in config.camera].index(view.camera)
    fisheye = build_source(config, fisheye_index, clock, location, on_bad_scene)
    scene, scene_error = Scene(), None
    try:
        if camera.detect.scene:
            scene = scenes.load_scene(Path(camera.detect.scene))
            _check_view_scene(scene, view, camera.detect.scene)
    except UserError as error:
        if on_bad_scene == "refuse":
            raise
        scene_error = str(error)
    dewarper = Dewarper(_find_lens(fisheyes[view.camera], f"{location}: {key}"), view)

    def open_alone(wanted: StreamRequest) -> Camera:
        """Open the fisheye camera with its masks."""
        if fisheye.scene_error is not None:
            raise MaskError(fisheye.scene_error)
        open_camera = fisheye.open_detect or fisheye.open_main
        return open_camera(msgspec.structs.replace(wanted, masks=tuple(fisheye.masks_at(""))))

    return CameraSource(
        config=camera,
        scene=scene,
        scene_error=scene_error,
        open_main=lambda wanted: open_view(dewarper, open_alone, wanted),
        open_detect=None,
        frame_size_px=(view.width_px, view.height_px),
        dewarper=dewarper,
        fisheye_masks=tuple(fisheye.masks_at("")),
    )


def _find_lens(lens: LensConfig, label: str) -> FisheyeLens:
    try:
        return resolve_lens(lens)
    except UserError as error:
        raise UserError(
            Message("{label}: {problem}", label=label, problem=message_of(error))
        ) from error


def _check_fisheye_scene(scene: Scene, label: str, on_bad_scene: BadScenePolicy) -> None:
    """Raises: UserError if lines would count nothing. A box on a pole records with their masks."""
    if on_bad_scene == "refuse" and (scene.line or scene.zone):
        raise UserError(
            Message(
                "{label}: lines and zones of a fisheye camera are drawn on its views; allowed: masks alone",
                label=label,
            )
        )


def _check_view_scene(scene: Scene, view: ViewOptions, label: str) -> None:
    """Raises: UserError if a mask would hide a part of the view alone, or if straight lines are bent in it."""
    if scene.mask:
        raise UserError(
            Message(
                "{label}: masks of a view are drawn on the picture of its camera {camera!r}; allowed: in the scene of that",
                label=f"{label}: mask[0]",
                camera=view.camera,
            )
        )
    if scene.ground is not None and view.projection == "panorama":
        raise UserError(
            Message(
                "{label}: a panorama bends straight lines; allowed: on a flat view",
                label=f"{label}: ground",
            )
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


def _load_options(
    camera: CameraConfig, raw_options: dict[str, object], location: str, key: str
) -> msgspec.Struct:
    try:
        module = catalog.load_camera_driver(camera.driver)
    except DriverError as error:
        raise UserError(
            Message(
                "{label}: {problem}",
                label=f"{location}: {key.rsplit('.', 1)[0]}.driver",
                problem=message_of(error),
            )
        ) from error
    options = checked_convert.convert(raw_options, module.Options, location, key)
    if camera.institution is not None:
        _refuse_decoder(options, f"{location}: {key}")
    return options


def _refuse_decoder(options: msgspec.Struct, label: str) -> None:
    """Raises: UserError if a decoder of the board would read what a foreign camera sends: its firmware is in no sandbox."""
    device = getattr(options, "decoder_device", None)
    if device is not None:
        raise UserError(
            Message(
                "{label}: the firmware of the board would read what a camera of another institution sends; allowed: for cameras without institution",
                label=f"{label}.decoder_device = {device!r}",
            )
        )


def _opener(camera: CameraConfig, options: msgspec.Struct, clock: Clock) -> OpenCamera:
    module = catalog.load_camera_driver(camera.driver)

    def open_camera(wanted: StreamRequest) -> Camera:
        return module.open_camera(camera.name, options, wanted, clock.boottime_ns)

    return open_camera


def _frame_size_px(options: msgspec.Struct) -> tuple[int, int] | None:
    """Return the size of the frames for detection that a driver's options state, or None if they state none."""
    for prefix in ("detect_", ""):
        width_px = getattr(options, f"{prefix}width_px", None)
        height_px = getattr(options, f"{prefix}height_px", None)
        if isinstance(width_px, int) and isinstance(height_px, int):
            return width_px, height_px
    return None


def _iter_accelerator_conflicts(cameras: Sequence[CameraConfig]) -> Iterator[Message]:
    """Yield a line, which begins with the key, for each accelerator that cannot be used as configured."""
    names = accelerator_card.list_card_names()
    hailo: tuple[str, str] | None = None
    for index, camera in enumerate(cameras):
        accelerator = camera.detect.accelerator
        if accelerator is None:
            continue
        key = f"camera[{index}].detect.accelerator"
        if accelerator.model not in names:
            yield Message(
                "{label}: unknown; allowed: {allowed}",
                label=f"{key}.model = {accelerator.model!r}",
                allowed=", ".join(names),
            )
            continue
        card = accelerator_card.load_card(accelerator.model)
        if card.accelerator == "imx500":
            if camera.driver != "csi" or camera.detect_options is not None:
                yield Message(
                    "{label}: runs in the sensor of a camera module; allowed: with driver = 'csi', without detect_options",
                    label=f"{key}.model = {accelerator.model!r}",
                )
            continue
        if hailo is not None and hailo[1] != accelerator.sha256:
            yield Message(
                "{label}: another file than that of {key}; allowed: one model for all cameras of the box's Hailo",
                label=f"{key}.sha256 = {accelerator.sha256!r}",
                key=hailo[0],
            )
        hailo = hailo or (key, accelerator.sha256)
