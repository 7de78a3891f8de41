"""Structs that the agent's packages share. Pure.

Bounding boxes and points are in 0..1 of the picture, x to the right and y down. Times are `t_ns`, see
`drivers.media`.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal, TypeAlias, get_args

import msgspec

from agent.base.count_proof import CountValidation
from agent.base.view_condition import FlowLimit, ViewCondition, ViewLimit
from drivers.int64 import Int64
from drivers.media import Plane

Label = Literal["person", "bicycle", "motorcycle", "car", "bus", "truck"]
LABELS: tuple[Label, ...] = get_args(Label)
"""All labels. They are road users and nothing else: tests/pure/test_privacy.py keeps it so."""

BOX_EVENT_SOURCE = "box"
"""The `camera` of events of the box itself. No camera may have this name."""

EventPhase = Literal["begin", "update", "end", "moment"]
"""`moment` is the only phase of an event without duration, such as the crossing of a line."""


class BoundingBox(msgspec.Struct, frozen=True, array_like=True):
    """An upright rectangle: top left corner, width and height. In JSON it is `[x, y, w, h]`."""

    x: float
    y: float
    w: float
    h: float


class ShiftTolerance(msgspec.Struct, frozen=True, kw_only=True):
    """Largest shift of a picture against the one that its scene was drawn on.

    `x` is a share of its width, to either side; `y` a share of its height, up or down.
    """

    x: float
    y: float


class Detection(msgspec.Struct, frozen=True, kw_only=True):
    """One road user in one frame."""

    label: Label
    score: float
    box: BoundingBox


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """One road user over frames, in its state at one frame.

    `id` is unique for a tracker. `label` is the majority of its detections, weighted by score, and
    `score` the highest of theirs. `vx` and `vy` are the velocity of the centre, in picture widths and
    heights per second. `begin_ns` is the first frame with a detection of it, `seen_ns` the last one;
    between detections the bounding box is a prediction.
    """

    id: int
    label: Label
    score: float
    box: BoundingBox
    vx: float
    vy: float
    begin_ns: int
    seen_ns: int


class GroundMotion(msgspec.Struct, frozen=True, kw_only=True):
    """Place and motion of a road user on the ground of a calibrated scene.

    `x_m` and `y_m` are metres of the scene's `[ground]`: x to the right and y ahead, or x to the east and y to the
    north of its first mark. `error_m` is the error of the place: of the calibration there and of the bounding box.
    `heading_deg` is clockwise from the y axis, 0 or more and less than 360. Both `speed_km_h` and `heading_deg` are
    means over up to two seconds, and None if they are not known well enough. `speed_error_km_h` is the standard
    deviation of the speed: of the places and of the calibration there.
    """

    x_m: float
    y_m: float
    error_m: float
    speed_km_h: float | None
    speed_error_km_h: float | None
    heading_deg: float | None


SelfTestName = Literal["capture", "detect", "record", "seal", "export", "outbox", "broker"]


class SelfTestStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a self-test: its result, its duration, and one sentence about it."""

    name: SelfTestName
    ok: bool
    duration_ms: Annotated[float, msgspec.Meta(ge=0)]
    message: Annotated[str, msgspec.Meta(max_length=300)]


class ClockStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the clock: UTC as the clock would have shown it without the step, and as it was found.

    Times are RFC 3339, UTC, with milliseconds. `bound_s` is the largest difference that the clock's error bounds
    and its drift explain.
    """

    expected_time: str
    found_time: str
    bound_s: float


IncidentPart = Literal["footage", "heads", "pictures", "fps", "bitrate"]
Outcome = Literal["done", "waiting", "unsupported", "forbidden", "unknown", "busy", "failed"]
"""The outcome of a part of an incident's order.

done         it is so, as long as the incident runs
waiting      the camera or head has not answered yet
unsupported  the device does not support it while it runs
forbidden    the person who ordered it may not, or a limit of the box does not allow it
unknown      there is no such preset
busy         a requester of equal or higher priority holds the head; it is tried again
failed       the device does not answer or failed; it is tried again
"""


class IncidentOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of a part of an incident's order at a camera or head, `of`. `detail` is the reason in words."""

    part: IncidentPart
    of: str
    outcome: Outcome
    detail: str | None = None


