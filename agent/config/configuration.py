"""Configuration of a box: one TOML file; unknown keys are errors.

`docs/configuration.md` documents every key; a test compares that page with these structs.
"""

import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from agent.base import checked_convert
from agent.base.errors import UserError
from agent.base.message import Message, Text, message_of
from agent.base.model import BOX_EVENT_SOURCE
from agent.base.sha256 import Sha256
from agent.base.state_file import DamagedStateFile
from agent.base.url import split_url
from agent.base.weekly_hours import is_time_zone
from agent.config import console as console_config
from agent.config import control as control_config
from agent.config import desired_config, toml_decode
from agent.config import multi_camera as multi_camera_config
from agent.config import pins as pins_config
from agent.config.broker import BrokerConfig, check_broker
from agent.config.console import ConsoleConfig
from agent.config.control import ControlConfig
from agent.config.declaration import DeclarationConfig
from agent.config.desired_store import ConfigLayer, DesiredStore
from agent.config.file_paths import resolve_paths
from agent.config.fisheye import VIEW_DRIVER, LensConfig, Projection
from agent.config.heads import HeadConfig
from agent.config.link import LinkConfig, RenewalConfig, UpdateConfig, iter_renewal_conflicts
from agent.config.multi_camera import MultiCameraConfig
from agent.config.names import ModelName, Name, is_identifying
from agent.config.pins import GpioConfig, Pin
from agent.config.recording import MAX_AGE_DAYS, FootageRules, HoldConfig, RecordConfig
from drivers.onvif.credentials import Url

RESERVED_BOX_IDS = ("centre", "incident", "watch")
"""`vigie/v1/centre/...` and `vigie/v1/incident/...` are the centre's topics, and `vigie-watch-...` are MQTT clients."""


class BoxConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[box]`: identity of the box. `state` is the folder that the agent may write to. `groups` are names that orders of
    incidents address, such as a district or a road. `time_zone` is that of all local times: the hours of zones, the schedule of
    tours, the window of updates.
    """

    id: Name
    site: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    state: str = "/var/lib/vigie"
    groups: Annotated[tuple[Name, ...], msgspec.Meta(max_length=32)] = ()
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        """Raise ValueError if the time zone is not known."""
        if not is_time_zone(self.time_zone):
            raise ValueError(
                f"time_zone = {self.time_zone!r}: unknown; allowed: such as Africa/Casablanca"
            )


class AcceleratorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[camera.detect.accelerator]`: an accelerator that detects on a camera. The model by its card, and the hash of its file, which `vigie probe` prints. `file` is the file's path if it is not
    where upstream's package installs it.
    """

    model: Name
    sha256: Sha256
    file: Annotated[str, msgspec.Meta(min_length=1)] | None = None


class DetectConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[camera.detect]`: detection on a camera. `fps` counts in the stream's time. `scene` is for a fixed
    camera, `scenes` for one on a head: a file for each preset. `model` is the name of a shipped one, or the path of a
    card. With `accelerator`, `model` is used while that fails.
    """

    enabled: bool = True
    model: ModelName = "nanodet_320"
    fps: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 10.0
    scene: str | None = None
    scenes: dict[Name, str] = {}
    snapshots: bool = True
    accelerator: AcceleratorConfig | None = None


