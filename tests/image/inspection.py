"""Inspection of a running image that has no login, without changing a byte of it.

The image is tested as it is shipped. The inspection is a unit that the *machine* passes to systemd,
as it passes the machine's name: a credential in the firmware's tables (SMBIOS type 11), see
systemd.system-credentials(7) and systemd-debug-generator(8). It reads commands from a serial line of
its own. Write access to a machine's firmware tables is control of it anyway; a Raspberry Pi has none.
"""

import base64
import re
import threading
from collections.abc import Mapping

from tests.image.guest_line import GuestLine

UNIT_TEMPLATE = """[Unit]
Description=Eyes of the tests of the image
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target

[Service]
ImportCredential=image-test.eyes
ExecStart=/bin/sh ${{CREDENTIALS_DIRECTORY}}/image-test.eyes
StandardInput=tty-force
StandardOutput=tty
TTYPath={port}
Environment=TERM=dumb
Restart=always
RestartSec=1
OOMScoreAdjust=-999
"""

SCRIPT = """stty raw -echo
echo "eyes open $(cat /proc/sys/kernel/random/boot_id)"
while read -r word command; do
  sh -c "$(echo "$command" | base64 -d)" 2>&1 </dev/null
  echo "eyes $word $?"
done
"""

WANTS_DROPIN = "[Unit]\nWants=image-test-eyes.service\n"
PORTS = {"amd64": "/dev/ttyS2", "arm64": "/dev/ttyS0"}
COMMAND_TIMEOUT_S = 900.0
"""For a command that must end: the installation of an update took 290 s on the slowest machine seen."""


def shell_credentials(architecture: str) -> Mapping[str, str]:
    """Return the credentials that the machine passes to systemd."""
    return {
        "systemd.extra-unit.image-test-eyes.service": UNIT_TEMPLATE.format(
            port=PORTS[architecture]
        ),
        "systemd.unit-dropin.sysinit.target~image-test": WANTS_DROPIN,
        "image-test.eyes": SCRIPT,
    }


class GuestShell:
    """A shell of root's in the guest, one command at a time."""

    def __init__(self, line: GuestLine, *, is_open: bool = False) -> None:
        self._line = line
        self._lock = threading.Lock()
        self._number = 0
        self._begin = 0
        self._is_open = is_open

    def wait_until_open(self, timeout_s: float, offset: int = 0) -> str:
        """The boot's id, once systemd has started the inspection shell. `begin`: offset of the output to start at."""
        found = self._line.wait_for(r"eyes open (\S+)\n", timeout_s, offset)
        self._begin, self._is_open = found.end(), True
        return found[1]

    @property
    def output_length(self) -> int:
        """The number of characters of output so far."""
        return len(self._line.text)

    def run(self, command: str, *, check: bool = True, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """Return the output of a shell command. Raises AssertionError if it fails and `check` is set."""
        code, output = self.run_unchecked(command, timeout_s=timeout_s)
        assert not check or code == 0, f"{command}: exit code {code}:\n{output}"
        return output

    def run_unchecked(
        self, command: str, *, timeout_s: float = COMMAND_TIMEOUT_S
    ) -> tuple[int, str]:
        """Its exit code, and what it prints."""
        with self._lock:
            offset = self.start_command(command)
            return self.finish_command(offset, timeout_s)

    def start_command(self, command: str) -> int:
        """Start one, and do not wait for it. `end` does."""
        assert self._is_open, "the eyes are not open"
        self._number += 1
        offset = len(self._line.text)
        marker = f"{offset}-{self._number}"
        self._marker = marker
        self._line.send(f"{marker} {base64.b64encode(command.encode()).decode()}\n")
        return offset

    def finish_command(self, offset: int, timeout_s: float = COMMAND_TIMEOUT_S) -> tuple[int, str]:
        """The exit code and the output of what was begun last."""
        found = self._line.wait_for(rf"eyes {re.escape(self._marker)} (\d+)\n", timeout_s, offset)
        return int(found[1]), self._line.text[offset : found.start()]