class IncidentReport(msgspec.Struct, frozen=True, kw_only=True):
    """An incident at a box.

    `state` is `pending` while the box cannot know whether it still runs, because its clock is not trusted, or while as many
    as may run do. `revision` is that of the order in force, `by` and `role` of the person who ordered it, `ends` the end in
    RFC 3339. `reason` says why it has ended or waits, else it is null.
    """

    incident: str
    state: Literal["pending", "running", "ended"]
    revision: Int64
    by: str
    role: str
    case: str | None
    ends: str
    reason: str | None
    outcomes: tuple[IncidentOutcome, ...] = ()


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One revision of an event for the centre.

    Invariants: `event` (a UUIDv7) is the same from begin to end, and `rev` counts up from 1; no
    revision follows `end` or `moment`. `t_ns` is when this revision became true, `begin_ns` when the
    first one did. `camera` is BOX_EVENT_SOURCE for events of the box itself.
    """

    event: str
    rev: Int64
    kind: str
    """One of the kinds that the rules and the other sources of events declare."""
    phase: EventPhase
    camera: str
    t_ns: Int64
    begin_ns: Int64
    name: str | None = None
    """The name of the scene's zone or line, of the pin, or of the camera's own report."""
    label: Label | None = None
    track: Int64 | None = None
    score: float | None = None
    box: BoundingBox | None = None
    direction: str | None = None
    """The scene's name of a line's direction, or else `forward` or `backward`."""
    position: float | None = None
    """The point at which the line was crossed: 0 at `from`, 1 at `to`."""
    count: Int64 | None = None
    """The number of road users in a queue or a crowd."""
    duration_s: float | None = None
    """The duration so far, for events with a phase `end`."""
    steps: tuple[SelfTestStep, ...] | msgspec.UnsetType = msgspec.UNSET
    """The steps of a self-test; unset for other kinds."""
    clock_step: ClockStep | msgspec.UnsetType = msgspec.UNSET
    """Both times of a step of the clock; unset for other kinds."""
    incident: IncidentReport | msgspec.UnsetType = msgspec.UNSET
    """The state of an incident at the box; unset for other kinds."""
    ground: GroundMotion | msgspec.UnsetType = msgspec.UNSET
    """Its road user on the ground; unset without a calibration in force, or if the foot of it is not in the picture."""
    untrusted_reasons: tuple[ViewLimit, ...] | msgspec.UnsetType = msgspec.UNSET
    """Why counts are not to be trusted; unset for kinds other than `counts_untrusted`."""
    view_limits: tuple[ViewLimit, ...] | msgspec.UnsetType = msgspec.UNSET
    """Of a line or zone: why the view does not give what its rule needs now, none if it does; unset if that is not known."""


class FrameResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of the detection pipeline for one frame.

    `width_px` and `height_px` are the size of the frame.
    `gate_luma` is the motion gate's luma plane (H x W, about 320 wide, read-only), and `moving_ratio`
    the share of it that moves, 0..1. `tracks` are the live, confirmed tracks. `inference_count` is the
    number of runs of the detector for this frame. `is_still`: nothing moves. `is_night`: the picture is of a night, outside of masks.
    `view` is the condition of the view, None if it was not diagnosed. `local_time` is the wall clock of the box's time
    zone, None while UTC is not trusted or if the scene has no use for it.
    """

    seq: int
    t_ns: int
    width_px: int
    height_px: int
    gate_luma: Plane
    moving_ratio: float
    tracks: tuple[Track, ...]
    inference_count: int
    is_still: bool = False
    is_night: bool = False
    view: ViewCondition | None = None
    local_time: datetime | None = None


class SpeedCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Speeds of the road users that crossed a line in one direction, on calibrated ground.

    `bands` counts them by label and band of 10 km/h, which is named by its lower end; the band 200 has no upper end.
    `v85_km_h` is the speed that 85 of 100 motor vehicles do not exceed, interpolated in its band as on normal
    probability paper, and null of fewer than 50. A speed is final, and counted, up to a second after its crossing.
    """

    v85_km_h: float | None
    bands: dict[Label, dict[Int64, Int64]]


class LineCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Crossings of one line in one minute, by direction name and label.

    `small` are the labels whose road users are too few pixels high there: most of them are missed.
    """

    name: str
    small: tuple[Label, ...] = ()
    counts: dict[str, dict[Label, Int64]]
    speeds: dict[str, SpeedCounts] | msgspec.UnsetType = msgspec.UNSET
    """By direction name; unset without a calibration of the ground."""


class ZoneCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Occupancy of one zone in one minute: mean and peak of the number of road users, by label. `small`: see LineCounts."""

    name: str
    small: tuple[Label, ...] = ()
    mean: dict[Label, float]
    peak: dict[Label, Int64]


class FlowCounts(
    msgspec.Struct, frozen=True, kw_only=True, rename={"origin": "from", "destination": "to"}
):
    """Road users of one turning flow in one minute, by label: a cell of an origin-destination matrix.

    `from` and `to` are the names of the lines or zones that they passed, in this order. `from_camera` is the camera of
    `from` if that is not the camera of the counts; such a flow has `trusted` and `untrusted_reasons` of its own.
    """

    name: str
    from_camera: str | msgspec.UnsetType = msgspec.UNSET
    origin: str
    destination: str
    counts: dict[Label, Int64]
    trusted: bool | msgspec.UnsetType = msgspec.UNSET
    untrusted_reasons: tuple[FlowLimit, ...] | msgspec.UnsetType = msgspec.UNSET


class TrafficCounts(msgspec.Struct, frozen=True, kw_only=True):
    """One minute of traffic at one camera, or a part of it, of which `observed_s` seconds were observed.

    `trusted` is false if the view did not show road users well enough for a tenth of that time or more; the counts
    are too low then. `untrusted_reasons` has the limits of the view, in the order of `ViewLimit`.
    """

    camera: str
    begin_ns: Int64
    end_ns: Int64
    observed_s: float
    trusted: bool
    untrusted_reasons: tuple[ViewLimit, ...]
    lines: tuple[LineCounts, ...]
    zones: tuple[ZoneCounts, ...]
    flows: tuple[FlowCounts, ...]
    validation: CountValidation | msgspec.UnsetType = msgspec.UNSET
    """How right the crossings are in the light of this minute; unset in a replay."""


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One closed footage file. `begin_utc` is RFC 3339; `clock_synced` is the clock's state at its begin."""

    camera: str
    path: str
    begin_ns: int
    duration_ns: int
    size_bytes: int
    begin_utc: str
    clock_synced: bool


RefusalCode = Literal[
    "malformed",
    "unauthenticated",
    "unknown",
    "unsupported",
    "forbidden",
    "busy",
    "expired",
    "stale_token",
    "unavailable",
    "failed",
]
"""Why a command is refused.

malformed    the command does not match its schema
unauthenticated  it is not signed, or not by a valid certificate of control.ca, or for another box or verb
unknown      there is no head, preset, pin or camera of that name
unsupported  the device does not support it, or the box has no such command: `ptz` without a head, `gpio` without pins
forbidden    not allowed: a role without this permission, a forbidden sector, a viewer that is not named, a pin
             that is not switchable, a preset that masks were drawn at
busy         a requester of equal or higher priority holds the device
expired      the command came too late or too early, or names another session, or a stop came after it
stale_token  the token's lease is over, or it is another requester's
unavailable  the device does not answer
failed       the command was started and failed
"""


class CommandAccepted(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="accepted"):
    """The command was started; its final reply follows."""

    command: str
    verb: str


class CommandProgress(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="progress"):
    """The command's progress, 0..1, and its current step."""

    command: str
    verb: str
    progress: float
    detail: str


class CommandDone(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="done"):
    """The command is done. The verb defines the type of `result`."""

    command: str
    verb: str
    result: msgspec.Raw


class CommandRefused(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="refused"):
    """The command was not done, or not completed: a code, and the reason in one sentence.

    `command` is None if no id could be read.
    """

    command: str | None
    verb: str
    code: RefusalCode
    message: str


Reply: TypeAlias = CommandAccepted | CommandProgress | CommandDone | CommandRefused
"""A reply to a command. `done` and `refused` are final."""


class ReplyAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Address of the replies to a command: the topic after `up/`, and the command's correlation data."""

    topic: str
    correlation: bytes | None


class IncomingCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command as it came in. `via` names its source.

    `send_reply` takes each reply, on any thread, and does not raise. `has_waited`: the broker received it before
    this connection was subscribed. `session` is the number of this connection. `reply_address` is for a reply that a
    later run of the agent sends; None if the requester does not wait that long.
    """

    verb: str
    payload: bytes
    via: str
    send_reply: Callable[[Reply], None]
    retained: bool = False
    has_waited: bool = False
    session: int | None = None
    reply_address: ReplyAddress | None = None
