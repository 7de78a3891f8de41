"""Publisher: turns events of the box into messages to the centre and receipts of custody."""

from collections.abc import Mapping

import msgspec

from agent.app.event_types import EVENT_TYPES
from agent.base.clock import Clock, rfc3339, utc_from_unix_ns
from agent.base.event_lifecycle import NewId, momentary_event
from agent.base.model import (
    BOX_EVENT_SOURCE,
    ClockStep,
    Event,
    Reply,
    ReplyAddress,
    TrafficCounts,
)
from agent.base.sha256 import sha256_hex
from agent.base.state_inventory import InventoryHead
from agent.capture.live_looks import EndedLook, Look
from agent.capture.snapshot_command import SNAPSHOT_MAX_BYTES
from agent.clips.clip_task import MadeFile
from agent.clips.upload_queue import UploadRecord
from agent.health.clock_step import CLOCK_STEP
from agent.recording.custody import receipts
from agent.recording.custody.chain import ChainHead
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.export.clip_request import ClipRequest
from agent.recording.retention.event_holds import EventHolds
from agent.recording.retention.hold import Hold
from agent.rehearsal.rehearsal_stage import RehearsalRequest
from agent.reporting import outgoing_messages
from agent.reporting.mqtt.session import MqttSession
from agent.reporting.outbox.submit import MessageSubmitter
from agent.reporting.payloads import CustodyHead, HoldBroken, RecordingGap, Restarted, UtcSpan


