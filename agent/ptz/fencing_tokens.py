"""Fencing tokens: numbers that count up over restarts, without trust in any clock.

    heads/mast/tokens.json    {"next": 3000}

Numbers are reserved on the disk a block ahead, so that giving one away never waits for the disk.
A restart skips what was left of the block.
"""

import logging
from pathlib import Path

import msgspec

from agent.base import state_file

log = logging.getLogger(__name__)

BLOCK = 1000


class _Reserved(msgspec.Struct, frozen=True):
    """`next` is the first number that nobody can have been given."""

    next: int


class FencingTokens:
    """The tokens of one head. `take` is called under its head's lock, `reserve` by one thread.

    Where the disk refuses, numbers go on in memory and may come twice after a restart. That cannot
    give the head to somebody else: a token is good for its own holder only.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = self._reserved = _read(path)
        self.reserve()

    def take(self) -> int:
        """The next number, from 1."""
        token = self._next
        self._next += 1
        return token

    def reserve(self) -> None:
        """Reserve on the disk what will be needed, where less than half a block is left."""
        if self._reserved - self._next >= BLOCK // 2:
            return
        reserved = self._next + BLOCK
        try:
            state_file.keep(self._path, msgspec.json.encode(_Reserved(next=reserved)))
        except OSError as error:
            log.error("%s: cannot be kept: %s", self._path, error)
        # Not tried again before the next block: a disk that refuses is not asked at each turn.
        self._reserved = reserved


def _read(path: Path) -> int:
    try:
        return max(1, msgspec.json.decode(path.read_bytes(), type=_Reserved).next)
    except FileNotFoundError:
        return 1
    except (OSError, msgspec.MsgspecError) as error:
        log.error("%s: %s", path, error)
        state_file.set_aside(path)
        return 1
