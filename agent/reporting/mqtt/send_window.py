"""Send window of one connection: messages without a PUBACK, and without an acknowledgement. Pure.

A message is *in flight* from its sending to the broker's PUBACK; the broker limits how many. It is
*unacknowledged* until it is freed, which may take the centre's acknowledgement; MAX_UNACKED limits
how many.
"""

from collections.abc import Iterable

import msgspec

from agent.reporting.payloads import SeqRange

MAX_IN_FLIGHT = 20
MAX_IN_FLIGHT_BYTES = 65_536
"""Five seconds at 100 kbit/s: an emergency waits no longer for messages in flight."""
MAX_UNACKED = 256
RESEND_AFTER_S = 10.0
PUBACK_TIMEOUT_S = 30.0
"""A broker that answers nothing for this long with messages in flight counts as gone.

It is counted from the last byte of the oldest message that the broker's machine has acknowledged: a
picture of 200 kB takes longer on a slow link, and to abort it would send it again for ever.
"""
MIN_FAILURE_CODE = 0x80


class _SentMessage(msgspec.Struct):
    """One message that was sent, and the broker's last answer to it."""

    size_bytes: int
    is_in_flight: bool = True
    puback_s: float = 0.0
    reason_code: int | None = None


class SendWindow:
    """The messages of one connection. `receive_maximum` is the broker's limit of messages at once."""

    def __init__(self, receive_maximum: int) -> None:
        self.max_in_flight = min(MAX_IN_FLIGHT, receive_maximum)
        self._unacked: dict[int, _SentMessage] = {}
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
        if self.quota_bytes() <= 0:
            return 0
        return max(0, min(self.send_quota(), MAX_UNACKED - len(self._unacked)))

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
            self._unacked[seq] = _SentMessage(size_bytes=size_bytes)
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

    def acknowledge(self, ranges: Iterable[SeqRange]) -> int:
        """Remove acknowledged messages. Return how many there were."""
        acked = [seq for seq in self._unacked if any(s.first <= seq <= s.last for s in ranges)]
        for seq in acked:
            entry = self._unacked.pop(seq)
            if entry.is_in_flight:
                self._mark_pubacked(entry)
        return len(acked)

    def due_for_resend(self, now_s: float) -> tuple[int, ...]:
        """Return the messages to send again now, in order: RESEND_AFTER_S after their PUBACK, up to
        the quota. A message in flight is never sent again (MQTT 5.0, 4.4): TCP delivers it.
        """
        overdue = sorted(
            seq
            for seq, entry in self._unacked.items()
            if not entry.is_in_flight and now_s - entry.puback_s >= RESEND_AFTER_S
        )
        quota = self.send_quota() if self.quota_bytes() > 0 else 0
        return tuple(overdue[: max(0, quota)])

    def is_stuck(self, now_s: float) -> bool:
        """Return True if the broker has answered nothing for PUBACK_TIMEOUT_S with messages in
        flight, and no byte of the oldest has arrived meanwhile.
        """
        return bool(self._seq_by_mid) and now_s - self._progress_s >= PUBACK_TIMEOUT_S

    def _mark_pubacked(self, entry: _SentMessage) -> None:
        entry.is_in_flight = False
        self._in_flight_bytes -= entry.size_bytes
