"""What is known of the two slots, in a file of the state partition: `slots.json`.

Which slot boots is not here but with the firmware; see `firmware`. The exception is what waits to be
tried on a Raspberry Pi, whose firmware has no place for it.
"""

from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from agent.base import atomic_file

FILE_NAME = "slots.json"
_MAX_BYTES = 65_536
_MAX_REFUSED = 16

Slot: TypeAlias = Literal["A", "B"]
SlotStatus: TypeAlias = Literal["good", "installed", "bad"]
"""good: it has proved itself; installed: whole, and not proved yet; bad: it failed, or is not whole."""


class SlotRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One slot. `version` is of the system in it, None where nobody knows or it is not whole."""

    state: SlotStatus = "bad"
    version: str | None = None


class SlotTrial(msgspec.Struct, frozen=True, kw_only=True):
    """What waits to be tried, or was tried."""

    slot: Slot
    tried: bool = False


class InstallInProgress(msgspec.Struct, frozen=True, kw_only=True):
    """What RAUC is about to write, and where to."""

    slot: Slot
    version: str


class FailedTrial(msgspec.Struct, frozen=True, kw_only=True):
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
    trial: SlotTrial | None = None
    reached: Slot | None = None
    installing: InstallInProgress | None = None
    refused: tuple[str, ...] = ()
    fell_back: FailedTrial | None = None

    def slot(self, name: Slot) -> SlotRecord:
        """What is known of a slot."""
        return self.slots.get(name, SlotRecord())

    def with_slot(self, name: Slot, record: SlotRecord) -> "SlotState":
        """The same with another word on a slot."""
        return msgspec.structs.replace(self, slots={**self.slots, name: record})

    def with_refused(self, version: str | None) -> "SlotState":
        """The same, and a version that is not tried again."""
        if version is None or version in self.refused:
            return self
        refused = (*self.refused, version)[-_MAX_REFUSED:]
        return msgspec.structs.replace(self, refused=refused)

    def without_refused(self, version: str | None) -> "SlotState":
        """The same, and a version that may be tried again."""
        refused = tuple(
            refused_version for refused_version in self.refused if refused_version != version
        )
        return msgspec.structs.replace(self, refused=refused)


_STATE_DECODER = msgspec.json.Decoder(SlotState)


def read(folder: Path) -> SlotState:
    """The book; an empty one where there is none, or none that can be read."""
    try:
        with (folder / FILE_NAME).open("rb") as file:
            return _STATE_DECODER.decode(file.read(_MAX_BYTES))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return SlotState()


def write(folder: Path, state: SlotState) -> None:
    """Replace it, durably. The agent may read it. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    atomic_file.replace_atomically(folder / FILE_NAME, msgspec.json.encode(state) + b"\n", 0o644)
