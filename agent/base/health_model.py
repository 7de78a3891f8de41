"""Structs of the health report, the only declaration of its fields. Pure.

None means unknown, because the source is missing; never zero.
"""

from typing import Literal, get_args

import msgspec

from agent.base.message import MessageData, Text, decode_message
from agent.base.model import Label
from agent.base.view_condition import ViewCondition
from drivers.contracts import CameraReadings
from drivers.int64 import Int64


class ControlHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Signed messages since the agent started: those that were refused, by reason. `revocation_list` is the number of the
    newest list of revoked certificates, None if there is none.
    """

    refused: dict[str, Int64] = {}
    revocation_list: Int64 | None = None


class CommandHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Commands since the agent started. `dropped` are those beyond the queue's bound: without a reply."""

    waiting: Int64
    running: Int64
    done: Int64
    refused: Int64
    dropped: Int64


StageState = Literal["starting", "running", "failing", "stopped"]


class StageHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A stage's loop: `heartbeat_age_s` since its last turn, `failures` since the agent started."""

    name: str
    state: StageState
    heartbeat_age_s: float
    failures: Int64
    last_error: str | None


CameraState = Literal[
    "waiting",
    "delivering",
    "slow",
    "silent",
    "closed",
    "stuck",
    "breaks_reader",
    "masks_failed",
    "shed",
]
"""The condition of a camera, decided in `agent.health.camera_condition`.

waiting       it delivers nothing yet, or nothing for a few seconds: no fault so far
delivering    as it should
slow          CAM-04: it delivers fewer frames than detection requests
silent        CAM-02: it is open and delivers nothing
closed        CAM-01: it cannot be opened
stuck         CAM-03: the kernel holds it
breaks_reader CAM-05: what it sends ends the process that reads it
masks_failed  MSK-01: it stays closed, because its masks cannot be applied
shed          SYS-07: the box has closed it to shed load
"""


class AreaDensity(msgspec.Struct, frozen=True, kw_only=True):
    """The least pixels per metre of a line or zone, and how many those of its labels need that need more."""

    kind: Literal["line", "zone"]
    name: str
    px_per_m: float
    needed_px_per_m: dict[Label, Int64]


class UnsupportedArea(msgspec.Struct, frozen=True, kw_only=True):
    """A line or zone that the view does not support, in all of it or in a part: the pixels per metre in its middle.

    `small` are the labels that need more there, and `small_ratio` those that do in a part: by label, the ratio of the line's
    length or the zone's area on the ground, from a tenth on. Without a calibrated ground pixels per metre are estimated by
    the heights of cars. `angle_deg` is the angle between the line of sight and the ground in its middle, None without a
    calibrated ground.
    """

    kind: Literal["line", "zone"]
    name: str
    px_per_m: float
    small: tuple[Label, ...]
    small_ratio: dict[Label, float]
    angle_deg: float | None


class GroundHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The ground calibration in force of a camera.

    `error_m` is the median error of marks that were left out in turn, None if there are too few to leave one out.
    `moved` is the reason why it is stale (CAM-06), None if it is in force. `low_density` are the lines and zones with
    too few pixels per metre for one of their labels.
    """

    error_m: float | None
    moved: str | None
    low_density: tuple[AreaDensity, ...]


DecodingState = Literal["keyframes", "motion", "long_interval"]
"""The pictures that are decoded for detection if they are decoded on demand: keyframes while nothing moves, all at motion, or
all at all times because keyframes are more than 2.5 s apart.
"""


class CameraHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A camera's media. Rates are means of the last ten seconds; counts since the agent started."""

    name: str
    open: bool
    state: CameraState
    stream_fps: float
    """Frames captured per second: those of the recorded stream, or if nothing is recorded those that are
    decoded for detection."""
    detect_fps: float | None
    """Frames detected per second; None if detection is off in the configuration."""
    age_s: float | None
    """Age of the last packet or frame; None before the first one."""
    reconnects: Int64
    frames_replaced: Int64
    packets_dropped: Int64
    last_error: str | None
    readings: CameraReadings | None = None
    """The camera's own readings of the last second; None if it reports none."""
    target_detect_fps: float | None = None
    """The rate that detection requests; None if it requests no frames now, or keyframes alone."""
    decoding: DecodingState | None = None
    """None if the stream is not decoded on demand, or has had no keyframe yet."""
    ground: GroundHealth | None = None
    """None if the scene in force has no calibrated ground."""
    view: ViewCondition | None = None
    """None if no frame was looked at in the last half minute: detection is off or shed, or none came."""
    unsupported: tuple[UnsupportedArea, ...] = ()
    """The lines and zones of the scene in force that the view does not support, as far as that is known."""
    countable_ratio: float | None = None
    """The part of the last day, or of the time since the agent started, for which counts are trusted, 0..1; None in the first
    minute, and without lines and zones."""
    events_left_out: Int64 = 0
    """Events, and updates of open ones, that were not sent, because there were too many of their kind in a minute."""


class DetectorHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The detector of one camera. `inference_ms` is the mean CPU time of an inference.

    `inferences_limit_per_s` is its share of the box's passes at the level `reduced_detection`, None otherwise.
    """

    camera: str
    model: str | None
    """None if the model was refused, see the fault DET-01."""
    inferences_per_s: float
    inference_ms: float | None
    tracks: Int64
    inferences_limit_per_s: float | None = None


class OutboxHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Messages not yet acknowledged. `lost` counts those shed since this outbox was created, `refused_acks`
    acknowledgements of messages that were never sent, since the agent started.
    """

    depth: Int64
    bytes: Int64
    oldest_age_s: float | None
    lost: Int64
    connected: bool
    centre_listening: bool
    refused_acks: Int64 = 0


class FootageHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The footage of one camera. `oldest_utc` is RFC 3339.

    `held_bytes` and `holds` are updated every ten seconds. `sealed`: what is recorded now is encrypted
    for the recipients of the configuration.
    """

    camera: str
    segments: Int64
    bytes: Int64
    oldest_utc: str | None
    gaps: Int64
    held_bytes: Int64 = 0
    holds: Int64 = 0
    sealed: bool = False


class SupplyHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One supply that reports its readings. One that it does not have is None; `amperes` may be negative for a battery.

    `status` is that of a battery and `health` that of the supply, as the kernel writes them.
    """

    name: str
    is_online: bool | None = None
    status: str | None = None
    health: str | None = None
    volts: float | None = None
    amperes: float | None = None
    charge_percent: Int64 | None = None
    time_to_empty_s: Int64 | None = None


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """Vitals of the machine.

    Pressures are shares of the last ten seconds, 0..1: in which some task waited for a core, or all
    tasks waited for memory or for the disk.
    """

    soc_celsius: float | None
    load_1min: float | None
    memory_available_bytes: Int64 | None
    agent_rss_bytes: Int64 | None
    state_free_bytes: Int64 | None
    state_total_bytes: Int64 | None
    """The file system of the state folder."""
    footage_free_bytes: Int64 | None
    footage_total_bytes: Int64 | None
    """The file system of the footage: the same numbers if it is that of the state folder."""
    cores: Int64 | None = None
    memory_total_bytes: Int64 | None = None
    cpu_pressure: float | None = None
    memory_pressure: float | None = None
    disk_pressure: float | None = None
    under_voltage: bool | None = None
    throttled: bool | None = None
    """Throttled now, by heat or by low voltage."""
    under_voltage_since_boot: bool | None = None
    throttled_since_boot: bool | None = None
    supplies: tuple[SupplyHealth, ...] = ()

    @property
    def is_footage_separate(self) -> bool:
        """True if footage has a file system of its own."""
        return (self.footage_free_bytes, self.footage_total_bytes) != (
            self.state_free_bytes,
            self.state_total_bytes,
        )


class DiskHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The disk of the state folder.

    `write_ms` is the median duration of a small synced write in the last minute. `written_bytes` counts
    over restarts, since the box first used this disk. `life_used` and `reserve` are the disk's own
    registers. `days_left` is the forecast at the write rate so far, and `days_left_basis` its basis: the
    wear register, or the writes that a disk of this capacity is assumed to endure.
    """

    device: str | None = None
    write_ms: float | None = None
    written_bytes: Int64 | None = None
    written_bytes_per_day: float | None = None
    life_used: float | None = None
    reserve: Literal["normal", "warning", "urgent"] | None = None
    days_left: float | None = None
    days_left_basis: Literal["register", "capacity"] | None = None


class ClockHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The clock's time source, its remaining offset, and the kernel's bound of its error."""

    synced: bool
    source: str
    error_s: float | None
    offset_s: float | None


LinkKind = Literal["wired", "wireless", "modem"]


class PortHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A wired port with a carrier. The counters are since the boot; a reading that the kernel lacks is None."""

    name: str
    speed_mbit_s: Int64 | None
    duplex: Literal["full", "half"] | None
    carrier_changes: Int64 | None
    rx_errors: Int64 | None
    tx_errors: Int64 | None
    rx_crc_errors: Int64 | None
    dropped: Int64 | None


class LinkHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The link to the broker.

    `round_trip_ms` is the time until the broker acknowledged the last message that was sent alone; None
    if there was none on this connection.
    """

    adapter: str | None = None
    """The adapter of the default route."""
    kind: LinkKind | None = None
    up: bool | None = None
    signal_dbm: float | None = None
    signal: float | None = None
    """A modem's signal quality, 0..1."""
    technology: str | None = None
    """A modem's access technology, such as `lte`."""
    round_trip_ms: float | None = None
    ports: tuple[PortHealth, ...] = ()
    """All wired ports, also those that are not on the way to the broker."""


