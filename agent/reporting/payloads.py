"""What goes over the wire, as structs. Pure; docs/asyncapi.json is generated from these.

A message is an envelope, the same for all, with one kind of data. The type stands in the JSON
under `type`. A receiver ignores fields that it does not know; a new `v` means that what it knows
has changed.
"""

from typing import Annotated, Literal, TypeAlias

import msgspec

from agent.base.clock import ClockTrust
from agent.base.health_model import Fault, FlightSample, HealthReport
from agent.base.model import Event, Label, Reply, TrafficCounts

WIRE_VERSION: Literal[1] = 1

Utc = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$(?!\n)",
        description="RFC 3339, UTC, milliseconds. How far to trust it is in the envelope's clock.",
    ),
]


Seq = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
"""A message's number. No JSON reader rounds it: RFC 8259 section 6."""


class UtcSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of footage, in UTC."""

    begin: Utc
    end: Utc


class EventData(Event, frozen=True, kw_only=True):
    """An event, or news of it. The times with `_ns` are of the boot that the envelope names."""

    begin_time: Utc
    """When its first revision became true."""
    footage: UtcSpan | None = None
    """What is kept of it, where something is."""
    thumbnail: str | None = None
    """SHA-256, in hexadecimal, of the picture that follows as a snapshot."""
    t_s: float | msgspec.UnsetType = msgspec.UNSET
    """In a replay alone: the clip's own time."""


class TrafficCountsData(TrafficCounts, frozen=True, kw_only=True):
    """One minute of traffic at one camera."""

    begin_time: Utc
    end_time: Utc


class CameraCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What the box does with one of its cameras. `model` is None where nothing is detected."""

    name: str
    driver: str
    model: str | None
    record: bool


class HeadCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a pan-tilt head of the box can do. `camera` is the one that sits on it. `absolute`, `zoom`
    and `focus` are None where it has not answered yet; `aux` is what it switches.
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
    """A pin of the box and what it is for, such as `door` or `siren`. `switchable`: by command."""

    name: str
    kind: str
    switchable: bool


class OnlineStatus(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="online"):
    """The birth: the box is here. `session` counts its connections under this epoch.

    `settled_upto`: no number up to this one will come any more under this epoch. A receiver that
    acknowledges takes it as the floor from which it counts. `public_key` is that of the box's
    receipts of footage: Ed25519, the base64 of its 32 bytes.
    """

    session: int
    acked_upto: int
    site: str
    public_key: str
    versions: dict[str, str]
    cameras: tuple[CameraCapabilities, ...]
    faults: tuple[Fault, ...]
    heads: tuple[HeadCapabilities, ...] = ()
    pins: tuple[PinCapabilities, ...] = ()


class LostStatus(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="lost"):
    """The will: the broker says it where the box has gone without a word. It is stale unless the
    newest birth has the same epoch and session.
    """

    session: int


class StoppedStatus(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="stopped"):
    """The box has stopped in order, and says why."""

    session: int
    reason: str


StatusData: TypeAlias = OnlineStatus | LostStatus | StoppedStatus


class DeclaredCamera(msgspec.Struct, frozen=True, kw_only=True):
    """What a box does with one camera. `owner` and `purpose` are of an institution that lends it,
    null where it is the city's own; `viewers` are those whom the institution lets see it, null
    where it leaves that to the city.

    `turns`: a head turns it. `masked`: what its scene hides is seen by nobody. `kept_h` is how
    long its footage is kept, null where there is none. `reports` are the topics that the camera
    itself is heard on. A camera that is gone, and of which there is footage still, is neither
    watched nor recorded.
    """

    name: str
    owner: str | None
    purpose: str | None
    viewers: tuple[str, ...] | None
    on_ptz_head: bool
    detection: bool
    recorded: bool
    masked: bool
    retention_h: float | None
    onvif_topics: tuple[str, ...] = ()


class DeclarationData(msgspec.Struct, frozen=True, kw_only=True):
    """What this box does, for the public. `detects` is all that it can tell apart, and it follows
    nobody beyond one camera's picture.

    `events_kept_days` is how long the footage around an event is kept, `longest_kept_days` what no
    configuration goes beyond. `sealed_for` names those who alone can open the footage; where it is
    empty the footage lies open on the box. `public_key` proves what became of it: see Online.
    """

    site: str
    detects: tuple[Label, ...]
    cameras: tuple[DeclaredCamera, ...]
    event_retention_days: float
    max_retention_days: int
    recipients: tuple[str, ...]
    public_key: str
    software: str


class SeqRange(msgspec.Struct, frozen=True, array_like=True):
    """Numbers from `first` to `last`, both of them within. In JSON it is `[first, last]`."""

    first: Seq
    last: Seq


class LostMessages(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="lost"):
    """`count` messages of this epoch will never come, because the outbox was full.

    `ranges` names the numbers of those that had one. Those that were refused at the door never
    had a number: they are in `count` and `by_type` and not in `ranges`.
    """

    count: int
    by_type: dict[str, int]
    ranges: tuple[SeqRange, ...]


class OutboxDamaged(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="outbox_damaged"
):
    """The outbox before this one was damaged and has been set aside in the file `set_aside`.

    `carried` of its messages could be read and follow under this epoch, with the id that they
    had. `unreadable` is how many could not, None where that cannot be told.
    """

    reason: str
    quarantined_as: str
    epoch_before: str | None
    last_seq_before: int | None
    recovered: int
    unreadable: int | None


class RecordingGap(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="gap"):
    """Footage of this span was not recorded."""

    camera: str
    begin: Utc
    end: Utc
    reason: str


class HoldBroken(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="hold_broken"):
    """A hold could not be kept, because the ring had no room: its footage goes from now on, the
    oldest first. `hold` is the event's id where an event held it.
    """

    hold: str
    camera: str
    begin: Utc
    end: Utc
    owner: str
    reason: str


class CustodyHead(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="custody_head"):
    """The newest receipt of the box's chain of custody: its number, the SHA-256 of its JSON, its
    time. A chain that does not hold it later was cut short or written anew.
    """

    seq: Seq
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
    time: Utc


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
"""Why a run has ended.

