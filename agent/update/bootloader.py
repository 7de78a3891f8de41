"""The two firmwares, and how each is told which slot boots.

`select` is the folder of the partition that the firmware reads. It has `grubenv` where GRUB chooses, and
`autoboot.txt` where a Raspberry Pi's own bootloader does.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from agent.base import atomic_file
from agent.base.slot_state import Slot, SlotState, SlotTrial
from agent.update import autoboot, grubenv

SLOTS: tuple[Slot, Slot] = ("A", "B")
WriteFile = Callable[[Path, bytes], None]
"""Writes a file so that a power cut leaves it old or new."""


class BootSelection(msgspec.Struct, frozen=True, kw_only=True):
    """What boots: `default`, unless `pending` has not been `tried` yet."""

    default: Slot
    pending: Slot | None = None
    tried: bool = False

    @property
    def next_slot(self) -> Slot:
        """What boots next, if the reboot is an orderly one."""
        return self.pending if self.pending and not self.tried else self.default


class BootConfigUnreadable(Exception):
    """The firmware's file is not there, or is none."""


class Bootloader(Protocol):
    """One way to choose. Every method may raise OSError."""

    name: str
    needs_arming: bool
    """Whether a trial is a word to the reboot itself."""

    def read(self, state: SlotState) -> BootSelection:
        """What boots. Raises Unreadable where it cannot be known."""
        ...

    def write(self, selection: BootSelection, state: SlotState) -> SlotState:
        """Make it so, by one write that decides, and tell what the book has to keep for it."""
        ...

    def arm_trial(self) -> None:
        """The reboot that comes now is the trial."""
        ...

    def is_trial_boot(self) -> bool:
        """Whether the firmware itself says that this boot is a trial."""
        ...


def other_slot(slot: Slot) -> Slot:
    """The other one."""
    return "B" if slot == "A" else "A"


class GrubBootloader:
    """`default`, `try` and `pending` in GRUB's environment block, all in one write.

    GRUB itself empties `try` before it boots what stood there. So a slot that is pending without `try`
    was tried, whatever became of it.
    """

    name = "grub"
    needs_arming = False

    def __init__(
        self, select_dir: Path, write_file: WriteFile = atomic_file.overwrite_in_place
    ) -> None:
        self._path = select_dir / "grubenv"
        self._write_file = write_file

    def _read_variables(self) -> dict[str, str]:
        try:
            return grubenv.decode(self._path.read_bytes())
        except (FileNotFoundError, ValueError) as error:
            raise BootConfigUnreadable(f"{self._path}: {error}") from error

    def read(self, state: SlotState) -> BootSelection:
        """The three variables."""
        variables = self._read_variables()
        default, pending = (
            _parse_slot(variables.get("default")),
            _parse_slot(variables.get("pending")),
        )
        trial_slot = _parse_slot(variables.get("try"))
        if default is None:
            raise BootConfigUnreadable(
                f"{self._path}: default={variables.get('default')}: not A or B"
            )
        pending = trial_slot or pending
        if pending in (None, default):
            return BootSelection(default=default)
        return BootSelection(default=default, pending=pending, tried=trial_slot is None)

    def write(self, selection: BootSelection, state: SlotState) -> SlotState:
        """One block."""
        try:
            variables = self._read_variables()
        except BootConfigUnreadable:
            variables = {}
        pending = selection.pending or ""
        variables |= {
            "default": selection.default,
            "try": "" if selection.tried else pending,
            "pending": pending,
        }
        self._write_file(self._path, grubenv.encode(variables))
        return state

    def arm_trial(self) -> None:
        """Nothing: what is written arms it."""

    def is_trial_boot(self) -> bool:
        """GRUB says it by its variables alone."""
        return False


class RaspberryPiBootloader:
    """autoboot.txt names the default; what waits is in the book; the trial is a word to the reboot.

    The firmware forgets `tryboot` with the power, and does not tell afterwards that it has tried. So the
    book says `tried` before the reboot is armed: a cut in between loses the trial, and none is made twice.
    """

    name = "raspberry pi"
    needs_arming = True
    PARTITIONS: tuple[tuple[Slot, int], ...] = (("A", 2), ("B", 3))

    def __init__(
        self,
        select_dir: Path,
        reboot_param: Path,
        device_tree: Path,
        write_file: WriteFile = atomic_file.overwrite_in_place,
    ) -> None:
        self._path = select_dir / "autoboot.txt"
        self._reboot_param_file = reboot_param
        self._tryboot_flag = device_tree / "chosen/bootloader/tryboot"
        self._write_file = write_file

    def read(self, state: SlotState) -> BootSelection:
        """The file, and the book."""
        try:
            partition = autoboot.decode(self._path.read_bytes())
        except (FileNotFoundError, ValueError) as error:
            raise BootConfigUnreadable(f"{self._path}: {error}") from error
        default = next((slot for slot, number in self.PARTITIONS if number == partition), None)
        if default is None:
            raise BootConfigUnreadable(f"{self._path}: boot_partition={partition}: not a slot's")
        trial = state.trial
        if trial is None or trial.slot == default:
            return BootSelection(default=default)
        return BootSelection(default=default, pending=trial.slot, tried=trial.tried)

    def write(self, selection: BootSelection, state: SlotState) -> SlotState:
        """The file where the default changes; the rest is the book's."""
        partitions = dict(self.PARTITIONS)
        autoboot_text = autoboot.encode(
            partitions[selection.default], partitions[other_slot(selection.default)]
        )
        try:
            is_current = autoboot.decode(self._path.read_bytes()) == partitions[selection.default]
        except (FileNotFoundError, ValueError):
            is_current = False
        if not is_current:
            self._write_file(self._path, autoboot_text)
        trial = selection.pending and SlotTrial(slot=selection.pending, tried=selection.tried)
        return msgspec.structs.replace(state, trial=trial or None)

    def arm_trial(self) -> None:
        """The reboot's parameter, which systemd hands to the kernel, and the kernel to the firmware."""
        self._reboot_param_file.parent.mkdir(parents=True, exist_ok=True)
        self._reboot_param_file.write_text("0 tryboot\n", encoding="ascii")

    def is_trial_boot(self) -> bool:
        """The firmware's own word, in the device tree: a 32-bit number, not 0."""
        try:
            return any(self._tryboot_flag.read_bytes())
        except OSError:
            return False


def _parse_slot(text: str | None) -> Slot | None:
    return next((slot for slot in SLOTS if slot == text), None)
