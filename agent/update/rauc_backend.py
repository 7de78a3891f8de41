"""RAUC's custom boot backend, and what the units ask of the slots: `python -m agent.update.rauc_backend`.

    get-primary | set-primary SLOT | get-current | get-state SLOT | set-state SLOT good|bad    RAUC asks
    settle | leave | on-trial                                                                  units ask

RAUC reads the answer on stdout. Exit code 1: no answer, and why, in one line on stderr; 3: the system that
runs is not on trial.
"""

import argparse
import logging
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from agent.update import update_log
from agent.update.bootloader import SLOTS, Bootloader, Grub, RaspberryPi
from agent.update.errors import UpdateError
from agent.update.slot_state import Slot
from agent.update.slots import Slots

log = logging.getLogger(__name__)

SELECT = Path("/select")
STATE = Path("/state/rauc")
NOT_ON_TRIAL = 3
"""Unlike 1, which a Python that does not start says too: see systemd/vigie-fallback.service."""
_CMDLINE = "rauc.slot="


class NoSlots(UpdateError):
    """This system was not booted from a slot, or its firmware is none that is known."""


def current(cmdline: str) -> Slot:
    """The slot that runs, by the kernel's command line. Raises NoSlots."""
    named = [word.removeprefix(_CMDLINE) for word in cmdline.split() if word.startswith(_CMDLINE)]
    for slot in SLOTS:
        if named == [slot]:
            return slot
    raise NoSlots(f"{_CMDLINE}A or B: not on the kernel's command line")


def firmware(root: Path, select: Path) -> Bootloader:
    """By what lies on the partition that the firmware reads. Raises NoSlots or OSError."""
    if _is_there(select / "grubenv"):
        return Grub(select)
    if _is_there(select / "autoboot.txt"):
        return RaspberryPi(select, root / "run/systemd/reboot-param", root / "proc/device-tree")
    raise NoSlots(f"{select}: neither grubenv nor autoboot.txt")


def _is_there(path: Path) -> bool:
    """Raises OSError where nobody may know: `Path.exists` would say no."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    return True


def open_slots(root: Path = Path("/")) -> Slots:
    """The slots of this machine. Raises NoSlots or OSError."""
    select = root / SELECT.relative_to("/")
    runs = current((root / "proc/cmdline").read_text(encoding="utf-8", errors="replace"))
    return Slots(firmware(root, select), root / STATE.relative_to("/"), runs)


def image_version(root: Path = Path("/")) -> str | None:
    """The version of the image that runs, os-release(5)."""
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


def answer(slots: Slots, words: list[str]) -> str:
    """One of RAUC's questions. Raises Refused, OSError, or ValueError for words that are none."""
    match words:
        case ["get-current"]:
            return slots.current
        case ["get-primary"]:
            return slots.primary()
        case ["get-state", "A" | "B" as slot]:
            return slots.state(slot)
        case ["set-primary", "A" | "B" as slot]:
            slots.set_primary(slot)
        case ["set-state", "A" | "B" as slot, "good" | "bad" as word]:
            slots.set_state(slot, good=word == "good")
        case _:
            raise ValueError(f"{' '.join(words)!r}: not a question to the slots")
    return ""


def _settle(slots: Slots, root: Path) -> int:
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    found = slots.settle(image_version(root), now)
    if found is not None:
        what = f"version {found.version or '(unknown)'} fell back: {found.why}"
        log.error("%s", what)
        update_log.add(root / STATE.relative_to("/"), "vigie-slots", f"update: {what}")
    return 0


def _leave(slots: Slots, _root: Path) -> int:
    if _reboots() and slots.abandon_trial():
        log.info("this reboot tries the slot that is pending")
    return 0


def _on_trial(slots: Slots, _root: Path) -> int:
    return 0 if slots.on_trial() else NOT_ON_TRIAL


DUTIES = {"settle": _settle, "leave": _leave, "on-trial": _on_trial}


def _reboots() -> bool:
    """Whether what stops now comes up again at once: systemd has a job for it."""
    asked = ["systemctl", "show", "--property=Job", "--value", "reboot.target"]
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            asked, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() not in (b"", b"0")


def main(arguments: list[str] | None = None) -> int:
    """Answer, and say in one line why not."""
    parser = argparse.ArgumentParser(prog="slots", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    parser.add_argument("words", nargs="+")
    args = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="slots: %(message)s")
    try:
        slots = open_slots(args.root)
        duty = DUTIES.get(" ".join(args.words))
        if duty is not None:
            return duty(slots, args.root)
        said = answer(slots, args.words)
    except (UpdateError, ValueError, OSError) as error:
        log.error("%s", error)
        return 1
    if said:
        sys.stdout.write(said + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
