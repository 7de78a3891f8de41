"""The board's device tree overlays of the settings, tried once like an update: `python -m agent.update.board_overlays`.

    apply    by its unit after a boot: if the settings name other overlays than those in force, copy the booted
             slot into the other one, write them there, and reboot into its trial
    carry    by RAUC after an installation: write the overlays in force into the slot that is new

A slot that is not found good with them falls back to the one before, which has its own. Overlays that were tried are not
tried again.
"""

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.base.sha256 import sha256_hex
from agent.base.slot_state import Slot
from agent.update.bootloader import RaspberryPiBootloader, other_slot
from agent.update.errors import UpdateError
from agent.update.overlay_sector import (
    WANTED_FILE,
    OverlayRecord,
    copy_partition,
    encode_sector,
    read_sector,
    record_file,
    was_tried,
    write_sector,
)
from agent.update.rauc_backend import image_version
from agent.update.slots import Slots
from agent.update.updater import Updater, open_updater

log = logging.getLogger(__name__)

_DEVICES = "dev/disk/by-partlabel"
_REBOOT_COMMAND = ("/usr/bin/systemctl", "--no-block", "reboot")


def _partition(root: Path, kind: str, slot: Slot) -> Path:
    return root / _DEVICES / f"{kind}_{slot.lower()}"


def stage(slots: Slots, root: Path, sector: bytes, version: str | None) -> bool:
    """Make the other slot a copy of the booted one with these overlays, to be tried at the next reboot.

    Return False if they are in force, or were tried already. Raises: UpdateError, OSError.
    """
    booted, other = slots.booted, other_slot(slots.booted)
    if read_sector(_partition(root, "boot", booted)) == sector:
        return False
    selection = slots.read_selection()
    if was_tried(root, sector):
        is_pending = selection.pending == other and not selection.tried
        if is_pending and read_sector(_partition(root, "boot", other)) == sector:
            return _asks_again(root, sector)
        log.warning("the overlays of the settings were tried, and the slot was not found good")
        return False
    slots.check_trial_possible()
    if selection.pending is not None:
        log.info("an update is to be tried first")
        return False
    # First: a slot that is being written must not be tried.
    slots.set_state(other, good=False)
    for kind in ("root", "boot"):
        copy_partition(_partition(root, kind, booted), _partition(root, kind, other))
    write_sector(_partition(root, "boot", other), sector)
    # Before the trial is pending: whatever becomes of it, these overlays are tried once.
    record_file(root).write(OverlayRecord(tried_sha256=sha256_hex(sector)))
    if version is not None:
        slots.begin_install(version)
    slots.set_primary(other)
    return True


def _asks_again(root: Path, sector: bytes) -> bool:
    """Return True once for overlays whose trial is pending: their reboot was cut short, and the slot is ready.

    A box that cannot arm the trial would reboot at each start.
    """
    file = record_file(root)
    record = file.read()
    if record is not None and record.has_asked_again:
        log.warning("the overlays of the settings are tried at the next reboot")
        return False
    file.write(OverlayRecord(tried_sha256=sha256_hex(sector), has_asked_again=True))
    return True


def apply(updater: Updater) -> bool:
    """Try the overlays of the settings; return True if the box has to reboot for it."""
    slots = updater.slots
    if slots.bootloader_name != RaspberryPiBootloader.name or slots.is_on_trial():
        return False
    wanted = (updater.root / WANTED_FILE).read_text(encoding="ascii").splitlines()
    with updater.exclusive():
        if not stage(slots, updater.root, encode_sector(wanted), image_version(updater.root)):
            return False
        overlays = ", ".join(wanted) or "none"
        updater.record_action("vigie-board", f"overlays to be tried at this reboot: {overlays}")
    return True


def carry(updater: Updater) -> None:
    """Write the booted slot's overlays into the other slot, which an update has just written."""
    slots, root = updater.slots, updater.root
    if slots.bootloader_name != RaspberryPiBootloader.name:
        return
    sector = read_sector(_partition(root, "boot", slots.booted))
    write_sector(_partition(root, "boot", other_slot(slots.booted)), sector)


def main(words: Sequence[str], root: Path = Path("/")) -> int:
    """Run one command; an error is one line on stderr and exit code 1."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="overlays: %(message)s")
    try:
        updater = open_updater(root)
        if list(words) == ["carry"]:
            carry(updater)
        elif apply(updater):
            subprocess.run(_REBOOT_COMMAND, check=False)  # noqa: S603 - fixed words
    except (UpdateError, OSError, ValueError) as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
