"""One connection to the broker: birth, messages, acknowledgements, commands, last status."""

import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from agent.base.message import Message
from agent.base.model import IncomingCommand, Reply, ReplyAddress
from agent.config.broker import BrokerConfig
from agent.faults.registry import FaultCode, FaultRegistry
from agent.reporting import centre_topics, outgoing_messages, topics
from agent.reporting.declaration.data import DeclarationData
from agent.reporting.mqtt.centre_link import CentreLink
from agent.reporting.mqtt.centre_messages import CentreMessages
from agent.reporting.mqtt.connect_error import ConnectionErrorKind, MqttConnectionError
from agent.reporting.mqtt.downlink import Downlink
from agent.reporting.mqtt.message_forms import (
    Publication,
    ShrinkJpeg,
    birth_forms,
    retained_forms,
    stored_message_forms,
    unstored_forms,
)
from agent.reporting.mqtt.packet_properties import MAX_SUBSCRIPTION_ID
from agent.reporting.mqtt.packets import (
    Connack,
    PacketTooLarge,
    Puback,
    ReceivedPublish,
    Suback,
    TransportEvent,
    Will,
)
from agent.reporting.mqtt.paho_transport import PahoTransport
from agent.reporting.mqtt.send_window import MIN_FAILURE_CODE, RESEND_AFTER_S, SendWindow
from agent.reporting.mqtt.unstored import UnstoredMessages
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.outbox.schema import OutboxRow
from agent.reporting.outbox.writer import OutboxError
from agent.reporting.outgoing_messages import OutgoingMessage
from agent.reporting.payloads import (
    CameraCapabilities,
    HeadCapabilities,
    LostStatus,
    OnlineStatus,
    PinCapabilities,
    ReportedConfig,
    ReportedContent,
    SeqRange,
    StatusData,
    StoppedStatus,
)
from agent.reporting.rehearsal import ReportedRehearsal
from agent.reporting.seq_ranges import merge_ranges

log = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 10.0
"""For the broker's CONNACK and SUBACK."""
DISCONNECT_TIMEOUT_S = 1.0
"""For the last status, in addition to the time for the outbox."""
WILL_DELAY_S = 30
"""A box that reconnects within this time was not lost: its first four attempts to connect begin within 15 s."""
FAULT_CODES: Mapping[ConnectionErrorKind, FaultCode] = {
    "unreachable": "NET-01",
    "refused": "NET-02",
    "certificate": "NET-04",
}
"""Fault of a failed connection. At most one of them is active for the broker."""

Report: TypeAlias = DeclarationData | ReportedConfig | ReportedContent | ReportedRehearsal

_REFUSED_SUBJECT, _TOO_LARGE_SUBJECT = "publication", "packet size"
_PICTURES = "pictures"
"""In place of the topic of a picture of a live look, which is never sent again."""


class Publications:
    """Publishes over a transport; a publication that the broker refuses raises NET-02. Used by the connection's thread.

    The fault ends once the broker has taken each refused message of the outbox, or a centre has acknowledged it, and has taken
    another publication of the topic of each refused report.
    """

    def __init__(
        self, transport: PahoTransport, faults: FaultRegistry, now_s: Callable[[], float]
    ) -> None:
        self._transport = transport
        self._faults = faults
        self._now_s = now_s
        self._unstored_by_mid: dict[int, str] = {}
        """Topics of the publications in flight that are not of the outbox."""
        self._refused_topics: set[str] = set()

    def clear_faults(self) -> None:
        """Clear the faults of an earlier connection."""
        for subject in (_REFUSED_SUBJECT, _TOO_LARGE_SUBJECT):
            self._faults.clear("NET-02", subject)

    def send(
        self,
        window: SendWindow,
        forms: Iterable[Publication],
        description: str,
        *,
        seq: int | None = None,
    ) -> bool:
        """Publish the first form whose packet the broker takes, or return False if it takes none.

        Raises: MqttConnectionError.
        """
        too_large: PacketTooLarge | None = None
        for form in forms:
            try:
                mid = self._transport.publish(
                    form.topic,
                    form.payload,
                    retained=form.is_retained,
                    expiry_s=form.expiry_s,
                    properties=form.user_properties,
                    correlation=form.correlation,
                    content_type=form.content_type,
                )
            except PacketTooLarge as error:
                too_large = too_large or error
            else:
                window.note_sent(mid, seq, len(form.payload), self._now_s())
                if seq is None:
                    self._unstored_by_mid[mid] = form.topic if form.is_retained else _PICTURES
                return True
        detail = Message("{problem}: {reason}", problem=description, reason=str(too_large))
        log.warning("not sent: %s", detail)
        self._faults.raise_fault("NET-02", _TOO_LARGE_SUBJECT, detail)
        return False

    def on_puback(self, window: SendWindow, event: Puback) -> None:
        """Note the broker's answer to a publication."""
        seq = window.note_puback(event.mid, event.reason_code, self._now_s())
        topic = self._unstored_by_mid.pop(event.mid, None)
        if event.reason_code < MIN_FAILURE_CODE:
            if topic is not None:
                self._refused_topics -= {topic, _PICTURES}
            return
        detail = Message("the broker refuses a publication: {reason}", reason=str(event.reason))
        log.warning("%s (message %s)", detail, seq)
        if topic is not None:
            self._refused_topics.add(topic)
        if seq is not None or topic is not None:  # else a centre has acknowledged it meanwhile
            self._faults.raise_fault("NET-02", _REFUSED_SUBJECT, detail)

    def update_fault(self, window: SendWindow) -> None:
        """Clear the fault of refused publications if none is left."""
        if not window.has_refused and not self._refused_topics:
            self._faults.clear("NET-02", _REFUSED_SUBJECT)