class Publisher:
    """Thread-safe."""

    def __init__(
        self,
        submitter: MessageSubmitter,
        session: MqttSession,
        receipt_queue: ReceiptQueue,
        custody: CustodyLog,
        event_holds: EventHolds,
        footage_cameras: Mapping[str, str],
        clock: Clock,
        new_id: NewId,
    ) -> None:
        """`footage_cameras` is the camera whose footage shows the events of each camera, if there is any."""
        self._submitter = submitter
        self._session = session
        self._receipt_queue = receipt_queue
        self._custody = custody
        self._event_holds = event_holds
        self._footage_cameras = footage_cameras
        self._clock = clock
        self._new_id = new_id

    def publish_event(self, event: Event, jpeg: bytes | None = None) -> None:
        """Send an event, with its thumbnail if it has one, and hold its footage."""
        recorded = self._footage_cameras.get(event.camera)
        hold = (
            None
            if recorded is None
            else self._event_holds.on_event(msgspec.structs.replace(event, camera=recorded))
        )
        data = outgoing_messages.build_event_data(
            event,
            begin=self._clock.utc(event.begin_ns),
            footage=None if hold is None else UtcSpan(begin=hold.begin_time, end=hold.end_time),
            thumbnail=None if jpeg is None else sha256_hex(jpeg),
        )
        is_emergency = EVENT_TYPES[event.kind].severity == "alarm"
        self._submitter.submit(
            outgoing_messages.build_event_message(data, is_emergency=is_emergency)
        )
        if jpeg is not None:
            self._submitter.submit(
                outgoing_messages.build_snapshot_message(
                    event.camera, jpeg, event.t_ns, event_id=event.event
                )
            )

    def publish_traffic_counts(self, counts: TrafficCounts) -> None:
        """Send one minute of traffic counts."""
        begin, end = self._clock.utc(counts.begin_ns), self._clock.utc(counts.end_ns)
        self._submitter.submit(
            outgoing_messages.build_traffic_counts_message(counts, begin=begin, end=end)
        )

    def publish_declaration(self) -> None:
        """Publish the declaration and the configuration in force again."""
        self._session.request_reports()

    def publish_reply(self, reply: Reply, address: ReplyAddress | None) -> None:
        """Send a reply to a command of an earlier run. One without an address is dropped."""
        if address is not None:
            self._submitter.submit(
                outgoing_messages.build_reply_message(
                    reply,
                    self._clock.boottime_ns(),
                    topic=address.topic,
                    correlation=address.correlation,
                )
            )

    def publish_restart(self, restart: Restarted) -> None:
        """Send the report of a restart."""
        self._submitter.submit(
            outgoing_messages.build_receipt_message(restart, self._clock.boottime_ns())
        )

    def publish_clock_step(self, step: ClockStep, t_ns: int) -> None:
        """Send the event of a step of the clock, and enqueue its receipt."""
        self.publish_event(
            momentary_event(self._new_id, CLOCK_STEP, BOX_EVENT_SOURCE, t_ns, clock_step=step)
        )
        self._receipt_queue.enqueue(
            receipts.ClockStepped(
                expected_time=step.expected_time,
                found_time=step.found_time,
                bound_ms=round(step.bound_s * 1000),
            ),
            t_ns,
        )

    def publish_gap(self, camera: str, begin_ns: int, end_ns: int, reason: str) -> None:
        """Send and enqueue the receipt of a recording gap."""
        gap = RecordingGap(
            camera=camera,
            begin=rfc3339(self._clock.utc(begin_ns)),
            end=rfc3339(self._clock.utc(end_ns)),
            reason=reason,
        )
        self._submitter.submit(outgoing_messages.build_receipt_message(gap, end_ns))
        self._receipt_queue.enqueue(
            receipts.FootageGap(camera=camera, begin_ns=begin_ns, end_ns=end_ns, reason=reason),
            end_ns,
        )

    def publish_hold_broken(self, hold: Hold) -> None:
        """Send the receipt of a hold whose footage was evicted."""
        data = HoldBroken(
            hold=hold.id,
            camera=hold.camera,
            begin=hold.begin_time,
            end=hold.end_time,
            owner=hold.owner,
            reason=hold.reason,
        )
        self._submitter.submit(
            outgoing_messages.build_receipt_message(data, self._clock.boottime_ns())
        )

    def publish_chain_head(
        self, head: ChainHead, inventory: InventoryHead | None, t_ns: int
    ) -> None:
        """Send the head of the custody chain, and that of the state inventory."""
        data = CustodyHead(seq=head.seq, sha256=head.sha256, time=head.time, inventory=inventory)
        self._submitter.submit(outgoing_messages.build_receipt_message(data, t_ns))

    def record_service_action(self, by: str, action: str) -> None:
        """Write the receipt of an action on the box itself, or queue it while the disk takes none."""
        self._receipt_queue.append(
            receipts.ServiceAction(by=by, action=action), self._clock.boottime_ns()
        )

    def record_clip_view(self, request: ClipRequest, by: str) -> None:
        """Write the receipt of a clip before it is delivered. Raises: OSError."""
        begin, end = (rfc3339(utc_from_unix_ns(ns)) for ns in (request.begin_ns, request.end_ns))
        self._record_view(request.camera, begin, end, by, "a clip was cut")

    def record_clip_sent(self, upload: UploadRecord, made: MadeFile) -> None:
        """Write the receipt of a clip before its first byte is sent. Raises: OSError."""
        purpose = f"{upload.purpose}: {upload.form} sent to {upload.host}, SHA-256 {made.sha256}"
        self._record_view(upload.camera, made.begin, made.end, upload.by, purpose)

    def record_rehearsal(self, request: RehearsalRequest, camera: str) -> None:
        """Write the receipt of a rehearsal before the footage is read. Raises: OSError."""
        purpose = f"rehearsal of configuration {request.version} on the box: counts alone leave it"
        self._record_view(camera, request.begin, request.end, request.by, purpose)

    def record_snapshot_view(self, camera: str, by: str, t_ns: int) -> None:
        """Write the receipt of a snapshot before it is delivered. Raises: OSError."""
        time = rfc3339(self._clock.utc(t_ns))
        self._record_view(camera, time, time, by, "a picture was requested")

    def record_live_begin(self, look: Look) -> None:
        """Write the receipt of a live look before it is delivered. Raises: OSError."""
        begin, until = (rfc3339(self._clock.utc(ns)) for ns in (look.begin_ns, look.until_ns))
        target = f" to {look.target.display_name}" if look.target else ""
        # Ends of earlier looks come first in the chain.
        self._receipt_queue.flush()
        self._record_view(
            look.camera, begin, until, look.requester.by, f"a live look begins: {look.form}{target}"
        )

    def record_live_end(self, look: Look, ended: EndedLook) -> None:
        """Enqueue the receipt of the end of a live look."""
        now_ns = self._clock.boottime_ns()
        begin, end = (rfc3339(self._clock.utc(ns)) for ns in (look.begin_ns, now_ns))
        viewed = receipts.FootageViewed(
            camera=look.camera,
            begin_time=begin,
            end_time=end,
            by=look.requester.by,
            purpose=f"a live look has ended ({ended.reason}): {look.form}, {ended.sent} sent, "
            f"{ended.size_bytes} bytes",
        )
        self._receipt_queue.enqueue(viewed, now_ns)

    def publish_snapshot(self, camera: str, jpeg: bytes, t_ns: int) -> None:
        """Send a snapshot that was requested."""
        self._submitter.submit(
            outgoing_messages.build_snapshot_message(
                camera, jpeg, t_ns, event_id=None, max_bytes=SNAPSHOT_MAX_BYTES
            )
        )

    def publish_incident_picture(self, camera: str, jpeg: bytes, t_ns: int, event_id: str) -> None:
        """Send a picture of a running incident. The receipt of its begin says how often."""
        self._submitter.submit(
            outgoing_messages.build_incident_picture(camera, jpeg, t_ns, event_id=event_id)
        )

    def append_incident_receipt(self, receipt: receipts.IncidentChanged, t_ns: int) -> None:
        """Write the receipt of an incident, now or when the disk takes it."""
        self._receipt_queue.append(receipt, t_ns)

    def _record_view(self, camera: str, begin: str, end: str, by: str, purpose: str) -> None:
        receipt = receipts.FootageViewed(
            camera=camera, begin_time=begin, end_time=end, by=by, purpose=purpose
        )
        self._custody.append(receipt, self._clock.boottime_ns())
