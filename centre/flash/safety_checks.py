"""Why a disk is not written to. What is known of it comes in; nothing is asked of the machine here."""

import msgspec

from centre.flash import gpt
from centre.flash.disks import Disk, size_words

LEAST_FOOTAGE_BYTES = 4_000_000_000
"""A disk that has less than this left beside the system is too small to be of use: some hours."""

NOT_REMOVABLE = "--even-if-not-removable"
SMALL = "--even-if-small"

_SYSTEM = ("/", "/usr", "/var", "/boot", "/boot/efi", "/boot/firmware", "/efi", "/home")


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """One reason, what is allowed instead, and the flag that overrides it; None where nothing does."""

    why: str
    allowed: str
    flag: str | None = None

    def __str__(self) -> str:
        or_flag = f", or {self.flag}" if self.flag else ""
        return f"{self.why}; allowed: {self.allowed}{or_flag}"


def refusals(disk: Disk, image_bytes: int) -> tuple[Refusal, ...]:
    """All reasons against it, those first that nothing overrides."""
    found = [*_in_use(disk), *_unfit(disk, image_bytes)]
    return tuple(sorted(found, key=lambda one: one.flag is not None))


def _in_use(disk: Disk) -> list[Refusal]:
    found = []
    system = {use.where for use in disk.uses if use.how == "mounted"} & set(_SYSTEM)
    if system:
        points = ", ".join(sorted(system))
        found.append(
            Refusal(why=f"is a disk of the running system ({points})", allowed="another disk")
        )
    for use in disk.uses:
        node = f"/dev/{use.node}"
        if use.how == "mounted" and use.where not in system:
            found.append(
                Refusal(
                    why=f"{node} is mounted at {use.where}", allowed=f"after umount {use.where}"
                )
            )
        elif use.how == "swap":
            found.append(Refusal(why=f"{node} is swap", allowed=f"after swapoff {node}"))
        elif use.how == "held":
            found.append(
                Refusal(
                    why=f"{node} is part of {use.where} (LVM, RAID or encryption)",
                    allowed="after that is taken apart",
                )
            )
    return found


def _unfit(disk: Disk, image_bytes: int) -> list[Refusal]:
    found = []
    if disk.part_of is not None:
        found.append(Refusal(why="is a partition", allowed=f"the whole disk, /dev/{disk.part_of}"))
    if disk.read_only:
        found.append(Refusal(why="is read-only", allowed="after its lock is switched off"))
    if disk.sector_bytes != gpt.SECTOR:
        found.append(
            Refusal(
                why=f"has sectors of {disk.sector_bytes} bytes", allowed=f"a disk of {gpt.SECTOR}"
            )
        )
    wanted = image_bytes + LEAST_FOOTAGE_BYTES
    if disk.size_bytes < image_bytes:
        found.append(
            Refusal(why="is too small for the image", allowed=f"{size_words(wanted)} or more")
        )
    elif disk.size_bytes < wanted:
        left = size_words(disk.size_bytes - image_bytes)
        found.append(
            Refusal(
                why=f"leaves {left} for footage",
                allowed=f"{size_words(wanted)} or more",
                flag=SMALL,
            )
        )
    if not disk.can_be_taken_out:
        found.append(
            Refusal(
                why="is not removable",
                allowed="a card, a USB disk, or a board by its USB cable",
                flag=NOT_REMOVABLE,
            )
        )
    return found
