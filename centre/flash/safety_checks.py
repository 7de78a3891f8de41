"""Reasons to refuse a disk as a target. Pure."""

import msgspec

from centre.flash import gpt
from centre.flash.disks import BlockDevice, format_size

MIN_FOOTAGE_BYTES = 4_000_000_000
"""Smallest useful room for footage next to the system: some hours."""

NOT_REMOVABLE_FLAG = "--even-if-not-removable"
SMALL_FLAG = "--even-if-small"

_SYSTEM_MOUNT_POINTS = (
    "/",
    "/usr",
    "/var",
    "/boot",
    "/boot/efi",
    "/boot/firmware",
    "/efi",
    "/home",
)


class SafetyRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """A reason, what is allowed instead, and the flag that overrides it, if there is one."""

    reason: str
    allowed: str
    flag: str | None = None

    def __str__(self) -> str:
        or_flag = f", or {self.flag}" if self.flag else ""
        return f"{self.reason}; allowed: {self.allowed}{or_flag}"


def find_refusals(disk: BlockDevice, image_bytes: int) -> tuple[SafetyRefusal, ...]:
    """Return all refusals of a disk, those that cannot be overridden first."""
    found = [*_use_refusals(disk), *_fitness_refusals(disk, image_bytes)]
    return tuple(sorted(found, key=lambda refusal: refusal.flag is not None))


def _use_refusals(disk: BlockDevice) -> list[SafetyRefusal]:
    found = []
    system = {user.used_by for user in disk.users if user.kind == "mounted"} & set(
        _SYSTEM_MOUNT_POINTS
    )
    if system:
        mount_points = ", ".join(sorted(system))
        found.append(
            SafetyRefusal(
                reason=f"is a disk of the running system ({mount_points})", allowed="another disk"
            )
        )
    for user in disk.users:
        device_path = f"/dev/{user.device}"
        if user.kind == "mounted" and user.used_by not in system:
            found.append(
                SafetyRefusal(
                    reason=f"{device_path} is mounted at {user.used_by}",
                    allowed=f"after umount {user.used_by}",
                )
            )
        elif user.kind == "swap":
            found.append(
                SafetyRefusal(
                    reason=f"{device_path} is swap", allowed=f"after swapoff {device_path}"
                )
            )
        elif user.kind == "held":
            found.append(
                SafetyRefusal(
                    reason=f"{device_path} is part of {user.used_by} (LVM, RAID or encryption)",
                    allowed="after that is dismantled",
                )
            )
    return found


def _fitness_refusals(disk: BlockDevice, image_bytes: int) -> list[SafetyRefusal]:
    found = []
    if disk.parent is not None:
        found.append(
            SafetyRefusal(reason="is a partition", allowed=f"the whole disk, /dev/{disk.parent}")
        )
    if disk.read_only:
        found.append(
            SafetyRefusal(
                reason="is read-only", allowed="after its write protection is switched off"
            )
        )
    if disk.sector_bytes != gpt.SECTOR_BYTES:
        found.append(
            SafetyRefusal(
                reason=f"has sectors of {disk.sector_bytes} bytes",
                allowed=f"a disk of {gpt.SECTOR_BYTES}",
            )
        )
    min_bytes = image_bytes + MIN_FOOTAGE_BYTES
    if disk.size_bytes < image_bytes:
        found.append(
            SafetyRefusal(
                reason="is too small for the image", allowed=f"{format_size(min_bytes)} or more"
            )
        )
    elif disk.size_bytes < min_bytes:
        remaining = format_size(disk.size_bytes - image_bytes)
        found.append(
            SafetyRefusal(
                reason=f"leaves {remaining} for footage",
                allowed=f"{format_size(min_bytes)} or more",
                flag=SMALL_FLAG,
            )
        )
    if not disk.is_removable:
        found.append(
            SafetyRefusal(
                reason="is not removable",
                allowed="a card, a USB disk, or a board by its USB cable",
                flag=NOT_REMOVABLE_FLAG,
            )
        )
    return found
