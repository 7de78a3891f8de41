"""Structs of the wire contract. Pure; docs/asyncapi.json is generated from these.

A message is an envelope, the same for all, with one kind of data. `type` in the JSON names it. A
receiver ignores unknown fields; a new `v` means that known ones have changed.
"""

from typing import Annotated, Literal, TypeAlias

import msgspec

from agent.base.clock import ClockTrust
from agent.base.health_model import Fault, FlightSample, HealthReport
from agent.base.model import Event, Reply, TrafficCounts
from agent.base.sha256 import Sha256
from agent.base.state_inventory import InventoryHead
from agent.config.desired_config import DesiredContent
from agent.reporting.declaration.data import DeclarationData
from agent.reporting.rehearsal import ReportedRehearsal
from drivers.int64 import Int64

WIRE_VERSION: Literal[1] = 1

Utc = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$(?!\n)",
        description="RFC 3339, UTC, milliseconds. The envelope's `clock` says how far it can be trusted.",
    ),
]


MAX_SEQ = 2**53
Seq = Annotated[int, msgspec.Meta(ge=1, le=MAX_SEQ)]
"""A message's number, small enough that no JSON reader rounds it: RFC 8259 section 6."""
AckedUpto = Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQ)]
"""The number up to which all are acknowledged; 0 if none is."""


class UtcSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A time range of footage, in UTC."""

    begin: Utc
    end: Utc


class EventData(Event, frozen=True, kw_only=True):
    """An event, or a revision of it. Times in `_ns` are of the boot that the envelope names."""

    begin_time: Utc
    """Time of its first revision."""
    footage: UtcSpan | None = None
    """The footage that is held for it, or null."""
    thumbnail: str | None = None
    """SHA-256, in hexadecimal, of its picture, which follows as a snapshot."""
    t_s: float | msgspec.UnsetType = msgspec.UNSET
    """Of a replay only: the clip's own time."""


class TrafficCountsData(TrafficCounts, frozen=True, kw_only=True):
    """Traffic counts of one minute at one camera, or of a part of it."""

    begin_time: Utc
    end_time: Utc


class CameraCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """Use of one camera. `model` is None if nothing is detected. `view_of` is the fisheye camera whose pictures are
    dewarped for it, null if it has pictures of its own.
    """

    name: str
    driver: str
    model: str | None
    record: bool
    view_of: str | None = None


class HeadCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """Capabilities of a pan-tilt head. `camera` is mounted on it. `absolute`, `zoom` and `focus` are
    None until it has answered; `aux` are its auxiliary outputs.
    """

    name: str
    camera: str | None
    absolute: bool | None
    zoom: bool | None
    focus: bool | None
    aux: tuple[str, ...] = ()
    presets: tuple[str, ...] = ()
    tours: tuple[str, ...] = ()


class PinCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """A pin and its kind, such as `door` or `siren`. `switchable`: by command."""

    name: str
    kind: str
    switchable: bool


class OnlineStatus(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="online"):
    """The birth: the box is connected. `session` counts its connections under this epoch.

    `acked_upto`: no number up to this one will be sent any more under this epoch. A centre that
    acknowledges counts from there. `acked_upto_by_centre` is for the centres that the configuration
    names: that centre has acknowledged each number up to this one, or it will not be sent any more.
    `public_key` verifies the box's receipts of footage: Ed25519, the base64 of its 32 bytes. `groups` are those of
    the configuration, which orders of incidents name. `omitted` names the lists that are empty because the broker takes no packet as large.
    `commands_authenticated` is false if the box accepts unsigned commands and acknowledgements of whatever its broker
    carries: a bench.
    """

    session: Int64
    acked_upto: AckedUpto
    site: str
    public_key: str
    versions: dict[str, str]
    cameras: tuple[CameraCapabilities, ...]
    faults: tuple[Fault, ...]
    heads: tuple[HeadCapabilities, ...] = ()
    pins: tuple[PinCapabilities, ...] = ()
    groups: tuple[str, ...] = ()
    omitted: tuple[str, ...] = ()
    acked_upto_by_centre: dict[str, AckedUpto] = {}
    commands_authenticated: bool = False


class LostStatus(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="lost"):
    """The will: the broker publishes it if the connection ends without a DISCONNECT. It is stale
    unless the newest birth has the same epoch and session.
    """

    session: Int64


class StoppedStatus(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="stopped"):
    """The agent has stopped in order, for `reason`."""

    session: Int64
    reason: str