Topic = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$(?!\n)",
        max_length=200,
        extra={"allowed": "words of letters, digits, '.', '-' and '_', with '/' between them"},
    ),
]
ShortText = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class OnvifConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[camera.onvif]`: events that the camera reports over ONVIF. `events` are the topics that become events
    of the box, each as its full path without prefixes or as the end of it.
    """

    url: Url
    username: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    password_file: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    events: Annotated[tuple[Topic, ...], msgspec.Meta(max_length=32)] = ()

    def __post_init__(self) -> None:
        """Raise ValueError if the fields contradict each other."""
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file go together: give both or neither")
        if split_url(self.url, "http", "https") is None:
            raise ValueError(f"url = {self.url!r}: not a URL; allowed: such as http://10.0.0.31")
        for topic in self.events:
            if is_identifying(topic):
                raise ValueError(f"events: {topic!r} identifies people; allowed: any other topic")


class InstitutionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[camera.institution]`: the owner of a lent camera, and its terms. `max_age_h` limits the age of its
    footage, by default as for the box. `viewers` are the names that may view or export it, by default all
    that may view the others.
    """

    owner: ShortText
    purpose: ShortText
    max_age_h: Annotated[float, msgspec.Meta(ge=1, le=MAX_AGE_DAYS * 24)] | None = None
    viewers: Annotated[tuple[ShortText, ...], msgspec.Meta(max_length=64)] | None = None

    def can_view(self, viewer: str) -> bool:
        """Return whether a person may view the camera's pictures, live or recorded."""
        return self.viewers is None or viewer in self.viewers


class CameraConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[camera]]`: one video source. `options` are checked by the driver; among them `path` and names that end
    in `_file` are paths.

    With `detect_options` a second stream of the camera is opened for detection alone, and the first one is
    only recorded. With `transcode` the recording is encoded again from the masked pictures. `onvif` and
    `institution` are for a lent camera. A camera with `projection = "fisheye"` has a `lens`; others with the driver `view`
    detect on its dewarped pictures.
    """

    name: Name
    driver: str
    options: dict[str, Any] = {}
    detect_options: dict[str, Any] | None = None
    detect: DetectConfig = DetectConfig()
    record: bool = True
    transcode: bool = False
    onvif: OnvifConfig | None = None
    institution: InstitutionConfig | None = None
    projection: Projection = "rectilinear"
    lens: LensConfig | None = None

    def __post_init__(self) -> None:
        """Raise ValueError if the fields contradict each other."""
        if (self.projection == "fisheye") != (self.lens is not None):
            raise ValueError("projection = 'fisheye' and lens go together: give both or neither")
        if self.lens is not None and self.detect.enabled:
            raise ValueError("detect.enabled = true: its views detect; allowed: false")

    @property
    def view_of(self) -> str | None:
        """The fisheye camera that this one is a view of, None if it is not a view."""
        return str(self.options.get("camera", "")) if self.driver == VIEW_DRIVER else None


class OutboxConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[outbox]`: messages pending for the centre."""

    max_bytes: Annotated[int, msgspec.Meta(ge=1_000_000)] = 256_000_000


class HealthConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[health]`: longest interval between two health reports to the centre."""

    interval_s: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 600.0


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration file."""

    box: BoxConfig
    broker: BrokerConfig
    camera: Annotated[tuple[CameraConfig, ...], msgspec.Meta(min_length=1, max_length=16)]
    outbox: OutboxConfig = OutboxConfig()
    record: RecordConfig = RecordConfig()
    hold: HoldConfig = HoldConfig()
    health: HealthConfig = HealthConfig()
    head: Annotated[tuple[HeadConfig, ...], msgspec.Meta(max_length=8)] = ()
    gpio: GpioConfig = GpioConfig()
    pin: Annotated[tuple[Pin, ...], msgspec.Meta(max_length=32)] = ()
    console: ConsoleConfig = ConsoleConfig()
    declaration: DeclarationConfig = DeclarationConfig()
    renewal: RenewalConfig | None = None
    update: UpdateConfig | None = None
    control: ControlConfig = ControlConfig()
    link: LinkConfig = LinkConfig()
    multi_camera_tracking: MultiCameraConfig | None = None

    @property
    def footage_rules(self) -> FootageRules:
        """How long footage is kept, and which is held."""
        return FootageRules(record=self.record, hold=self.hold)


class BoxFile(msgspec.Struct, frozen=True, kw_only=True):
    """The box's own file, read once: the base that versions of the centre are merged onto."""

    path: Path
    tables: dict[str, Any]

    @property
    def label(self) -> str:
        """The file in messages."""
        return str(self.path)

    @property
    def folder(self) -> Path:
        """The folder that relative paths begin at, as an absolute path: a library may change the working directory."""
        return self.path.absolute().parent

    def decode(self) -> Config:
        """Return the configuration that the file is alone. Raises: UserError with one line that names the mistake."""
        return self._decode(self.tables)

    def decode_with(self, layer: ConfigLayer, store: DesiredStore) -> Config:
        """Return the configuration with a version on top. Raises: UserError with one line that names the mistake."""
        for refusal in desired_config.iter_refused_keys(self.tables, layer):
            raise UserError(Message("{label}: {problem}", label=self.label, problem=refusal))
        return self._decode(self.merge(layer, store))

    def merge(self, layer: ConfigLayer, store: DesiredStore) -> dict[str, Any]:
        """Return the tables with a version on top of them. It sets allowed keys alone."""
        scenes, cards = store.scene_files(layer), store.card_files(layer)
        return desired_config.merge(self.tables, layer, scenes, cards)

    def _decode(self, tables: dict[str, Any]) -> Config:
        config = checked_convert.convert(tables, Config, self.label)
        for conflict in iter_conflicts(config, self.label):
            raise UserError(conflict)
        return resolve(config, self.folder)


