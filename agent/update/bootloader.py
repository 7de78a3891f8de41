"""Bootloaders: select the slot that boots, in GRUB and on a Raspberry Pi.

`select_dir` is the folder of the partition that the firmware reads. It holds `grubenv` if GRUB selects the
slot, and `autoboot.txt` if a Raspberry Pi's own bootloader does. The codecs of both files are pure.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from agent.base import atomic_file
from agent.base.message import Message
from agent.base.slot_state import Slot, SlotState, SlotTrial

SLOTS: tuple[Slot, Slot] = ("A", "B")
GRUBENV_BYTES = 1024
_GRUBENV_SIGNATURE = b"# GRUB Environment Block\n"
_GRUBENV_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\\n"})
AUTOBOOT_BYTES = 128
"""Constant, so that one file can be written over another within one sector."""
_MAX_AUTOBOOT_BYTES = 512

MIN_FIRMWARE_BUILD = datetime(2025, 3, 10, tzinfo=UTC)
"""The first bootloader of a Raspberry Pi that knows the filter [boot_partition] of config.txt. An older one boots
slot A's root with the kernel of either slot.
"""

WriteFile = Callable[[Path, bytes], None]
"""Writes a file so that a power cut leaves it old or new."""


class BootSelection(msgspec.Struct, frozen=True, kw_only=True):
    """The slot that boots: `default`, unless `pending` has not been `tried` yet."""

    default: Slot
    pending: Slot | None = None
    tried: bool = False

    @property
    def next_slot(self) -> Slot:
        """The slot that boots next, if the reboot is an orderly one."""
        return self.pending if self.pending and not self.tried else self.default


class BootConfigUnreadable(Exception):
    """The bootloader's file is missing or malformed."""


class Bootloader(Protocol):
    """One way to select the slot. Every method may raise OSError."""

    name: str

    def read(self, state: SlotState) -> BootSelection:
        """Return the current selection. Raises: BootConfigUnreadable if it cannot be determined."""
        ...

    def write(self, selection: BootSelection, state: SlotState) -> SlotState:
        """Apply a selection by one atomic write, and return the state to store with it.

        `tried` is written right before the reboot that is the trial.
        """
        ...

    def arm_trial(self) -> None:
        """Make the reboot that follows the trial, after `write` of a selection that is `tried`."""
        ...

    def is_trial_boot(self) -> bool:
        """Return whether the firmware itself reports this boot as a trial."""
        ...

    def find_trial_problem(self) -> Message | None:
        """Return why the firmware cannot try a slot, or None if it can."""
        ...


def other_slot(slot: Slot) -> Slot:
    """Return the other slot."""
    return "B" if slot == "A" else "A"


def decode_grubenv(block: bytes) -> dict[str, str]:
    """Decode GRUB's environment block: 1024 bytes of `name=value` lines, padded with `#`.

    The format is that of grub-editenv(1) and of GRUB's own `save_env`, which writes it in place.
    Raises: ValueError if the block is malformed.
    """
    if len(block) != GRUBENV_BYTES or not block.startswith(_GRUBENV_SIGNATURE):
        raise ValueError(f"not GRUB's environment block of {GRUBENV_BYTES} bytes")
    try:
        text = block[len(_GRUBENV_SIGNATURE) :].decode("ascii")
    except UnicodeDecodeError as error:
        raise ValueError("contains bytes that are not ASCII") from error
    variables: dict[str, str] = {}
    for line in _split_grubenv_lines(text):
        name, separator, value = line.partition("=")
        if separator and not name.startswith("#"):
            variables[name] = value
    return variables


def encode_grubenv(variables: Mapping[str, str]) -> bytes:
    """Encode GRUB's environment block. Raises: ValueError if the variables do not fit."""
    lines = (f"{name}={value.translate(_GRUBENV_ESCAPES)}\n" for name, value in variables.items())
    block = _GRUBENV_SIGNATURE + "".join(lines).encode("ascii")
    if len(block) > GRUBENV_BYTES:
        raise ValueError(
            f"GRUB's environment block = {len(block)} bytes: allowed: {GRUBENV_BYTES} or fewer"
        )
    return block.ljust(GRUBENV_BYTES, b"#")


