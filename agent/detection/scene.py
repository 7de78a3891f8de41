"""The scene: lines, zones and masks drawn on a camera's picture. `docs/scene.md` shows every key.

Positions are in 0..1 of the picture, so a scene fits every size of the same view. With the marks of `[ground]`
lines and zones may be in metres: they are placed on the picture when the file is read.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from agent.base import checked_convert
from agent.base.errors import UserError
from agent.base.message import Message
from agent.base.model import LABELS, Label
from agent.base.sha256 import Sha256, sha256_hex
from agent.base.weekly_hours import WeeklySpan
from agent.config import toml_decode
from agent.detection.geometry import is_self_intersecting
from agent.detection.ground_marks import GroundMarks, GroundPoint
from agent.detection.ground_plane import GroundPlane, calibrate
from agent.detection.scene_metres import GroundCorners, calibrate_ground, place_metres
from drivers.masking import MIN_AREA, polygon_area
from drivers.media import Point, Polygon

SceneName = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=80,
        pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)",
        extra={"allowed": "one line of 1 to 80 characters"},
    ),
]
"""A name for people: spaces and any script are allowed."""

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Labels = Annotated[tuple[Label, ...], msgspec.Meta(min_length=1)]
Corners = Annotated[tuple[Point, ...], msgspec.Meta(min_length=3, max_length=64)]
ZoneKind = Literal["carriageway", "pavement", "queue", "any"]

MAX_TABLES = {"line": 64, "zone": 64, "flow": 64, "mask": 128, "ignore": 64}
"""Of one scene. A junction of four roads with seven lanes each has 28 lines and some 50 zones, one of eight arms 56 flows."""
MAX_SCENE_CORNERS = 1024
"""Of all zones, masks and ignored areas of one scene: each is compared with each road user of a frame."""


class SceneLine(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"start": "from"}
):
    """`[[line]]`: its crossings are counted.

    Forward is from the left hand to the right hand of the way from `from` to `to`, as seen on the
    picture.
    """

    name: SceneName
    start: Point
    to: Point
    from_m: GroundPoint | None = None
    to_m: GroundPoint | None = None
    forward_name: SceneName = "forward"
    backward_name: SceneName = "backward"
    events: bool = False
    labels: Labels = LABELS


class Zone(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[zone]]`: an area of ground, and the keys of the rules that run in it."""

    name: SceneName
    polygon: Corners
    polygon_m: GroundCorners | None = None
    kind: ZoneKind = "any"
    labels: Labels = LABELS
    events: bool = True
    dwell_after_s: Seconds | None = None
    crowd_min_count: Annotated[int, msgspec.Meta(ge=2, le=1000)] | None = None
    stopped_after_s: Seconds | None = None
    direction_deg: Annotated[float, msgspec.Meta(ge=0, lt=360)] | None = None
    queue_min_count: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    parked_after_s: Seconds | None = None
    object_after_s: Annotated[float, msgspec.Meta(ge=10, le=3600)] | None = None
    hours: Annotated[tuple[WeeklySpan, ...], msgspec.Meta(min_length=1, max_length=16)] | None = (
        None
    )


class SceneFlow(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"origin": "from", "destination": "to"},
):
    """`[[flow]]`: a turning flow, one cell of an origin-destination matrix.

    Road users that pass one line or zone, `from`, and later another, `to`, are counted.
    """

    name: SceneName
    origin: SceneName
    destination: SceneName
    labels: Labels = LABELS


class PrivacyMask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[mask]]`: an area that is painted over in every picture."""

    polygon: Corners


class IgnoreZone(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[ignore]]`: an area that is visible and not searched by the detector."""

    polygon: Corners


class Scene(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. If it is empty, only the rules on the picture itself run."""

    line: tuple[SceneLine, ...] = ()
    zone: tuple[Zone, ...] = ()
    flow: tuple[SceneFlow, ...] = ()
    mask: tuple[PrivacyMask, ...] = ()
    ignore: tuple[IgnoreZone, ...] = ()
    ground: GroundMarks | None = None

    @property
    def ground_plane(self) -> GroundPlane | None:
        """The calibrated ground, or None without marks."""
        return None if self.ground is None else calibrate(self.ground)

    @property
    def has_hours(self) -> bool:
        """Whether rules depend on the time of day."""
        return any(zone.hours is not None for zone in self.zone)

    @property
    def masks(self) -> tuple[Polygon, ...]:
        """The polygons that a camera burns in."""
        return tuple(mask.polygon for mask in self.mask)

    @property
    def excluded_polygons(self) -> tuple[Corners, ...]:
        """The polygons in which nothing is detected: masks and ignored areas."""
        return (*(mask.polygon for mask in self.mask), *(part.polygon for part in self.ignore))


def scene_digest(scene: Scene) -> Sha256:
    """Return the SHA-256 of what a scene says: two files of other comments, order of keys and spaces have the same.

    Keys that are off or empty are left out, so that a key that a later version adds changes no digest.
    """
    return sha256_hex(msgspec.json.encode(_stated(msgspec.to_builtins(scene)), order="sorted"))


def _stated(value: object) -> object:
    if isinstance(value, dict):
        stated = {key: _stated(item) for key, item in value.items()}
        return {
            key: item
            for key, item in stated.items()
            if item is not None and item is not False and item not in ([], {})
        }
    return [_stated(item) for item in value] if isinstance(value, list | tuple) else value


