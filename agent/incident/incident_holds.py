"""Holds of incidents: the footage from some minutes before the begin until the end, of each camera."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import msgspec

from agent.base.clock import Clock, rfc3339
from agent.base.model import IncidentOutcome
from agent.config.configuration import InstitutionConfig
from agent.faults.registry import FaultRegistry
from agent.incident.order import FootageOrder, Permits
from agent.incident.record import CameraHold, IncidentRecord
from agent.recording.retention.hold import Hold
from agent.recording.retention.hold_store import HoldStore, with_event_end

log = logging.getLogger(__name__)

_SIGNERS_OF_LONG_HOLD = 2


class IncidentHolds:
    """Places, extends and ends the holds. Used by one thread.

    A hold is of one boot and open, like that of an event that has not ended: it needs no clock. It stays for its own
    term when the incident has ended, and a person may release it before.
    """

    def __init__(
        self,
        hold_store: HoldStore,
        clock: Clock,
        boot: str,
        new_id: Callable[[int], str],
        faults: FaultRegistry,
        cameras: Mapping[str, InstitutionConfig | None],
        command_days: float,
        permits: Permits,
    ) -> None:
        """`cameras` are the recorded ones, with the policies of those that are lent."""
        self._hold_store = hold_store
        self._clock = clock
        self._boot = boot
        self._new_id = new_id
        self._faults = faults
        self._cameras = dict(cameras)
        self._command_days = command_days
        self._permits = permits

    def begin(self, record: IncidentRecord) -> IncidentRecord:
        """Place the holds that an order wants and the record does not have, of each boot since the order arrived."""
        footage = record.order.footage
        if footage is None:
            return record
        placed = {(hold.camera, hold.boot) for hold in record.holds}
        boots = dict.fromkeys((record.begun_boot, *record.later_boots, self._boot))
        before_boot_ns = _before_ns(footage) - record.begun_ns
        reaches_earlier_boots = (
            before_boot_ns > 0 and record.begun_boot == self._boot and self._clock.trust().synced
        )
        added = []
        for camera, policy in self._cameras.items():
            if self._refusal(camera, policy, record) is not None:
                continue
            added += [
                self._place(record, footage, camera, boot)
                for boot in boots
                if (camera, boot) not in placed
            ]
            if reaches_earlier_boots and (camera, None) not in placed:
                added.append(self._hold_earlier_boots(record, footage, camera, before_boot_ns))
        return msgspec.structs.replace(record, holds=(*record.holds, *added))

    def keep_open(self, record: IncidentRecord) -> None:
        """Open holds again that a restart of the agent has ended, and state the end of a newer revision."""
        for hold in self._find(record):
            end_time = rfc3339(record.order.ends)
            if not hold.ongoing or hold.end_time != end_time:
                self._update(
                    msgspec.structs.replace(
                        hold, ongoing=True, end_time=end_time, in_custody_log=False
                    )
                )

    def end(self, record: IncidentRecord) -> None:
        """End the span of the holds; they stay for their term."""
        now_ns = self._clock.boottime_ns()
        for hold in self._find(record):
            self._update(with_event_end(hold, now_ns, self._clock))

    def outcomes(self, record: IncidentRecord) -> tuple[IncidentOutcome, ...]:
        """Return what became of the order's `footage`, by camera."""
        footage = record.order.footage
        if footage is None:
            return ()
        days = self._days(record, footage)
        detail = None
        if footage.days is not None and days < footage.days:
            detail = f"for {days:g} days; longer needs the signatures of two people"
        outcomes = []
        for camera, policy in self._cameras.items():
            refusal = self._refusal(camera, policy, record)
            outcomes.append(
                IncidentOutcome(
                    part="footage",
                    of=camera,
                    outcome="done" if refusal is None else "forbidden",
                    detail=refusal or detail,
                )
            )
        return tuple(outcomes)

    def _refusal(
        self, camera: str, policy: InstitutionConfig | None, record: IncidentRecord
    ) -> str | None:
        if not self._permits(record.signer, "hold", camera):
            return f"{record.signer.by} may not hold its footage"
        if policy is not None and not policy.can_view(record.signer.id):
            return f"{record.signer.id!r} is not among its owner's viewers"
        return None

    def _days(self, record: IncidentRecord, footage: FootageOrder) -> float:
        if footage.days is None:
            return self._command_days
        if len(record.signers) >= _SIGNERS_OF_LONG_HOLD:
            return footage.days
        return min(footage.days, self._command_days)

    def _place(
        self, record: IncidentRecord, footage: FootageOrder, camera: str, boot: str
    ) -> CameraHold:
        """Hold a boot from the minutes before the order arrived, or as a whole if that was in an earlier one."""
        begin_ns = 0
        if boot == record.begun_boot:
            begin_ns = max(0, record.begun_ns - _before_ns(footage))
        begin = self._clock.utc(begin_ns)
        if boot != self._boot:
            begin = datetime.fromisoformat(record.begun_time)  # when that boot began is not known
        hold = self._build(record, footage, camera, begin, record.order.ends)
        end_ns = hold.created_ns if boot == self._boot else begin_ns
        hold = msgspec.structs.replace(
            hold, boot=boot, begin_ns=begin_ns, end_ns=end_ns, ongoing=True
        )
        self._save(hold)
        return CameraHold(hold=hold.id, camera=camera, boot=boot)

    def _hold_earlier_boots(
        self, record: IncidentRecord, footage: FootageOrder, camera: str, before_boot_ns: int
    ) -> CameraHold:
        """Hold the part of the minutes before the begin that earlier boots have recorded, by UTC."""
        booted = self._clock.utc(0)
        begin = booted - timedelta(microseconds=before_boot_ns // 1000)
        hold = self._build(record, footage, camera, begin, booted)
        self._save(hold)
        return CameraHold(hold=hold.id, camera=camera, boot=None)

    def _build(
        self,
        record: IncidentRecord,
        footage: FootageOrder,
        camera: str,
        begin: datetime,
        end: datetime,
    ) -> Hold:
        return self._hold_store.build(
            self._new_id(self._clock.boottime_ns()),
            camera,
            begin,
            end,
            owner=record.signer.by,
            reason=f"incident {record.id}",
            case=record.order.case,
            term=timedelta(days=self._days(record, footage)),
        )

    def _find(self, record: IncidentRecord) -> list[Hold]:
        """Return the holds of this boot that still exist: a person may have released one."""
        own = {hold.hold for hold in record.holds if hold.boot == self._boot}
        try:
            holds = self._hold_store.active()
        except OSError:
            holds = self._hold_store.all()
        return [hold for hold in holds if hold.id in own]

    def _save(self, hold: Hold) -> None:
        """Save a hold. One that cannot be written is valid in memory, and is written later."""
        try:
            self._hold_store.save(hold)
        except OSError as error:
            self._raise_fault(hold, error)

    def _update(self, hold: Hold) -> None:
        try:
            self._hold_store.update(hold)
        except OSError as error:
            self._raise_fault(hold, error)

    def _raise_fault(self, hold: Hold, error: OSError) -> None:
        log.error("hold %s cannot be written: %s", hold.id, error)
        self._faults.raise_fault("STO-04", "holds", error)


def _before_ns(footage: FootageOrder) -> int:
    return int(footage.before_min * 60e9)
