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

from agent.provisioning import first_boot, full_check, tls_credentials
from agent.provisioning.first_boot import BootPaths
from drivers.camera import rtsp
from tests.whole.provision_tree import USER, Tree

LOADED = (full_check, tls_credentials, rtsp, pwd.getpwnam(USER))
EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate"}
NEVER = 1_000_000


class Countdown:
    """Shared by a boot and its child: whoever of them comes to zero ends both."""

    def __init__(self, left: int) -> None:
        self._left = mmap.mmap(-1, 8)
        self._left[:8] = struct.pack("q", left)

    @property
    def left(self) -> int:
        return int(struct.unpack("q", self._left[:8])[0])

    def step(self) -> None:
        left = self.left - 1
        self._left[:8] = struct.pack("q", left)
        if left < 0:
            os.killpg(0, signal.SIGKILL)

    def watch(self) -> None:
        """Count what is done to files from here on, and the moments at which it becomes durable."""
        sys.addaudithook(lambda event, _: self.step() if event in EVENTS else None)
        os.fsync = self._before(os.fsync)

    def _before(self, do: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*words: Any) -> Any:
            self.step()
            return do(*words)

        return counted


def boot(tree: Tree, after: int = NEVER) -> tuple[bool, int]:
    """A boot that is killed after so many things. Whether it came to its end, and how many it did."""
    countdown = Countdown(after)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        given = BootPaths(
            card=tree.card, folder=tree.config, state=tree.state, user=USER, root=tree.root
        )
        countdown.watch()
        os._exit(first_boot.boot(given))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, -signal.SIGKILL):
        raise SystemExit(f"a boot ended with {code} after {after}")
    return code == 0, after - countdown.left


def fresh(place: Path, source: Path | None) -> Tree:
    """An empty tree, or the copy of one."""
    if source is None:
        return Tree(place).make()
    subprocess.run(["cp", "-a", source, place], check=True)
    return Tree(place)
