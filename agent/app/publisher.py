"""What has happened becomes messages to the centre and receipts of custody: part of the wiring."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta

from agent.base.clock import Clock
from agent.base.model import Event, Flow, Reply
from agent.capture.snapshot_command import SNAPSHOT_MOST_BYTES
from agent.recording.custody import receipts
from agent.recording.custody.chain import ChainHead
from agent.recording.custody.head_publisher import ChainHeadPublisher
from agent.recording.export.clip_request import ClipRequest
from agent.recording.retention.event_holds import EventHolds
from agent.recording.retention.hold import Hold
from agent.reporting import topics
from agent.reporting.mqtt.connection import CommandReceived
from agent.reporting.outbox.submit import MessageSubmitter
from agent.reporting.payloads import CustodyHead, Gap, HoldBroken, Restarted, Span

NOT_KEPT_UP = "the disk or the recorder did not keep up"
RESTED = "the box was under strain, and did no more than say how it is"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Publisher:
    """Any thread may call. `append` puts a receipt into the chain at once, and raises OSError."""

    def __init__(
        self,
        intake: MessageSubmitter,
        attest: ChainHeadPublisher,
        append: Callable[[receipts.Body, int], object],
        event_holds: EventHolds,
        recorded: Collection[str],
        clock: Clock,
    ) -> None:
        self._intake = intake
        self._attest = attest
        self._append = append
        self._event_holds = event_holds
        self._recorded = recorded
        self._clock = clock

    def publish_event(self, event: Event, jpeg: bytes | None = None) -> None:
        """An event, with its picture where it has one; footage of it is held."""
        held = self._event_holds.on_event(event) if event.camera in self._recorded else None
        data = topics.event_data(
            event,
            begin=self._clock.utc(event.begin_ns),
            footage=None if held is None else Span(begin=held.begin_time, end=held.end_time),
            thumbnail=None if jpeg is None else topics.sha256_hex(jpeg),
        )
        self._intake.put(topics.event_draft(data))
        if jpeg is not None:
            self._intake.put(
                topics.snapshot_draft(event.camera, jpeg, event.t_ns, event=event.event)
            )

    def publish_traffic_counts(self, flow: Flow) -> None:
        """A minute is over."""
        begin, end = self._clock.utc(flow.begin_ns), self._clock.utc(flow.end_ns)
        self._intake.put(topics.flow_draft(flow, begin=begin, end=end))

    def publish_restart(self, data: Restarted) -> None:
        """The agent has started again."""
        self._intake.put(topics.receipt_draft(data, self._clock.boottime_ns()))

    def publish_suspended(self, camera: str, begin_ns: int, end_ns: int) -> None:
        """Nothing was recorded, because the box must not."""
        self.publish_gap(camera, begin_ns, end_ns, RESTED)

    def publish_gap(
        self, camera: str, begin_ns: int, end_ns: int, reason: str = NOT_KEPT_UP
    ) -> None:
        """Something was not recorded."""
        gap = Gap(
            camera=camera,
            begin=topics.rfc3339(self._clock.utc(begin_ns)),
            end=topics.rfc3339(self._clock.utc(end_ns)),
            reason=reason,
        )
        self._intake.put(topics.receipt_draft(gap, end_ns))
        self._attest.enqueue(
            receipts.Gap(camera=camera, begin_ns=begin_ns, end_ns=end_ns, reason=reason),
            end_ns,
        )

    def publish_hold_broken(self, hold: Hold) -> None:
        """A hold could not be kept."""
        broken = HoldBroken(
            hold=hold.id,
            camera=hold.camera,
            begin=hold.begin_time,
            end=hold.end_time,
            owner=hold.owner,
            reason=hold.reason,
        )
        self._intake.put(topics.receipt_draft(broken, self._clock.boottime_ns()))

    def publish_chain_head(self, head: ChainHead, t_ns: int) -> None:
        """The newest receipt of the chain."""
        data = CustodyHead(seq=head.seq, sha256=head.sha256, time=head.time)
        self._intake.put(topics.receipt_draft(data, t_ns))

    def record_clip_view(self, request: ClipRequest, by: str) -> None:
        """Who looks is in the chain before he sees anything. Raises OSError."""
        begin, end = (
            topics.rfc3339(_EPOCH + timedelta(microseconds=t_ns // 1000))
            for t_ns in (request.begin_ns, request.end_ns)
        )
        self._viewed(request.camera, begin, end, by, "a clip was cut")

    def record_snapshot_view(self, camera: str, by: str, t_ns: int) -> None:
        """The same for one picture."""
        at = topics.rfc3339(self._clock.utc(t_ns))
        self._viewed(camera, at, at, by, "a picture was asked for")

    def publish_snapshot(self, camera: str, jpeg: bytes, t_ns: int) -> None:
        """A picture that was asked for."""
        self._intake.put(
            topics.snapshot_draft(camera, jpeg, t_ns, event=None, max_bytes=SNAPSHOT_MOST_BYTES)
        )

    def publish_reply(self, reply: Reply, received: CommandReceived) -> None:
        """What is said to a command that came over MQTT."""
        self._intake.put(
            topics.reply_draft(
                reply,
                self._clock.boottime_ns(),
                topic=received.reply_topic,
                correlation=received.correlation,
            )
        )

    def _viewed(self, camera: str, begin: str, end: str, by: str, purpose: str) -> None:
        viewed = receipts.Viewed(
            camera=camera, begin_time=begin, end_time=end, by=by, purpose=purpose
        )
        self._append(viewed, self._clock.boottime_ns())
