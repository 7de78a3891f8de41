"""The report of a rehearsal: a configuration of the centre on the footage of the box, next to the one in force. Pure."""

from typing import Annotated, Literal, TypeAlias

import msgspec

from agent.base.model import Label
from drivers.int64 import Int64

MAX_DIFFERENCES = 20
"""Of a camera: about 3 kB on the link."""
MAX_LEFT_OUT = 20
MAX_REASON_CHARS = 500
_MAX_NAMES = 512
"""A scene has fewer lines, and there are fewer kinds of events."""

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Seconds = Annotated[float, msgspec.Meta(ge=0)]
_Text = Annotated[str, msgspec.Meta(max_length=MAX_REASON_CHARS)]
DirectionCounts: TypeAlias = Annotated[dict[_Text, dict[Label, _Count]], msgspec.Meta(max_length=2)]
"""By direction name and label, as in the traffic counts."""


class RehearsedLine(msgspec.Struct, frozen=True, kw_only=True):
    """The crossings of one line by direction and label: with the configuration in force, and with the rehearsed one.

    One of them is null if that one has no line of this name.
    """

    name: _Text
    present: DirectionCounts | None
    proposed: DirectionCounts | None


class EventNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """The number of events of one kind with the configuration in force, and with the rehearsed one."""

    present: _Count
    proposed: _Count


class RehearsedDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A crossing or an event that one of the configurations has alone, or that both have with another label.

    `time` is that of its picture, RFC 3339. `kind` is `crossing` or that of an event, `name` its line or zone, empty if it has
    none. `found_by` names the configuration; with `both` the labels differ. `label` is that of the configuration in force if that
    has found it, and `proposed_label` that of the other one. An event may have none.
    """

    time: _Text
    kind: _Text
    name: _Text
    direction: _Text | None
    found_by: Literal["present", "proposed", "both"]
    label: Label | None
    proposed_label: Label | None


class RehearsedCost(msgspec.Struct, frozen=True, kw_only=True):
    """The processor time of one configuration for the pictures that it has searched, and its model."""

    model: _Text
    pictures: _Count
    cpu_s: _Seconds


class RehearsedCamera(msgspec.Struct, frozen=True, kw_only=True):
    """A rehearsal on the footage of one camera.

    `reason` says why there is none; all else is empty then. `covered_s` is the length of the footage, `decode_cpu_s` the
    processor time of decoding it. `left_out` are files of the span that were not evaluated, with the reason. `same` are the
    crossings and events that both configurations have, `different` those of one alone or with another label; lines and zones that
    only one of them has do not count. `differences` are `different`, or as many of them spread over the span.
    """

    camera: _Text
    reason: _Text | None = None
    covered_s: _Seconds = 0.0
    present: RehearsedCost | None = None
    proposed: RehearsedCost | None = None
    decode_cpu_s: _Seconds = 0.0
    lines: Annotated[tuple[RehearsedLine, ...], msgspec.Meta(max_length=_MAX_NAMES)] = ()
    events: Annotated[dict[_Text, EventNumbers], msgspec.Meta(max_length=_MAX_NAMES)] = {}
    same: _Count = 0
    different: _Count = 0
    differences: Annotated[
        tuple[RehearsedDifference, ...], msgspec.Meta(max_length=MAX_DIFFERENCES)
    ] = ()
    left_out: Annotated[dict[_Text, _Text], msgspec.Meta(max_length=MAX_LEFT_OUT)] = {}


class ReportedRehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """A rehearsal of a version that is not in force.

    `version` and `digest` are those of its message, `by` the people who have signed it, `begin` and `end` the span of footage, RFC
    3339. `state`: `paused` as long as the box does less than all its work. `progress` is 0..1. `reason` says why it has `failed`.
    `cameras` are those that are done.
    """

    version: Int64
    digest: str
    by: str
    begin: str
    end: str
    state: Literal["running", "paused", "done", "failed"]
    progress: float
    reason: str | None = None
    cameras: tuple[RehearsedCamera, ...] = ()
