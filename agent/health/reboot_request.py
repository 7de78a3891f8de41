"""Request of a reboot: a file, on which systemd acts with root's rights."""

import contextlib
from pathlib import Path

REBOOT_FILE = "reboot"
"""In the runtime folder, see systemd/vigie-reboot.path. Neither the agent nor the console may reboot."""


def request_reboot(runtime_dir: Path) -> None:
    """Request a reboot of the board. Raises OSError."""
    runtime_dir.mkdir(parents=True, exist_ok=True)
    (runtime_dir / REBOOT_FILE).touch()


def withdraw_reboot(runtime_dir: Path) -> None:
    """Withdraw a request on which systemd has not acted. A file that cannot be removed stays."""
    with contextlib.suppress(OSError):
        (runtime_dir / REBOOT_FILE).unlink()
