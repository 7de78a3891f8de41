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
from agent.console.results import ConsoleError

BEFORE, TRIAL, ASIDE = ".before", ".trial", ".new"
MOST_STARTS = 3
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

    def left_s(self, now_ns: int, boot: str) -> float:
        """How long it may still be confirmed; 0 where it is over."""
        return max(0.0, (self.until_ns - now_ns) / 1e9) if boot == self.boot else 0.0


_STANDING = msgspec.json.Decoder(PendingCommit)
_TORN = PendingCommit(what="a configuration", by="somebody", boot="", until_ns=0, tried="")


class CommitConfirm:
    """What is on trial of one configuration file. Any number of processes may use it."""

    def __init__(self, config: Path) -> None:
        self._file = Path(os.path.realpath(config))
        self._before, self._record, self._aside = (
            self._file.with_name(self._file.name + end) for end in (BEFORE, TRIAL, ASIDE)
        )

    @property
    def aside(self) -> Path:
        """Where a configuration can be checked before it is tried: relative paths begin there too."""
        return self._aside

    def standing(self) -> PendingCommit | None:
        """What is on trial. Raises OSError."""
        try:
            return _STANDING.decode(self._record.read_bytes())
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # It cannot be confirmed by anybody who knows what it is.
            return _TORN

    def put_aside(self, text: str) -> None:
        """Write a configuration to `aside`. Raises OSError."""
        self._aside.unlink(missing_ok=True)
        atomic_file.create_durably(self._aside, text.encode(), _mode(self._file))

    def drop_aside(self) -> None:
        """Remove it again."""
        self._aside.unlink(missing_ok=True)

    def begin(self, text: str, what: str, by: str, boot: str, until_ns: int) -> None:
        """Put a configuration in the place of the one that is there. Raises CannotDo and OSError."""
        with self._locked():
            if self.standing() is not None:
                raise ConsoleError("a change is on trial already: config confirm, or config undo")
            mode = _mode(self._file)
            atomic_file.replace_atomically(self._before, self._file.read_bytes(), mode)
            tried = hashlib.sha256(text.encode()).hexdigest()
            standing = PendingCommit(what=what, by=by, boot=boot, until_ns=until_ns, tried=tried)
            atomic_file.replace_atomically(self._record, msgspec.json.encode(standing), mode)
            atomic_file.replace_atomically(self._file, text.encode(), mode)

    def confirm(self, now_ns: int, boot: str) -> PendingCommit:
        """Keep what is on trial. Raises CannotDo where it is too late, and OSError."""
        with self._locked():
            standing = self.standing()
            if standing is None:
                raise ConsoleError("nothing is on trial")
            if standing.left_s(now_ns, boot) <= 0:
                raise ConsoleError("too late: it is being undone")
            self._end()
            return standing

    def undo(self) -> PendingCommit | None:
        """Put the one before back; None where nothing was on trial. Raises OSError."""
        with self._locked():
            standing = self.standing()
            if standing is not None:
                self._put_back(standing)
            return standing

    def undo_if_over(self, now_ns: int, boot: str) -> PendingCommit | None:
        """The same where nobody has confirmed it in time."""
        if not self._record.exists():
            return None
        with self._locked():
            standing = self.standing()
            if standing is None or standing.left_s(now_ns, boot) > 0:
                return None
            self._put_back(standing)
            return standing

    def start(self, now_ns: int, boot: str) -> PendingCommit | None:
        """The same for the agent, which is about to start with it: also where it has done so too often.
        Raises OSError.
        """
        if not self._record.exists():
            return None
        with self._locked():
            standing = self.standing()
            if standing is None:
                return None
            if standing.left_s(now_ns, boot) > 0 and standing.starts < MOST_STARTS:
                counted = msgspec.structs.replace(standing, starts=standing.starts + 1)
                atomic_file.replace_atomically(
                    self._record, msgspec.json.encode(counted), _mode(self._record)
                )
                return None
            self._put_back(standing)
            return standing

    def _put_back(self, standing: PendingCommit) -> None:
        """What somebody else has written meanwhile stays."""
        try:
            there = self._file.read_bytes()
        except FileNotFoundError:
            there = b""
        untouched = standing.tried in ("", hashlib.sha256(there).hexdigest())
        if untouched or not there:
            with suppress(FileNotFoundError):
                atomic_file.replace_atomically(
                    self._file, self._before.read_bytes(), _mode(self._before)
                )
        self._end()

    def _end(self) -> None:
        self._record.unlink(missing_ok=True)
        atomic_file.fsync_dir(self._file.parent)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else begins or ends one meanwhile: flock(2) on the folder."""
        handle = os.open(self._file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777