def resolve(config: Config, folder: Path) -> Config:
    """Return a configuration with absolute paths, and with the owner of each fisheye camera as that of its views."""
    owners = {camera.name: camera.institution for camera in config.camera}
    cameras = tuple(
        camera
        if camera.view_of is None
        else msgspec.structs.replace(camera, institution=owners.get(camera.view_of))
        for camera in config.camera
    )
    return resolve_paths(msgspec.structs.replace(config, camera=cameras), folder)


def read_file(path: Path) -> BoxFile:
    """Read the box's own file. Raises: UserError if it is missing, not readable, or not TOML."""
    return BoxFile(path=path, tables=toml_decode.read_toml(path, "configuration"))


def load(path: Path) -> Config:
    """Load the configuration in force: a file, with the centre's configuration of the box on top of it.

    The file counts alone if the centre's does not fit it, or cannot be read: its masks are not known then, see
    `load_strictly`. Raises: UserError with one line that names the mistake.
    """
    try:
        return load_strictly(path)
    except DamagedStateFile:
        return read_file(path).decode()


def load_strictly(path: Path) -> Config:
    """Load the configuration in force, for pictures, which need the masks of the centre's.

    Raises: UserError as `load`; DamagedStateFile if the centre's configuration cannot be read.
    """
    file = read_file(path)
    base = file.decode()
    store = DesiredStore(Path(base.box.state))
    layer = store.layer()
    try:
        return file.decode_with(layer, store)
    except UserError:
        return base


_AnyConfig = TypeVar("_AnyConfig", bound=Config)


def decode_valid_entries(
    tables: dict[str, Any], config_type: type[_AnyConfig], context: str
) -> tuple[_AnyConfig, list[Text]]:
    """Return a configuration, with a placeholder for each invalid entry so that the others can be checked, and all mistakes.

    Indexes stay, and names of cameras and heads, and a head's camera, since other entries refer to them.
    """
    problems = list(checked_convert.iter_errors(tables, config_type, context))
    valid = _with_placeholders(tables, config_type) if problems else tables
    config = checked_convert.convert(valid, config_type, context)
    return config, [*problems, *iter_conflicts(config, context)]


