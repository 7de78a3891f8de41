"""One connection with the broker: from the greeting, over births and messages, to the farewell."""

import logging
from collections.abc import Callable, Mapping

import msgspec

from agent.config.configuration import BrokerConfig
from agent.faults.registry import FaultCode, FaultRegistry
from agent.reporting import topics
from agent.reporting.mqtt import settlement
from agent.reporting.mqtt.connect_error import LinkError, LinkErrorKind
from agent.reporting.mqtt.paho_transport import (
    Accepted,
    LinkEvent,
    PahoTransport,
    Published,
    Received,
    Subscribed,
    Will,
)
from agent.reporting.mqtt.send_window import RESEND_AFTER_S, SUCCESS_BELOW, SendWindow
from agent.reporting.outbox import schema
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.outbox.schema import OutboxRow
from agent.reporting.outbox.store import joined
from agent.reporting.outbox.writer import OutboxError
from agent.reporting.payloads import (
    Ack,
    CameraCapabilities,
    CentreState,
    DeclarationData,
    HeadCapabilities,
    Lost,
    Online,
    PinCapabilities,
    SeqRange,
    StatusData,
    Stopped,
)
from agent.reporting.topics import OutgoingMessage

log = logging.getLogger(__name__)

ANSWER_S = 10.0
"""How long a broker may take to answer a greeting or a subscription."""
SILENT_CENTRE_S = 30.0
"""Three sendings of the same message without an acknowledgement are a fault, NET-03."""
FAREWELL_S = 1.0
"""What the farewell may take, beyond the time for what waits."""
FAULT_OF: Mapping[LinkErrorKind, FaultCode] = {
    "unreachable": "NET-01",
    "refused": "NET-02",
    "certificate": "NET-04",
}
"""Why there is no connection; at most one of them stands for the broker."""


class BirthInputs(msgspec.Struct, frozen=True, kw_only=True):
    """What the birth says of the box, beside its faults and numbers, and the declaration that
    comes after it.
    """

    site: str
    public_key: str
    versions: dict[str, str]
    cameras: tuple[CameraCapabilities, ...]
    declaration: DeclarationData
    heads: tuple[HeadCapabilities, ...] = ()
    pins: tuple[PinCapabilities, ...] = ()


class CommandReceived(msgspec.Struct, frozen=True, kw_only=True):
    """A command as it came. `reply_topic` and `correlation` are for `topics.reply_draft`."""

    verb: str
    payload: bytes
    retained: bool
    reply_topic: str
    correlation: bytes | None