StatusData: TypeAlias = OnlineStatus | LostStatus | StoppedStatus


class RefusedConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The newest version that was not taken, or not kept. `reasons` has a line for each key or condition.

    `version` is null if the message could not be read.
    """

    version: Int64 | None
    digest: str | None
    time: Utc
    reasons: tuple[str, ...]


class FetchingModel(msgspec.Struct, frozen=True, kw_only=True):
    """The progress, 0..1, of fetching `model` for a version, whose message has the SHA-256 `digest`, and the current step."""

    version: Int64
    digest: str | None
    model: str
    progress: float
    detail: str


class DeferredConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A version that waits until the agent may restart for it: it has restarted for others a short time ago.

    `digest` is the SHA-256 of its message.
    """

    version: Int64
    digest: str | None
    until: Utc


class ReportedConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration in force. `version` 0 is the box's own file alone.

    `state`: `on_trial` until the box is seen to work with it; `damaged` if the stored version cannot be read, and every
    camera is closed until the centre sends one again. `digest` is the SHA-256 of the version's message, `since` the
    time from which on it has been in force, `by` the people who have signed it. `scenes_at_box` are the scenes that
    technicians have put in place of the version's at the page at the pole, such as `scenes.north`. `fetching` is
    the model that a version waits for, `deferred` a version that waits for a restart. `decided` is the highest version that the
    box has decided about: the next one has a higher number, by 1000 at most.
    """

    state: Literal["in_force", "on_trial", "damaged"]
    version: Int64
    decided: Int64
    digest: str | None
    since: Utc | None
    by: str | None
    refused: RefusedConfig | None
    scenes_at_box: tuple[str, ...] = ()
    fetching: FetchingModel | None = None
    deferred: DeferredConfig | None = None


class ReportedContent(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the stored version, which is that in force or on trial unless it does not fit the box's file.

    It has the scenes that technicians have put in place of the version's own. Version 0 sets nothing. `digest` is the
    SHA-256 of the version's message.
    """

    version: Int64
    digest: str | None
    content: DesiredContent


class SeqRange(msgspec.Struct, frozen=True, array_like=True):
    """Numbers from `first` to `last`, inclusive. In JSON it is `[first, last]`."""

    first: Seq
    last: Seq


class LostMessages(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="lost"):
    """`count` messages of this epoch will never be sent, because the outbox was full.

    `ranges` has the numbers of those that were shed. Those that were refused never had a number:
    they are in `count` and `by_type` only.
    """

    count: Int64
    by_type: dict[str, Int64]
    ranges: tuple[SeqRange, ...]


class OutboxDamaged(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="outbox_damaged"
):
    """The previous outbox was damaged and is quarantined in the folder `quarantined_as`.

    `recovered` of its messages could be read and follow under this epoch, with their ids.
    `unreadable` is how many could not, null if the structure of the file is damaged or unreadable.
    """

    reason: str
    quarantined_as: str
    epoch_before: str | None
    last_seq_before: Int64 | None
    recovered: Int64
    unreadable: Int64 | None


class RecordingGap(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="gap"):
    """Footage of this time range was not recorded."""

    camera: str
    begin: Utc
    end: Utc
    reason: str


class HoldBroken(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="hold_broken"):
    """A hold was broken, because the disk had no space: its footage is evicted from now on, the oldest
    first. `hold` is the event's id if an event placed it.
    """

    hold: str
    camera: str
    begin: Utc
    end: Utc
    owner: str
    reason: str


class CustodyHead(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="custody_head"):
    """The newest receipt of the custody chain: its number, the SHA-256 of its JSON, its time. A chain
    that does not contain it later was truncated or rewritten. `inventory` is the newest line of the state inventory,
    null if it could not be written: one with a lower revision later was put in the place of a newer one.
    """

    seq: Seq
    sha256: Sha256
    time: Utc
    inventory: InventoryHead | None = None


RestartCause = Literal[
    "requested",
    "crash",
    "watchdog",
    "memory",
    "camera_stuck",
    "power_cut",
    "kernel_crash",
    "board_watchdog",
]
"""Why a run of the agent has ended.

requested       it stopped on request: an update, a technician, an ordered reboot
crash           the agent ended by itself, or was killed, and the board kept running
watchdog        systemd ended it because a vital loop hung
memory          the kernel killed it because memory ran out
camera_stuck    the agent requested a reboot, because the kernel held a camera
power_cut       the board lost power, or rebooted without a trace of another cause
kernel_crash    the kernel left a record of its own crash
board_watchdog  the board's watchdog reset it: the whole system hung
"""


