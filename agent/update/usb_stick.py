"""USB sticks that udev knows, and the request that has root mount one.

A stick is mounted as long as the connection of its request is open. So a logout, an idle logout, a lost cable and a
killed console unmount it, without a record that could become stale.
"""

import re
from pathlib import Path
from typing import Annotated

import msgspec

SOCKET = Path("run/vigie-stick.socket")
"""Socket of vigie-stick.socket, below the root of the system."""
DEVICE_DIR = Path("dev/vigie")
MOUNT_DIR = "/run/media"
MAX_MESSAGE_BYTES = 1024
_LINK_PATTERN = re.compile(r"stick-(vfat|exfat)-(sd[a-z]{1,2}[0-9]{0,3})")
"""Links that 73-vigie-sticks.rules makes: file system and kernel's name of a partition."""


class UsbStick(msgspec.Struct, frozen=True, kw_only=True):
    """A partition of a USB disk that may be mounted. `partition` is the kernel's name, such as sda1."""

    file_system: str
    partition: str

    @property
    def link(self) -> str:
        """The name of its link in /dev/vigie."""
        return f"stick-{self.file_system}-{self.partition}"

    @property
    def device(self) -> str:
        """The path of its device."""
        return f"/dev/{self.partition}"

    @property
    def mount_point(self) -> str:
        """The folder that it is mounted on."""
        return f"{MOUNT_DIR}/{self.partition}"


class StickRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request: the link of a stick. Without `writable` it is mounted read-only."""

    link: Annotated[str, msgspec.Meta(max_length=32)]
    writable: bool = False


class StickReply(msgspec.Struct, frozen=True, kw_only=True):
    """The reply: the stick is mounted, or `error` is the reason why not."""

    error: str | None = None


def parse_link(name: str) -> UsbStick | None:
    """Return the stick of a link in /dev/vigie, or None if it is no stick's. Pure."""
    match = _LINK_PATTERN.fullmatch(name)
    return None if match is None else UsbStick(file_system=match[1], partition=match[2])


def find_sticks(root: Path) -> tuple[UsbStick, ...]:
    """Return the sticks that are plugged in, by the kernel's name."""
    try:
        names = [path.name for path in (root / DEVICE_DIR).iterdir()]
    except OSError:
        return ()
    sticks = [stick for stick in map(parse_link, names) if stick is not None]
    return tuple(sorted(sticks, key=lambda stick: stick.partition))
