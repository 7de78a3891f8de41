"""Send window of one connection: messages without a PUBACK, and without an acknowledgement. Pure.

A message is *in flight* from its sending to the broker's PUBACK; the broker limits how many. It is
*unacknowledged* until it is freed, which may take the centre's acknowledgement; MAX_UNACKED limits
how many. It is *lost* if the broker took it and the centre did not get it, by one of two signs:

- The centre has acknowledged a message that was sent after this one's PUBACK: a broker keeps the order. One that an earlier
  connection sent, too, is no sign: the centre may have got it then.
- Nothing was acknowledged for RESEND_AFTER_S, nor was this message's PUBACK later than that; at the end of
  a backlog four times the delay of an acknowledgement are enough. A centre that is slow, and acknowledges in order, is no loss.

The congestion window limits how many are on their way: acknowledged by no centre and not lost. Lost messages are sent
again in up to half of it, so that new ones are sent next to them, whose acknowledgements are the sign that
one was lost again.

Up to EMERGENCY_RESERVE emergencies are on their way *beyond* it. They do not count for the window: it grows by the acknowledgements of
the others, and lost messages are sent again as without them. An emergency that is lost is sent again within the window.
"""

from collections.abc import Callable, Iterable

import msgspec

from agent.reporting.mqtt.congestion_window import MAX_MESSAGES, CongestionWindow
from agent.reporting.payloads import SeqRange

MAX_IN_FLIGHT = 20
MAX_IN_FLIGHT_BYTES = 65_536
"""Five seconds at 100 kbit/s: an emergency waits no longer for messages in flight."""
MAX_UNACKED = MAX_MESSAGES
EMERGENCY_RESERVE = 8
"""Those of fifty boxes at once fill less than half of mosquitto's default queue."""
RESEND_AFTER_S = 10.0
PUBACK_TIMEOUT_S = 30.0
"""A broker that answers nothing for this long with messages in flight counts as gone.

It is counted from the last byte of the oldest message that the broker's machine has acknowledged: a
picture of 200 kB takes longer on a slow link, and to abort it would send it again for ever.
"""
MIN_SILENCE_S = 2.0
"""In a backlog a centre acknowledges at once: after four times the delay of its last acknowledgement it is silent."""
MAX_FAST_SENDS = 3
"""A message that was sent more often is sent again RESEND_AFTER_S after its PUBACK: the centre may never take it."""
MIN_FAILURE_CODE = 0x80


class _SentMessage(msgspec.Struct):
    """One message that was sent, and the broker's last answer to it."""

    size_bytes: int
    sent_number: int
    """Of the publications of this connection."""
    sent_times: int
    is_in_flight: bool = True
    puback_s: float = 0.0
    sent_before_puback: int = 0
    """Number of the last publication before its PUBACK."""
    reason_code: int | None = None


