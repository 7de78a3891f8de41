"""The agent's words: what passes between its rooms. Frozen, and free of I/O.

Boxes and points are in 0..1 of the picture, x to the right and y down. Times are `t_ns`, see
`drivers.media`.
"""

from typing import Annotated, Literal, TypeAlias, get_args

import msgspec

from drivers.contracts import CameraReadings
from drivers.media import Plane

Label = Literal["person", "bicycle", "motorcycle", "car", "bus", "truck"]
LABELS: tuple[Label, ...] = get_args(Label)
"""The labels that exist. They are road users, and nothing else ever: see the privacy test."""

CameraEventKind = Literal[
    "line",
    "zone",
    "dwell",
    "stopped",
    "wrong_way",
    "person_on_carriageway",
    "queue",
    "crowd",
    "view_blocked",
    "view_blurred",
    "view_dark",
    "view_moved",
    "view_frozen",
    "camera_lost",
    "reported",
]
"""What a camera sees, or that it does not; `reported` is what it says itself, over ONVIF."""

BoxEventKind = Literal["door", "shock", "power"]
"""What the contacts of the box tell."""

ServiceEventKind = Literal["selftest"]
"""What the box finds out about itself."""

EventKind = Literal[CameraEventKind, BoxEventKind, ServiceEventKind]

BOX = "box"
"""Stands for the camera in events that are of the box itself. No camera may have this name."""

EventPhase = Literal["begin", "update", "end", "moment"]
"""`moment` is for what has no length, such as the crossing of a line."""


class Box(msgspec.Struct, frozen=True, array_like=True):
    """An upright rectangle: top left corner, width and height. In JSON it is `[x, y, w, h]`."""

    x: float
    y: float
    w: float
    h: float


class Detection(msgspec.Struct, frozen=True, kw_only=True):
    """One road user that the detector saw in one frame."""

    label: Label
    score: float
    box: Box


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
    box: Box
    vx: float
    vy: float
    begin_ns: int
    seen_ns: int


SelfTestName = Literal["capture", "detect", "record", "seal", "export", "outbox", "broker"]


class SelfTestStep(msgspec.Struct, frozen=True, kw_only=True):
    """What a self-test found of one part of the box: how long it took, and one sentence."""

    name: SelfTestName
    ok: bool
    ms: Annotated[float, msgspec.Meta(ge=0)]
    said: Annotated[str, msgspec.Meta(max_length=300)]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the centre should know, or news of it.

    Invariants: `event` (a UUIDv7) is the same from begin to end and `rev` counts up from 1;
    after `end` or `moment` nothing follows. `t_ns` is when this revision became true,
    `begin_ns` when the first one did. `camera` is BOX where the event is of the box itself.
    """

    event: str
    rev: int
    kind: EventKind
    phase: EventPhase
    camera: str
    t_ns: int
    begin_ns: int
    name: str | None = None
    """Of the zone or line in the scene, of the pin, or of what the camera reports."""
    label: Label | None = None
    track: int | None = None
    score: float | None = None
    box: Box | None = None
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


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What the eyes made of one frame.

    `gate` is the small luma picture that motion was judged on (H x W, about 320 wide, not to be
    written to); `moving` is the share of it that moves, 0..1. `tracks` are the confirmed ones
    that are alive. `passes` is how often the detector ran for this frame.
    """

    seq: int
    t_ns: int
    gate: Plane
    moving: float
    tracks: tuple[Track, ...]
    passes: int


class LineFlow(msgspec.Struct, frozen=True, kw_only=True):
    """Crossings of one line in one minute, by direction name and label."""

    name: str
    counts: dict[str, dict[Label, int]]


class ZoneFlow(msgspec.Struct, frozen=True, kw_only=True):
    """Who was in one zone in one minute: mean and peak of the number of road users, by label."""

    name: str
    mean: dict[Label, float]
    peak: dict[Label, int]


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """One minute of traffic at one camera. `watched_s` of it were really watched."""

    camera: str
    begin_ns: int
    end_ns: int
    watched_s: float
    lines: tuple[LineFlow, ...]
    zones: tuple[ZoneFlow, ...]


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One closed footage file. `begin_utc` is RFC 3339; `clock_synced` is of when it began."""

    camera: str
    path: str
    begin_ns: int
    duration_ns: int
    size_bytes: int
    begin_utc: str
    clock_synced: bool


RefusalKind = Literal[
    "malformed",
    "unknown",
    "unsupported",
    "forbidden",
    "busy",
    "expired",
    "fenced",
    "absent",
    "failed",
]
"""Why something is not done.