class RetainedReports:
    """The declaration, the configuration in force, its content, and a rehearsal: sent after each birth, and when they have changed.

    Used by the connection's thread, except `request`. `read` returns the present reports.
    """

    def __init__(
        self,
        outbox: Outbox,
        publications: Publications,
        read: Callable[[], Sequence[Report]],
    ) -> None:
        self._outbox = outbox
        self._publications = publications
        self._read = read
        self._is_requested = threading.Event()
        self._is_all_requested = threading.Event()
        self._sent: dict[type, Report] = {}
        self._unsent: deque[Report] = deque()

    def request(self, *, changed_only: bool = False) -> None:
        """Send the reports again, all or those that this connection has not sent as they are now. Thread-safe."""
        if not changed_only:
            self._is_all_requested.set()
        self._is_requested.set()

    def send_due(self, window: SendWindow) -> None:
        """Send the requested reports, as far as the broker takes messages. Raises: MqttConnectionError."""
        if self._is_requested.is_set():
            self._is_requested.clear()
            if self._is_all_requested.is_set():
                self._is_all_requested.clear()
                self._sent.clear()
            self._unsent = deque(
                data for data in self._read() if data != self._sent.get(type(data))
            )
        while self._unsent and window.send_quota() > 0:
            data = self._unsent.popleft()
            envelope = self._outbox.envelope_now()
            if isinstance(data, DeclarationData):
                subtopic, payload = "declaration", topics.encode_declaration(envelope, data)
            elif isinstance(data, ReportedContent):
                subtopic = "config/content"
                payload = topics.encode_config_content(envelope, data)
            elif isinstance(data, ReportedRehearsal):
                subtopic = "config/rehearsal"
                payload = topics.encode_config_rehearsal(envelope, data)
            else:
                subtopic, payload = "config", topics.encode_config(envelope, data)
            forms = retained_forms(self._outbox.box, subtopic, payload)
            self._publications.send(window, forms, subtopic)
            self._sent[type(data)] = data


class CommandReceiver:
    """Passes commands to the downlink. `subscription_id` marks those that came after this connection subscribed."""

    def __init__(
        self,
        box: str,
        session_number: int,
        subscription_id: int,
        downlink: Downlink,
        now_s: Callable[[], float],
    ) -> None:
        self._box = box
        self._session_number = session_number
        self._subscription_id = subscription_id
        self._downlink = downlink
        self._now_s = now_s

    def receive(self, event: ReceivedPublish) -> bool:
        """Pass a command on, or return False if the message is none."""
        verb = topics.parse_command_topic(self._box, event.topic)
        if verb is None or self._downlink.on_command is None:
            return False
        correlation = event.correlation
        if correlation is not None and len(correlation) > topics.MAX_CORRELATION_BYTES:
            log.warning("command %s: %d bytes of correlation data", verb, len(correlation))
            correlation = None
        reply_topic = topics.choose_reply_topic(self._box, event.response_topic)
        self._downlink.on_command(
            IncomingCommand(
                verb=verb,
                payload=event.payload,
                via="MQTT",
                send_reply=lambda reply: self._send_reply(reply, reply_topic, correlation),
                retained=event.retained,
                has_waited=bool(event.subscription_ids)
                and self._subscription_id not in event.subscription_ids,
                session=self._session_number,
                reply_address=ReplyAddress(topic=reply_topic, correlation=correlation),
            )
        )
        return True

    def _send_reply(self, reply: Reply, topic: str, correlation: bytes | None) -> None:
        """Put a reply into the outbox. It may come after the connection has ended."""
        if self._downlink.submit_reply is not None:
            t_ns = int(self._now_s() * 1e9)
            self._downlink.submit_reply(
                outgoing_messages.build_reply_message(
                    reply, t_ns, topic=topic, correlation=correlation
                )
            )


