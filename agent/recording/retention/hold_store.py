"""Store of holds: one JSON file each, in a folder that any process may add to.

    holds/<id>.json       a hold as a state file, see `agent.recording.retention.hold`
    holds/<id>.release    a request to end it
    holds/<name>.unreadable    a file that is neither, see agent.base.damaged_file

Files are replaced atomically. A request to end a hold is a second file: only the running agent changes
the first, and it appends both to the custody log and deletes them.
"""

import logging
import os
import re
import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec

from agent.base.atomic_file import TEMP_SUFFIX, fsync_dir, replace_atomically
from agent.base.clock import Clock, rfc3339
from agent.base.damaged_file import is_set_aside, note_lost, set_aside
from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.json_decode import MalformedJson, decode_json
from agent.base.message import Message
from agent.base.state_file import StateFile
from agent.base.state_inventory import LOST_REASON, StateInventory
from agent.config.recording import MAX_AGE_DAYS
from agent.recording.retention.hold import Hold

log = logging.getLogger(__name__)

HOLDS_DIR = "holds"
"""The folder in the state folder."""
_HOLD_SUFFIX, _RELEASE_SUFFIX = ".json", ".release"
_ID_PATTERN = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAX_FILE_BYTES = 1 << 16

FileStamp = tuple[int, int, int]
"""Inode, modification time and size: these identify a version of a file."""


class HoldReleaseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Request to end a hold: the requester and the reason."""

    hold_id: str
    by: Annotated[str, msgspec.Meta(min_length=1)]
    reason: str


_TYPE_BY_SUFFIX: dict[str, type[Hold | HoldReleaseRequest]] = {
    _HOLD_SUFFIX: Hold,
    _RELEASE_SUFFIX: HoldReleaseRequest,
}


class HoldStore:
    """Holds in a folder. Thread-safe.

    All methods but `all` and `pending_releases` access the folder. Raises OSError. A hold whose
    file could not be written is valid in this process all the same, and `write_unwritten` writes
    it later.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        boot: str,
        new_id: Callable[[int], str],
        inventory: StateInventory | None = None,
    ) -> None:
        """`inventory` is that of the box's state folder; the holds of a recorder alone are not listed."""
        self._folder = folder
        self._inventory = inventory
        self._clock = clock
        self._boot = boot
        self._new_id = new_id
        self._lock = threading.RLock()
        self._file_stamps: dict[str, FileStamp] = {}
        self._holds: dict[str, Hold] = {}
        self._releases: dict[str, HoldReleaseRequest] = {}
        self._unwritten_ids: set[str] = set()
        self._is_agent = False
        self._damaged_ids: set[str] = set()
        self._unnoted_ids: set[str] = set()
        self._given_up_ids: set[str] = set()

    def place(
        self,
        camera: str,
        begin: datetime,
        end: datetime,
        *,
        owner: str,
        reason: str,
        days: float,
        case: str | None = None,
    ) -> Hold:
        """Hold a span of a camera's footage, in UTC, for `days` from now.

        Raises UserError if the span or the term is invalid.
        """
        if end <= begin:
            raise UserError(
                Message(
                    "{label}: not after from = {begin}",
                    label=f"to = {rfc3339(end)}",
                    begin=rfc3339(begin),
                )
            )
        if not owner.strip() or not reason.strip():
            raise UserError(Message("{label}: an owner and a reason are required", label="hold"))
        if not 0 < days <= MAX_AGE_DAYS:
            raise UserError(
                Message(
                    "{label}: allowed: more than 0, at most {max}",
                    label=f"days = {days:g}",
                    max=MAX_AGE_DAYS,
                )
            )
        hold = self.build(
            self._new_id(self._clock.boottime_ns()),
            camera,
            begin,
            end,
            owner=owner,
            reason=reason,
            case=case,
            term=timedelta(days=days),
        )
        self.save(hold)
        return hold

    def build(
        self,
        hold_id: str,
        camera: str,
        begin: datetime,
        end: datetime,
        *,
        owner: str,
        reason: str,
        term: timedelta,
        case: str | None = None,
    ) -> Hold:
        """Return an operator's hold from now on, of a span in UTC. It is not saved."""
        now_ns = self._clock.boottime_ns()
        created = self._clock.utc(now_ns)
        return Hold(
            id=hold_id,
            kind="manual",
            camera=camera,
            boot=None,
            begin_ns=None,
            end_ns=None,
            begin_time=rfc3339(begin),
            end_time=rfc3339(end),
            owner=owner,
            reason=reason,
            case=case,
            created_boot=self._boot,
            created_ns=now_ns,
            created_time=rfc3339(created),
            created_synced=self._clock.trust().synced,
            expires=rfc3339(created + term),
        )

    def request_release(self, hold_id: str, *, by: str, reason: str) -> Hold:
        """Request the end of a hold. The agent executes it, now or at its next start.

        Raises UserError if there is no such hold.
        """
        if not by.strip() or not reason.strip():
            raise UserError(Message("{label}: a name and a reason are required", label="release"))
        with self._lock:
            self.refresh()
            hold = self._holds.get(hold_id)
            if hold is None or hold_id in self._releases:
                raise UserError(Message("hold {hold!r}: no such hold", hold=hold_id))
            request = HoldReleaseRequest(hold_id=hold_id, by=by, reason=reason)
            self._write_item(hold_id + _RELEASE_SUFFIX, request)
            self._releases[hold_id] = request
            return hold

    def active(self) -> tuple[Hold, ...]:
        """Read the folder and return the holds without a release request, ordered by id."""
        with self._lock:
            self.refresh()
            return self.all()

    def all(self) -> tuple[Hold, ...]:
        """Return the same as of the last read of the folder."""
        with self._lock:
            return tuple(
                self._holds[hold_id]
                for hold_id in sorted(self._holds)
                if hold_id not in self._releases
            )

    def pending_releases(self) -> tuple[HoldReleaseRequest, ...]:
        """Return the pending release requests."""
        with self._lock:
            return tuple(self._releases.values())

    def keep(self, hold: Hold) -> None:
        """Add or replace a hold in this process; `write_unwritten` writes it."""
        with self._lock:
            self._holds[hold.id] = hold
            self._unwritten_ids.add(hold.id)

    def save(self, hold: Hold) -> None:
        """Add or replace a hold."""
        with self._lock:
            self.keep(hold)
            self._write_item(hold.id + _HOLD_SUFFIX, hold)
            if self._inventory is not None:
                self._inventory.add(self._hold_path(hold.id))
            self._unwritten_ids.discard(hold.id)

    def update(self, hold: Hold) -> bool:
        """Replace an existing hold. Returns False if it was released or broken."""
        with self._lock:
            if not self.exists(hold.id):
                return False
            self.save(hold)
            return True

    def exists(self, hold_id: str) -> bool:
        """Return True if a hold exists without a release request."""
        with self._lock:
            self.refresh()
            return hold_id in self._holds and hold_id not in self._releases

    def write_unwritten(self) -> None:
        """Write the holds that have no file yet, and report lost ones, as far as that is not done."""
        with self._lock:
            note_lost(map(self._hold_path, sorted(self._unnoted_ids)), LOST_REASON)
            self._unnoted_ids.clear()
            for hold_id in sorted(self._unwritten_ids):
                self.save(self._holds[hold_id])
            if self._inventory is not None:
                lost = self._given_up_ids - self._holds.keys()
                self._inventory.remove(*map(self._hold_path, lost))
            self._given_up_ids.clear()

    def mark_recorded(self, hold: Hold) -> None:
        """Mark a hold as appended to the custody log, unless it has changed since."""
        with self._lock:
            if self._holds.get(hold.id) == hold:
                self.save(msgspec.structs.replace(hold, in_custody_log=True))

    def delete(self, hold_id: str) -> None:
        """Delete the files of an ended hold.

        The release is deleted last: a power cut between the two must not restore the hold.
        """
        with self._lock:
            self._unwritten_ids.discard(hold_id)
            path = self._hold_path(hold_id)
            if self._inventory is not None:
                self._inventory.remove(path)
            path.unlink(missing_ok=True)
            self._holds.pop(hold_id, None)
            if self._folder.is_dir():
                fsync_dir(self._folder)
            (self._folder / (hold_id + _RELEASE_SUFFIX)).unlink(missing_ok=True)
            self._releases.pop(hold_id, None)

    def reset_for_boot(self) -> None:
        """Read the folder at the start of the agent. What is to be written is left to `write_unwritten`.

        Events that were ongoing in this boot ended with the previous agent; partial files are deleted.
        """
        with self._lock:
            self._is_agent = True
            self.refresh()
            self._clean_folder()
            self._find_lost()
            now_ns = self._clock.boottime_ns()
            for hold in list(self._holds.values()):
                # One that this agent placed before it could read the folder has no file yet.
                if hold.ongoing and hold.boot == self._boot and hold.id not in self._unwritten_ids:
                    self.keep(with_event_end(hold, now_ns, self._clock))

    def _clean_folder(self) -> None:
        """Create the folder and delete partial files, which harm nothing if the disk refuses that."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for path in self._folder.glob(f".*{TEMP_SUFFIX}"):
                path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("holds: partial files stay: %s", error)

    def pop_damaged_ids(self) -> set[str]:
        """Return the ids of holds that were set aside or found missing since the last call and are not known otherwise."""
        with self._lock:
            damaged, self._damaged_ids = self._damaged_ids, set()
            return damaged - self._holds.keys()

    def give_up(self, hold_ids: Iterable[str]) -> None:
        """Expect the files of damaged holds no longer, except of those that were placed again; `write_unwritten` lists that."""
        with self._lock:
            self._given_up_ids.update(hold_ids)

    def _find_lost(self) -> None:
        """Find the holds that the state inventory lists and that are missing, to be reported and placed again."""
        if self._inventory is None:
            return
        ids = {path.stem for path in self._inventory.listed() if path.parent == self._folder}
        lost = ids - self._holds.keys() - self._damaged_ids
        self._unnoted_ids |= lost
        self._damaged_ids |= lost

    def refresh(self) -> None:
        """Read the files that other processes added, changed or deleted."""
        with self._lock:
            found, unread = _scan_folder(self._folder), set[str]()
            changed = [
                name for name, stamp in found.items() if self._file_stamps.get(name) != stamp
            ]
            for name in changed:
                if not self._read_file(name):
                    unread.add(name)
            for name in self._file_stamps.keys() - found.keys():
                self._on_file_removed(*name.split(".", 1))
            self._file_stamps = {name: stamp for name, stamp in found.items() if name not in unread}
            if self._is_agent and changed and self._inventory is not None:
                self._inventory.add(*map(self._hold_path, self._holds.keys() & _stems(changed)))

    def _on_file_removed(self, hold_id: str, suffix: str) -> None:
        """Handle a deleted file.

        Only the agent deletes holds: one deleted otherwise is written again.
        """
        if f".{suffix}" == _RELEASE_SUFFIX:
            self._releases.pop(hold_id, None)
        elif not self._is_agent:
            self._holds.pop(hold_id, None)
        elif hold_id in self._holds:
            log.warning("hold %s: another program deleted the file; it is written again", hold_id)
            self._unwritten_ids.add(hold_id)

    def _read_file(self, name: str) -> bool:
        """Read a file; the agent sets a damaged one aside. Return False if it is to be read again."""
        path = self._folder / name
        hold_id, suffix = path.stem, path.suffix
        try:
            if suffix not in _TYPE_BY_SUFFIX or not _ID_PATTERN.fullmatch(hold_id):
                raise ValueError("the name is not a hold's")  # noqa: TRY301 - one handler for all
            item = _read_item(path, _TYPE_BY_SUFFIX[suffix])
            if isinstance(item, Hold):
                if item.id != hold_id:
                    raise ValueError(f"its id is {item.id}")  # noqa: TRY301 - as above
                hold = item.with_receipt_times()
                if hold_id not in self._unwritten_ids:
                    self._holds[hold_id] = hold
            else:
                self._releases[hold_id] = item
        except FileNotFoundError:
            return True
        except (ValueError, OSError) as error:
            if not self._is_agent:
                log.warning("%s: not a hold: %s", path, error)
                return False
            if _ID_PATTERN.fullmatch(hold_id):
                self._damaged_ids.add(hold_id)
            set_aside(path, f"not a hold: {error}")
        return True

    def _hold_path(self, hold_id: str) -> Path:
        return self._folder / (hold_id + _HOLD_SUFFIX)

    def _write_item(self, name: str, item: Hold | HoldReleaseRequest) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / name
        data = StateFile(path, type(item)).encode(item)
        replace_atomically(path, data, 0o640, apply_umask=True)


def _read_item(path: Path, item_type: type[Hold | HoldReleaseRequest]) -> Hold | HoldReleaseRequest:
    """Read a file, which has a checksum unless a person wrote it. Raises ValueError, OSError."""
    data = read_regular_file(path, _MAX_FILE_BYTES)
    try:
        return StateFile(path, item_type).decode(data)
    except MalformedJson:
        return decode_json(data, item_type)


def with_event_end(hold: Hold, end_ns: int, clock: Clock) -> Hold:
    """Return an event's hold with its end, to be appended to the custody log again."""
    return msgspec.structs.replace(
        hold,
        ongoing=False,
        in_custody_log=False,
        end_ns=end_ns,
        end_time=rfc3339(clock.utc(end_ns)),
    )


def _stems(names: Iterable[str]) -> set[str]:
    return {name.removesuffix(_HOLD_SUFFIX) for name in names if name.endswith(_HOLD_SUFFIX)}


def _scan_folder(folder: Path) -> dict[str, FileStamp]:
    try:
        with os.scandir(folder) as entries:
            found: dict[str, FileStamp] = {}
            for entry in entries:
                if entry.name.endswith(TEMP_SUFFIX) or is_set_aside(entry.name):
                    continue
                try:
                    stat = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                found[entry.name] = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            return found
    except FileNotFoundError:
        return {}
