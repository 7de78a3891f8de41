"""What is in flight. Pure: times and numbers come in, decisions go out.

A message is *in flight* from its sending to the broker's PUBACK: the broker limits how many. It
is *open* until it is settled, which may take a centre's acknowledgement: we limit how many.
"""

from collections.abc import Iterable

import msgspec

from agent.reporting.payloads import SeqRange

MAX_IN_FLIGHT = 20
MAX_IN_FLIGHT_BYTES = 65_536
"""At 100 kbit/s this is five seconds: no emergency waits longer for what is under way."""
MAX_UNACKED = 256
RESEND_AFTER_S = 10.0
PUBACK_TIMEOUT_S = 30.0
"""A broker that is silent for so long with messages in flight is a broker that is gone, counted from
when the oldest of them has left: a picture of 200 kB is on its way for longer on a slow link, and to
give that up would send it from its beginning for ever. While it leaves, this is how long no byte of
it may arrive.
"""
MIN_FAILURE_CODE = 0x80


class _SentMessage(msgspec.Struct):
    """One message that was sent: when the broker answered last, and what."""

    size_bytes: int
    is_in_flight: bool = True
    puback_s: float = 0.0
    reason_code: int | None = None


class SendWindow:
    """The messages of one connection. `receive_maximum` is what the broker takes at once; `most`
    is what it gets.
    """

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
        """How long the broker took for the last publication that went out with none before it."""

    @property
    def unacked_count(self) -> int:
        """How many messages are not settled."""
        return len(self._unacked)

    @property
    def is_waiting_for_centre(self) -> bool:
        """Whether the broker has answered for a message that nobody has settled."""
        return any(not entry.is_in_flight for entry in self._unacked.values())

    def send_quota(self) -> int:
        """How many publications of any kind may go out now."""
        return self.max_in_flight - len(self._seq_by_mid)

    def new_message_quota(self) -> int:
        """How many messages may be sent now for the first time."""
        if self.quota_bytes() <= 0:
            return 0
        return max(0, min(self.send_quota(), MAX_UNACKED - len(self._unacked)))

    def quota_bytes(self) -> int:
        """How many bytes may be sent now; one message may be larger."""
        return MAX_IN_FLIGHT_BYTES - self._in_flight_bytes

    def note_sent(self, mid: int, seq: int | None, size_bytes: int, now_s: float) -> None:
        """A publication went out under the packet number `mid`: the message `seq`, for the first
        time or again, or with None one that is not of the outbox.
        """
        if not self._seq_by_mid:
            self._progress_s = now_s
            self._round_trip_probe = (mid, now_s)
        self._seq_by_mid[mid] = seq
        self._tcp_unacked_mids.add(mid)
        if seq is not None:
            self._unacked[seq] = _SentMessage(size_bytes=size_bytes)
            self._in_flight_bytes += size_bytes

    def note_tcp_progress(self, tcp_acked_bytes: int, now_s: float, *, is_all_acked: bool) -> None:
        """So many bytes of this connection have arrived at the broker's machine by now: `all_of_it`,
        or some wait here still.

        Those that arrive after the oldest publication in flight are no sign that the broker lives.
        """
        if tcp_acked_bytes > self._tcp_acked_bytes:
            self._tcp_acked_bytes = tcp_acked_bytes
            if next(iter(self._seq_by_mid), None) in self._tcp_unacked_mids:
                self._progress_s = now_s
        if is_all_acked:
            self._tcp_unacked_mids.clear()

    def note_puback(self, mid: int, reason_code: int, now_s: float) -> int | None:
        """The broker answered. The number of the message, None where it is none of the outbox
        or is settled already.
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
        """The open messages that the broker took, in order."""
        return tuple(
            sorted(
                seq
                for seq, entry in self._unacked.items()
                if entry.reason_code is not None and entry.reason_code < MIN_FAILURE_CODE
            )
        )

    def acknowledge(self, ranges: Iterable[SeqRange]) -> int:
        """They have arrived. How many were open."""
        acked = [seq for seq in self._unacked if any(s.first <= seq <= s.last for s in ranges)]
        for seq in acked:
            entry = self._unacked.pop(seq)
            if entry.is_in_flight:
                self._mark_pubacked(entry)
        return len(acked)

    def due_for_resend(self, now_s: float) -> tuple[int, ...]:
        """The messages to send again now: the broker has answered, and nobody else has for
        RESEND_AFTER_S. At most as many as there is room for, in order.

        What is in flight is never among them: MQTT 5.0, 4.4, and TCP sees to it.
        """
        overdue = sorted(
            seq
            for seq, entry in self._unacked.items()
            if not entry.is_in_flight and now_s - entry.puback_s >= RESEND_AFTER_S
        )
        quota = self.send_quota() if self.quota_bytes() > 0 else 0
        return tuple(overdue[: max(0, quota)])

    def is_stuck(self, now_s: float) -> bool:
        """Whether the broker has been silent for too long with messages in flight, and no byte of the
        oldest has arrived meanwhile.
        """
        return bool(self._seq_by_mid) and now_s - self._progress_s >= PUBACK_TIMEOUT_S

    def _mark_pubacked(self, entry: _SentMessage) -> None:
        entry.is_in_flight = False
        self._in_flight_bytes -= entry.size_bytes