class BirthInputs(msgspec.Struct, frozen=True, kw_only=True):
    """Contents of the birth, in addition to faults and counters, and of the retained reports after it."""

    site: str
    public_key: str
    versions: dict[str, str]
    cameras: tuple[CameraCapabilities, ...]
    declaration: DeclarationData
    commands_authenticated: bool = False
    heads: tuple[HeadCapabilities, ...] = ()
    pins: tuple[PinCapabilities, ...] = ()
    groups: tuple[str, ...] = ()
    config: ReportedConfig | None = None
    content: ReportedContent | None = None
    rehearsal: ReportedRehearsal | None = None


class MqttConnection:
    """One connection. `poll` raises MqttConnectionError once it has ended.

    Received messages go to the `downlink`, on the thread that calls `poll`.

    The broker keeps the session for WILL_DELAY_S, with the acknowledgements and commands of that time. An
    acknowledgement is of use whenever it comes. A command that has waited is marked: it carries the identifier of an
    earlier connection's subscription.
    """

    def __init__(
        self,
        broker: BrokerConfig,
        outbox: Outbox,
        faults: FaultRegistry,
        get_birth: Callable[[], BirthInputs],
        now_s: Callable[[], float],
        unstored: UnstoredMessages,
        downlink: Downlink,
        shrink_jpeg: ShrinkJpeg,
    ) -> None:
        unstored.begin_connection()
        self._unstored = unstored
        self._downlink = downlink
        self._shrink_jpeg = shrink_jpeg
        self._outbox = outbox
        self._faults = faults
        self._get_birth = get_birth
        self._now_s = now_s
        self.session_number = outbox.next_session_number()
        """The number that the birth names."""
        self._epoch = outbox.epoch
        will = Will(
            topic=topics.up_topic(outbox.box, "status"),
            payload=topics.encode_status(
                outbox.envelope_now(), LostStatus(session=self.session_number)
            ),
            expiry_s=topics.WILL_EXPIRY_S,
            delay_s=WILL_DELAY_S,
        )
        self._transport = PahoTransport(broker, outbox.box, will)
        self._subscription_id = secrets.randbelow(MAX_SUBSCRIPTION_ID) + 1
        self._commands = CommandReceiver(
            outbox.box, self.session_number, self._subscription_id, downlink, now_s
        )
        self._publications = Publications(self._transport, faults, now_s)
        self._window: SendWindow | None = None
        self._connect_sent_s: float | None = None
        self._connack_s: float | None = None
        self._suback_s: float | None = None
        self._centre_messages = CentreMessages(outbox.box, downlink.authority)
        self._centre = CentreLink(broker, self._centre_messages, outbox, faults, now_s)
        self._losses_reported_s = 0.0
        self._is_birth_due = False
        self._reports = RetainedReports(outbox, self._publications, self._read_reports)
        self._sent_earlier = outbox.requeue_in_flight()

    @property
    def is_online(self) -> bool:
        """True if messages can be sent."""
        return self._suback_s is not None

    @property
    def is_centre_listening(self) -> bool:
        """True if a centre acknowledges."""
        return self._centre.is_listening

    @property
    def round_trip_s(self) -> float | None:
        """Round trip of a message to the broker, or None if none was measured."""
        return None if self._window is None else self._window.round_trip_s

    @property
    def connected_s(self) -> float:
        """Time since the CONNACK, 0 before it."""
        return 0.0 if self._connack_s is None else self._now_s() - self._connack_s

    def request_reports(self, *, changed_only: bool = False) -> None:
        """Publish the declaration and the configuration again, or those that have changed. Thread-safe."""
        self._reports.request(changed_only=changed_only)
        self.wake()

    def wake(self) -> None:
        """End the wait of `poll`. Thread-safe."""
        self._transport.wake()

    def abort(self) -> None:
        """Close without a DISCONNECT: the broker publishes the will."""
        self._transport.abort()

    def poll(self, timeout_s: float) -> None:
        """Send and receive, waiting for up to `timeout_s`. Raises: MqttConnectionError."""
        if self._connect_sent_s is None:
            self._transport.connect()
            self._connect_sent_s = self._now_s()
        for event in self._transport.poll(timeout_s):
            self._handle_event(event)
        if self._window is None or self._suback_s is None:
            if self._now_s() - self._connect_sent_s >= ANSWER_TIMEOUT_S:
                raise MqttConnectionError(
                    "unreachable",
                    Message("the broker gave no answer in {seconds:g} s", seconds=ANSWER_TIMEOUT_S),
                )
            return
        send_state = self._transport.send_state
        self._window.note_tcp_progress(
            send_state.acked_bytes, self._now_s(), is_all_acked=send_state.is_all_acked
        )
        if self._window.is_stuck(self._now_s()):
            raise MqttConnectionError(
                "unreachable", Message("the broker does not answer publications any more")
            )
        if self._outbox.epoch != self._epoch:
            raise MqttConnectionError(
                "unreachable", Message("the outbox was replaced: connecting again")
            )
        self._update_ack_mode(self._window)
        self._send_pending(self._window)
        self._centre.update_fault(self._window)
        self._publications.update_fault(self._window)

    def disconnect(self, idle_s: float, max_s: float, reason: str) -> None:
        """Flush until nothing was acknowledged for `idle_s`, for at most `max_s`; publish that the
        box has stopped, and disconnect.
        """
        now_s = self._now_s()
        limit_s, deadline_s, depth = now_s + max_s, now_s + idle_s, self._outbox.depth
        while now_s < min(deadline_s, limit_s) and self._should_flush():
            self.poll(0.05)
            now_s = self._now_s()
            if self._outbox.depth < depth:
                deadline_s = now_s + idle_s
            depth = self._outbox.depth
        deadline_s = min(deadline_s, limit_s)
        if self._window is not None and self._suback_s is not None:
            self._wait_for_quota(self._window, deadline_s, 1)
            self._publish_status(
                self._window, StoppedStatus(session=self.session_number, reason=reason)
            )
            self._wait_for_quota(
                self._window, deadline_s + DISCONNECT_TIMEOUT_S, self._window.max_in_flight
            )
        self._transport.close()

    def _wait_for_quota(self, window: SendWindow, deadline_s: float, needed: int) -> None:
        while window.send_quota() < needed and self._now_s() < deadline_s:
            for event in self._transport.poll(0.05):
                self._handle_event(event)

    def _should_flush(self) -> bool:
        # The last message, such as the chain's head at the stop, may not be on the disk yet.
        is_pending = self._outbox.has_unsettled() or self._outbox.is_writing
        return is_pending and self._centre.ack_mode not in ("hold", "undecided")

    def _handle_event(self, event: TransportEvent) -> None:
        match event:
            case Connack():
                if event.maximum_qos < 1:
                    raise MqttConnectionError(
                        "refused",
                        Message("the broker acknowledges nothing: Maximum QoS 0; allowed: 1 or 2"),
                    )
                self._connack_s = self._now_s()
                self._window = SendWindow(event.receive_maximum, self._sent_earlier)
                command_filters = (
                    [topics.down_topic(self._outbox.box, "command/+")]
                    if self._downlink.on_command
                    else []
                )
                self._transport.subscribe(
                    [
                        # The revocation list is the first: without it no signed message is taken.
                        *self._downlink.topic_handlers,
                        centre_topics.ack_topic(self._outbox.box, "+"),
                        centre_topics.CENTRE_STATE_FILTER,
                        *([topics.INCIDENT_FILTER] if self._downlink.on_incident else []),
                    ],
                    command_filters,
                    subscription_id=self._subscription_id,
                )
            case Suback():
                self._on_suback(event)
            case Puback():
                if self._window is not None:
                    self._publications.on_puback(self._window, event)
            case ReceivedPublish():
                self._on_publish(event)

    def _on_suback(self, event: Suback) -> None:
        if event.failure_reason is not None:
            raise MqttConnectionError(
                "refused",
                Message(
                    "the broker refuses our subscriptions: {reason}", reason=event.failure_reason
                ),
            )
        self._suback_s = self._now_s()
        for code in FAULT_CODES.values():
            self._faults.clear(code, "broker")
        self._publications.clear_faults()
        log.info("connected: session %d of epoch %s", self.session_number, self._epoch)
        self._is_birth_due = True

    def _on_publish(self, event: ReceivedPublish) -> None:
        if handler := self._downlink.topic_handlers.get(event.topic):
            handler(event)
        elif centre := centre_topics.parse_centre_state_topic(event.topic):
            self._is_birth_due |= self._centre.on_state(centre, event)
        elif centre := centre_topics.parse_ack_topic(self._outbox.box, event.topic):
            self._on_ack(centre, event)
        elif (incident := topics.parse_incident_topic(event.topic)) and self._downlink.on_incident:
            self._downlink.on_incident(incident, event)
        else:
            self._commands.receive(event)

    def _on_ack(self, centre: str, event: ReceivedPublish) -> None:
        ack = self._centre_messages.read_ack(centre, event.payload)
        if ack is not None and ack.epoch == self._epoch:
            ranges = (SeqRange(1, ack.upto), *ack.also)
            if self._window is not None and self._outbox.centres.may_acknowledge(centre):
                self._window.note_received(ranges, self._now_s())
            self._acknowledge(ranges, centre)
            self._centre.note_ack(centre)

    def _update_ack_mode(self, window: SendWindow) -> None:
        """Choose the acknowledgement mode. In mode `broker`, free the messages with a PUBACK."""
        self._centre.update_ack_mode(window, self._now_s() - (self._suback_s or 0.0))
        if self._centre.ack_mode == "broker":
            pubacked = window.pubacked_seqs()
            if pubacked:
                self._acknowledge(merge_ranges(tuple(SeqRange(seq, seq) for seq in pubacked)))

    def _acknowledge(self, ranges: tuple[SeqRange, ...], centre: str | None = None) -> None:
        acked = self._outbox.acknowledge(self._epoch, ranges, centre)
        if self._window is not None:
            self._window.acknowledge(acked)

    def _send_pending(self, window: SendWindow) -> None:
        if self._is_birth_due and window.send_quota() > 0:
            self._publish_birth(window)
        self._reports.send_due(window)
        if window.send_quota() > 0:
            self._publish_unstored(window, self._unstored.pop_report())
        if self._centre.ack_mode == "hold":
            return
        self._report_losses()
        due = window.due_for_resend(self._now_s())
        resends = self._outbox.refetch(due)
        if resends is not None:
            for message in resends:
                self._publish(window, message)
            deleted = set(due) - {message.seq for message in resends}
            window.acknowledge(SeqRange(seq, seq) for seq in deleted)
        new = self._outbox.fetch(
            window.new_message_quota(), window.quota_bytes(), window.new_emergency_quota()
        )
        for message in new:
            self._publish(window, message)
        if window.is_idle:
            self._publish_unstored(window, self._unstored.pop_picture())

    def _report_losses(self) -> None:
        """Report losses at most every RESEND_AFTER_S seconds: a receipt names many."""
        if self._outbox.has_losses and self._now_s() - self._losses_reported_s >= RESEND_AFTER_S:
            self._losses_reported_s = self._now_s()
            try:
                self._outbox.report_losses()
            except OutboxError as error:
                log.warning("the receipt for lost messages has to wait: %s", error)

    def _publish(self, window: SendWindow, message: OutboxRow) -> None:
        # One that is too large in every form stays in the outbox, and in flight as long as this connection: another
        # broker, or this one with another limit, may take it.
        self._publications.send(
            window,
            stored_message_forms(
                self._outbox.box,
                self._epoch,
                message,
                self._transport.max_packet_bytes,
                self._shrink_jpeg,
            ),
            f"message {message.seq}, {message.type}",
            seq=message.seq,
        )

    def _publish_unstored(self, window: SendWindow, outgoing: OutgoingMessage | None) -> None:
        if outgoing is None:
            return
        envelope = self._outbox.make_envelope(outgoing.t_ns, seq=None)
        max_bytes = self._transport.max_packet_bytes
        forms = unstored_forms(self._outbox.box, outgoing, envelope, max_bytes, self._shrink_jpeg)
        self._publications.send(window, forms, outgoing.type)

    def _publish_status(self, window: SendWindow, *forms: StatusData) -> None:
        envelope = self._outbox.envelope_now()
        payloads = [topics.encode_status(envelope, data) for data in forms]
        self._publications.send(
            window, retained_forms(self._outbox.box, "status", *payloads), "status"
        )

    def _read_reports(self) -> tuple[Report, ...]:
        birth = self._get_birth()
        reports = (birth.declaration, birth.config, birth.content, birth.rehearsal)
        return tuple(report for report in reports if report is not None)

    def _publish_birth(self, window: SendWindow) -> None:
        birth = self._get_birth()
        status = OnlineStatus(
            session=self.session_number,
            acked_upto=self._outbox.acked_upto(),
            site=birth.site,
            public_key=birth.public_key,
            versions=birth.versions,
            commands_authenticated=birth.commands_authenticated,
            cameras=birth.cameras,
            faults=self._faults.active(),
            heads=birth.heads,
            pins=birth.pins,
            groups=birth.groups,
            acked_upto_by_centre=self._outbox.acked_upto_by_centre(),
        )
        self._publish_status(window, *birth_forms(status))
        self._is_birth_due = False
        self._reports.request()
