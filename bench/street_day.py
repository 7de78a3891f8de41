"""Reports of a box at a street over a day: pure, from the numbers of road users and events.

One camera with one counted line, and rules for one carriageway; it records, so the head of the custody chain is sent
each minute. An event of a rule lasts long enough for one update.
"""

import random
from collections.abc import Callable
from datetime import datetime

import msgspec

from agent.base.clock import rfc3339
from agent.base.count_proof import ValidatedCounts
from agent.base.model import (
    BoundingBox,
    Event,
    EventPhase,
    Label,
    LineCounts,
    TrafficCounts,
    ZoneCounts,
)
from agent.base.sha256 import sha256_hex
from agent.base.uuid7 import uuid7_factory
from agent.reporting import outgoing_messages
from agent.reporting.outgoing_messages import OutgoingMessage
from agent.reporting.payloads import CustodyHead, UtcSpan

CAMERA = "north"
MINUTES_A_DAY = 1440
PICTURE_BYTES = 14_000
"""Of a thumbnail of 640 pixels, of which 20,000 are allowed: that of the wire contract's example."""
LABEL_SHARES: dict[Label, float] = {"car": 0.6, "motorcycle": 0.15, "person": 0.15, "truck": 0.1}
_VALIDATION = ValidatedCounts(
    light="day",
    f1=0.956,
    f1_low=0.896,
    f1_high=0.982,
    clips=8,
    crossings=105,
    unverifiable_share=0.113,
    time="2026-11-25T00:01:00.000Z",
    by="amina",
)
"""Of the validated light, the longer form."""
_MINUTE_NS = 60_000_000_000
_PHASES: tuple[tuple[EventPhase, int], ...] = (("begin", 0), ("update", 60), ("end", 85))
"""Revisions of an event, each so many seconds after the first."""


class Street(msgspec.Struct, frozen=True, kw_only=True):
    """A street by what happens on it in a day. `alarms` are those of the events that are emergencies."""

    name: str
    road_users: int
    events: int
    alarms: int


QUIET = Street(name="quiet", road_users=500, events=10, alarms=1)
NORMAL = Street(name="normal", road_users=6_000, events=150, alarms=8)
BUSY = Street(name="busy", road_users=30_000, events=1_000, alarms=40)
STREETS = (QUIET, NORMAL, BUSY)


class StreetReports:
    """Makes messages of one street. `utc` converts a time of the box to UTC."""

    def __init__(self, street: Street, rng: random.Random, utc: Callable[[int], datetime]) -> None:
        self._street = street
        self._rng = rng
        self._utc = utc
        self._new_id = uuid7_factory(lambda t_ns: t_ns, rng)

    def messages(self, begin_ns: int, minutes: int) -> list[OutgoingMessage]:
        """Return the messages of so many minutes, in the order of their times. Health reports are not among them: they
        are not stored.
        """
        made = []
        for minute in range(1, minutes + 1):
            t_ns = begin_ns + minute * _MINUTE_NS
            made += [self.counts(t_ns), self.custody_head(minute, t_ns)]
        events = round(self._street.events * minutes / MINUTES_A_DAY)
        alarms = round(self._street.alarms * minutes / MINUTES_A_DAY)
        for number in range(events):
            t_ns = begin_ns + self._rng.randrange(minutes * _MINUTE_NS)
            made += self.event(t_ns, is_alarm=number < alarms)
        return sorted(made, key=lambda message: message.t_ns)

    def counts(self, end_ns: int) -> OutgoingMessage:
        """Return the traffic counts of a minute."""
        counts: dict[str, dict[Label, int]] = {"towards centre": {}, "out of town": {}}
        for _ in range(self._draw(self._street.road_users / MINUTES_A_DAY)):
            by_label = counts[self._rng.choice(list(counts))]
            (label,) = self._rng.choices(list(LABEL_SHARES), tuple(LABEL_SHARES.values()))
            by_label[label] = by_label.get(label, 0) + 1
        labels = sorted({label for by_label in counts.values() for label in by_label})
        begin_ns = end_ns - _MINUTE_NS
        flow = TrafficCounts(
            camera=CAMERA,
            begin_ns=begin_ns,
            end_ns=end_ns,
            observed_s=60.0,
            trusted=True,
            untrusted_reasons=(),
            lines=(LineCounts(name="stop line north", counts=counts),),
            zones=(
                ZoneCounts(
                    name="carriageway",
                    mean={label: round(self._rng.random(), 3) for label in labels},
                    peak={label: 1 + self._draw(0.5) for label in labels},
                ),
            ),
            flows=(),
            validation=_VALIDATION,
        )
        return outgoing_messages.build_traffic_counts_message(
            flow, begin=self._utc(begin_ns), end=self._utc(end_ns)
        )

    def custody_head(self, number: int, t_ns: int) -> OutgoingMessage:
        """Return the receipt with the newest head of the custody chain."""
        digest = sha256_hex(number.to_bytes(8, "big"))
        time = rfc3339(self._utc(t_ns))
        return outgoing_messages.build_receipt_message(
            CustodyHead(seq=number, sha256=digest, time=time), t_ns
        )

    def event(self, begin_ns: int, *, is_alarm: bool) -> list[OutgoingMessage]:
        """Return the revisions of an event, and the picture that follows the first."""
        jpeg = self._rng.randbytes(PICTURE_BYTES)
        event_id = self._new_id(begin_ns)
        made = [
            self.revision(event_id, jpeg, rev, phase, begin_ns, after_s, is_alarm=is_alarm)
            for rev, (phase, after_s) in enumerate(_PHASES, start=1)
        ]
        picture = outgoing_messages.build_snapshot_message(
            CAMERA, jpeg, begin_ns, event_id=event_id
        )
        return [made[0], picture, *made[1:]]

    def revision(
        self,
        event_id: str,
        jpeg: bytes,
        rev: int,
        phase: EventPhase,
        begin_ns: int,
        after_s: int,
        *,
        is_alarm: bool,
    ) -> OutgoingMessage:
        """Return one revision of an event."""
        t_ns = begin_ns + after_s * 1_000_000_000
        event = Event(
            event=event_id,
            rev=rev,
            kind="wrong_way" if is_alarm else "stopped",
            phase=phase,
            camera=CAMERA,
            t_ns=t_ns,
            begin_ns=begin_ns,
            name="carriageway",
            label="car",
            track=self._rng.randrange(100_000),
            score=round(self._rng.uniform(0.5, 1.0), 4),
            box=BoundingBox(*(round(self._rng.random(), 4) for _ in range(4))),
            duration_s=float(after_s),
        )
        footage = UtcSpan(begin=rfc3339(self._utc(begin_ns)), end=rfc3339(self._utc(t_ns)))
        data = outgoing_messages.build_event_data(
            event, begin=self._utc(begin_ns), footage=footage, thumbnail=sha256_hex(jpeg)
        )
        return outgoing_messages.build_event_message(data, is_emergency=is_alarm)

    def _draw(self, mean: float) -> int:
        """Return a whole number with this mean."""
        return int(mean) + (self._rng.random() < mean % 1)
