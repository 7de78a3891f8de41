"""Revocation lists: the certificates that an authority has withdrawn before their end.

    control/revocations.json    in the state folder

A list is a retained message, signed by the key of the authority itself, and revokes certificates of that authority only.
It is stored before it is in force, and its number only grows: a broker that publishes an older one changes nothing. If
the stored lists are lost, no signer counts as not revoked until a list has come.
"""

import logging
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec

from agent.authority.refusal import RefusedMessage
from agent.base.damaged_file import is_lost
from agent.base.sha256 import Sha256
from agent.base.state_file import StateFile
from agent.base.state_inventory import StateInventory

log = logging.getLogger(__name__)

REVOCATIONS_FILE = "control/revocations.json"
MAX_REVOCATIONS_BYTES = 131_072
MAX_REVOKED = 2000

Serial = Annotated[str, msgspec.Meta(pattern=r"^[1-9a-f][0-9a-f]{0,39}$(?!\n)")]
"""A certificate's serial number, hexadecimal in lower case, without leading zeros."""


class RevocationList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """On `vigie/v1/centre/revocations`, retained and signed by the authority: the certificates that it has withdrawn.

    `number` grows with each list. `serials` are the serial numbers, hexadecimal in lower case; one whose certificate
    has ended may be left out.
    """

    number: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
    issued: Annotated[datetime, msgspec.Meta(tz=True)]
    serials: Annotated[tuple[Serial, ...], msgspec.Meta(max_length=MAX_REVOKED)]


class RevocationState(msgspec.Struct, frozen=True, kw_only=True):
    """The newest list of each authority, by the SHA-256 of its certificate."""

    lists: dict[Sha256, RevocationList] = {}


def state_file(state_dir: Path) -> StateFile[RevocationState]:
    """Return the file of a box."""
    return StateFile(
        state_dir / REVOCATIONS_FILE, RevocationState, inventory=StateInventory(state_dir)
    )


class RevocationStore:
    """The revocation lists of a box. Written by one thread; `is_revoked` is thread-safe."""

    def __init__(self, state_dir: Path) -> None:
        self._file = state_file(state_dir)
        self._lists = (self._file.load() or RevocationState()).lists
        self._is_lost = is_lost(self._file.path)

    @property
    def is_lost(self) -> bool:
        """True if the stored lists were lost, and none has come since."""
        return self._is_lost

    def is_revoked(self, authority: Sha256, serial: str) -> bool:
        """Return whether an authority has withdrawn a certificate."""
        newest = self._lists.get(authority)
        return newest is not None and serial in newest.serials

    def numbers(self) -> dict[Sha256, int]:
        """Return the number of the newest list of each authority."""
        return {authority: newest.number for authority, newest in self._lists.items()}

    def replace(self, authority: Sha256, received: RevocationList) -> None:
        """Store the list of an authority. Raises: RefusedMessage if a newer one is stored.

        If the disk refuses it, the list is in force until the agent ends.
        """
        newest = self._lists.get(authority)
        if received == newest:
            return
        if newest is not None and received.number <= newest.number:
            raise RefusedMessage(
                "old_number",
                f"revocation list {received.number} after list {newest.number}; allowed: a greater number",
            )
        lists = {**self._lists, authority: received}
        try:
            self._file.write(RevocationState(lists=lists))
        except OSError as error:
            log.error("revocation list %d cannot be stored: %s", received.number, error)
        self._lists, self._is_lost = lists, False
