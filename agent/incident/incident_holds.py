"""Holds of incidents: the footage from some minutes before the begin until the end, of each camera."""

import logging
from collections.abc import Callable, Mapping, Sequence
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
_DAY = timedelta(days=1)
_TIME_RESOLUTION = timedelta(milliseconds=1)
"""Of the times of a hold."""


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
        """Open holds again that a restart of the agent has ended, and have all follow the revision in force."""
        footage = record.order.footage
        for own, hold in self._find(record):
            wanted = hold
            if own.boot == self._boot:
                end_time = rfc3339(record.order.ends)
                wanted = msgspec.structs.replace(wanted, ongoing=True, end_time=end_time)
            if footage is not None and self._is_permitted(record, own.camera):
                wanted = self._follow(wanted, own.boot, record, footage)
            if wanted != hold:
                self._update(msgspec.structs.replace(wanted, in_custody_log=False))

    def end(self, record: IncidentRecord) -> None:
        """End the span of the holds; they stay for their term."""
        now_ns = self._clock.boottime_ns()
        for own, hold in self._find(record):
            if own.boot == self._boot:
                self._update(with_event_end(hold, now_ns, self._clock))

    def outcomes(self, record: IncidentRecord) -> tuple[IncidentOutcome, ...]:
        """Return what became of the order's `footage`, by camera."""
        footage = record.order.footage
        if footage is None:
            return ()
        by_id = {hold.id: hold for hold in self._hold_store.all()}
        outcomes = []
        for camera, policy in self._cameras.items():
            refusal = self._refusal(camera, policy, record)
            own = [hold.hold for hold in record.holds if hold.camera == camera]
            terms = [_term(by_id[hold_id]) for hold_id in own if hold_id in by_id]
            outcomes.append(
                IncidentOutcome(
                    part="footage",
                    of=camera,
                    outcome="done" if refusal is None else "forbidden",
                    detail=refusal or self._term_detail(footage, terms),
                )
            )
        return tuple(outcomes)

    def _term_detail(self, footage: FootageOrder, terms: Sequence[timedelta]) -> str | None:
        """Return how long a camera's holds last, if that is not what the order says."""
        ordered = _DAY * (self._command_days if footage.days is None else footage.days)
        if not terms:
            return None
        if min(terms) < ordered - _TIME_RESOLUTION:
            return f"for {min(terms) / _DAY:g} days; longer needs the signatures of two people"
        if max(terms) > ordered + _TIME_RESOLUTION:
            return f"for {max(terms) / _DAY:g} days: no revision shortens a hold"
        return None

    def _refusal(
        self, camera: str, policy: InstitutionConfig | None, record: IncidentRecord
    ) -> str | None:
        if not self._permits(record.signer, "hold", camera):
            return f"{record.signer.by} may not hold its footage"
        if policy is not None and not policy.can_view(record.signer.id):
            return f"{record.signer.id!r} is not among its owner's viewers"
        return None

    def _is_permitted(self, record: IncidentRecord, camera: str) -> bool:
        return (
            camera in self._cameras and self._refusal(camera, self._cameras[camera], record) is None
        )

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

    def _follow(
        self, hold: Hold, boot: str | None, record: IncidentRecord, footage: FootageOrder
    ) -> Hold:
        """Return a hold with the owner, case, term and begin of a revision. Invariant: it is never shortened."""
        created = datetime.fromisoformat(hold.created_time)
        expires = rfc3339(created + _DAY * self._days(record, footage))
        hold = msgspec.structs.replace(
            hold,
            owner=record.signer.by,
            case=record.order.case,
            expires=max(hold.expires, expires),  # texts of one form: ordered like their times
        )
        begin = datetime.fromisoformat(hold.begin_time)
        begin_ns = record.begun_ns - _before_ns(footage)
        if boot is None and begin_ns < 0:
            # It ends at the begin of the boot in which the order arrived.
            end = datetime.fromisoformat(hold.end_time)
            begin_by_end = end + timedelta(microseconds=begin_ns // 1000)
            if begin_by_end < begin - _TIME_RESOLUTION:
                hold = msgspec.structs.replace(hold, begin_time=rfc3339(begin_by_end))
        elif boot == record.begun_boot and hold.begin_ns is not None:
            earlier_ns = max(0, hold.begin_ns - max(0, begin_ns))
            begin -= timedelta(microseconds=earlier_ns // 1000)
            hold = msgspec.structs.replace(
                hold, begin_ns=hold.begin_ns - earlier_ns, begin_time=rfc3339(begin)
            )
        return hold

    def _find(self, record: IncidentRecord) -> list[tuple[CameraHold, Hold]]:
        """Return the holds that still exist: a person may have released one."""
        try:
            holds = self._hold_store.active()
        except OSError:
            holds = self._hold_store.all()
        by_id = {hold.id: hold for hold in holds}
        return [(own, by_id[own.hold]) for own in record.holds if own.hold in by_id]

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


def _term(hold: Hold) -> timedelta:
    return datetime.fromisoformat(hold.expires) - datetime.fromisoformat(hold.created_time)


def _before_ns(footage: FootageOrder) -> int:
    return int(footage.before_min * 60e9)
