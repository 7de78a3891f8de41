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

FREE_ATTEMPTS = 3
INITIAL_WAIT_S = 30.0
MAX_WAIT_S = 900.0
LOCKOUT_FILE = "console/lockout.json"


class LockoutState(msgspec.Struct, frozen=True, kw_only=True):
    """How often in a row it was wrong, and until when nobody may try, in the boot `boot`."""

    failures: int = 0
    until_ns: int = 0
    boot: str = ""


_STATE_DECODER = msgspec.json.Decoder(LockoutState)


def wait_s(failures: int) -> float:
    """How long it waits after so many wrong answers in a row. Pure."""
    if failures < FREE_ATTEMPTS:
        return 0.0
    return min(MAX_WAIT_S, INITIAL_WAIT_S * 2.0 ** min(failures - FREE_ATTEMPTS, 30))


class Lockout:
    """The count of wrong answers of one box. One thread uses it."""

    def __init__(self, state_dir: Path | None, clock: Clock, boot_id: str) -> None:
        self._path = None if state_dir is None else state_dir / LOCKOUT_FILE
        self._clock = clock
        self._boot_id = boot_id
        self._is_persisted = state_dir is not None
        self._state = self._read()

    @property
    def failures(self) -> int:
        """Wrong answers in a row."""
        return self._state.failures

    def remaining_s(self) -> float:
        """How long nobody may try yet; 0 where somebody may."""
        return max(0.0, (self._state.until_ns - self._clock.boottime_ns()) / 1e9)

    def record_attempt(self) -> None:
        """An answer has come, and counts as wrong until `clear`. Where the disk does not take it, it
        is remembered until the power goes.
        """
        failures = self._state.failures + 1
        until_ns = self._clock.boottime_ns() + int(wait_s(failures) * 1e9)
        self._write(LockoutState(failures=failures, until_ns=until_ns, boot=self._boot_id))

    def reset(self) -> None:
        """Somebody has answered rightly."""
        self._write(LockoutState(boot=self._boot_id))

    def reload(self) -> None:
        """Take in what another process has written; where the disk took nothing of ours, what is in
        memory stands.
        """
        if self._is_persisted:
            self._state = self._read()

    def _read(self) -> LockoutState:
        if self._path is None:
            return LockoutState()
        try:
            state = _STATE_DECODER.decode(self._path.read_bytes())
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return LockoutState(boot=self._boot_id)
        if state.boot == self._boot_id:
            return state
        # Of another boot. This one began at 0, whenever it is that somebody looks.
        until_ns = int(wait_s(state.failures) * 1e9)
        return LockoutState(failures=state.failures, until_ns=until_ns, boot=self._boot_id)

    def _write(self, state: LockoutState) -> None:
        self._state = state
        if self._path is None:
            return
        temp_path = self._path.with_suffix(".writing")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with temp_path.open("wb") as file:
                file.write(msgspec.json.encode(state))
                file.flush()
                os.fsync(file.fileno())
            temp_path.replace(self._path)
        except OSError as error:
            log.error("console: wrong answers cannot be counted on the disk: %s", error)
            self._is_persisted = False
        else:
            self._is_persisted = True