malformed    the words are not what is allowed
unknown      no head, preset, pin or camera of that name
unsupported  the device cannot do it
forbidden    nobody may: a no-go sector, a viewer that is not named, a pin that is not switchable
busy         somebody with as much right or more holds it
expired      the command came too late
fenced       the token is of a lease that is over
absent       the device does not answer
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
    share: float
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
    kind: RefusalKind
    why: str


Reply: TypeAlias = CommandAccepted | CommandProgress | CommandDone | CommandRefused
"""What is said to a command. Done and refused are final: nothing follows."""


class CommandHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Commands since the agent began. `waiting` of them are not begun yet, `running` are and take
    a while; `dropped` were more than could wait, and got no reply.
    """

    waiting: int
    running: int
    done: int
    refused: int
    dropped: int


StageState = Literal["starting", "running", "failing", "stopped"]


class StageHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How a stage is: `beat_age_s` since its loop last turned, `failures` since it started."""

    name: str
    state: StageState
    beat_age_s: float
    failures: int
    last_error: str | None


class CameraHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What a camera gives. Rates are over the last report's span; counts since the agent began."""

    name: str
    open: bool
    fps: float
    age_s: float | None
    """Since the last packet or frame; None where none has come yet."""
    reopened: int
    frames_replaced: int
    packets_dropped: int
    last_error: str | None
    readings: CameraReadings | None = None
    """Of the camera's last second; None where it has none to give."""
    fps_wanted: float | None = None
    """For detection; None where none are wanted now."""


class DetectorHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The detector of one camera. `pass_ms` is the mean CPU time of a pass in the last span."""

    camera: str
    model: str | None
    """None where the box runs without detection, see the faults."""
    passes_per_s: float
    pass_ms: float | None
    tracks: int


class OutboxHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Messages that wait. `lost` counts those that were shed since this outbox began."""

    depth: int
    bytes: int
    oldest_age_s: float | None
    lost: int
    connected: bool
    centre_listens: bool


class FootageHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The ring of one camera. `oldest_utc` is RFC 3339. `held_bytes` of its bytes are held, by so
    many holds; they are counted every ten seconds. `sealed`: what is recorded now is encrypted for
    the recipients of the configuration, and lies plain otherwise.
    """

    camera: str
    segments: int
    bytes: int
    oldest_utc: str | None
    gaps: int
    held_bytes: int = 0
    holds: int = 0
    sealed: bool = False


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """The machine itself. None means unknown: the source is not there. Never a zero for it.

    Pressures are shares of the last ten seconds, 0..1, in which work had to wait: some of it for a
    core, all of it for memory or for the disk.
    """

    soc_celsius: float | None
    load_1min: float | None
    memory_available_bytes: int | None
    agent_rss_bytes: int | None
    disk_free_bytes: int | None
    disk_total_bytes: int | None
    cores: int | None = None
    memory_total_bytes: int | None = None
    cpu_pressure: float | None = None
    memory_pressure: float | None = None
    disk_pressure: float | None = None
    under_voltage: bool | None = None
    throttled: bool | None = None
    """Slower than it should be now, for heat or for want of voltage."""
    under_voltage_since_boot: bool | None = None
    throttled_since_boot: bool | None = None


class DiskHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The disk that the state folder is on. None means unknown.

    `write_ms` is the median time of a small synced write in the last minute. `written_bytes` is what
    the box has counted since it first met this disk, over restarts. `life_used` and `reserve` are
    the disk's own registers; `days_left` goes on as it went so far, and `days_left_by` tells from
    what: the register, or what a disk of this size can be expected to take.
    """

    device: str | None = None
    write_ms: float | None = None
    written_bytes: int | None = None
    written_bytes_per_day: float | None = None
    life_used: float | None = None
    reserve: Literal["normal", "warning", "urgent"] | None = None
    days_left: float | None = None
    days_left_by: Literal["register", "capacity"] | None = None


class ClockHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Who sets the clock, how far it still is off, and the kernel's bound of its error."""

    synced: bool
    source: str
    error_s: float | None
    offset_s: float | None


LinkKind = Literal["wired", "wireless", "modem"]


class LinkHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The way to the broker. `round_trip_ms` is how long the broker took to acknowledge the last
    message that went alone; None where none has since the connection began.
    """

    adapter: str | None = None
    """That of the default route."""
    kind: LinkKind | None = None
    up: bool | None = None
    signal_dbm: float | None = None
    signal: float | None = None
    """0..1, as a modem tells."""
    technology: str | None = None
    """Such as `lte`, as a modem tells."""
    round_trip_ms: float | None = None


Level = Literal["full", "no_detection", "record_only", "heartbeat"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""What the box does, from all to least. No detection: it records, turns and reports. Record only:
tours and pictures rest too. Heartbeat: it says how it is, and nothing else.
"""


class Degradation(msgspec.Struct, frozen=True, kw_only=True):
    """How much the box does, why not all, and since when."""

    level: Level
    why: str
    since_ns: int


class FlightSample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One second of the box, as the flight recorder keeps it. What is unknown is left out.

    `fps` is by camera. `faults` are codes with their subjects, `late` the stages whose loop has not
    turned for five seconds.
    """

    t_ns: int
    level: Level = "full"
    soc_celsius: float | None = None
    under_voltage: bool | None = None
    throttled: bool | None = None
    load_1min: float | None = None
    memory_available_bytes: int | None = None
    agent_rss_bytes: int | None = None
    memory_pressure: float | None = None
    disk_pressure: float | None = None
    disk_free_bytes: int | None = None
    write_ms: float | None = None
    round_trip_ms: float | None = None
    connected: bool = False
    outbox_depth: int = 0
    fps: dict[str, float] = {}
    faults: tuple[str, ...] = ()
    late: tuple[str, ...] = ()


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One active fault: its code, what it is about (a camera's name, a file), since when, why."""

    code: str
    severity: Literal["warning", "error", "critical"]
    title: str
    subject: str
    since_ns: int
    detail: str


class PinHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How the contacts and relays of the box stand. None: there is no such pin, or nobody knows.

    `relays_on` names the sirens and beacons that are on. `edges_dropped` counts changes of inputs
    that came too fast, since the agent began.
    """

    door_open: bool | None
    mains: bool | None
    battery_low: bool | None
    fan: bool | None
    heater: bool | None
    relays_on: tuple[str, ...]
    edges_dropped: int


class HeadHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A pan-tilt head. Where it looks is None while it does not answer; `error_deg` is how well that
    is known, 180 where nobody knows. `preset` is where it rests, `holder` the role of who has it.

    What it has done in its life, to and fro: degrees of each axis, how often one began to move,
    how often one turned back, and hours in motion.
    """

    name: str
    open: bool
    pan_deg: float | None
    tilt_deg: float | None
    zoom: float | None
    error_deg: float | None
    moving: bool
    preset: str | None
    holder: Literal["operator", "incident", "tracking", "tour"] | None
    tour: str | None
    reopened: int
    moved_pan_deg: float
    moved_tilt_deg: float
    starts: int
    reversals: int
    moving_h: float
    last_error: str | None


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """How the box is, every 30 s and at once when a fault comes or goes."""

    uptime_s: float
    version: str
    vitals: Vitals
    stages: tuple[StageHealth, ...]
    cameras: tuple[CameraHealth, ...]
    detectors: tuple[DetectorHealth, ...]
    footage: tuple[FootageHealth, ...]
    outbox: OutboxHealth
    faults: tuple[Fault, ...]
    commands: CommandHealth | None = None
    pins: PinHealth | None = None
    """None where the box has none."""
    heads: tuple[HeadHealth, ...] = ()
    disk: DiskHealth | None = None
    clock: ClockHealth | None = None
    link: LinkHealth | None = None
    degradation: Degradation | None = None
