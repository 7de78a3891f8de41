"""Messages of boxes, as a fleet view gets them."""

from datetime import UTC, datetime

import msgspec

from agent.base.clock import ClockTrust
from agent.base.health_model import CameraHealth, Fault, HealthReport, OutboxHealth, Vitals
from agent.base.model import LABELS, Event, FlowCounts, Label, LineCounts, SpeedCounts
from agent.base.state_inventory import InventoryHead
from agent.reporting import outgoing_messages, topics
from agent.reporting.declaration.data import DeclarationData
from agent.reporting.payloads import (
    CustodyHead,
    DeclarationMessage,
    EventMessage,
    HealthMessage,
    LostStatus,
    Message,
    OnlineStatus,
    ReceiptMessage,
    StatusMessage,
    StoppedStatus,
    TrafficCountsData,
    TrafficCountsMessage,
)
from centre.fleet.box_view import Arrival
from centre.store import StoredArrival

CONNECTED = "2026-11-03T07:41:05.250Z"
NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
SYNCED = ClockTrust(synced=True, source="ntp", error_s=0.01)


def arrival(*, retained: bool = False, expiry_s: int | None = None) -> Arrival:
    return Arrival(time=NOW, retained=retained, expiry_s=expiry_s)


def stamp(
    box: str, epoch: str = "e", clock: ClockTrust = SYNCED, time: str = CONNECTED
) -> topics.EnvelopeFields:
    return topics.EnvelopeFields(
        id="i", box=box, epoch=epoch, seq=None, boot="b", time=time, clock=clock
    )


def fault(
    code: str = "CAM-01", severity: str = "error", subject: str = "north", title: str = "not open"
) -> Fault:
    return Fault(
        code=code,
        severity=severity,  # type: ignore[arg-type]
        title=title,
        subject=subject,
        since_ns=1,
        detail="no such device",
    )


def status(
    state: str = "online",
    *,
    box: str = "pole-17",
    session: int = 1,
    epoch: str = "e",
    site: str = "corner",
    faults: tuple[Fault, ...] = (),
    clock: ClockTrust = SYNCED,
    public_key: str = "",
) -> StatusMessage:
    data = {
        "online": OnlineStatus(
            session=session,
            acked_upto=0,
            site=site,
            public_key=public_key,
            versions={},
            cameras=(),
            faults=faults,
        ),
        "lost": LostStatus(session=session),
        "stopped": StoppedStatus(session=session, reason="asked to stop"),
    }[state]
    return StatusMessage(**msgspec.structs.asdict(stamp(box, epoch, clock)), data=data)


def head(
    number: int,
    revision: int | None = None,
    *,
    seq: int,
    box: str = "pole-17",
    epoch: str = "e",
    sha256: str = "a" * 64,
    message_id: str = "i",
) -> ReceiptMessage:
    inventory = None if revision is None else InventoryHead(revision=revision, sha256="b" * 64)
    data = CustodyHead(seq=number, sha256=sha256, time=CONNECTED, inventory=inventory)
    fields = {**msgspec.structs.asdict(stamp(box, epoch)), "seq": seq, "id": message_id}
    return ReceiptMessage(**fields, data=data)


def health(
    *,
    box: str = "pole-17",
    faults: tuple[Fault, ...] = (),
    queued: int = 0,
    fps: float = 15.0,
    time: str = CONNECTED,
) -> HealthMessage:
    vitals = Vitals(
        soc_celsius=48.0,
        load_1min=0.5,
        memory_available_bytes=10**9,
        agent_rss_bytes=10**8,
        state_free_bytes=994_000_000,
        state_total_bytes=10**9,
        footage_free_bytes=12_300_000_000,
        footage_total_bytes=10**11,
    )
    camera = CameraHealth(
        name="north",
        open=True,
        state="delivering",
        stream_fps=fps,
        detect_fps=10.0,
        age_s=0.1,
        reconnects=0,
        frames_replaced=0,
        packets_dropped=0,
        last_error=None,
    )
    outbox = OutboxHealth(
        depth=queued, bytes=0, oldest_age_s=None, lost=0, connected=True, centre_listening=True
    )
    report = HealthReport(
        uptime_s=7200,
        version="0.1.0",
        vitals=vitals,
        stages=(),
        cameras=(camera,),
        detectors=(),
        footage=(),
        outbox=outbox,
        faults=faults,
    )
    return HealthMessage(**msgspec.structs.asdict(stamp(box, time=time)), data=report)


def declaration(*, box: str = "pole-17", site: str = "corner") -> DeclarationMessage:
    data = DeclarationData(
        site=site,
        detects=LABELS,
        cameras=(),
        event_retention_days=7,
        max_retention_days=90,
        recipients=(),
        public_key="",
        software="vigie 0.1.0",
        trusts_test_authority=False,
    )
    return DeclarationMessage(**msgspec.structs.asdict(stamp(box)), data=data)


def event(
    rev: int = 1,
    phase: str = "begin",
    *,
    box: str = "pole-17",
    number: int = 1,
    name: str = "zebra",
) -> EventMessage:
    made = Event(
        event=f"event-{number}",
        rev=rev,
        kind="dwell",
        phase=phase,  # type: ignore[arg-type]
        camera="north",
        t_ns=rev,
        begin_ns=1,
        name=name,
    )
    data = outgoing_messages.build_event_data(made, begin=datetime(2026, 11, 3, 7, 44, tzinfo=UTC))
    return EventMessage(**msgspec.structs.asdict(stamp(box)), data=data)


def minute(
    seq: int,
    begin_time: str = "2026-11-03T07:40:00.000Z",
    *,
    box: str = "pole-17",
    name: str = "street",
    epoch: str = "e",
    trusted: bool = True,
    bands: dict[Label, dict[int, int]] | None = None,
    flows: tuple[FlowCounts, ...] = (),
) -> TrafficCountsMessage:
    """Counts of a minute at one line: ten cars and a bus forward, with the speeds `bands` if they are given."""
    line = LineCounts(name=name, counts={"forward": {"car": 10, "bus": 1}, "backward": {}})
    if bands is not None:
        speeds = {"forward": SpeedCounts(v85_km_h=None, bands=bands)}
        line = msgspec.structs.replace(line, speeds=speeds)
    data = TrafficCountsData(
        camera="north",
        begin_ns=0,
        end_ns=60 * 10**9,
        observed_s=60.0,
        trusted=trusted,
        untrusted_reasons=() if trusted else ("dark",),
        lines=(line,),
        zones=(),
        flows=flows,
        begin_time=begin_time,
        end_time=begin_time,
    )
    fields = {**msgspec.structs.asdict(stamp(box, epoch)), "seq": seq}
    return TrafficCountsMessage(**fields, data=data)


def stored_arrival(message: Message, subtopic: str = "receipt/head") -> StoredArrival:
    """Return a message as a centre stores it."""
    payload, topic = msgspec.json.encode(message), topics.up_topic(message.box, subtopic)
    parsed = topics.parse_up_topic(topic)
    assert parsed is not None
    envelope = topics.decode_envelope(parsed, payload, {})
    assert envelope is not None
    return StoredArrival(
        topic=topic,
        received=CONNECTED,
        envelope=envelope,
        message=message,
        payload=payload,
        properties_json=None,
    )
