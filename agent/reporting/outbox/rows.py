"""Rows and envelopes of new messages, with id, time and clock trust of the moment; the age of stored ones."""

from collections.abc import Callable
from datetime import datetime

import msgspec

from agent.base.clock import Clock, rfc3339
from agent.reporting import outgoing_messages
from agent.reporting.outbox.schema import OutboxRow
from agent.reporting.outgoing_messages import OutgoingMessage
from agent.reporting.payloads import ReceiptData
from agent.reporting.topics import EnvelopeFields


class RowFactory:
    """Makes the rows of one box and boot. `new_id` makes a UUIDv7 of a `t_ns`. Thread-safe."""

    def __init__(self, box: str, boot: str, clock: Clock, new_id: Callable[[int], str]) -> None:
        self._box = box
        self._boot = boot
        self._clock = clock
        self._new_id = new_id

    def make(self, outgoing: OutgoingMessage) -> OutboxRow:
        """Return the row of a message, without a number."""
        return OutboxRow(
            seq=0,
            id=self._new_id(outgoing.t_ns),
            type=outgoing.type,
            topic=outgoing.topic,
            priority=outgoing.priority,
            boot=self._boot,
            t_ns=outgoing.t_ns,
            time=rfc3339(self._clock.utc(outgoing.t_ns)),
            clock=msgspec.json.encode(self._clock.trust()).decode(),
            expiry_s=outgoing.expiry_s,
            data=outgoing.data,
            header=outgoing.header,
        )

    def make_receipt(self, data: ReceiptData) -> OutboxRow:
        """Return the row of a receipt of this moment, without a number."""
        return self.make(outgoing_messages.build_receipt_message(data, self._clock.boottime_ns()))

    def make_envelope(self, t_ns: int, epoch: str, seq: int | None) -> EnvelopeFields:
        """Return the envelope of a message that is not stored."""
        return EnvelopeFields(
            id=self._new_id(t_ns),
            box=self._box,
            epoch=epoch,
            seq=seq,
            boot=self._boot,
            time=rfc3339(self._clock.utc(t_ns)),
            clock=self._clock.trust(),
        )

    def age_s(self, row: OutboxRow) -> float | None:
        """Return the age by boot time for a row of this boot, else by UTC if that is not negative."""
        now_ns = self._clock.boottime_ns()
        if row.boot == self._boot:
            return (now_ns - row.t_ns) / 1e9
        age_s = (self._clock.utc(now_ns) - datetime.fromisoformat(row.time)).total_seconds()
        return age_s if age_s >= 0 else None
