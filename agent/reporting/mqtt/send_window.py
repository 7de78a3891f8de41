"""What is in flight. Pure: times and numbers come in, decisions go out.

A message is *in flight* from its sending to the broker's PUBACK: the broker limits how many. It
is *open* until it is settled, which may take a centre's acknowledgement: we limit how many.
"""

from collections.abc import Iterable

import msgspec

from agent.reporting.payloads import SeqRange

IN_FLIGHT_MOST = 20
IN_FLIGHT_BYTES_MOST = 65_536
"""At 100 kbit/s this is five seconds: no emergency waits longer for what is under way."""
OPEN_MOST = 256
RESEND_AFTER_S = 10.0
NO_PUBACK_S = 30.0
"""A broker that is silent for so long with messages in flight is a broker that is gone, counted from
when the oldest of them has left: a picture of 200 kB is on its way for longer on a slow link, and to
give that up would send it from its beginning for ever. While it leaves, this is how long no byte of
it may arrive.
"""
SUCCESS_BELOW = 0x80


class _Open(msgspec.Struct):
    """One message that was sent: when the broker answered last, and what."""

    size_bytes: int
    in_flight: bool = True
    answered_s: float = 0.0
    code: int | None = None


class SendWindow:
    """The messages of one connection. `receive_maximum` is what the broker takes at once; `most`
    is what it gets.
    """

    def __init__(self, receive_maximum: int) -> None:
        self.most = min(IN_FLIGHT_MOST, receive_maximum)
        self._open: dict[int, _Open] = {}
        self._mids: dict[int, int | None] = {}
        self._bytes = 0
        self._leaving: set[int] = set()
        self._arrived_bytes = 0
        self._progress_s = 0.0
        self._alone: tuple[int, float] | None = None
        self.round_trip_s: float | None = None
        """How long the broker took for the last publication that went out with none before it."""

    @property
    def open_count(self) -> int:
        """How many messages are not settled."""
        return len(self._open)

    @property
    def waits_for_centre(self) -> bool:
        """Whether the broker has answered for a message that nobody has settled."""
        return any(not entry.in_flight for entry in self._open.values())

    def flight_room(self) -> int:
        """How many publications of any kind may go out now."""
        return self.most - len(self._mids)

    def room(self) -> int:
        """How many messages may be sent now for the first time."""
        if self.room_bytes() <= 0:
            return 0
        return max(0, min(self.flight_room(), OPEN_MOST - len(self._open)))

    def room_bytes(self) -> int:
        """How many bytes may be sent now; one message may be larger."""
        return IN_FLIGHT_BYTES_MOST - self._bytes

    def sent(self, mid: int, seq: int | None, size_bytes: int, now_s: float) -> None:
        """A publication went out under the packet number `mid`: the message `seq`, for the first
        time or again, or with None one that is not of the outbox.
        """
        if not self._mids:
            self._progress_s = now_s
            self._alone = (mid, now_s)
        self._mids[mid] = seq
        self._leaving.add(mid)
        if seq is not None:
            self._open[seq] = _Open(size_bytes=size_bytes)
            self._bytes += size_bytes

    def left(self, arrived_bytes: int, now_s: float, *, all_of_it: bool) -> None:
        """So many bytes of this connection have arrived at the broker's machine by now: `all_of_it`,
        or some wait here still.

        Those that arrive after the oldest publication in flight are no sign that the broker lives.
        """
        if arrived_bytes > self._arrived_bytes:
            self._arrived_bytes = arrived_bytes
            if next(iter(self._mids), None) in self._leaving:
                self._progress_s = now_s
        if all_of_it:
            self._leaving.clear()

    def puback(self, mid: int, code: int, now_s: float) -> int | None:
        """The broker answered. The number of the message, None where it is none of the outbox
        or is settled already.
        """
        self._progress_s = now_s
        if self._alone is not None and self._alone[0] == mid:
            self.round_trip_s = now_s - self._alone[1]
            self._alone = None
        seq = self._mids.pop(mid, None)
        self._leaving.discard(mid)
        entry = self._open.get(seq) if seq is not None else None
        if seq is None or entry is None:
            return None
        self._land(entry)
        entry.answered_s, entry.code = now_s, code
        return seq

    def taken_by_broker(self) -> tuple[int, ...]:
        """The open messages that the broker took, in order."""
        return tuple(
            sorted(
                seq
                for seq, entry in self._open.items()
                if entry.code is not None and entry.code < SUCCESS_BELOW
            )
        )

    def settle(self, ranges: Iterable[SeqRange]) -> int:
        """They have arrived. How many were open."""
        arrived = [seq for seq in self._open if any(s.first <= seq <= s.last for s in ranges)]
        for seq in arrived:
            entry = self._open.pop(seq)
            if entry.in_flight:
                self._land(entry)
        return len(arrived)

    def due(self, now_s: float) -> tuple[int, ...]:
        """The messages to send again now: the broker has answered, and nobody else has for
        RESEND_AFTER_S. At most as many as there is room for, in order.

        What is in flight is never among them: MQTT 5.0, 4.4, and TCP sees to it.
        """
        late = sorted(
            seq
            for seq, entry in self._open.items()
            if not entry.in_flight and now_s - entry.answered_s >= RESEND_AFTER_S
        )
        room = self.flight_room() if self.room_bytes() > 0 else 0
        return tuple(late[: max(0, room)])

    def is_stuck(self, now_s: float) -> bool:
        """Whether the broker has been silent for too long with messages in flight, and no byte of the
        oldest has arrived meanwhile.
        """
        return bool(self._mids) and now_s - self._progress_s >= NO_PUBACK_S

    def _land(self, entry: _Open) -> None:
        entry.in_flight = False
        self._bytes -= entry.size_bytes
