"""The two firmwares, and how each is told which slot boots.

`select` is the folder of the partition that the firmware reads. It has `grubenv` where GRUB chooses, and
`autoboot.txt` where a Raspberry Pi's own bootloader does.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from agent.base import atomic_file
from agent.update import autoboot, grubenv
from agent.update.slot_state import Slot, SlotState, Trial

SLOTS: tuple[Slot, Slot] = ("A", "B")
Put = Callable[[Path, bytes], None]
"""Writes a file so that a power cut leaves it old or new."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What boots: `default`, unless `pending` has not been `tried` yet."""

    default: Slot
    pending: Slot | None = None
    tried: bool = False

    @property
    def next(self) -> Slot:
        """What boots next, if the reboot is an orderly one."""
        return self.pending if self.pending and not self.tried else self.default


class Unreadable(Exception):
    """The firmware's file is not there, or is none."""


class Bootloader(Protocol):
    """One way to choose. Every method may raise OSError."""

    name: str
    arms_reboots: bool
    """Whether a trial is a word to the reboot itself."""

    def read(self, book: SlotState) -> Choice:
        """What boots. Raises Unreadable where it cannot be known."""
        ...

    def write(self, choice: Choice, book: SlotState) -> SlotState:
        """Make it so, by one write that decides, and tell what the book has to keep for it."""
        ...

    def arm(self) -> None:
        """The reboot that comes now is the trial."""
        ...

    def is_trial(self) -> bool:
        """Whether the firmware itself says that this boot is a trial."""
        ...


def other(slot: Slot) -> Slot:
    """The other one."""
    return "B" if slot == "A" else "A"


class Grub:
    """`default`, `try` and `pending` in GRUB's environment block, all in one write.

    GRUB itself empties `try` before it boots what stood there. So a slot that is pending without `try`
    was tried, whatever became of it.
    """

    name = "grub"
    arms_reboots = False

    def __init__(self, select: Path, put: Put = atomic_file.overwrite_in_place) -> None:
        self._path = select / "grubenv"
        self._put = put

    def _variables(self) -> dict[str, str]:
        try:
            return grubenv.decode(self._path.read_bytes())
        except (FileNotFoundError, ValueError) as error:
            raise Unreadable(f"{self._path}: {error}") from error

    def read(self, book: SlotState) -> Choice:
        """The three variables."""
        variables = self._variables()
        default, pending = _slot(variables.get("default")), _slot(variables.get("pending"))
        tries = _slot(variables.get("try"))
        if default is None:
            raise Unreadable(f"{self._path}: default={variables.get('default')}: not A or B")
        pending = tries or pending
        if pending in (None, default):
            return Choice(default=default)
        return Choice(default=default, pending=pending, tried=tries is None)

    def write(self, choice: Choice, book: SlotState) -> SlotState:
        """One block."""
        try:
            variables = self._variables()
        except Unreadable:
            variables = {}
        pending = choice.pending or ""
        variables |= {
            "default": choice.default,
            "try": "" if choice.tried else pending,
            "pending": pending,
        }
        self._put(self._path, grubenv.encode(variables))
        return book

    def arm(self) -> None:
        """Nothing: what is written arms it."""

    def is_trial(self) -> bool:
        """GRUB says it by its variables alone."""
        return False


class RaspberryPi:
    """autoboot.txt names the default; what waits is in the book; the trial is a word to the reboot.

    The firmware forgets `tryboot` with the power, and does not tell afterwards that it has tried. So the
    book says `tried` before the reboot is armed: a cut in between loses the trial, and none is made twice.
    """

    name = "raspberry pi"
    arms_reboots = True
    PARTITIONS: tuple[tuple[Slot, int], ...] = (("A", 2), ("B", 3))

    def __init__(
        self,
        select: Path,
        reboot_param: Path,
        device_tree: Path,
        put: Put = atomic_file.overwrite_in_place,
    ) -> None:
        self._path = select / "autoboot.txt"
        self._reboot_param = reboot_param
        self._tryboot = device_tree / "chosen/bootloader/tryboot"
        self._put = put

    def read(self, book: SlotState) -> Choice:
        """The file, and the book."""
        try:
            partition = autoboot.decode(self._path.read_bytes())
        except (FileNotFoundError, ValueError) as error:
            raise Unreadable(f"{self._path}: {error}") from error
        default = next((slot for slot, number in self.PARTITIONS if number == partition), None)
        if default is None:
            raise Unreadable(f"{self._path}: boot_partition={partition}: not a slot's")
        trial = book.trial
        if trial is None or trial.slot == default:
            return Choice(default=default)
        return Choice(default=default, pending=trial.slot, tried=trial.tried)

    def write(self, choice: Choice, book: SlotState) -> SlotState:
        """The file where the default changes; the rest is the book's."""
        numbers = dict(self.PARTITIONS)
        fresh = autoboot.encode(numbers[choice.default], numbers[other(choice.default)])
        try:
            is_written = autoboot.decode(self._path.read_bytes()) == numbers[choice.default]
        except (FileNotFoundError, ValueError):
            is_written = False
        if not is_written:
            self._put(self._path, fresh)
        trial = choice.pending and Trial(slot=choice.pending, tried=choice.tried)
        return msgspec.structs.replace(book, trial=trial or None)

    def arm(self) -> None:
        """The reboot's parameter, which systemd hands to the kernel, and the kernel to the firmware."""
        self._reboot_param.parent.mkdir(parents=True, exist_ok=True)
        self._reboot_param.write_text("0 tryboot\n", encoding="ascii")

    def is_trial(self) -> bool:
        """The firmware's own word, in the device tree: a 32-bit number, not 0."""
        try:
            return any(self._tryboot.read_bytes())
        except OSError:
            return False


def _slot(word: str | None) -> Slot | None:
    return next((slot for slot in SLOTS if slot == word), None)
