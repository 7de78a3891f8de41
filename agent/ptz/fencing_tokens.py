"""Fencing tokens: numbers that count up over restarts, without trust in any clock.

    heads/mast/tokens.json    {"next": 3000}

Numbers are reserved on the disk a block ahead, so that giving one away never waits for the disk.
A restart skips what was left of the block.
"""

import logging
from pathlib import Path

import msgspec

from agent.base.state_file import StateFile

log = logging.getLogger(__name__)

BLOCK_SIZE = 1000


class _TokenFile(msgspec.Struct, frozen=True):
    """`next` is the first number that nobody can have been given."""

    next: int


class FencingTokens:
    """The tokens of one head. `take` is called under its head's lock, `reserve` by one thread.

    Where the disk refuses, numbers go on in memory and may come twice after a restart. That cannot
    give the head to somebody else: a token is good for its own holder only.
    """

    def __init__(self, path: Path) -> None:
        self._file = StateFile(path, _TokenFile)
        stored = self._file.load() or _TokenFile(next=1)
        self._next_token = self._reserved_until = max(1, stored.next)
        self.reserve()

    def issue(self) -> int:
        """The next number, from 1."""
        token = self._next_token
        self._next_token += 1
        return token

    def reserve(self) -> None:
        """Reserve on the disk what will be needed, where less than half a block is left."""
        if self._reserved_until - self._next_token >= BLOCK_SIZE // 2:
            return
        reserved_until = self._next_token + BLOCK_SIZE
        try:
            self._file.write(_TokenFile(next=reserved_until))
        except OSError as error:
            log.error("%s: cannot be kept: %s", self._file.path, error)
        # Not tried again before the next block: a disk that refuses is not asked at each turn.
        self._reserved_until = reserved_until
