"""The first life of a box: from the card that somebody has flashed to a boot that is found good.

It takes as long as it takes. The state at its end is saved in the disk's file, processor and memory too,
and most tests begin there instead of booting again.
"""

import time
from pathlib import Path

import msgspec

from tests.image.box_settings import FILE_NAME
from tests.image.built import Built
from tests.image.disk import Disk, FatPart
from tests.image.guest import Guest
from tests.image.machine import processors
from tests.image.outside import Outside, is_healthy_report

CARD = "card.qcow2"
CARD_SIZE = "6G"
SAVED = "good"
HEARD_S = 120.0


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. Seconds since it was switched on."""

    disk: str
    processors: int
    boot: str
    said: str
    """By the boot loader, the kernel and systemd."""
    up_s: float
    ready_s: float
    recording_s: float
    good_s: float


def card(folder: Path, built: Built, settings: str | None) -> Disk:
    """A card with the image on it, larger than the image, with a settings file or without."""
    disk = Disk.over(folder / CARD, built.disk, CARD_SIZE)
    if settings is not None:
        give(disk, settings, folder)
    return disk


def give(disk: Disk, settings: str, folder: Path) -> None:
    """Put a settings file on the card, as a person with a card reader does."""
    select = FatPart(disk.take("select", folder / "select.fat"))
    select.write(FILE_NAME, settings.encode())
    disk.put("select", select.file)


def live(guest: Guest, outside: Outside) -> Life:
    """Switch it on, wait until it is good, save it and cut the power."""
    began_s = time.monotonic()

    def since_s() -> float:
        return time.monotonic() - began_s

    boot = guest.start()
    up_s = since_s()
    guest.wait_until_ready()
    ready_s = since_s()
    guest.wait_until_recording()
    recording_s = since_s()
    guest.wait_until_good()
    good_s = since_s()
    outside.hear(lambda item: is_healthy_report(item, boot), "report of health", HEARD_S)
    said = guest.machine.kernel.text
    guest.machine.save(SAVED)
    guest.cut()
    return Life(
        disk=str(guest.disk.file),
        processors=processors(),
        boot=boot,
        said=said,
        up_s=up_s,
        ready_s=ready_s,
        recording_s=recording_s,
        good_s=good_s,
    )
