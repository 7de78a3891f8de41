"""Wrong answers make the console wait, longer each time, over restarts too.

    console/lockout.json    in the state folder

A wrong answer is written down before it is judged: who cuts the power in time gains nothing. After a
reboot a wait begins anew, since nobody knows how long the box was off. It counts from the boot itself: so
it ends at the same moment however often the file is read, and also where the disk takes nothing any more.
"""

import logging
import os
from pathlib import Path

import msgspec

from agent.base.clock import Clock

log = logging.getLogger(__name__)

FREE_TRIES = 3
FIRST_WAIT_S = 30.0
LONGEST_WAIT_S = 900.0
FILE = "console/lockout.json"


class LockoutState(msgspec.Struct, frozen=True, kw_only=True):
    """How often in a row it was wrong, and until when nobody may try, in the boot `boot`."""

    failures: int = 0
    until_ns: int = 0
    boot: str = ""


_STANDING = msgspec.json.Decoder(LockoutState)


def wait_s(failures: int) -> float:
    """How long it waits after so many wrong answers in a row. Pure."""
    if failures < FREE_TRIES:
        return 0.0
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failures - FREE_TRIES, 30))


class Lockout:
    """The count of wrong answers of one box. One thread uses it."""

    def __init__(self, state: Path | None, clock: Clock, boot: str) -> None:
        self._path = None if state is None else state / FILE
        self._clock = clock
        self._boot = boot
        self._kept = state is not None
        self._standing = self._read()

    @property
    def failures(self) -> int:
        """Wrong answers in a row."""
        return self._standing.failures

    def left_s(self) -> float:
        """How long nobody may try yet; 0 where somebody may."""
        return max(0.0, (self._standing.until_ns - self._clock.boottime_ns()) / 1e9)

    def count(self) -> None:
        """An answer has come, and counts as wrong until `clear`. Where the disk does not take it, it
        is remembered until the power goes.
        """
        failures = self._standing.failures + 1
        until_ns = self._clock.boottime_ns() + int(wait_s(failures) * 1e9)
        self._write(LockoutState(failures=failures, until_ns=until_ns, boot=self._boot))

    def clear(self) -> None:
        """Somebody has answered rightly."""
        self._write(LockoutState(boot=self._boot))

    def refresh(self) -> None:
        """Take in what another process has written; where the disk took nothing of ours, what is in
        memory stands.
        """
        if self._kept:
            self._standing = self._read()

    def _read(self) -> LockoutState:
        if self._path is None:
            return LockoutState()
        try:
            standing = _STANDING.decode(self._path.read_bytes())
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return LockoutState(boot=self._boot)
        if standing.boot == self._boot:
            return standing
        # Of another boot. This one began at 0, whenever it is that somebody looks.
        until_ns = int(wait_s(standing.failures) * 1e9)
        return LockoutState(failures=standing.failures, until_ns=until_ns, boot=self._boot)

    def _write(self, standing: LockoutState) -> None:
        self._standing = standing
        if self._path is None:
            return
        aside = self._path.with_suffix(".writing")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with aside.open("wb") as file:
                file.write(msgspec.json.encode(standing))
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self._path)
        except OSError as error:
            log.error("console: wrong answers cannot be counted on the disk: %s", error)
            self._kept = False
        else:
            self._kept = True
