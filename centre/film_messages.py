"""Messages about a played film: its events and traffic counts, as a box with this scene would have sent them."""

import random
from datetime import UTC, datetime, timedelta

from agent.base.clock import ClockTrust, rfc3339
from agent.base.model import Event, TrafficCounts
from agent.base.uuid7 import uuid7_factory
from agent.reporting import outgoing_messages, topics
from agent.reporting.topics import EnvelopeFields
from centre.film_player import to_s

BOX_ID = "replay"
"""Id of the box in the messages."""

FILM_START = datetime(2026, 1, 1, tzinfo=UTC)
"""Time of the first picture if none is given: fixed, so that two runs produce the same messages."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class FilmMessages:
    """Numbers and encodes the messages of one film, each as a line without its end. `new_id` makes the ids of its events."""

    def __init__(self, film_name: str, start: datetime = FILM_START) -> None:
        self._start = start.astimezone(UTC)
        start_ns = (self._start - _EPOCH) // _MICROSECOND * 1000
        rng = random.Random(film_name)  # noqa: S311 - the ids are repeatable
        self.new_id = uuid7_factory(lambda t_ns: start_ns + t_ns, rng)
        self._seq = 0

    def encode_event(self, event: Event) -> bytes:
        """Return the message of one revision of an event."""
        return outgoing_messages.encode_event(
            event,
            self._next_envelope(event.t_ns),
            begin=self._utc(event.begin_ns),
            t_s=to_s(event.t_ns),
        )

    def encode_traffic(self, traffic: TrafficCounts) -> bytes:
        """Return the message of the traffic counts of one minute."""
        message = outgoing_messages.build_traffic_counts_message(
            traffic, begin=self._utc(traffic.begin_ns), end=self._utc(traffic.end_ns)
        )
        return topics.encode("flow", self._next_envelope(traffic.end_ns), message.data)

    def _next_envelope(self, t_ns: int) -> EnvelopeFields:
        self._seq += 1
        return EnvelopeFields(
            id=self.new_id(t_ns),
            box=BOX_ID,
            epoch=BOX_ID,
            seq=self._seq,
            boot=BOX_ID,
            time=rfc3339(self._utc(t_ns)),
            clock=ClockTrust(synced=False, source="replay", error_s=None),
        )

    def _utc(self, t_ns: int) -> datetime:
        return self._start + timedelta(microseconds=t_ns // 1000)
