"""Records of incidents, kept over restarts and power cuts.

incidents.json    a state file: the open incidents, and the newest revisions of those that have ended
"""

import logging
from pathlib import Path

import msgspec

from agent.base.model import Outcome
from agent.base.state_file import StateFile
from agent.base.state_inventory import StateInventory
from agent.commands.requester import Requester
from agent.incident.order import IncidentOrder
from agent.incident.state_machine import Phase

log = logging.getLogger(__name__)

FILE_NAME = "incidents.json"
MAX_RUNNING = 8
"""At once. One more is pending until one has ended."""
MAX_PENDING = 8
"""Of more, the one that ends first is ended. With as many orders of the largest size the file has half of its limit."""
MAX_LATER_BOOTS = 64
"""Boots that are remembered of an incident. On a box that never has a clock an order waits for ever."""
MAX_ENDED = 64
"""Incidents that have ended and are remembered, so that no older revision is taken again."""


class CameraHold(msgspec.Struct, frozen=True, kw_only=True):
    """A hold of an incident: of the boot `boot`, open as long as the incident runs, or by UTC before `begun_boot`."""

    hold: str
    camera: str
    boot: str | None


class SentHead(msgspec.Struct, frozen=True, kw_only=True):
    """A head that is not sent to its preset again, and what became of it."""

    head: str
    outcome: Outcome
    detail: str | None


class IncidentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One incident on this box.

    `order` is the revision in force, with the longest `before_min` since the begin; `signers` are its own.
    `deadline_ns` is its end in time of the boot `deadline_boot`, see `state_machine.judge`. `event` is the id of the
    event that reports it, and `event_rev` its newest revision, 0 before the first one; it began with the arrival of
    the order, at `begun_ns` of `begun_boot`, `begun_time` in UTC, and was open in `later_boots` too. `sent_pictures`
    counts its pictures up to the newest save.
    """

    order: IncidentOrder
    signers: tuple[Requester, ...]
    phase: Phase
    event: str
    event_rev: int = 0
    begun_boot: str
    begun_ns: int
    begun_time: str
    later_boots: tuple[str, ...] = ()
    deadline_boot: str
    deadline_ns: int | None
    holds: tuple[CameraHold, ...] = ()
    sent_heads: tuple[SentHead, ...] = ()
    sent_pictures: int = 0

    @property
    def id(self) -> str:
        """The incident's id."""
        return self.order.id

    def find_sent(self, head: str) -> SentHead | None:
        """Return what became of a head's preset, or None if it is to be sent there."""
        return next((sent for sent in self.sent_heads if sent.head == head), None)

    @property
    def signer(self) -> Requester:
        """The person for whom it is executed."""
        return self.signers[0]


class EndedIncident(msgspec.Struct, frozen=True, kw_only=True):
    """The newest revision of an incident that has ended on this box."""

    id: str
    revision: int


class IncidentRecords(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the state file, each in the order of its begin or end."""

    open: tuple[IncidentRecord, ...] = ()
    ended: tuple[EndedIncident, ...] = ()


class IncidentStore:
    """The records of one box. Changed by one thread."""

    def __init__(self, state_dir: Path) -> None:
        self._file = StateFile(
            state_dir / FILE_NAME, IncidentRecords, inventory=StateInventory(state_dir)
        )
        self._records = self._file.load() or IncidentRecords()
        self._is_written = True

    @property
    def open(self) -> tuple[IncidentRecord, ...]:
        """The incidents that are pending or run, the oldest first."""
        return self._records.open

    def find(self, incident_id: str) -> IncidentRecord | None:
        """Return an open incident, or None."""
        return next((record for record in self.open if record.id == incident_id), None)

    def find_obstacle(self) -> str | None:
        """Return why the box must not be restarted or updated now, or None. Thread-safe."""
        running = (record for record in self.open if record.phase == "running")
        return next((f"incident {record.id} runs: end it first" for record in running), None)

    def ended_revision(self, incident_id: str) -> int | None:
        """Return the newest revision of an incident that has ended, or None."""
        return next(
            (ended.revision for ended in self._records.ended if ended.id == incident_id), None
        )

    def save(self, record: IncidentRecord) -> None:
        """Add or replace a record; one that has ended is only remembered."""
        others = tuple(other for other in self._records.open if other.id != record.id)
        ended = tuple(other for other in self._records.ended if other.id != record.id)
        if record.phase == "ended":
            ended = (*ended, EndedIncident(id=record.id, revision=record.order.revision))
            self._replace(IncidentRecords(open=others, ended=ended[-MAX_ENDED:]))
            return
        open_records = tuple(
            record if other.id == record.id else other for other in self._records.open
        )
        if len(others) == len(self._records.open):
            open_records = (*others, record)
        self._replace(IncidentRecords(open=open_records, ended=ended))

    def note_sent(self, incident_id: str, sent: SentHead) -> None:
        """Remember what became of a head's preset, so that a restart does not turn it again."""
        record = self.find(incident_id)
        if record is not None:
            self.save(msgspec.structs.replace(record, sent_heads=(*record.sent_heads, sent)))

    def write_unwritten(self) -> None:
        """Write the records again if the disk did not take them."""
        if not self._is_written:
            self._replace(self._records)

    def _replace(self, records: IncidentRecords) -> None:
        self._records = records
        try:
            self._file.write(records)
            self._is_written = True
        except OSError as error:
            # It runs all the same; a restart before the next write would not know of it.
            if self._is_written:
                log.error("incidents cannot be written: %s", error)
            self._is_written = False
