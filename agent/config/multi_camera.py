"""`[multi_camera_tracking]`: cameras on the pole of the box whose tracks are joined, and flows from one of them to another."""

from collections.abc import Collection, Iterator, Sequence
from typing import Annotated

import msgspec

from agent.base.message import Message
from agent.base.model import LABELS, Label
from agent.config.names import Name

AreaName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^\x00-\x1f\x7f]{1,80}$(?!\n)",
        extra={"allowed": "one line of 1 to 80 characters"},
    ),
]


class FlowEnd(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line or zone, by its `name`, of the scene of a camera."""

    camera: Name
    name: AreaName


class CameraFlow(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"origin": "from", "destination": "to"},
):
    """`[[multi_camera_tracking.flow]]`: a turning flow from a line or zone of one camera to one of another.

    It is counted with the traffic counts of the camera of `to`.
    """

    name: AreaName
    origin: FlowEnd
    destination: FlowEnd
    labels: Annotated[tuple[Label, ...], msgspec.Meta(min_length=1)] = LABELS


class MultiCameraConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[multi_camera_tracking]`: `cameras` are fixed, on the pole of the box, and calibrated to positions."""

    cameras: Annotated[tuple[Name, ...], msgspec.Meta(min_length=2, max_length=4)]
    flow: Annotated[tuple[CameraFlow, ...], msgspec.Meta(max_length=64)] = ()


def iter_conflicts(
    tracking: MultiCameraConfig, names: Collection[str], suitable: Sequence[str], context: str
) -> Iterator[Message]:
    """Yield a line for each camera that cannot be joined, and for each flow that does not go from one to another.

    `names` are those of all cameras, `suitable` of the fixed ones of the city that detect.
    """
    key = f"{context}: multi_camera_tracking"
    for index, name in enumerate(tracking.cameras):
        label = f"{key}.cameras[{index}] = {name!r}"
        if name not in names:
            yield Message(
                "{label}: no such camera; allowed: {allowed}",
                label=label,
                allowed=", ".join(suitable),
            )
        elif name not in suitable or name in tracking.cameras[:index]:
            yield Message(
                "{label}: allowed: fixed cameras of no institution that detect, each once: {allowed}",
                label=label,
                allowed=", ".join(suitable),
            )
    first_keys: dict[str, str] = {}
    first_indexes: dict[tuple[FlowEnd, FlowEnd], int] = {}
    for index, flow in enumerate(tracking.flow):
        label = f"{key}.flow[{index}]"
        for end, place in (("from", flow.origin), ("to", flow.destination)):
            if place.camera not in tracking.cameras:
                yield Message(
                    "{label}: not in multi_camera_tracking.cameras; allowed: {allowed}",
                    label=f"{label}.{end}.camera = {place.camera!r}",
                    allowed=", ".join(tracking.cameras),
                )
        if flow.origin.camera == flow.destination.camera:
            yield Message(
                "{label}: the camera of `from` too; allowed: another one, or [[flow]] in its scene",
                label=f"{label}.to.camera = {flow.destination.camera!r}",
            )
        first_key = first_keys.setdefault(flow.name, f"flow[{index}].name")
        if first_key != f"flow[{index}].name":
            yield Message(
                "{label}: used by {first_key} already; allowed: a name of its own for each line, zone and flow",
                label=f"{label}.name = {flow.name!r}",
                first_key=first_key,
            )
        first = first_indexes.setdefault((flow.origin, flow.destination), index)
        if first != index:
            yield Message(
                "{label}: flow[{first}] has the same `from` and `to`; allowed: one flow from a line or zone to another",
                label=f"{label}.to",
                first=first,
            )