def _split_grubenv_lines(text: str) -> list[str]:
    """Split at newlines; a backslash escapes the next character. The padding is not a line."""
    lines, line, is_escaped = [], "", False
    for char in text:
        if is_escaped:
            line, is_escaped = line + char, False
        elif char == "\\":
            is_escaped = True
        elif char == "\n":
            lines.append(line)
            line = ""
        else:
            line += char
    return lines


def decode_autoboot(data: bytes) -> int:
    """Return the default partition of a Raspberry Pi's autoboot.txt.

    The firmware reads up to 512 bytes and knows the filters `[all]`, `[none]` and `[tryboot]`. With
    `tryboot_a_b=1` a `tryboot` differs by its partition alone. Raises: ValueError if it names none.
    """
    if len(data) > _MAX_AUTOBOOT_BYTES:
        raise ValueError(f"{len(data)} bytes: the firmware reads {_MAX_AUTOBOOT_BYTES}")
    section, found = "all", None
    for line in data.decode("ascii", "replace").splitlines():
        text = line.strip()
        if text.startswith("[") and text.endswith("]"):
            section = text[1:-1]
        elif section == "all" and text.startswith("boot_partition="):
            found = text.partition("=")[2]
    if found is None or not found.isdecimal():
        raise ValueError("no boot_partition for [all]")
    return int(found)


def encode_autoboot(default_partition: int, tryboot_partition: int) -> bytes:
    """Encode autoboot.txt, always at the same length."""
    text = f"[all]\ntryboot_a_b=1\nboot_partition={default_partition}\n[tryboot]\nboot_partition={tryboot_partition}\n"
    return text.encode("ascii").ljust(AUTOBOOT_BYTES, b"\n")


class GrubBootloader:
    """`default`, `pending`, `tried` and `try` in GRUB's environment block, all in one write.

    `pending` waits for its reboot. At that reboot it becomes `tried` and `try`, and GRUB itself empties `try`
    before it boots the slot that it named: the trial is made once, whatever its outcome.
    """

    name = "grub"

    def __init__(
        self, select_dir: Path, write_file: WriteFile = atomic_file.overwrite_in_place
    ) -> None:
        self._path = select_dir / "grubenv"
        self._write_file = write_file

    def _read_variables(self) -> dict[str, str]:
        try:
            return decode_grubenv(self._path.read_bytes())
        except (FileNotFoundError, ValueError) as error:
            raise BootConfigUnreadable(f"{self._path}: {error}") from error

    def read(self, state: SlotState) -> BootSelection:
        """Decode `default`, `pending` and `tried`."""
        variables = self._read_variables()
        default, waiting, tried = (
            _parse_slot(variables.get(name)) for name in ("default", "pending", "tried")
        )
        if default is None:
            raise BootConfigUnreadable(
                f"{self._path}: default={variables.get('default')}; allowed: A or B"
            )
        pending = tried or waiting
        if pending in (None, default):
            return BootSelection(default=default)
        return BootSelection(default=default, pending=pending, tried=tried is not None)

    def write(self, selection: BootSelection, state: SlotState) -> SlotState:
        """Write the four variables in one block."""
        try:
            variables = self._read_variables()
        except BootConfigUnreadable:
            variables = {}
        pending = selection.pending or ""
        tried = pending if selection.tried else ""
        variables |= {
            "default": selection.default,
            "pending": "" if selection.tried else pending,
            "tried": tried,
            "try": tried,
        }
        self._write_file(self._path, encode_grubenv(variables))
        return state

    def arm_trial(self) -> None:
        """Do nothing: `write` has armed the trial."""

    def is_trial_boot(self) -> bool:
        """Return False: GRUB reports a trial by its variables alone."""
        return False

    def find_trial_problem(self) -> Message | None:
        """Return None: the image brings its own GRUB."""
        return None


