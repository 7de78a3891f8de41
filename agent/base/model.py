"""The agent's words: what passes between its rooms. Frozen, and free of I/O.

Boxes and points are in 0..1 of the picture, x to the right and y down. Times are `t_ns`, see
`drivers.media`.
"""

from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias, get_args

import msgspec

from drivers.media import Plane

Label = Literal["person", "bicycle", "motorcycle", "car", "bus", "truck"]
LABELS: tuple[Label, ...] = get_args(Label)
"""The labels that exist. They are road users, and nothing else ever: see the privacy test."""

BOX_EVENT_SOURCE = "box"
"""Stands for the camera in events that are of the box itself. No camera may have this name."""

EventPhase = Literal["begin", "update", "end", "moment"]
"""`moment` is for what has no length, such as the crossing of a line."""


class BoundingBox(msgspec.Struct, frozen=True, array_like=True):
    """An upright rectangle: top left corner, width and height. In JSON it is `[x, y, w, h]`."""

    x: float
    y: float
    w: float
    h: float


class ShiftTolerance(msgspec.Struct, frozen=True, kw_only=True):
    """How far a picture may have shifted against the one that its scene was drawn on: to either side
    by `x` of its width, up or down by `y` of its height.
    """

    x: float
    y: float


class Detection(msgspec.Struct, frozen=True, kw_only=True):
    """One road user that the detector saw in one frame."""

    label: Label
    score: float
    box: BoundingBox


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """One road user over frames, as it stands at one frame.

    `id` is never used again by the same tracker. `label` is what most of its detections say,
    weighed by score, and `score` how sure the best of them was. `vx` and `vy` are the speed of
    the centre, in picture widths and heights a second. `begin_ns` is the first frame that it was
    seen in, `seen_ns` the last one; between frames that saw it the box is a prediction.
    """

    id: int
    label: Label
    score: float
    box: BoundingBox
    vx: float
    vy: float
    begin_ns: int
    seen_ns: int


SelfTestName = Literal["capture", "detect", "record", "seal", "export", "outbox", "broker"]


class SelfTestStep(msgspec.Struct, frozen=True, kw_only=True):
    """What a self-test found of one part of the box: how long it took, and one sentence."""

    name: SelfTestName
    ok: bool
    duration_ms: Annotated[float, msgspec.Meta(ge=0)]
    message: Annotated[str, msgspec.Meta(max_length=300)]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the centre should know, or news of it.

    Invariants: `event` (a UUIDv7) is the same from begin to end and `rev` counts up from 1;
    after `end` or `moment` nothing follows. `t_ns` is when this revision became true,
    `begin_ns` when the first one did. `camera` is BOX where the event is of the box itself.
    """

    event: str
    rev: int
    kind: str
    """One of the kinds that the rules and the other sources of events declare."""
    phase: EventPhase
    camera: str
    t_ns: int
    begin_ns: int
    name: str | None = None
    """Of the zone or line in the scene, of the pin, or of what the camera reports."""
    label: Label | None = None
    track: int | None = None
    score: float | None = None
    box: BoundingBox | None = None
    direction: str | None = None
    """The scene's name of a line's direction, `forward` or `backward` where it has none."""
    position: float | None = None
    """Where on the line it was crossed: 0 at `from`, 1 at `to`."""
    count: int | None = None
    """How many stand in a queue or a crowd."""
    duration_s: float | None = None
    """How long it has lasted, for what has a length."""
    steps: tuple[SelfTestStep, ...] | msgspec.UnsetType = msgspec.UNSET
    """Of a self-test alone: what it found, part by part."""


class FrameResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the eyes made of one frame.

    `gate` is the small luma picture that motion was judged on (H x W, about 320 wide, not to be
    written to); `moving` is the share of it that moves, 0..1. `tracks` are the confirmed ones
    that are alive. `passes` is how often the detector ran for this frame.
    """

    seq: int
    t_ns: int
    gate_luma: Plane
    moving_ratio: float
    tracks: tuple[Track, ...]
    inference_count: int


class LineCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Crossings of one line in one minute, by direction name and label."""

    name: str
    counts: dict[str, dict[Label, int]]


class ZoneCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Who was in one zone in one minute: mean and peak of the number of road users, by label."""

    name: str
    mean: dict[Label, float]
    peak: dict[Label, int]


class TrafficCounts(msgspec.Struct, frozen=True, kw_only=True):
    """One minute of traffic at one camera. `watched_s` of it were really watched."""

    camera: str
    begin_ns: int
    end_ns: int
    observed_s: float
    lines: tuple[LineCounts, ...]
    zones: tuple[ZoneCounts, ...]


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One closed footage file. `begin_utc` is RFC 3339; `clock_synced` is of when it began."""

    camera: str
    path: str
    begin_ns: int
    duration_ns: int
    size_bytes: int
    begin_utc: str
    clock_synced: bool


RefusalCode = Literal[
    "malformed",
    "unknown",
    "unsupported",
    "forbidden",
    "busy",
    "expired",
    "stale_token",
    "unavailable",
    "failed",
]
"""Why something is not done.

malformed    the words are not what is allowed
unknown      no head, preset, pin or camera of that name
unsupported  the device cannot do it
forbidden    nobody may: a no-go sector, a viewer that is not named, a pin that is not switchable, a
             preset that masks were drawn at
busy         somebody with as much right or more holds it
expired      the command came too late, or a stop came after it
stale_token  the token is of a lease that is over, or another's
unavailable  the device does not answer
failed       it was begun and went wrong
"""


class CommandAccepted(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="accepted"):
    """The command is begun and takes a while; how it ends follows."""

    command: str
    verb: str


class CommandProgress(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="progress"):
    """How far it is: `share` in 0..1, and what is being done now."""

    command: str
    verb: str
    progress: float
    detail: str


class CommandDone(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="done"):
    """It is done. What `result` holds is the verb's matter."""

    command: str
    verb: str
    result: msgspec.Raw


class CommandRefused(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="refused"):
    """It was not done, or not to its end: a kind, and why in one sentence. `command` is None where
    no id could be read.
    """

    command: str | None
    verb: str
    code: RefusalCode
    message: str


Reply: TypeAlias = CommandAccepted | CommandProgress | CommandDone | CommandRefused
"""What is said to a command. Done and refused are final: nothing follows."""


class IncomingCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command as it came in. `via` names its source.

    `send_reply` takes each reply, on any thread, and does not raise.
    """

    verb: str
    payload: bytes
    via: str
    send_reply: Callable[[Reply], None]
    retained: bool = False