DegradationLevel = Literal["full", "reduced_detection", "no_detection", "record_only", "heartbeat"]
DEGRADATION_LEVELS: tuple[DegradationLevel, ...] = get_args(DegradationLevel)
"""The levels, from full operation down. reduced_detection: cameras share fewer passes of the detector. no_detection:
records, moves heads and reports. record_only: tours and snapshots are suspended too. heartbeat: reports health alone.
"""


class Degradation(msgspec.Struct, frozen=True, kw_only=True):
    """The degradation level, its reason and its begin. `cause` is the code of the fault behind it."""

    level: DegradationLevel
    reason: str
    since_ns: Int64
    cause: str | None = None


class MachineHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The machine's part of a report: each field as in `HealthReport`, the link without its round trip."""

    vitals: Vitals
    disk: DiskHealth
    link: LinkHealth
    clock: ClockHealth
    degradation: Degradation


class FlightSample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One second of the box in the flight recorder. Unknown values are left out.

    Fields named as in `Vitals` are copied from there, rounded. `stream_fps` and `detect_fps` are by
    camera, `faults` are codes with their subjects, `stalled_stages` those without a heartbeat for five
    seconds.
    """

    t_ns: Int64
    level: DegradationLevel = "full"
    soc_celsius: float | None = None
    under_voltage: bool | None = None
    throttled: bool | None = None
    load_1min: float | None = None
    memory_available_bytes: Int64 | None = None
    agent_rss_bytes: Int64 | None = None
    memory_pressure: float | None = None
    disk_pressure: float | None = None
    state_free_bytes: Int64 | None = None
    footage_free_bytes: Int64 | None = None
    write_ms: float | None = None
    round_trip_ms: float | None = None
    connected: bool = False
    outbox_depth: Int64 = 0
    stream_fps: dict[str, float] = {}
    detect_fps: dict[str, float] = {}
    faults: tuple[str, ...] = ()
    stalled_stages: tuple[str, ...] = ()


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One active fault. `subject` is a camera's name, a file or a part of the box.

    `detail_message` has the sentence of `detail` and its values; null if the detail is the text of a
    driver, a library or the kernel.
    """

    code: str
    severity: Literal["warning", "error", "critical"]
    title: str
    subject: str
    since_ns: Int64
    detail: str
    detail_message: MessageData | None = None

    @property
    def translatable_detail(self) -> Text:
        """The detail as a message, if it is one."""
        return self.detail if self.detail_message is None else decode_message(self.detail_message)


class PinHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The states of the box's pins. None: there is no such pin, or its state is unknown.

    `relays_on` names the active sirens and beacons. `edges_dropped` counts input changes that came too
    fast, since the agent started.
    """

    door_open: bool | None
    mains: bool | None
    battery_low: bool | None
    fan: bool | None
    heater: bool | None
    relays_on: tuple[str, ...]
    edges_dropped: Int64


class HeadHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A pan-tilt head. Its position is None while it does not answer.

    `error_deg` is the position's error bound, 180 if it is unknown. `preset` is the preset at which the
    head rests, `holder` the role of the lease's holder. Wear counters over its life: degrees moved per
    axis, starts, reversals, hours in motion.
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
    reconnects: Int64
    moved_pan_deg: float
    moved_tilt_deg: float
    starts: Int64
    reversals: Int64
    moving_h: float
    last_error: str | None


class LiveHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Live looks: those that run, and the pictures since the agent started.

    `pictures_skipped` were due and not sent, and `packets_dropped` are those of videos: the link, its budget or
    the video server is slower than the looks.
    """

    looks: Int64
    pictures_sent: Int64
    pictures_skipped: Int64
    packets_dropped: Int64


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """The health of the box, sent each ten minutes, and at once when a fault or a state changes.

    Each field has one source, see `agent.app.health`.
    """

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
    control: ControlHealth | None = None
    """None if `control.ca` is not configured: commands are not authenticated."""
    pins: PinHealth | None = None
    """None if the box has no pins."""
    heads: tuple[HeadHealth, ...] = ()
    disk: DiskHealth | None = None
    clock: ClockHealth | None = None
    link: LinkHealth | None = None
    degradation: Degradation | None = None
    live: LiveHealth | None = None
    omitted: tuple[str, ...] = ()
    """Names of the fields that are empty because the broker takes no packet as large."""
