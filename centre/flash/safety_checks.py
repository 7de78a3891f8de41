"""Why a disk is not written to. What is known of it comes in; nothing is asked of the machine here."""

import msgspec

from centre.flash import gpt
from centre.flash.disks import BlockDevice, size_words

LEAST_FOOTAGE_BYTES = 4_000_000_000
"""A disk that has less than this left beside the system is too small to be of use: some hours."""

NOT_REMOVABLE = "--even-if-not-removable"
SMALL = "--even-if-small"

_SYSTEM = ("/", "/usr", "/var", "/boot", "/boot/efi", "/boot/firmware", "/efi", "/home")


class SafetyRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """One reason, what is allowed instead, and the flag that overrides it; None where nothing does."""

    why: str
    allowed: str
    flag: str | None = None

    def __str__(self) -> str:
        or_flag = f", or {self.flag}" if self.flag else ""
        return f"{self.why}; allowed: {self.allowed}{or_flag}"


def refusals(disk: BlockDevice, image_bytes: int) -> tuple[SafetyRefusal, ...]:
    """All reasons against it, those first that nothing overrides."""
    found = [*_in_use(disk), *_unfit(disk, image_bytes)]
    return tuple(sorted(found, key=lambda one: one.flag is not None))


def _in_use(disk: BlockDevice) -> list[SafetyRefusal]:
    found = []
    system = {use.where for use in disk.uses if use.how == "mounted"} & set(_SYSTEM)
    if system:
        points = ", ".join(sorted(system))
        found.append(
            SafetyRefusal(why=f"is a disk of the running system ({points})", allowed="another disk")
        )
    for use in disk.uses:
        node = f"/dev/{use.node}"
        if use.how == "mounted" and use.where not in system:
            found.append(
                SafetyRefusal(
                    why=f"{node} is mounted at {use.where}", allowed=f"after umount {use.where}"
                )
            )
        elif use.how == "swap":
            found.append(SafetyRefusal(why=f"{node} is swap", allowed=f"after swapoff {node}"))
        elif use.how == "held":
            found.append(
                SafetyRefusal(
                    why=f"{node} is part of {use.where} (LVM, RAID or encryption)",
                    allowed="after that is taken apart",
                )
            )
    return found


def _unfit(disk: BlockDevice, image_bytes: int) -> list[SafetyRefusal]:
    found = []
    if disk.part_of is not None:
        found.append(
            SafetyRefusal(why="is a partition", allowed=f"the whole disk, /dev/{disk.part_of}")
        )
    if disk.read_only:
        found.append(SafetyRefusal(why="is read-only", allowed="after its lock is switched off"))
    if disk.sector_bytes != gpt.SECTOR:
        found.append(
            SafetyRefusal(
                why=f"has sectors of {disk.sector_bytes} bytes", allowed=f"a disk of {gpt.SECTOR}"
            )
        )
    wanted = image_bytes + LEAST_FOOTAGE_BYTES
    if disk.size_bytes < image_bytes:
        found.append(
            SafetyRefusal(why="is too small for the image", allowed=f"{size_words(wanted)} or more")
        )
    elif disk.size_bytes < wanted:
        left = size_words(disk.size_bytes - image_bytes)
        found.append(
            SafetyRefusal(
                why=f"leaves {left} for footage",
                allowed=f"{size_words(wanted)} or more",
                flag=SMALL,
            )
        )
    if not disk.can_be_taken_out:
        found.append(
            SafetyRefusal(
                why="is not removable",
                allowed="a card, a USB disk, or a board by its USB cable",
                flag=NOT_REMOVABLE,
            )
        )
    return found
