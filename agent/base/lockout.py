"""Delay of the console's codes after wrong answers: bounded, and across restarts.

    console/lockout.json    in the state folder

Every challenge is issued and every answer is checked, at the latest MAX_WAIT_S after the last wrong one: guesses delay
the holder of the right code, and never lock them out. A token's signature cannot be guessed and does not wait.

Of 10^8 codes one answers a challenge, which takes one answer. One guess in 300 s is 288 a day and 105,190 a year: the
chance to be in is 1 in 347,000 after a day at the cable and 0.11 % after a year without a pause, with SVC-01 at the
centre from the third guess on, and a receipt of each.

An attempt is stored before the answer is checked, so that cutting the power gains nothing. After a reboot the
wait starts again at the boot itself, because it is unknown how long the box was off: it ends at the same
moment however often the file is read, also if the disk takes no writes.
"""

import logging
from pathlib import Path

import msgspec

from agent.base.clock import Clock
from agent.base.state_file import StateFile

log = logging.getLogger(__name__)

FREE_ATTEMPTS = 3
INITIAL_WAIT_S = 30.0
MAX_WAIT_S = 300.0
LOCKOUT_FILE = "console/lockout.json"


class LockoutState(msgspec.Struct, frozen=True, kw_only=True):
    """Failures in a row, and the end of the wait in nanoseconds of the boot `boot`."""

    failures: int = 0
    until_ns: int = 0
    boot: str = ""


def state_file(state_dir: Path) -> StateFile[LockoutState]:
    """Return the file of a box."""
    return StateFile(state_dir / LOCKOUT_FILE, LockoutState)


def wait_s(failures: int) -> float:
    """Return the wait after this many failures in a row. Pure."""
    if failures < FREE_ATTEMPTS:
        return 0.0
    return min(MAX_WAIT_S, INITIAL_WAIT_S * 2.0 ** min(failures - FREE_ATTEMPTS, 30))


class Lockout:
    """Failure counter of one box. Used by one thread. Counts in memory alone without `state_dir`."""

    def __init__(self, state_dir: Path | None, clock: Clock, boot_id: str) -> None:
        self._file = None if state_dir is None else state_file(state_dir)
        self._clock = clock
        self._boot_id = boot_id
        self._is_persisted = True
        self._state = LockoutState(boot=boot_id)
        self.reload()

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._state.failures

    def remaining_s(self) -> float:
        """Seconds until the next code may be checked; 0 if now."""
        return max(0.0, (self._state.until_ns - self._clock.boottime_ns()) / 1e9)

    def record_attempt(self) -> None:
        """Count an attempt as a failure, until `reset`. A disk error is logged."""
        self._store(self._after(self._state.failures + 1, self._clock.boottime_ns()))

    def reset(self) -> None:
        """Clear the count after a correct answer."""
        self._store(LockoutState(boot=self._boot_id))

    def reload(self) -> None:
        """Read the file that another process may have written.

        If the last write failed, the state in memory is the newer one and is kept.
        """
        if self._file is None or not self._is_persisted:
            return
        state = self._file.read() or LockoutState(boot=self._boot_id)
        # A boot begins at 0 of its own clock, whenever the file is read. A damaged file must not delay
        # a code for longer than its failures do.
        is_of_this_boot = state.boot == self._boot_id
        limit = self._after(state.failures, self._clock.boottime_ns() if is_of_this_boot else 0)
        self._state = state if is_of_this_boot and state.until_ns <= limit.until_ns else limit

    def _after(self, failures: int, start_ns: int) -> LockoutState:
        until_ns = start_ns + int(wait_s(failures) * 1e9)
        return LockoutState(failures=failures, until_ns=until_ns, boot=self._boot_id)

    def _store(self, state: LockoutState) -> None:
        self._state = state
        if self._file is None:
            return
        try:
            self._file.write(state)
        except OSError as error:
            log.error("console: the lockout cannot be stored: %s", error)
            self._is_persisted = False
        else:
            self._is_persisted = True