class Restarted(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="restarted"):
    """The agent has restarted. `detail` is the evidence for the cause; `new_boot`: the board rebooted.

    `last_seen` and `last_sample` are the time and contents of the previous run's last flight sample.
    `flight` is the half hour before it, unless the stop was requested: base64 of zlib (RFC 1950) of
    JSON, one object like `last_sample` per line, oldest first; null if there is none. Its `t_ns` are
    of the boot `boot_before`. A long flight is thinned out, the older seconds first.
    """

    cause: RestartCause
    detail: str
    new_boot: bool
    boot_before: str
    last_seen: Utc
    last_sample: FlightSample | None
    flight: str | None


ReceiptData: TypeAlias = (
    LostMessages | OutboxDamaged | RecordingGap | HoldBroken | CustodyHead | Restarted
)


class SnapshotData(msgspec.Struct, frozen=True, kw_only=True):
    """Description of a JPEG picture, in the user property `data` of its message."""

    camera: str
    sha256: str
    size_bytes: Int64
    event: str | None
    """Id of its event, or null."""
    original_sha256: str | None = None
    """If the picture was made smaller for the broker: of the one that the event or the reply names."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of every message.

    `id` is a UUIDv7 and never changes. `epoch` names the outbox database and `seq` counts its
    messages from 1, without gaps except those that a receipt names; a receiver drops repeats by
    (box, epoch, seq, id). `seq` is null in a status, a declaration, a configuration and a health report, which are not
    stored. `boot` is the kernel's boot id of the `_ns` times. `time` is when it happened.
    """

    v: Literal[1] = WIRE_VERSION
    id: str
    box: str
    epoch: str
    seq: Seq | None
    boot: str
    time: Utc
    clock: ClockTrust


class StatusMessage(Envelope, frozen=True, kw_only=True, tag_field="type", tag="status"):
    """On `up/status`, retained."""

    data: StatusData


class DeclarationMessage(Envelope, frozen=True, kw_only=True, tag_field="type", tag="declaration"):
    """On `up/declaration`, retained."""

    data: DeclarationData


class ConfigMessage(Envelope, frozen=True, kw_only=True, tag_field="type", tag="config"):
    """On `up/config`, retained."""

    data: ReportedConfig


class ConfigContentMessage(
    Envelope, frozen=True, kw_only=True, tag_field="type", tag="config_content"
):
    """On `up/config/content`, retained."""

    data: ReportedContent


class ConfigRehearsalMessage(
    Envelope, frozen=True, kw_only=True, tag_field="type", tag="config_rehearsal"
):
    """On `up/config/rehearsal`, retained."""

    data: ReportedRehearsal


class HealthMessage(Envelope, frozen=True, kw_only=True, tag_field="type", tag="health"):
    """On `up/health`."""

    data: HealthReport


class EventMessage(Envelope, frozen=True, kw_only=True, tag_field="type", tag="event"):
    """On `up/event/<camera>/<kind>`."""

    data: EventData


class TrafficCountsMessage(Envelope, frozen=True, kw_only=True, tag_field="type", tag="flow"):
    """On `up/flow/<camera>`."""

    data: TrafficCountsData


class ReceiptMessage(Envelope, frozen=True, kw_only=True, tag_field="type", tag="receipt"):
    """On `up/receipt`; the head of the custody chain on `up/receipt/head`."""

    data: ReceiptData


class SnapshotHeader(Envelope, frozen=True, kw_only=True, tag_field="type", tag="snapshot"):
    """On `up/snapshot/<camera>`: the payload is the JPEG itself, and these fields are user properties,
    `clock` and `data` in JSON.
    """

    data: SnapshotData


class ReplyMessage(Envelope, frozen=True, kw_only=True, tag_field="type", tag="reply"):
    """On `up/reply`, or on the topic below it that the command named, with the command's correlation
    data.
    """

    data: Reply


Message: TypeAlias = (
    StatusMessage
    | DeclarationMessage
    | ConfigMessage
    | ConfigContentMessage
    | ConfigRehearsalMessage
    | HealthMessage
    | EventMessage
    | TrafficCountsMessage
    | ReceiptMessage
    | SnapshotHeader
    | ReplyMessage
)
OutboxMessageType = Literal["status", "health", "event", "flow", "receipt", "snapshot", "reply"]
"""Types of outgoing messages except the declaration, which is neither stored nor expires."""
