"""RAUC's custom boot backend, and the units' access to the slots: `python -m agent.update.rauc_backend`.

    get-primary | set-primary SLOT | get-current | get-state SLOT | set-state SLOT good|bad    called by RAUC
    record-boot | record-stop | is-on-trial                                                    called by units

The answer goes to stdout. Exit code 1: an error, with one line on stderr; 3: the booted slot is not on trial.
"""

import argparse
import logging
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from agent.base import damaged_file, slot_state
from agent.base.slot_state import Slot
from agent.update import update_log
from agent.update.bootloader import SLOTS, Bootloader, GrubBootloader, RaspberryPiBootloader
from agent.update.errors import UpdateError
from agent.update.slots import Slots

log = logging.getLogger(__name__)

SELECT_DIR = Path("/select")
RAUC_STATE_DIR = Path("/state/rauc")
EXIT_NOT_ON_TRIAL = 3
"""Not 1, which is also the exit code of a Python that does not start: see systemd/vigie-fallback.service."""
_CMDLINE_PREFIX = "rauc.slot="


class NoSlots(UpdateError):
    """This system was not booted from a slot, or by an unknown bootloader."""


def booted_slot(cmdline: str) -> Slot:
    """Read the booted slot from the kernel's command line. Raises: NoSlots."""
    slot_args = [
        arg.removeprefix(_CMDLINE_PREFIX)
        for arg in cmdline.split()
        if arg.startswith(_CMDLINE_PREFIX)
    ]
    for slot in SLOTS:
        if slot_args == [slot]:
            return slot
    raise NoSlots(
        f"no slots: {_CMDLINE_PREFIX}A or B is not on the kernel's command line; allowed: a system flashed "
        "from an image"
    )


def detect_bootloader(root: Path, select_dir: Path) -> Bootloader:
    """Detect the bootloader by its file on the select partition. Raises: NoSlots, OSError."""
    if _exists(select_dir / "grubenv"):
        return GrubBootloader(select_dir)
    if _exists(select_dir / "autoboot.txt"):
        return RaspberryPiBootloader(
            select_dir, root / "run/systemd/reboot-param", root / "proc/device-tree"
        )
    raise NoSlots(f"{select_dir}: neither grubenv nor autoboot.txt")


def _exists(path: Path) -> bool:
    """Raise OSError if that is not permitted to know: `Path.exists` would return False."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    return True


def open_slots(root: Path = Path("/")) -> Slots:
    """Open the slots of this machine. Raises: NoSlots, OSError."""
    select_dir = root / SELECT_DIR.relative_to("/")
    booted = booted_slot((root / "proc/cmdline").read_text(encoding="utf-8", errors="replace"))
    return Slots(
        detect_bootloader(root, select_dir), root / RAUC_STATE_DIR.relative_to("/"), booted
    )


def image_version(root: Path = Path("/")) -> str | None:
    """Read the booted image's version from os-release(5)."""
    for name in ("etc/os-release", "usr/lib/os-release"):
        try:
            text = (root / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for line in text.splitlines():
            key, _, value = line.partition("=")
            if key == "IMAGE_VERSION":
                return value.strip("\"'") or None
    return None


def handle_rauc_query(slots: Slots, args: list[str]) -> str:
    """Answer one of RAUC's calls. Raises: SlotRefused, OSError; ValueError if the call is unknown."""
    match args:
        case ["get-current"]:
            return slots.booted
        case ["get-primary"]:
            return slots.get_primary()
        case ["get-state", "A" | "B" as slot]:
            return slots.get_state(slot)
        case ["set-primary", "A" | "B" as slot]:
            slots.set_primary(slot)
        case ["set-state", "A" | "B" as slot, "good" | "bad" as status]:
            slots.set_state(slot, good=status == "good")
        case _:
            raise ValueError(f"{' '.join(args)!r}: unknown call")
    return ""


def _record_boot(slots: Slots, root: Path) -> int:
    folder = root / RAUC_STATE_DIR.relative_to("/")
    damaged = slot_state.set_damaged_aside(folder)
    if damaged is not None:
        update_log.append_entry(folder, "vigie-slots", "slots.json was damaged, and begins again")
        damaged_file.mark_reported(damaged)
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    failed_trial = slots.record_boot(image_version(root), now)
    if failed_trial is not None:
        reason = slot_state.FAILURE_TEXTS[failed_trial.reason]
        message = f"version {failed_trial.version or '(unknown)'} fell back: {reason}"
        log.error("%s", message)
        update_log.append_entry(folder, "vigie-slots", f"update: {message}")
    return 0


def _record_stop(slots: Slots, _root: Path) -> int:
    slots.record_stop()
    if _is_rebooting() and slots.arm_trial():
        log.info("this reboot is the trial of the pending slot")
    return 0


def _report_on_trial(slots: Slots, _root: Path) -> int:
    return 0 if slots.is_on_trial() else EXIT_NOT_ON_TRIAL


UNIT_COMMANDS = {
    "record-boot": _record_boot,
    "record-stop": _record_stop,
    "is-on-trial": _report_on_trial,
}


def _is_rebooting() -> bool:
    """Return whether systemd has a job for a reboot, as opposed to a power-off."""
    command = ["systemctl", "show", "--property=Job", "--value", "reboot.target"]
    try:
        completed = subprocess.run(  # noqa: S603 - fixed words
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return completed.stdout.strip() not in (b"", b"0")


def main(arguments: list[str] | None = None) -> int:
    """Run one call; an error is one line on stderr."""
    parser = argparse.ArgumentParser(prog="slots", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    parser.add_argument("words", nargs="+")
    args = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="slots: %(message)s")
    try:
        slots = open_slots(args.root)
        unit_command = UNIT_COMMANDS.get(" ".join(args.words))
        if unit_command is not None:
            return unit_command(slots, args.root)
        reply = handle_rauc_query(slots, args.words)
    except (UpdateError, ValueError, OSError) as error:
        log.error("%s", error)
        return 1
    if reply:
        sys.stdout.write(reply + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
