"""Fencing tokens: numbers that count up over restarts, without trust in any clock.

    heads/mast/tokens.json    a state file: {"next": 3000}

Numbers are reserved on the disk a block ahead, so that issuing one never waits for the disk.
A restart skips the rest of the block.
"""

import logging
from pathlib import Path

import msgspec

from agent.base.state_file import StateFile
from agent.base.state_inventory import StateInventory

log = logging.getLogger(__name__)

BLOCK_SIZE = 1000


class _TokenFile(msgspec.Struct, frozen=True):
    """`next` is the first number that cannot have been issued."""

    next: int


class FencingTokens:
    """The tokens of one head. `issue` is called under its head's lock, `reserve` by one thread.

    If the disk fails, numbers continue in memory and may be issued twice after a restart. That
    cannot hand the head to another requester: a token is good for its own holder only.
    """

    def __init__(self, path: Path, inventory: StateInventory | None = None) -> None:
        label = f"{path.parent.name}/{path.name}"
        self._file = StateFile(path, _TokenFile, label=label, inventory=inventory)
        stored = self._file.load() or _TokenFile(next=1)
        self._next_token = self._reserved_until = max(1, stored.next)
        self.reserve()

    def issue(self) -> int:
        """Return the next number, from 1."""
        token = self._next_token
        self._next_token += 1
        return token

    def reserve(self) -> None:
        """Reserve a block on the disk if less than half of one is left."""
        if self._reserved_until - self._next_token >= BLOCK_SIZE // 2:
            return
        reserved_until = self._next_token + BLOCK_SIZE
        try:
            self._file.write(_TokenFile(next=reserved_until))
        except OSError as error:
            log.error("%s: tokens cannot be reserved: %s", self._file.path, error)
        # Retried at the next block only: a failing disk is not written to in each cycle.
        self._reserved_until = reserved_until
