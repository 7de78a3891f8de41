"""Send window of one connection: messages without a PUBACK, and without an acknowledgement. Pure.

A message is *in flight* from its sending to the broker's PUBACK; the broker limits how many. It is *on its way* until a
centre, or the broker where that is enough, acknowledges it, or the broker says that it keeps it for no centre; the congestion
window limits how many. It is *unacknowledged* until it is freed, which may take the acknowledgement of a second centre;
MAX_UNACKED limits how many.
"""

from collections.abc import Iterable

import msgspec

from agent.reporting.mqtt.congestion_window import MAX_WAIT_S, CongestionWindow
from agent.reporting.payloads import SeqRange

MAX_IN_FLIGHT = 20
MAX_IN_FLIGHT_BYTES = 65_536
"""Five seconds at 100 kbit/s: an emergency waits no longer for messages in flight."""
MAX_UNACKED = 256
URGENT_RESERVE = 8
"""Emergencies that may be sent beyond the congestion window: they do not wait for what the broker has dropped."""
RESEND_AFTER_S = 10.0
OVERTAKEN_AFTER_S = 0.5
"""A message was dropped if one that was sent later is acknowledged, and it is not so long after its PUBACK. A broker keeps
the order (MQTT 5.0, 4.6); two processes of a centre need not.
"""
PROBE_AFTER_S = 2.5
"""If nothing is acknowledged for so long, the message that was sent last is sent again: its acknowledgement shows what was
dropped before it.
"""
PUBACK_TIMEOUT_S = 30.0
"""A broker that answers nothing for this long with messages in flight counts as gone.

It is counted from the last byte of the oldest message that the broker's machine has acknowledged: a
picture of 200 kB takes longer on a slow link, and to abort it would send it again for ever.
"""
MIN_FAILURE_CODE = 0x80
NO_SUBSCRIBERS_CODE = 0x10


class _SentMessage(msgspec.Struct):
    """One message that was sent, and the broker's last answer to it."""

    size_bytes: int
    sent_s: float
    earliest_s: float
    """An acknowledgement is of the message as it was sent at this time or later."""
    is_received: bool = False
    """True once a centre, or the broker where that is enough, has acknowledged it."""
    is_on_way: bool = True
    is_in_flight: bool = True
    puback_s: float = 0.0
    reason_code: int | None = None