requested       it was told to stop, and did: an update, a technician, an ordered restart of the board
crash           the agent ended by itself, or was killed, and the board ran on
watchdog        systemd ended it because a vital loop hung
memory          the kernel ended it for want of memory
camera_stuck    the agent asked for a restart of the board, for a camera that the kernel held
power_cut       the board lost its power, or was started anew by nobody that left a trace
kernel_crash    the kernel has left a record of its own crash
board_watchdog  the board's watchdog has reset it: the whole system hung
"""


class Restarted(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="restarted"):
    """The agent has started again. `detail` says how the cause is known; `new_boot`: the board has
    started too.

    `ended` is when the run before was last heard of by its flight recorder, and `last` how the box
    was then. `flight` is the half hour before, where nobody had asked for the end: base64 of zlib
    (RFC 1950) of JSON, one object like `last` a line, oldest first; null where there is none. Its
    `t_ns` are of the boot `boot_before`. From a long flight seconds are left out, of the older ones
    first.
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
    """What is said of a JPEG picture, in the user property `data` of its message."""

    camera: str
    sha256: str
    size_bytes: int
    event: str | None
    """The event that it belongs to."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What every message says of itself.

    `id` is a UUIDv7 and never changes. `epoch` names the outbox database and `seq` counts the
    messages within it from 1, without holes but for those that a receipt names; a receiver drops
    repeats by (box, epoch, seq). `seq` is null in a status, a declaration and a report of health, which
    are not kept in the outbox.
    `boot` is the kernel's name of the boot that `_ns` times belong to. `time` is when it happened.
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
    """On `up/receipt`; the head of the chain of custody on `up/receipt/head`."""

    data: ReceiptData


class SnapshotHeader(Envelope, frozen=True, kw_only=True, tag_field="type", tag="snapshot"):
    """Of a picture on `up/snapshot/<camera>`: the payload is the JPEG itself, and this stands in
    user properties, one for each field; `clock` and `data` are JSON there.
    """

    data: SnapshotData


class ReplyMessage(Envelope, frozen=True, kw_only=True, tag_field="type", tag="reply"):
    """On `up/reply`, or on the topic under it that the command asked for, with the command's
    correlation data.
    """

    data: Reply


Message: TypeAlias = (
    StatusMessage
    | DeclarationMessage
    | HealthMessage
    | EventMessage
    | TrafficCountsMessage
    | ReceiptMessage
    | SnapshotHeader
    | ReplyMessage
)
OutboxMessageType = Literal["status", "health", "event", "flow", "receipt", "snapshot", "reply"]


class Ack(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """On `down/ack`: the centre has stored every message of this epoch up to number `upto`, and
    those of `also` above it.
    """

    epoch: str
    upto: Annotated[int, msgspec.Meta(ge=0)]
    also: tuple[SeqRange, ...] = ()


class CentreState(msgspec.Struct, frozen=True, kw_only=True):
    """On `vigie/v1/centre/state`, retained, and the centre's will.

    listening: it stores and acknowledges. away: it will come back; boxes keep what they have.
    retired: there is no centre any more; boxes take the broker's word again. Each time that it is
    published, `listening` asks every box that is there to say its birth anew.
    """

    state: Literal["listening", "away", "retired"]
