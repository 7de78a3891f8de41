"""State of the two system slots: `slots.json` in the state partition. Root writes, the agent reads.

Which slot boots is stored by the bootloader, see `agent/update/bootloader.py`. The exception is the
slot on trial on a Raspberry Pi, whose firmware has no place for it.
"""

from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from agent.base.damaged_file import is_unreported, unreported_path
from agent.base.message import Message
from agent.base.state_file import StateFile

FILE_NAME = "slots.json"
_MAX_REFUSED = 16

Slot: TypeAlias = Literal["A", "B"]
SlotStatus: TypeAlias = Literal["good", "installed", "bad"]
"""good: a boot of it was found good; installed: complete, not booted yet; bad: failed or incomplete."""


TrialFailure: TypeAlias = Literal["not booted", "power lost", "not good"]

FAILURE_TEXTS: dict[TrialFailure, Message] = {
    "not booted": Message("it did not boot, or the power was cut"),
    "power lost": Message(
        "it booted, and the power was cut or it crashed before it was found good"
    ),
    "not good": Message("it booted and was not found good"),
}


class SlotRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One slot. `version` is of the system in it, None if that is unknown or incomplete."""

    state: SlotStatus = "bad"
    version: str | None = None


class SlotTrial(msgspec.Struct, frozen=True, kw_only=True):
    """The slot that is to be tried at the next boot, or was `tried`."""

    slot: Slot
    tried: bool = False


class InstallInProgress(msgspec.Struct, frozen=True, kw_only=True):
    """The version that RAUC is about to write, and into which slot."""

    slot: Slot
    version: str


class FailedTrial(msgspec.Struct, frozen=True, kw_only=True):
    """A trial that failed. `time` is RFC 3339, of when the failure was detected."""

    version: str | None
    slot: Slot
    time: str
    reason: TrialFailure


class SlotState(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. `came_up` is the slot on trial that booted far enough to record it, until it is found good;
    `was_stopped` if it then stopped in order, by a reboot or a power-off.
    `refused` are the versions that fell back or were rolled back; they are installed again only on request.
    """

    v: Literal[1] = 1
    slots: dict[Slot, SlotRecord] = {}
    trial: SlotTrial | None = None
    came_up: Slot | None = None
    was_stopped: bool = False
    installing: InstallInProgress | None = None
    refused: tuple[str, ...] = ()
    failed_trial: FailedTrial | None = None

    @property
    def is_on_trial(self) -> bool:
        """True while the slot on trial runs and was not found good yet. Root knows it from the bootloader."""
        return self.came_up is not None and self.slot(self.came_up).state != "bad"

    def slot(self, name: Slot) -> SlotRecord:
        """Return the record of a slot; an unknown slot counts as bad."""
        return self.slots.get(name, SlotRecord())

    def with_slot(self, name: Slot, record: SlotRecord) -> "SlotState":
        """Return a copy with another record of one slot."""
        return msgspec.structs.replace(self, slots={**self.slots, name: record})

    def with_refused(self, version: str | None) -> "SlotState":
        """Return a copy in which `version` is refused."""
        if version is None or version in self.refused:
            return self
        refused = (*self.refused, version)[-_MAX_REFUSED:]
        return msgspec.structs.replace(self, refused=refused)

    def without_refused(self, version: str | None) -> "SlotState":
        """Return a copy in which `version` is not refused any more."""
        refused = tuple(
            refused_version for refused_version in self.refused if refused_version != version
        )
        return msgspec.structs.replace(self, refused=refused)


def read(folder: Path) -> SlotState:
    """Return the state, or an empty one if the file is missing or cannot be read."""
    return _state_file(folder).read() or SlotState()


def set_damaged_aside(folder: Path) -> Path | None:
    """Set a damaged file aside, for root alone. Return its path then, or None if it is in order."""
    file = _state_file(folder)
    is_lost = file.load() is None and is_unreported(file.path)
    return unreported_path(file.path) if is_lost else None


def write(folder: Path, state: SlotState) -> None:
    """Replace the file durably; the agent may read it. Raises: OSError."""
    _state_file(folder).write(state)


def _state_file(folder: Path) -> StateFile[SlotState]:
    return StateFile(folder / FILE_NAME, SlotState, shared=True)
