"""The words of health: how the box is, part by part. Frozen, and free of I/O.

None means unknown: the source is not there. Never a zero for it.
"""

from typing import Literal, get_args

import msgspec

from drivers.contracts import CameraReadings


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
    """How a stage is: `heartbeat_age_s` since its loop last turned, `failures` since it started."""

    name: str
    state: StageState
    heartbeat_age_s: float
    failures: int
    last_error: str | None


class CameraHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What a camera gives. Rates are over the last report's span; counts since the agent began."""

    name: str
    open: bool
    fps: float
    age_s: float | None
    """Since the last packet or frame; None where none has come yet."""
    reconnects: int
    frames_replaced: int
    packets_dropped: int
    last_error: str | None
    readings: CameraReadings | None = None
    """Of the camera's last second; None where it has none to give."""
    target_fps: float | None = None
    """For detection; None where none are wanted now."""


class DetectorHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The detector of one camera. `inference_ms` is the mean CPU time of a pass in the last span."""

    camera: str
    model: str | None
    """None where the box runs without detection, see the faults."""
    inferences_per_s: float
    inference_ms: float | None
    tracks: int


class OutboxHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Messages that wait. `lost` counts those that were shed since this outbox began."""

    depth: int
    bytes: int
    oldest_age_s: float | None
    lost: int
    connected: bool
    centre_listening: bool


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
    the disk's own registers; `days_left` goes on as it went so far, and `days_left_basis` tells from
    what: the register, or what a disk of this size can be expected to take.
    """

    device: str | None = None
    write_ms: float | None = None
    written_bytes: int | None = None
    written_bytes_per_day: float | None = None
    life_used: float | None = None
    reserve: Literal["normal", "warning", "urgent"] | None = None
    days_left: float | None = None
    days_left_basis: Literal["register", "capacity"] | None = None


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


DegradationLevel = Literal["full", "no_detection", "record_only", "heartbeat"]
DEGRADATION_LEVELS: tuple[DegradationLevel, ...] = get_args(DegradationLevel)
"""What the box does, from all to least. No detection: it records, turns and reports. Record only:
tours and pictures rest too. Heartbeat: it says how it is, and nothing else.
"""


class Degradation(msgspec.Struct, frozen=True, kw_only=True):
    """How much the box does, why not all, and since when."""

    level: DegradationLevel
    reason: str
    since_ns: int


class FlightSample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One second of the box, as the flight recorder keeps it. What is unknown is left out.

    `fps` is by camera. `faults` are codes with their subjects, `late` the stages whose loop has not
    turned for five seconds.
    """

    t_ns: int
    level: DegradationLevel = "full"
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
    stalled_stages: tuple[str, ...] = ()


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
    reconnects: int
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