class SendWindow:
    """The messages of one connection. `receive_maximum` is the broker's limit of messages at once."""

    def __init__(self, receive_maximum: int) -> None:
        self.max_in_flight = min(MAX_IN_FLIGHT, receive_maximum)
        self._congestion = CongestionWindow()
        self._unacked: dict[int, _SentMessage] = {}
        self._on_way_count = 0
        self._received_sent_s = float("-inf")
        """All that was sent before has been received or dropped."""
        self._last_received_s = float("-inf")
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
        return self._quota_within(self._congestion.size)

    def new_emergency_quota(self) -> int:
        """Number of messages that may be sent now for the first time if they are emergencies."""
        return self._quota_within(self._congestion.size + URGENT_RESERVE)

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
        if seq is not None:
            self._in_flight_bytes += size_bytes
            sent = _SentMessage(size_bytes=size_bytes, sent_s=now_s, earliest_s=now_s)
            previous = self._unacked.get(seq)
            if previous is not None:
                if not self._is_overtaken(previous):
                    sent.earliest_s = previous.earliest_s
                sent.is_received, sent.is_on_way = previous.is_received, not previous.is_received
                self._end_way(previous)
            self._unacked[seq] = sent
            self._on_way_count += sent.is_on_way

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
        if reason_code >= MIN_FAILURE_CODE or reason_code == NO_SUBSCRIBERS_CODE:
            self._end_way(entry)
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
        """Note that a centre, or the broker where that is enough, has acknowledged messages."""
        spans = tuple(ranges)
        received = [
            entry
            for seq, entry in self._unacked.items()
            if not entry.is_received and _is_in(seq, spans)
        ]
        congestion = self._congestion
        is_used = 2 * self._on_way_count >= congestion.size
        for entry in received:
            entry.is_received = True
            self._end_way(entry)
            self._received_sent_s = max(self._received_sent_s, entry.earliest_s)
            is_late = not entry.is_in_flight and now_s - entry.puback_s > MAX_WAIT_S
            if is_late and entry.sent_s == entry.earliest_s:
                congestion = congestion.after_loss(entry.sent_s, now_s)
        if received:
            self._last_received_s = now_s
        has_loss = any(self._is_overtaken(entry) for entry in self._unacked.values())
        self._congestion = congestion.after_acks(len(received), is_used=is_used and not has_loss)

    def acknowledge(self, ranges: Iterable[SeqRange]) -> int:
        """Remove acknowledged messages. Return how many there were."""
        spans = tuple(ranges)
        acked = [seq for seq in self._unacked if _is_in(seq, spans)]
        for seq in acked:
            entry = self._unacked.pop(seq)
            if entry.is_in_flight:
                self._mark_pubacked(entry)
            self._end_way(entry)
        return len(acked)

    def due_for_resend(self, now_s: float) -> tuple[int, ...]:
        """Return the messages to send again now, in order, up to the quota and the congestion window, which decreases for
        them. Due are those that were dropped, all others RESEND_AFTER_S after their PUBACK, and a probe. A message in flight
        is never sent again (MQTT 5.0, 4.4): TCP delivers it.
        """
        if self.send_quota() <= 0 or self.quota_bytes() <= 0:
            return ()
        due = sorted(seq for seq, entry in self._unacked.items() if self._is_due(entry, now_s))
        if not due:
            return self._find_probe(now_s)
        lost = [entry for entry in map(self._unacked.__getitem__, due) if entry.is_on_way]
        for entry in lost:
            self._congestion = self._congestion.after_loss(entry.sent_s, now_s)
        room = self._congestion.size - (self._on_way_count - len(lost))
        return tuple(due[: max(0, min(self.send_quota(), room))])

    def is_stuck(self, now_s: float) -> bool:
        """Return True if the broker has answered nothing for PUBACK_TIMEOUT_S with messages in
        flight, and no byte of the oldest has arrived meanwhile.
        """
        return bool(self._seq_by_mid) and now_s - self._progress_s >= PUBACK_TIMEOUT_S

    def _quota_within(self, size: int) -> int:
        if self.quota_bytes() <= 0:
            return 0
        room = min(size - self._on_way_count, MAX_UNACKED - len(self._unacked))
        return max(0, min(self.send_quota(), room))

    def _find_probe(self, now_s: float) -> tuple[int, ...]:
        """Return the message that was sent last, if nothing was acknowledged for PROBE_AFTER_S and it was sent once."""
        if (
            not self._on_way_count
            or not self.is_idle
            or now_s - self._last_received_s < PROBE_AFTER_S
        ):
            return ()
        seq, last = max(
            (item for item in self._unacked.items() if item[1].is_on_way),
            key=lambda item: item[1].earliest_s,
        )
        is_due = last.sent_s == last.earliest_s and now_s - last.puback_s >= PROBE_AFTER_S
        return (seq,) if is_due else ()

    def _is_due(self, entry: _SentMessage, now_s: float) -> bool:
        wait_s = OVERTAKEN_AFTER_S if self._is_overtaken(entry) else RESEND_AFTER_S
        return not entry.is_in_flight and now_s - entry.puback_s >= wait_s

    def _is_overtaken(self, entry: _SentMessage) -> bool:
        return entry.is_on_way and entry.sent_s < self._received_sent_s

    def _end_way(self, entry: _SentMessage) -> None:
        self._on_way_count -= entry.is_on_way
        entry.is_on_way = False

    def _mark_pubacked(self, entry: _SentMessage) -> None:
        entry.is_in_flight = False
        self._in_flight_bytes -= entry.size_bytes


def _is_in(seq: int, ranges: tuple[SeqRange, ...]) -> bool:
    return any(span.first <= seq <= span.last for span in ranges)
