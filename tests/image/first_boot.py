"""The first boots of a box: from a flashed card to a boot that is marked good.

The state at its end is saved in the disk's file, processor and memory included, and most tests start
from it instead of booting again.
"""

import time
from pathlib import Path

import msgspec

from tests.image.box_settings import FILE_NAME
from tests.image.built_image import BuiltImage
from tests.image.disk import Disk, FatPart
from tests.image.guest import Guest
from tests.image.machine import processor_count
from tests.image.outside_services import OutsideWorld, is_healthy_report

CARD_FILE_NAME = "card.qcow2"
CARD_SIZE = "6G"
SNAPSHOT_NAME = "good"
REPORT_TIMEOUT_S = 600.0


class FirstLife(msgspec.Struct, frozen=True, kw_only=True):
    """The results of the first life, in seconds since power-on."""

    disk: str
    processors: int
    boot: str
    boot_output: str
    """By the boot loader, the kernel and systemd."""
    up_s: float
    ready_s: float
    recording_s: float
    good_s: float


def make_card(folder: Path, built: BuiltImage, settings: str | None) -> Disk:
    """A card with the image on it, larger than the image, with a settings file or without."""
    disk = Disk.create_overlay(folder / CARD_FILE_NAME, built.disk, CARD_SIZE)
    if settings is not None:
        write_settings(disk, settings, folder)
    return disk


def write_settings(disk: Disk, settings: str, folder: Path) -> None:
    """Put a settings file on the card, as a person with a card reader does."""
    select = FatPart(disk.extract("select", folder / "select.fat"))
    select.write(FILE_NAME, settings.encode())
    disk.write_partition("select", select.file)


def run_first_life(guest: Guest, outside_world: OutsideWorld) -> FirstLife:
    """Switch it on, wait until it is good, save it and cut the power."""
    start_s = time.monotonic()

    def elapsed_s() -> float:
        return time.monotonic() - start_s

    boot = guest.start()
    up_s = elapsed_s()
    guest.wait_until_ready()
    ready_s = elapsed_s()
    guest.wait_until_recording()
    recording_s = elapsed_s()
    guest.wait_until_good()
    good_s = elapsed_s()
    outside_world.wait_for_message(
        lambda item: is_healthy_report(item, boot), "report of health", REPORT_TIMEOUT_S
    )
    boot_output = guest.machine.kernel.text
    guest.machine.save_snapshot(SNAPSHOT_NAME)
    guest.cut_power()
    return FirstLife(
        disk=str(guest.disk.file),
        processors=processor_count(),
        boot=boot,
        boot_output=boot_output,
        up_s=up_s,
        ready_s=ready_s,
        recording_s=recording_s,
        good_s=good_s,
    )
