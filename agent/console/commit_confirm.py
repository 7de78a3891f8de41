"""A configuration on trial: it stays if somebody confirms it in time, and is undone by itself otherwise.

    vigie.toml          as it is tried
    vigie.toml.before   as it was, and stays there once it is confirmed
    vigie.toml.trial    who tries what, and until when; without it nothing is on trial

All three lie in one folder, so that who finds the configuration finds out, whatever stands in it. Each
step may be the last before a power cut. A trial that another boot has begun was not confirmed: who
changed something that keeps the box from working may have had no other way than to cut the power.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from agent.base import atomic_file
from agent.console.errors import ConsoleError

BACKUP_SUFFIX, PENDING_SUFFIX, CANDIDATE_SUFFIX = ".before", ".trial", ".new"
MAX_STARTS = 3
"""The agent starts once with it because it was told to. One that starts again and again does not work with
it, and a street is not recorded meanwhile.
"""


class PendingCommit(msgspec.Struct, frozen=True, kw_only=True):
    """A trial. `what` are the keys, `by` who tries. It ends at `until_ns` of the boot `boot`. `tried`
    is the SHA-256 of the file that is tried, `starts` how often the agent has started with it.
    """

    what: str
    by: str
    boot: str
    until_ns: int
    tried: str
    starts: int = 0

    def remaining_s(self, now_ns: int, boot_id: str) -> float:
        """How long it may still be confirmed; 0 where it is over."""
        return max(0.0, (self.until_ns - now_ns) / 1e9) if boot_id == self.boot else 0.0


_PENDING_DECODER = msgspec.json.Decoder(PendingCommit)
_UNREADABLE = PendingCommit(what="a configuration", by="somebody", boot="", until_ns=0, tried="")


class CommitConfirm:
    """What is on trial of one configuration file. Any number of processes may use it."""

    def __init__(self, config_path: Path) -> None:
        self._config_path = Path(os.path.realpath(config_path))
        self._backup_path, self._pending_path, self._candidate_path = (
            self._config_path.with_name(self._config_path.name + suffix)
            for suffix in (BACKUP_SUFFIX, PENDING_SUFFIX, CANDIDATE_SUFFIX)
        )

    @property
    def candidate_path(self) -> Path:
        """Where a configuration can be checked before it is tried: relative paths begin there too."""
        return self._candidate_path

    def pending(self) -> PendingCommit | None:
        """What is on trial. Raises OSError."""
        try:
            return _PENDING_DECODER.decode(self._pending_path.read_bytes())
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # It cannot be confirmed by anybody who knows what it is.
            return _UNREADABLE

    def write_candidate(self, text: str) -> None:
        """Write a configuration to `aside`. Raises OSError."""
        self._candidate_path.unlink(missing_ok=True)
        atomic_file.create_durably(self._candidate_path, text.encode(), _mode(self._config_path))

    def remove_candidate(self) -> None:
        """Remove it again."""
        self._candidate_path.unlink(missing_ok=True)

    def begin(self, text: str, keys: str, by: str, boot_id: str, until_ns: int) -> None:
        """Put a configuration in the place of the one that is there. Raises ConsoleError and OSError."""
        with self._lock():
            if self.pending() is not None:
                raise ConsoleError("a change is on trial already: config confirm, or config undo")
            mode = _mode(self._config_path)
            atomic_file.replace_atomically(self._backup_path, self._config_path.read_bytes(), mode)
            candidate_sha256 = hashlib.sha256(text.encode()).hexdigest()
            pending = PendingCommit(
                what=keys, by=by, boot=boot_id, until_ns=until_ns, tried=candidate_sha256
            )
            atomic_file.replace_atomically(self._pending_path, msgspec.json.encode(pending), mode)
            atomic_file.replace_atomically(self._config_path, text.encode(), mode)

    def confirm(self, now_ns: int, boot_id: str) -> PendingCommit:
        """Keep what is on trial. Raises ConsoleError where it is too late, and OSError."""
        with self._lock():
            pending = self.pending()
            if pending is None:
                raise ConsoleError("nothing is on trial")
            if pending.remaining_s(now_ns, boot_id) <= 0:
                raise ConsoleError("too late: it is being undone")
            self._clear_pending()
            return pending

    def undo(self) -> PendingCommit | None:
        """Put the one before back; None where nothing was on trial. Raises OSError."""
        with self._lock():
            pending = self.pending()
            if pending is not None:
                self._restore_backup(pending)
            return pending

    def undo_if_expired(self, now_ns: int, boot_id: str) -> PendingCommit | None:
        """The same where nobody has confirmed it in time."""
        if not self._pending_path.exists():
            return None
        with self._lock():
            pending = self.pending()
            if pending is None or pending.remaining_s(now_ns, boot_id) > 0:
                return None
            self._restore_backup(pending)
            return pending

    def on_agent_start(self, now_ns: int, boot_id: str) -> PendingCommit | None:
        """The same for the agent, which is about to start with it: also where it has done so too often.
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
            self._restore_backup(pending)
            return pending

    def _restore_backup(self, pending: PendingCommit) -> None:
        """What somebody else has written meanwhile stays."""
        try:
            current = self._config_path.read_bytes()
        except FileNotFoundError:
            current = b""
        is_unchanged = pending.tried in ("", hashlib.sha256(current).hexdigest())
        if is_unchanged or not current:
            with suppress(FileNotFoundError):
                atomic_file.replace_atomically(
                    self._config_path, self._backup_path.read_bytes(), _mode(self._backup_path)
                )
        self._clear_pending()

    def _clear_pending(self) -> None:
        self._pending_path.unlink(missing_ok=True)
        atomic_file.fsync_dir(self._config_path.parent)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Nobody else begins or ends one meanwhile: flock(2) on the folder."""
        folder_fd = os.open(self._config_path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder_fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder_fd)


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777