class RaspberryPiBootloader:
    """autoboot.txt names the default, `slots.json` the pending slot; a reboot parameter makes the trial.

    The firmware drops `tryboot` at power-off, and does not report afterwards that it was used. So
    `tried` is stored before the reboot is armed: a power cut in between loses the trial, and no slot is
    tried twice.
    """

    name = "raspberry pi"
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
        self._device_tree = device_tree
        self._tryboot_flag = device_tree / "chosen/bootloader/tryboot"
        self._write_file = write_file

    def read(self, state: SlotState) -> BootSelection:
        """Combine autoboot.txt with the trial in the state."""
        try:
            partition = decode_autoboot(self._path.read_bytes())
        except (FileNotFoundError, ValueError) as error:
            raise BootConfigUnreadable(f"{self._path}: {error}") from error
        default = next((slot for slot, number in self.PARTITIONS if number == partition), None)
        if default is None:
            raise BootConfigUnreadable(
                f"{self._path}: boot_partition={partition}: no slot's partition; allowed: 2 or 3"
            )
        trial = state.trial
        if trial is None or trial.slot == default:
            return BootSelection(default=default)
        return BootSelection(default=default, pending=trial.slot, tried=trial.tried)

    def write(self, selection: BootSelection, state: SlotState) -> SlotState:
        """Write autoboot.txt if the default changes; the trial goes into the state."""
        partitions = dict(self.PARTITIONS)
        autoboot_text = encode_autoboot(
            partitions[selection.default], partitions[other_slot(selection.default)]
        )
        try:
            is_current = decode_autoboot(self._path.read_bytes()) == partitions[selection.default]
        except (FileNotFoundError, ValueError):
            is_current = False
        if not is_current:
            self._write_file(self._path, autoboot_text)
        trial = selection.pending and SlotTrial(slot=selection.pending, tried=selection.tried)
        return msgspec.structs.replace(state, trial=trial or None)

    def arm_trial(self) -> None:
        """Write the reboot parameter, which systemd passes to the kernel, and the kernel to the firmware."""
        self._reboot_param_file.parent.mkdir(parents=True, exist_ok=True)
        self._reboot_param_file.write_text("0 tryboot\n", encoding="ascii")

    def is_trial_boot(self) -> bool:
        """Return whether the firmware's `tryboot` flag in the device tree, a 32-bit number, is not 0."""
        try:
            return any(self._tryboot_flag.read_bytes())
        except OSError:
            return False

    def find_trial_problem(self) -> Message | None:
        """Return the age of a bootloader that is too old for two slots."""
        return find_firmware_problem(self._device_tree)


def find_firmware_problem(device_tree: Path) -> Message | None:
    """Return why the bootloader in the EEPROM cannot boot two slots, or None if it can.

    Its build time is a 32-bit number in the device tree. Without one the age is unknown, and so the answer is no.
    """
    try:
        data = (device_tree / "chosen/bootloader/build-timestamp").read_bytes()
    except OSError:
        data = b""
    if len(data) != _BUILD_TIME_BYTES:
        return Message("the age of the board's boot loader is unknown: see docs/flash.md, step 3")
    built = datetime.fromtimestamp(int.from_bytes(data, "big"), UTC)
    if built >= MIN_FIRMWARE_BUILD:
        return None
    return Message(
        "the board's boot loader is of {date}; two slots need one of {minimum} or later: "
        "see docs/flash.md, step 3",
        date=f"{built:%Y-%m-%d}",
        minimum=f"{MIN_FIRMWARE_BUILD:%Y-%m-%d}",
    )


_BUILD_TIME_BYTES = 4


def _parse_slot(text: str | None) -> Slot | None:
    return next((slot for slot in SLOTS if slot == text), None)