def load_scene(path: Path) -> Scene:
    """Read a scene file. Raises: UserError with one line for the first mistake."""
    return decode_scene(toml_decode.read_toml(path, "scene"), str(path))


def decode_scene(tables: dict[str, Any], location: str) -> Scene:
    """Convert and check the tables of a scene file. Raises: UserError that begins with `location`."""
    for kind, limit in MAX_TABLES.items():
        found = tables.get(kind)
        if isinstance(found, list) and len(found) > limit:
            raise UserError(
                Message(
                    "{label}: {count} of them; allowed: at most {limit}",
                    label=f"{location}: {kind}",
                    count=len(found),
                    limit=limit,
                )
            )
    scene = checked_convert.convert(place_metres(tables, location), Scene, location)
    validate_scene(scene, location)
    return scene


def validate_scene(scene: Scene, location: str) -> None:
    """Check what no single value shows. Raises: UserError that begins with `location`."""
    polygons = (*(zone.polygon for zone in scene.zone), *scene.excluded_polygons)
    corners = sum(map(len, polygons))
    if corners > MAX_SCENE_CORNERS:
        raise UserError(
            Message(
                "{label}: {corners} corners of zones, masks and ignored areas; allowed: at most {max}",
                label=location,
                corners=corners,
                max=MAX_SCENE_CORNERS,
            )
        )
    names: dict[str, str] = {}
    named_keys = [(f"line[{index}].name", line.name) for index, line in enumerate(scene.line)]
    named_keys += [(f"zone[{index}].name", zone.name) for index, zone in enumerate(scene.zone)]
    named_keys += [(f"flow[{index}].name", flow.name) for index, flow in enumerate(scene.flow)]
    for key, name in named_keys:
        first_key = names.setdefault(name, key)
        if first_key != key:
            raise UserError(
                Message(
                    "{label}: used by {first_key} already; allowed: a name of its own for each line, zone and flow",
                    label=f"{location}: {key} = {name!r}",
                    first_key=first_key,
                )
            )
    if scene.ground is not None:
        calibrate_ground(scene.ground, location)
    for index, line in enumerate(scene.line):
        _check_line(line, f"{location}: line[{index}]")
    for index, zone in enumerate(scene.zone):
        _check_polygon(zone.polygon, f"{location}: zone[{index}].polygon")
        _check_zone_keys(zone, f"{location}: zone[{index}]")
    _check_flows(scene, location)
    for index, mask in enumerate(scene.mask):
        _check_polygon(mask.polygon, f"{location}: mask[{index}].polygon")
    for index, ignore in enumerate(scene.ignore):
        _check_polygon(ignore.polygon, f"{location}: ignore[{index}].polygon")


def _check_line(line: SceneLine, location: str) -> None:
    if line.start == line.to:
        raise UserError(
            Message(
                "{label}: the same point as `from`; allowed: a line that has a length",
                label=f"{location}.to = [{line.to.x}, {line.to.y}]",
            )
        )
    if line.forward_name == line.backward_name:
        raise UserError(
            Message(
                "{label}: the same as `forward_name`; allowed: a name of its own for each direction",
                label=f"{location}.backward_name = {line.backward_name!r}",
            )
        )


def _check_polygon(polygon: Corners, location: str) -> None:
    corners = [[corner.x, corner.y] for corner in polygon]
    if is_self_intersecting(polygon):
        raise UserError(
            Message(
                "{label}: its edges cross; allowed: corners in order around the area",
                label=f"{location} = {corners}",
            )
        )
    if polygon_area(polygon) < MIN_AREA:
        raise UserError(
            Message(
                "{label}: has no area; allowed: corners not all on one line",
                label=f"{location} = {corners}",
            )
        )


def _check_zone_keys(zone: Zone, location: str) -> None:
    if zone.queue_min_count is not None and zone.kind != "queue":
        raise UserError(
            Message(
                "{label}: has no use with kind {kind!r}; allowed: with kind 'queue'",
                label=f"{location}.queue_min_count = {zone.queue_min_count}",
                kind=zone.kind,
            )
        )


def _check_flows(scene: Scene, location: str) -> None:
    labels_by_name = {line.name: line.labels for line in scene.line}
    labels_by_name |= {zone.name: zone.labels for zone in scene.zone}
    first_index: dict[tuple[str, str], int] = {}
    for index, flow in enumerate(scene.flow):
        key = f"{location}: flow[{index}]"
        for end, name in (("from", flow.origin), ("to", flow.destination)):
            if name not in labels_by_name:
                raise UserError(
                    Message(
                        "{label}: not in the scene; allowed: the name of a line or zone",
                        label=f"{key}.{end} = {name!r}",
                    )
                )
        if flow.origin == flow.destination:
            raise UserError(
                Message(
                    "{label}: the same as `from`; allowed: another line or zone",
                    label=f"{key}.to = {flow.destination!r}",
                )
            )
        first = first_index.setdefault((flow.origin, flow.destination), index)
        if first != index:
            raise UserError(
                Message(
                    "{label}: flow[{first}] has the same `from` and `to`; allowed: one flow from a line or zone to another",
                    label=f"{key}.to = {flow.destination!r}",
                    first=first,
                )
            )
        origin, destination = labels_by_name[flow.origin], labels_by_name[flow.destination]
        if not set(flow.labels) & set(origin) & set(destination):
            raise UserError(
                Message(
                    "{label}: counts nothing; allowed: a label in common with its `from` and its `to`",
                    label=f"{key}.labels",
                )
            )