def iter_conflicts(config: Config, context: str) -> Iterator[Text]:
    """Yield a line, which begins with `context`, for each conflict of several fields."""
    if config.box.id in RESERVED_BOX_IDS:
        yield (
            Message(
                "{label}: a topic and a client of the centre; allowed: any other name",
                label=f"{context}: box.id = {config.box.id!r}",
            )
        )
    names = [camera.name for camera in config.camera]
    for index, camera in enumerate(config.camera):
        name = camera.name
        if name == BOX_EVENT_SOURCE:
            yield (
                Message(
                    "{label}: reserved for the box itself in events; allowed: any other name",
                    label=f"{context}: camera[{index}].name = {name!r}",
                )
            )
        if name in names[:index]:
            yield (
                Message(
                    "{label}: used by camera[{other}] already; allowed: a name of its own for each camera",
                    label=f"{context}: camera[{index}].name = {name!r}",
                    other=names.index(name),
                )
            )
        institution = camera.institution
        if (
            institution
            and institution.max_age_h
            and institution.max_age_h > config.record.max_age_h
        ):
            yield (
                Message(
                    "{label}: longer than the box keeps footage; allowed: up to record.max_age_h = {max_age_h:g}",
                    label=f"{context}: camera[{index}].institution.max_age_h = {institution.max_age_h:g}",
                    max_age_h=config.record.max_age_h,
                )
            )
    yield from _view_conflicts(config, context)
    yield from _head_conflicts(config, context)
    if config.multi_camera_tracking is not None:
        yield from multi_camera_config.iter_conflicts(
            config.multi_camera_tracking, names, _joinable_cameras(config), context
        )
    try:
        check_broker(config.broker, context)
    except UserError as error:
        yield message_of(error)
    if config.update and split_url(config.update.feed, "https") is None:
        yield Message(
            "{label}; allowed: https://HOST/PATH",
            label=f"{context}: update.feed = {config.update.feed!r}",
        )
    if config.renewal is not None:
        yield from iter_renewal_conflicts(config.broker, context)
    yield from pins_config.iter_conflicts(config.pin, names, context)
    yield from console_config.iter_conflicts(config.console, context)
    yield from control_config.iter_conflicts(config.control, config.broker, names, context)


def no_fisheye(label: str, name: str, fisheyes: Iterable[str]) -> Message:
    """Return the line about a view, at `label`, of a camera that is none of the fisheye cameras."""
    return Message(
        "{label}: no such camera; allowed: {allowed}",
        label=f"{label}.options.camera = {name!r}",
        allowed=", ".join(fisheyes) or "one with projection = 'fisheye'",
    )


_KEYS_OF_NO_VIEW = ("record", "transcode", "detect_options", "onvif", "institution", "lens")


def _view_conflicts(config: Config, context: str) -> Iterator[Text]:
    """Yield a line for each view of no fisheye camera, and for each of them on a head."""
    fisheyes = [
        camera.name
        for camera in config.camera
        if camera.lens is not None and camera.view_of is None
    ]
    on_head = {head.camera for head in config.head}
    for index, camera in enumerate(config.camera):
        label = f"{context}: camera[{index}]"
        if camera.view_of is not None:
            if camera.view_of not in fisheyes:
                yield no_fisheye(label, camera.view_of, fisheyes)
            for key in _KEYS_OF_NO_VIEW:
                if getattr(camera, key):
                    yield Message(
                        "{label}: has no use in a view; allowed: in the table of its fisheye camera",
                        label=f"{label}.{key}",
                    )
        if (camera.lens is not None or camera.view_of is not None) and camera.name in on_head:
            yield Message(
                "{label}: a fisheye camera does not turn; allowed: on no head",
                label=f"{label}.name = {camera.name!r}",
            )


def _joinable_cameras(config: Config) -> list[str]:
    """Return the fixed cameras that detect and belong to no institution; a view belongs to that of its fisheye camera."""
    owners = {camera.name: camera.institution for camera in config.camera}
    on_head = {head.camera for head in config.head}
    return [
        camera.name
        for camera in config.camera
        if camera.detect.enabled
        and camera.name not in on_head
        and owners.get(camera.view_of or camera.name) is None
    ]


