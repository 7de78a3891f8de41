"""Commit-confirm of a file: kept if confirmed in time, else rolled back.

    vigie.toml            the new configuration, active already
    vigie.toml.before     the previous one; stays after a confirmation
    vigie.toml.pending    who changes which keys, and the deadline; nothing is on trial without it

All three are in one folder, so that the folder alone decides, whatever the configuration says. The power
may fail after any step. A commit of an earlier boot counts as expired: a technician whose change keeps the
box from working may have had no other way out than to cut the power.

The technician at the console changes the configuration file so, and the centre its layer
(`agent.config.desired_store`).
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from agent.base import atomic_file
from agent.base.errors import UserError
from agent.base.file_lock import lock_exclusively
from agent.base.file_read import read_regular_file
from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.base.message import Message
from agent.base.sha256 import sha256_hex

MAX_FILE_BYTES = 1_048_576
BACKUP_SUFFIX, PENDING_SUFFIX, CANDIDATE_SUFFIX = ".before", ".pending", ".new"
MAX_STARTS = 3
"""The agent starts once on request. An agent that restarts again and again does not work with the new
configuration, and records nothing meanwhile.
"""


class PendingCommit(msgspec.Struct, frozen=True, kw_only=True):
    """A change that waits for its confirmation until `until_ns` of the boot `boot_id`.

    `candidate_sha256` is of the new file; `starts` counts the agent's starts with it.
    """

    keys: str
    by: str
    boot_id: str
    until_ns: int
    candidate_sha256: str
    starts: int = 0

    def remaining_s(self, now_ns: int, boot_id: str) -> float:
        """Return the seconds until the deadline; 0 if it has passed."""
        return max(0.0, (self.until_ns - now_ns) / 1e9) if boot_id == self.boot_id else 0.0


class Rollback(msgspec.Struct, frozen=True, kw_only=True):
    """A commit that has ended without a confirmation.

    `restored` is False if the file was changed in the meantime, or has no backup: it stays then.
    """

    commit: PendingCommit
    restored: bool

    @property
    def outcome(self) -> Message:
        """The state of the file, for the technician, the log and the receipt."""
        return (
            Message("the configuration is the previous one again")
            if self.restored
            else Message("the file was changed meanwhile, and stays as it is")
        )


_PENDING_DECODER = JsonDecoder(PendingCommit)
_UNREADABLE = PendingCommit(
    keys="unknown keys", by="unknown", boot_id="", until_ns=0, candidate_sha256=""
)


class CommitConfirm:
    """Commit-confirm of one file. Safe for several processes at once."""

    def __init__(self, config_path: Path) -> None:
        self._config_path = Path(os.path.realpath(config_path))
        self._backup_path, self._pending_path, self._candidate_path = (
            self._config_path.with_name(self._config_path.name + suffix)
            for suffix in (BACKUP_SUFFIX, PENDING_SUFFIX, CANDIDATE_SUFFIX)
        )

    def pending(self) -> PendingCommit | None:
        """Return the commit that waits for its confirmation. Raises OSError."""
        try:
            return _PENDING_DECODER.decode(read_regular_file(self._pending_path, MAX_FILE_BYTES))
        except FileNotFoundError:
            return None
        except PermissionError:
            raise
        except (OSError, MalformedJson):
            # An unreadable change cannot be confirmed: it counts as expired.
            return _UNREADABLE

    def is_active(self, commit: PendingCommit) -> bool:
        """True if the file is the one of this commit. Raises OSError."""
        return commit.candidate_sha256 == sha256_hex(self._read_current())

    @contextmanager
    def candidate(self, text: str) -> Iterator[Path]:
        """Write a configuration next to the file, so that relative paths hold, and remove it again.

        Raises OSError.
        """
        self._candidate_path.unlink(missing_ok=True)
        atomic_file.create_durably(self._candidate_path, text.encode(), _mode(self._config_path))
        try:
            yield self._candidate_path
        finally:
            self._candidate_path.unlink(missing_ok=True)

    def begin(self, text: str, keys: str, by: str, boot_id: str, until_ns: int) -> PendingCommit:
        """Replace the configuration until it is confirmed or rolled back.

        Raises: UserError if another change waits for its confirmation; OSError.
        """
        with self._lock():
            if self.pending() is not None:
                raise UserError(
                    Message("a change is on trial already: config confirm, or config undo")
                )
            mode = _mode(self._config_path)
            atomic_file.replace_atomically(self._backup_path, self._read_current(), mode)
            pending = PendingCommit(
                keys=keys,
                by=by,
                boot_id=boot_id,
                until_ns=until_ns,
                candidate_sha256=sha256_hex(text.encode()),
            )
            atomic_file.replace_atomically(self._pending_path, msgspec.json.encode(pending), mode)
            atomic_file.replace_atomically(self._config_path, text.encode(), mode)
            return pending

    def confirm(self, now_ns: int, boot_id: str) -> PendingCommit:
        """Keep the new configuration.

        Raises: UserError if nothing waits for a confirmation or the deadline has passed; OSError.
        """
        with self._lock():
            pending = self.pending()
            if pending is None:
                raise UserError(Message("nothing is on trial"))
            if pending.remaining_s(now_ns, boot_id) <= 0:
                raise UserError(Message("too late: the change is being undone"))
            self._clear_pending()
            return pending

    def undo(self) -> Rollback | None:
        """Roll back at once; None if nothing waits for a confirmation. Raises OSError."""
        with self._lock():
            pending = self.pending()
            return None if pending is None else self._roll_back(pending)

    def undo_if_expired(self, now_ns: int, boot_id: str) -> Rollback | None:
        """Roll back if the deadline has passed. Costs one stat if nothing waits. Raises OSError."""
        if not self._pending_path.exists():
            return None
        with self._lock():
            pending = self.pending()
            if pending is None or pending.remaining_s(now_ns, boot_id) > 0:
                return None
            return self._roll_back(pending)

    def on_agent_start(self, now_ns: int, boot_id: str) -> Rollback | None:
        """Count a start of the agent; roll back after too many, or if the deadline has passed.

        Raises OSError.
        """
        if not self._pending_path.exists():
            return None
        with self._lock():
            pending = self.pending()
            if pending is None:
                return None
            if pending.remaining_s(now_ns, boot_id) > 0 and pending.starts < MAX_STARTS:
                updated = msgspec.structs.replace(pending, starts=pending.starts + 1)
                atomic_file.replace_atomically(
                    self._pending_path, msgspec.json.encode(updated), _mode(self._pending_path)
                )
                return None
            return self._roll_back(pending)

    def _roll_back(self, pending: PendingCommit) -> Rollback:
        """Restore the backup, unless another program has changed the file since."""
        is_candidate = not pending.candidate_sha256 or self.is_active(pending)
        restored = False
        if is_candidate or not self._read_current():
            try:
                previous = read_regular_file(self._backup_path, MAX_FILE_BYTES)
            except FileNotFoundError:
                pass
            else:
                atomic_file.replace_atomically(
                    self._config_path, previous, _mode(self._backup_path)
                )
                restored = True
        self._clear_pending()
        return Rollback(commit=pending, restored=restored)

    def _read_current(self) -> bytes:
        try:
            return read_regular_file(self._config_path, MAX_FILE_BYTES)
        except FileNotFoundError:
            return b""

    def _clear_pending(self) -> None:
        try:
            self._pending_path.unlink(missing_ok=True)
        except IsADirectoryError:
            shutil.rmtree(self._pending_path)
        atomic_file.fsync_dir(self._config_path.parent)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Exclude other processes with a lock of the folder. Raises OSError, also LockTimeout."""
        folder_fd = os.open(self._config_path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            lock_exclusively(folder_fd, self._config_path)
            yield
        finally:
            os.close(folder_fd)


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777