class MqttConnection:
    """One connection, from the greeting to its end. `turn` raises LinkError where it has ended.

    `on_command` is told of each command, in the thread that calls `turn`: it must be quick, and
    must not raise. Without one the box takes no commands. `passing` gives, once, the newest message
    that is not kept: it goes out when there is room, whoever acknowledges.
    """

    def __init__(
        self,
        broker: BrokerConfig,
        outbox: Outbox,
        faults: FaultRegistry,
        birth: Callable[[], BirthInputs],
        now_s: Callable[[], float],
        on_command: Callable[[CommandReceived], None] | None = None,
        passing: Callable[[], OutgoingMessage | None] = lambda: None,
    ) -> None:
        self._passing = passing
        self._ack = broker.ack
        self._on_command = on_command
        self._outbox = outbox
        self._faults = faults
        self._birth = birth
        self._now_s = now_s
        self._session = outbox.next_session()
        self._epoch = outbox.epoch
        will = Will(
            topic=topics.up(outbox.box, "status"),
            payload=topics.encode_status(outbox.now(), Lost(session=self._session)),
        )
        self._link = PahoTransport(broker, outbox.box, will)
        self._window: SendWindow | None = None
        self._greeted_s: float | None = None
        self._accepted_s: float | None = None
        self._subscribed_s: float | None = None
        self._centre: CentreState | None = None
        self._mode: settlement.Mode = "undecided"
        self._last_ack_s = now_s()
        self._losses_s = 0.0
        self._birth_is_due = False
        self._declaration: DeclarationData | None = None
        outbox.requeue_in_flight()

    @property
    def is_online(self) -> bool:
        """Whether messages can be sent."""
        return self._subscribed_s is not None

    @property
    def centre_listens(self) -> bool:
        """Whether there is a centre that acknowledges."""
        return self._centre is not None and self._centre.state == "listening"

    @property
    def round_trip_s(self) -> float | None:
        """What a message took to the broker and back, None where nobody knows yet."""
        return None if self._window is None else self._window.round_trip_s

    @property
    def lasted_s(self) -> float:
        """Since the broker accepted."""
        return 0.0 if self._accepted_s is None else self._now_s() - self._accepted_s

    def wake(self) -> None:
        """There is something to send."""
        self._link.wake()

    def abandon(self) -> None:
        """Let go without a word: the broker publishes the will."""
        self._link.abandon()

    def poll(self, timeout_s: float) -> None:
        """Move what can be moved, and wait for more."""
        if self._greeted_s is None:
            self._link.connect()
            self._greeted_s = self._now_s()
        for event in self._link.turn(timeout_s):
            self._take(event)
        if self._window is None or self._subscribed_s is None:
            if self._now_s() - self._greeted_s >= ANSWER_S:
                raise LinkError("unreachable", f"the broker gave no answer in {ANSWER_S:g} s")
            return
        leaving = self._link.leaving
        self._window.left(leaving.arrived_bytes, self._now_s(), all_of_it=leaving.all_of_it)
        if self._window.is_stuck(self._now_s()):
            raise LinkError("unreachable", "the broker does not answer publications any more")
        if self._outbox.epoch != self._epoch:
            raise LinkError("unreachable", "the outbox was replaced: connecting anew")
        self._decide()
        self._send(self._window)
        self._judge_centre(self._window)

    def disconnect(self, quiet_s: float, longest_s: float, reason: str) -> None:
        """Flush until nothing has left for `quiet_s`, for `longest_s` at most; publish that the box has
        stopped, and disconnect.
        """
        now_s = self._now_s()
        end_s, deadline_s, depth = now_s + longest_s, now_s + quiet_s, self._outbox.depth
        while now_s < min(deadline_s, end_s) and self._may_flush():
            self.poll(0.05)
            now_s = self._now_s()
            if self._outbox.depth < depth:
                deadline_s = now_s + quiet_s
            depth = self._outbox.depth
        deadline_s = min(deadline_s, end_s)
        if self._window is not None and self._subscribed_s is not None:
            self._await_room(self._window, deadline_s, 1)
            self._publish_status(self._window, Stopped(session=self._session, reason=reason))
            self._await_room(self._window, deadline_s + FAREWELL_S, self._window.most)
        self._link.close()

    def _await_room(self, window: SendWindow, deadline_s: float, room: int) -> None:
        while window.flight_room() < room and self._now_s() < deadline_s:
            for event in self._link.turn(0.05):
                self._take(event)

    def _may_flush(self) -> bool:
        # What was put last, as the chain's head at the end, may still be on its way to the disk.
        waits = self._outbox.depth > 0 or self._outbox.is_writing
        return waits and self._mode not in ("hold", "undecided")

    def _take(self, event: LinkEvent) -> None:
        match event:
            case Accepted():
                self._accepted_s = self._now_s()
                self._window = SendWindow(event.receive_maximum)
                commands = [topics.down(self._outbox.box, "command/+")] if self._on_command else []
                self._link.subscribe(
                    [topics.down(self._outbox.box, "ack"), topics.CENTRE_STATE], commands
                )
            case Subscribed():
                self._on_subscribed(event)
            case Published():
                self._on_published(event)
            case Received():
                self._on_received(event)

    def _on_subscribed(self, event: Subscribed) -> None:
        if event.refused is not None:
            raise LinkError("refused", f"the broker refuses our subscriptions: {event.refused}")
        self._subscribed_s = self._now_s()
        for code in FAULT_OF.values():
            self._faults.clear(code, "broker")
        self._faults.clear("NET-02", "publication")
        log.info("connected: session %d of epoch %s", self._session, self._epoch)
        self._birth_is_due = True

    def _on_published(self, event: Published) -> None:
        if self._window is None:
            return
        seq = self._window.puback(event.mid, event.code, self._now_s())
        if event.code >= SUCCESS_BELOW:
            detail = f"the broker refuses a publication: {event.reason}"
            log.warning("%s (message %s)", detail, seq)
            self._faults.raise_fault("NET-02", "publication", detail)

    def _on_received(self, event: Received) -> None:
        if event.topic == topics.CENTRE_STATE:
            self._on_centre_state(event)
            return
        verb = topics.commanded(self._outbox.box, event.topic)
        if verb is not None and self._on_command is not None:
            correlation = event.correlation
            if correlation is not None and len(correlation) > topics.CORRELATION_MOST_BYTES:
                log.warning("command %s: %d bytes of correlation data", verb, len(correlation))
                correlation = None
            asked = CommandReceived(
                verb=verb,
                payload=event.payload,
                retained=event.retained,
                reply_topic=topics.reply_topic(self._outbox.box, event.response_topic),
                correlation=correlation,
            )
            self._on_command(asked)
            return
        ack = topics.decode_as(Ack, event.payload)
        if ack is None:
            log.warning("a message on %s is no acknowledgement", event.topic)
        elif ack.epoch == self._epoch:
            self._settle((SeqRange(1, ack.upto), *ack.also))
            self._last_ack_s = self._now_s()

    def _on_centre_state(self, event: Received) -> None:
        state = topics.decode_as(CentreState, event.payload)
        if state is None:
            # An empty message takes the retained one away, as a broker's restart does. It says
            # nothing: `retired` is the word for a centre that is gone.
            return
        self._centre = state
        known = state.state != "retired"
        if known != self._outbox.centre_known:
            self._outbox.remember_centre(known=known)
        if self.centre_listens and (not event.retained or self._mode == "broker"):
            # It begins to count now, and what the broker's word has freed must be below its floor.
            self._last_ack_s = self._now_s()
            self._birth_is_due = True

    def _decide(self) -> None:
        """Who frees messages, from now on; where it is the broker, free what it has taken."""
        since_s = self._now_s() - (self._subscribed_s or 0.0)
        self._mode = settlement.mode(
            self._ack,
            self._centre,
            centre_known=self._outbox.centre_known,
            subscribed_for_s=since_s,
        )
        if self._mode == "broker" and self._window is not None:
            taken = self._window.taken_by_broker()
            if taken:
                self._settle(joined(tuple(SeqRange(seq, seq) for seq in taken)))

    def _settle(self, ranges: tuple[SeqRange, ...]) -> None:
        settled = self._outbox.acknowledge(self._epoch, ranges)
        if self._window is not None:
            self._window.settle(settled)

    def _send(self, window: SendWindow) -> None:
        if self._birth_is_due and window.flight_room() > 0:
            self._publish_birth(window)
        if self._declaration is not None and window.flight_room() > 0:
            payload = topics.encode_declaration(self._outbox.now(), self._declaration)
            self._say(window, "declaration", payload)
            self._declaration = None
        if window.flight_room() > 0 and (draft := self._passing()) is not None:
            self._say_passing(window, draft)
        if self._mode == "hold":
            return
        self._report_losses()
        due = window.due(self._now_s())
        again = self._outbox.refetch(due)
        if again is not None:
            for message in again:
                self._publish(window, message)
            gone = set(due) - {message.seq for message in again}
            window.settle(SeqRange(seq, seq) for seq in gone)
        for message in self._outbox.fetch(window.room(), window.room_bytes()):
            self._publish(window, message)

    def _report_losses(self) -> None:
        """Not at each loss: a receipt names many."""
        if self._outbox.has_losses and self._now_s() - self._losses_s >= RESEND_AFTER_S:
            self._losses_s = self._now_s()
            try:
                self._outbox.report_losses()
            except OutboxError as error:
                log.warning("the receipt for lost messages has to wait: %s", error)

    def _publish(self, window: SendWindow, message: OutboxRow) -> None:
        stamp = schema.stamp_of(message, self._outbox.box, self._epoch)
        payload = message.data
        properties: tuple[tuple[str, str], ...] = ()
        if message.type == "snapshot" and message.header is not None:
            properties = topics.snapshot_properties(stamp, message.header)
        else:
            payload = topics.encode(message.type, stamp, message.data)
        mid = self._link.publish(
            topics.up(self._outbox.box, message.topic),
            payload,
            expiry_s=message.expiry_s,
            properties=properties,
            correlation=message.header if message.type == "reply" else None,
        )
        window.sent(mid, message.seq, len(payload), self._now_s())

    def _say_passing(self, window: SendWindow, draft: OutgoingMessage) -> None:
        payload = topics.encode(draft.type, self._outbox.stamp(draft.t_ns, seq=None), draft.data)
        topic = topics.up(self._outbox.box, draft.topic)
        mid = self._link.publish(topic, payload, expiry_s=draft.expiry_s)
        window.sent(mid, None, len(payload), self._now_s())

    def _publish_status(self, window: SendWindow, data: StatusData) -> None:
        self._say(window, "status", topics.encode_status(self._outbox.now(), data))

    def _say(self, window: SendWindow, what: str, payload: bytes) -> None:
        """What is retained and not kept in the outbox."""
        mid = self._link.publish(topics.up(self._outbox.box, what), payload, retained=True)
        window.sent(mid, None, len(payload), self._now_s())

    def _publish_birth(self, window: SendWindow) -> None:
        birth = self._birth()
        self._publish_status(
            window,
            Online(
                session=self._session,
                settled_upto=self._outbox.acked_upto(),
                site=birth.site,
                public_key=birth.public_key,
                versions=birth.versions,
                cameras=birth.cameras,
                faults=self._faults.active(),
                heads=birth.heads,
                pins=birth.pins,
            ),
        )
        self._birth_is_due = False
        self._declaration = birth.declaration

    def _judge_centre(self, window: SendWindow) -> None:
        """Raise or clear the fault of a centre that lets messages wait."""
        waits = window.waits_for_centre or (self._mode == "hold" and self._outbox.depth > 0)
        if not waits or self._mode not in ("centre", "hold"):
            self._last_ack_s = self._now_s()
            self._faults.clear("NET-03", "centre")
        elif self._now_s() - self._last_ack_s < SILENT_CENTRE_S:
            if self._mode == "centre":
                self._faults.clear("NET-03", "centre")
        else:
            said = "has said that it is away"
            if self._mode == "centre":
                said = "listens and does not acknowledge"
            elif self._centre is None:
                said = "has not announced itself since this connection began"
            self._faults.raise_fault("NET-03", "centre", f"the centre {said}")
