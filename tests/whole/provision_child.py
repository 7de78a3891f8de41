"""Boots that are killed: before the n-th thing that they do to a file, root's part and the user's alike.

The parent of all of them has loaded everything, so that a boot takes some milliseconds.
"""

import mmap
import os
import pwd
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.config_change import config_check
from agent.provisioning import enrolment, first_boot
from agent.provisioning.first_boot import BootPaths
from drivers.camera import rtsp
from tests.whole.provision_tree import USER, BoxTree

PRELOADED = (config_check, enrolment, rtsp, pwd.getpwnam(USER))
AUDIT_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate"}
NO_KILL = 1_000_000


class Countdown:
    """A counter shared by a boot and its child: the one that reaches zero ends both."""

    def __init__(self, remaining: int) -> None:
        self._remaining = mmap.mmap(-1, 8)
        self._remaining[:8] = struct.pack("q", remaining)

    @property
    def remaining(self) -> int:
        return int(struct.unpack("q", self._remaining[:8])[0])

    def count_down(self) -> None:
        remaining = self.remaining - 1
        self._remaining[:8] = struct.pack("q", remaining)
        if remaining < 0:
            os.killpg(0, signal.SIGKILL)

    def watch(self) -> None:
        """Count what is done to files from here on, and the moments at which it becomes durable."""
        sys.addaudithook(lambda event, _: self.count_down() if event in AUDIT_EVENTS else None)
        os.fsync = self._before(os.fsync)

    def _before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            self.count_down()
            return function(*arguments)

        return counted


def run_boot(tree: BoxTree, kill_after: int = NO_KILL) -> tuple[bool, int]:
    """A boot that is killed after so many things. Whether it came to its end, and how many it did."""
    countdown = Countdown(kill_after)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        boot_paths = BootPaths(
            boot_mount=tree.card,
            config_dir=tree.config,
            state_dir=tree.state,
            user=USER,
            root=tree.root,
        )
        countdown.watch()
        os._exit(first_boot.provision_box(boot_paths))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, -signal.SIGKILL):
        raise SystemExit(f"a boot ended with {code} after {kill_after}")
    return code == 0, kill_after - countdown.remaining


def copy_or_make_tree(target: Path, source: Path | None) -> BoxTree:
    """An empty tree, or the copy of one."""
    if source is None:
        return BoxTree(target).make()
    subprocess.run(["cp", "-a", source, target], check=True)
    return BoxTree(target)
