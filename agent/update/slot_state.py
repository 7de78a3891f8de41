"""What is known of the two slots, in a file of the state partition: `slots.json`.

Which slot boots is not here but with the firmware; see `firmware`. The exception is what waits to be
tried on a Raspberry Pi, whose firmware has no place for it.
"""

from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from agent.base import atomic_file

NAME = "slots.json"
_MOST_BYTES = 65_536
_REFUSED_MOST = 16

Slot: TypeAlias = Literal["A", "B"]
State: TypeAlias = Literal["good", "installed", "bad"]
"""good: it has proved itself; installed: whole, and not proved yet; bad: it failed, or is not whole."""


class SlotRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One slot. `version` is of the system in it, None where nobody knows or it is not whole."""

    state: State = "bad"
    version: str | None = None


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What waits to be tried, or was tried."""

    slot: Slot
    tried: bool = False


class Installing(msgspec.Struct, frozen=True, kw_only=True):
    """What RAUC is about to write, and where to."""

    slot: Slot
    version: str


class FellBack(msgspec.Struct, frozen=True, kw_only=True):
    """A trial that failed. `time` is RFC 3339, as the clock said when it was found."""

    version: str | None
    slot: Slot
    time: str
    why: str


class SlotState(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. `reached` is the slot on trial that came up far enough to say so. `refused` are
    the versions that fell back or were rolled back, and are not tried again unasked.
    """

    v: Literal[1] = 1
    slots: dict[Slot, SlotRecord] = {}
    trial: Trial | None = None
    reached: Slot | None = None
    installing: Installing | None = None
    refused: tuple[str, ...] = ()
    fell_back: FellBack | None = None

    def slot(self, name: Slot) -> SlotRecord:
        """What is known of a slot."""
        return self.slots.get(name, SlotRecord())

    def with_slot(self, name: Slot, known: SlotRecord) -> "SlotState":
        """The same with another word on a slot."""
        return msgspec.structs.replace(self, slots={**self.slots, name: known})

    def with_refused(self, version: str | None) -> "SlotState":
        """The same, and a version that is not tried again."""
        if version is None or version in self.refused:
            return self
        kept = (*self.refused, version)[-_REFUSED_MOST:]
        return msgspec.structs.replace(self, refused=kept)

    def without_refused(self, version: str | None) -> "SlotState":
        """The same, and a version that may be tried again."""
        kept = tuple(one for one in self.refused if one != version)
        return msgspec.structs.replace(self, refused=kept)


_BOOK = msgspec.json.Decoder(SlotState)


def read(folder: Path) -> SlotState:
    """The book; an empty one where there is none, or none that can be read."""
    try:
        with (folder / NAME).open("rb") as file:
            return _BOOK.decode(file.read(_MOST_BYTES))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return SlotState()


def write(folder: Path, book: SlotState) -> None:
    """Replace it, durably. The agent may read it. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    atomic_file.replace_atomically(folder / NAME, msgspec.json.encode(book) + b"\n", 0o644)