def _head_conflicts(config: Config, context: str) -> Iterator[Text]:
    """Yield a line for each head and camera that do not match."""
    cameras = {camera.name: index for index, camera in enumerate(config.camera)}
    names: set[str] = set()
    head_by_camera: dict[str, str] = {}
    for index, head in enumerate(config.head):
        if head.name in names:
            yield (
                Message(
                    "{label}: used by another head already; allowed: a name of its own for each head",
                    label=f"{context}: head[{index}].name = {head.name!r}",
                )
            )
        names.add(head.name)
        if head.camera is None:
            continue
        if head.camera not in cameras:
            yield (
                Message(
                    "{label}: no such camera; allowed: {allowed}",
                    label=f"{context}: head[{index}].camera = {head.camera!r}",
                    allowed=", ".join(cameras),
                )
            )
            continue
        other = head_by_camera.setdefault(head.camera, head.name)
        if other != head.name:
            yield (
                Message(
                    "{label}: sits on head {other!r} already; allowed: one head for each camera",
                    label=f"{context}: head[{index}].camera = {head.camera!r}",
                    other=other,
                )
            )
    for camera in config.camera:
        prefix = f"{context}: camera[{cameras[camera.name]}].detect"
        if camera.name in head_by_camera and camera.detect.scene is not None:
            yield (
                Message(
                    "{label}: the camera sits on head {head!r}; allowed: scenes, a file for each preset",
                    label=f"{prefix}.scene = {camera.detect.scene!r}",
                    head=head_by_camera[camera.name],
                )
            )
        if camera.name not in head_by_camera and camera.detect.scenes:
            yield (
                Message(
                    "{label}: the camera sits on no head; allowed: scene, one file",
                    label=f"{prefix}.scenes",
                )
            )


def _with_placeholders(tables: dict[str, Any], config_type: type[Config]) -> dict[str, Any]:
    hints = typing.get_type_hints(config_type, include_extras=True)
    valid = {
        key: value
        for key, value in tables.items()
        if key in hints and not any(checked_convert.iter_errors(value, hints[key], ""))
    }
    for key, value in _PLACEHOLDERS.items():
        items = tables.get(key)
        if key in valid or not isinstance(items, list) or not isinstance(value, list):
            continue
        (placeholder,), item_type = value, typing.get_args(typing.get_args(hints[key])[0])[0]
        max_length = hints[key].__metadata__[0].max_length
        valid[key] = [
            entry
            if not any(checked_convert.iter_errors(entry, item_type, ""))
            else {**placeholder, **_valid_references(entry, _REFERENCES[key], f"{key}-{index}")}
            for index, entry in enumerate(items[:max_length])
        ]
    return {**_PLACEHOLDERS, **{key: value for key, value in valid.items() if value != []}}


_PLACEHOLDERS: dict[str, Any] = {
    "box": {"id": "x", "site": "x"},
    "broker": {"url": "mqtt://127.0.0.1"},
    "camera": [{"name": "x", "driver": "fake"}],
    # Not `fake`, which a box does not have.
    "head": [
        {
            "name": "x",
            "driver": "pelco_d",
            "options": {
                "port": "/dev/x",
                "tilt_deg": {"low": 0, "high": 1},
                "pan_max_deg_s": 1,
                "tilt_max_deg_s": 1,
            },
        }
    ],
}


_REFERENCES: dict[str, tuple[str, ...]] = {"camera": ("name",), "head": ("name", "camera")}


def _valid_references(
    entry: object, keys: tuple[str, ...], placeholder_name: str
) -> dict[str, str]:
    """Return the entry's references of `keys` as far as they are valid; without a name the placeholder's."""
    table = entry if isinstance(entry, dict) else {}
    given = {key: table[key] for key in keys if key in table}
    return {"name": placeholder_name} | {
        key: value
        for key, value in given.items()
        if not any(checked_convert.iter_errors(value, Name, ""))
    }