class SendWindow:
    """The messages of one connection.

    `receive_maximum` is the broker's limit of messages at once, `sent_earlier` are the messages that the connection before has
    sent and that were not acknowledged.
    """

    def __init__(self, receive_maximum: int, sent_earlier: frozenset[int] = frozenset()) -> None:
        self._sent_earlier = sent_earlier
        self.max_in_flight = min(MAX_IN_FLIGHT, receive_maximum)
        self._unacked: dict[int, _SentMessage] = {}
        self._lost: set[int] = set()
        """To be sent again as soon as possible."""
        self._postponed: set[int] = set()
        """To be sent again RESEND_AFTER_S after their PUBACK: received, refused by the broker, or lost repeatedly."""
        self._refused: set[int] = set()
        """Refused by the broker, and not taken since."""
        self._received: set[int] = set()
        """Acknowledged by a centre, and not freed: another one is waited for."""
        self._resent: set[int] = set()
        """Sent again, and on their way."""
        self._beyond: set[int] = set()
        """Sent once, and on their way beyond the congestion window."""
        self._congestion = CongestionWindow()
        self._sent_count = 0
        self._sent_at_loss = 0
        """The messages up to this publication are of a window whose losses have counted."""
        self._acked_sent_number = 0
        """The newest publication of a message that was sent once and is acknowledged."""
        self._acked_s = 0.0
        self._silence_s = RESEND_AFTER_S
        """Time without an acknowledgement after which messages are lost."""
        self._seq_by_mid: dict[int, int | None] = {}
        self._in_flight_bytes = 0
        self._tcp_unacked_mids: set[int] = set()
        self._tcp_acked_bytes = 0
        self._progress_s = 0.0
        self._round_trip_probe: tuple[int, float] | None = None
        self.round_trip_s: float | None = None
        """Of the last publication that was sent with none before it in flight."""

    @property
    def unacked_count(self) -> int:
        """Number of messages that are not acknowledged."""
        return len(self._unacked)

    @property
    def has_refused(self) -> bool:
        """True if the broker has refused a message that it has not taken since, and that is not acknowledged."""
        return bool(self._refused)

    def first_waiting_seq(self) -> int | None:
        """Return the message that was sent first of those with a PUBACK and no acknowledgement, or None."""
        return next((seq for seq, entry in self._unacked.items() if not entry.is_in_flight), None)

    @property
    def is_idle(self) -> bool:
        """True if no publication is in flight."""
        return not self._seq_by_mid

    def send_quota(self) -> int:
        """Number of publications of any kind that may be sent now."""
        return self.max_in_flight - len(self._seq_by_mid)

    def new_message_quota(self) -> int:
        """Number of messages that may be sent now for the first time."""
        if self.quota_bytes() <= 0:
            return 0
        unacked_quota = min(self._congestion_quota(), MAX_UNACKED - len(self._unacked))
        return max(0, min(self.send_quota(), unacked_quota))

    def new_emergency_quota(self) -> int:
        """Number of messages that may be sent now for the first time if they are emergencies."""
        if self.quota_bytes() <= 0:
            return 0
        within = max(0, self._congestion_quota()) - len(self._beyond)
        unacked_quota = min(within, MAX_UNACKED - len(self._unacked)) + EMERGENCY_RESERVE
        return max(0, min(self.send_quota(), unacked_quota))

    def quota_bytes(self) -> int:
        """Number of bytes that may be sent now; one message may be larger."""
        return MAX_IN_FLIGHT_BYTES - self._in_flight_bytes

    def note_sent(self, mid: int, seq: int | None, size_bytes: int, now_s: float) -> None:
        """Note a publication with packet id `mid`. `seq` is None if it is not of the outbox."""
        if not self._seq_by_mid:
            self._progress_s = now_s
            self._round_trip_probe = (mid, now_s)
        self._seq_by_mid[mid] = seq
        self._tcp_unacked_mids.add(mid)
        self._sent_count += 1
        if seq is None:
            return
        if now_s - self._acked_s >= MIN_SILENCE_S:
            self._silence_s = RESEND_AFTER_S
        if not self._unacked and now_s - self._acked_s >= RESEND_AFTER_S:
            self._congestion.restart()
        entry = _SentMessage(size_bytes=size_bytes, sent_number=self._sent_count, sent_times=1)
        if earlier := self._unacked.get(seq):
            entry.sent_times += earlier.sent_times
            self._lost.discard(seq)
            self._resent.add(seq)
        elif self._congestion_quota() <= 0:
            self._beyond.add(seq)
        self._unacked[seq] = entry
        self._in_flight_bytes += size_bytes

    def note_tcp_progress(self, tcp_acked_bytes: int, now_s: float, *, is_all_acked: bool) -> None:
        """Note how many bytes of the connection the broker's machine has acknowledged.

        Bytes after the oldest publication in flight are no sign that the broker is alive.
        """
        if tcp_acked_bytes > self._tcp_acked_bytes:
            self._tcp_acked_bytes = tcp_acked_bytes
            if next(iter(self._seq_by_mid), None) in self._tcp_unacked_mids:
                self._progress_s = now_s
        if is_all_acked:
            self._tcp_unacked_mids.clear()

    def note_puback(self, mid: int, reason_code: int, now_s: float) -> int | None:
        """Note a PUBACK. Return the message's number, or None if it is not of the outbox or is
        acknowledged already.
        """
        self._progress_s = now_s
        if self._round_trip_probe is not None and self._round_trip_probe[0] == mid:
            self.round_trip_s = now_s - self._round_trip_probe[1]
            self._round_trip_probe = None
        seq = self._seq_by_mid.pop(mid, None)
        self._tcp_unacked_mids.discard(mid)
        entry = self._unacked.get(seq) if seq is not None else None
        if seq is None or entry is None:
            return None
        self._mark_pubacked(entry)
        entry.puback_s, entry.reason_code = now_s, reason_code
        entry.sent_before_puback = self._sent_count
        if reason_code >= MIN_FAILURE_CODE:
            self._refused.add(seq)
        else:
            self._refused.discard(seq)
        if reason_code or entry.sent_times > MAX_FAST_SENDS:
            self._postponed.add(seq)
            self._resent.discard(seq)
            self._beyond.discard(seq)
        return seq

    def pubacked_seqs(self) -> tuple[int, ...]:
        """Return the unacknowledged messages that the broker took, in order."""
        return tuple(
            sorted(
                seq
                for seq, entry in self._unacked.items()
                if entry.reason_code is not None and entry.reason_code < MIN_FAILURE_CODE
            )
        )

    def note_received(self, ranges: Iterable[SeqRange], now_s: float) -> None:
        """Note that a centre has acknowledged messages. Another one may have to, before they are freed."""
        spans = tuple(ranges)
        received = [
            seq
            for seq in self._unacked
            if seq not in self._received and any(s.first <= seq <= s.last for s in spans)
        ]
        if not received:
            return
        self._acked_s = now_s
        is_window_used = 2 * self._on_their_way_count >= self._congestion.messages
        if is_window_used:
            counted = set(received) - self._lost - self._beyond
            self._congestion.note_acked(len(counted))
        # The acknowledgement of a message that was sent twice may be for the first time.
        sent_once = [
            self._unacked[seq]
            for seq in received
            if self._unacked[seq].sent_times == 1 and seq not in self._sent_earlier
        ]
        for entry in sent_once:
            self._acked_sent_number = max(self._acked_sent_number, entry.sent_number)
        self._silence_s = RESEND_AFTER_S
        if is_window_used and sent_once:
            delay_s = now_s - min(entry.puback_s for entry in sent_once)
            self._silence_s = min(max(MIN_SILENCE_S, 4 * delay_s), RESEND_AFTER_S)
        self._lost.difference_update(received)
        self._resent.difference_update(received)
        self._beyond.difference_update(received)
        self._postponed.update(received)
        self._received.update(received)
        self._note_losses(lambda entry: entry.sent_before_puback < self._acked_sent_number)

    def acknowledge(self, ranges: Iterable[SeqRange]) -> int:
        """Remove acknowledged messages. Return how many there were."""
        spans = tuple(ranges)
        acked = [seq for seq in self._unacked if any(s.first <= seq <= s.last for s in spans)]
        for seq in acked:
            entry = self._unacked.pop(seq)
            if entry.is_in_flight:
                self._mark_pubacked(entry)
            for some in (
                self._lost,
                self._postponed,
                self._refused,
                self._received,
                self._resent,
                self._beyond,
            ):
                some.discard(seq)
        return len(acked)

    def due_for_resend(self, now_s: float) -> tuple[int, ...]:
        """Return the lost messages to send again now, in order, up to the quota. A message in flight is
        never sent again (MQTT 5.0, 4.4): TCP delivers it.
        """
        self._note_overdue(now_s)
        if not self._lost or self.quota_bytes() <= 0:
            return ()
        half_quota = max(1, self._congestion.messages // 2) - len(self._resent)
        quota = min(half_quota, self._congestion_quota(), self.send_quota())
        return tuple(sorted(self._lost)[: max(0, quota)])

    def is_stuck(self, now_s: float) -> bool:
        """Return True if the broker has answered nothing for PUBACK_TIMEOUT_S with messages in
        flight, and no byte of the oldest has arrived meanwhile.
        """
        return bool(self._seq_by_mid) and now_s - self._progress_s >= PUBACK_TIMEOUT_S

    @property
    def _on_their_way_count(self) -> int:
        """Messages on their way within the congestion window."""
        elsewhere = len(self._lost) + len(self._postponed) + len(self._beyond)
        return len(self._unacked) - elsewhere

    def _congestion_quota(self) -> int:
        return self._congestion.messages - self._on_their_way_count

    def _note_overdue(self, now_s: float) -> None:
        silence_s = self._silence_s
        if now_s - self._acked_s >= silence_s and self._note_losses(
            lambda entry: now_s - entry.puback_s >= silence_s
        ):
            self._silence_s = RESEND_AFTER_S
            self._congestion.restart()
        waiting = ((seq, self._unacked[seq]) for seq in self._postponed)
        overdue = {
            seq
            for seq, entry in waiting
            if not entry.is_in_flight and now_s - entry.puback_s >= RESEND_AFTER_S
        }
        self._postponed -= overdue
        self._received -= overdue
        self._lost |= overdue

    def _note_losses(self, is_lost: Callable[[_SentMessage], bool]) -> bool:
        """Note messages with a PUBACK as lost. Return True if there are any."""
        lost = {
            seq for seq, entry in self._unacked.items() if not entry.is_in_flight and is_lost(entry)
        } - (self._lost | self._postponed)
        self._lost |= lost
        self._resent -= lost
        self._beyond -= lost
        # One that the centre never takes does not count again.
        sent_once = [self._unacked[seq] for seq in lost if self._unacked[seq].sent_times == 1]
        if any(entry.sent_number > self._sent_at_loss for entry in sent_once):
            self._sent_at_loss = self._sent_count
            self._congestion.note_loss()
        return bool(lost)

    def _mark_pubacked(self, entry: _SentMessage) -> None:
        entry.is_in_flight = False
        self._in_flight_bytes -= entry.size_bytes
