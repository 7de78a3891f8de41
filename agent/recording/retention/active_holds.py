"""Active holds: each begin and end of a hold gets a receipt, and the hold's files follow."""

import logging
from collections.abc import Callable
from datetime import datetime

import msgspec

from agent.base.clock import Clock
from agent.base.message import Message
from agent.faults.registry import FaultRegistry
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.custody.receipts import BadReceipt, HoldPlaced, HoldReleased, parse_line
from agent.recording.retention.hold import Hold
from agent.recording.retention.hold_store import HoldReleaseRequest, HoldStore
from agent.recording.segment_age import SegmentAges

log = logging.getLogger(__name__)

_HOLD_MARKS = (b'"kind":"held"', b'"kind":"released"')


class ActiveHolds:
    """The holds that are in force, as of the last read of the store. Called by one thread at a time.

    `on_broken` is called for each hold that could not be kept. A disk that does not accept the files
    of holds raises STO-04.
    """

    def __init__(
        self,
        hold_store: HoldStore,
        receipt_queue: ReceiptQueue,
        clock: Clock,
        faults: FaultRegistry,
        on_broken: Callable[[Hold], None],
    ) -> None:
        self._hold_store = hold_store
        self._receipt_queue = receipt_queue
        self._clock = clock
        self._faults = faults
        self._on_broken = on_broken
        self._is_store_reset = False
        self._damaged_ids: set[str] = set()
        self.current: tuple[Hold, ...] = ()
        self.are_known = False
        """Whether `load` has taken over all holds of the previous agent."""

    def load(self) -> None:
        """Take over the holds of the previous agent, once. Raises OSError if they cannot be read.

        They are in force even if the disk accepts no file: `sync` writes them later.
        """
        if self.are_known:
            return
        if not self._is_store_reset:
            self._hold_store.reset_for_boot()
            self._is_store_reset = True
        self._restore_damaged()
        self.current = self._hold_store.all()
        self.are_known = True
        try:
            self._hold_store.write_unwritten()
        except OSError as error:
            self._on_unwritable(error)

    def _restore_damaged(self) -> None:
        """Place holds whose files are damaged or missing again, as their receipts state them. Raises OSError.

        Otherwise held footage would be evicted because a small file is damaged.
        """
        self._damaged_ids |= self._hold_store.pop_damaged_ids()
        wanted = set(self._damaged_ids)
        for line in self._receipt_queue.read_lines_backwards() if wanted else ():
            if not any(mark in line for mark in _HOLD_MARKS):
                continue
            try:
                body = parse_line(line).receipt.body
            except BadReceipt:
                continue
            if isinstance(body, HoldPlaced | HoldReleased) and body.hold_id in wanted:
                wanted.discard(body.hold_id)
                if isinstance(body, HoldPlaced):
                    self._restore(body)
            if not wanted:
                break
        for hold_id in sorted(wanted):
            log.error("hold %s: its file is lost, and it has no receipt", hold_id)
        self._hold_store.give_up(self._damaged_ids)

    def _restore(self, placed: HoldPlaced) -> None:
        begin, end, expires = map(
            datetime.fromisoformat, (placed.begin_time, placed.end_time, placed.expires)
        )
        term = expires - self._clock.utc(self._clock.boottime_ns())
        hold = self._hold_store.build(
            placed.hold_id,
            placed.camera,
            begin,
            end,
            owner=placed.owner,
            reason=placed.reason,
            case=placed.case,
            term=term,
        )
        self._hold_store.keep(msgspec.structs.replace(hold, in_custody_log=True))
        log.warning(
            "hold %s: its file was damaged or missing; placed again from its receipt", hold.id
        )

    def refresh(self) -> None:
        """Read the store. The last known holds stay in force if it cannot be read."""
        try:
            self.load()
            self.current = self._hold_store.active()
        except OSError as error:
            log.error("holds: %s", error)
            self.current = self._hold_store.all()

    def sync(self, ages_of: Callable[[str], SegmentAges] | None) -> None:
        """Append new and ended holds to the custody log, and delete ended ones.

        With `ages_of` a camera's footage, those that are expired end too.
        """
        try:
            self._hold_store.write_unwritten()
            self._hold_store.refresh()
            for request in self._hold_store.pending_releases():
                self._release(request)
            now_ns = self._clock.boottime_ns()
            for hold in self._hold_store.all():
                if not hold.in_custody_log and self._receipt_queue.append(
                    _to_receipt(hold), now_ns
                ):
                    self._hold_store.mark_recorded(hold)
            if ages_of is not None:
                for hold in self._hold_store.all():
                    if hold.is_expired(ages_of(hold.camera)):
                        self._release(
                            HoldReleaseRequest(hold_id=hold.id, by="vigie", reason="expired")
                        )
        except OSError as error:
            self._on_unwritable(error)
        else:
            self._faults.clear("STO-04", "holds")
        self.current = self._hold_store.all()

    def _on_unwritable(self, error: OSError) -> None:
        log.error("holds: %s", error)
        self._faults.raise_fault("STO-04", "holds", error)

    def break_hold(self, hold: Hold) -> None:
        """End a hold whose footage has to make room."""
        log.error("hold %s of %s broken: no space left", hold.id, hold.camera)
        self.current = tuple(other for other in self.current if other.id != hold.id)
        self._faults.raise_fault("STO-03", hold.camera, Message("hold {id} was broken", id=hold.id))
        self._on_broken(hold)
        body = HoldReleased(hold_id=hold.id, by="vigie", reason="no space left")
        self._receipt_queue.append(body, self._clock.boottime_ns())
        try:
            self._hold_store.delete(hold.id)
        except OSError as error:
            log.error("hold %s cannot be deleted: %s", hold.id, error)

    def _release(self, request: HoldReleaseRequest) -> None:
        body = HoldReleased(hold_id=request.hold_id, by=request.by, reason=request.reason)
        if self._receipt_queue.append(body, self._clock.boottime_ns()):
            self._hold_store.delete(request.hold_id)


def _to_receipt(hold: Hold) -> HoldPlaced:
    return HoldPlaced(
        hold_id=hold.id,
        camera=hold.camera,
        begin_time=hold.begin_time,
        end_time=hold.end_time,
        owner=hold.owner,
        reason=hold.reason,
        case=hold.case,
        expires=hold.expires,
    )
