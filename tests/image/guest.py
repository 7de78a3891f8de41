"""A box: its disk, and the computer that it is in. It outlives power cuts, as a box does."""

import shlex
import threading
import time
from pathlib import Path

from tests.image.disk import Disk, ExtPart, FatPart
from tests.image.eyes import Eyes, credentials
from tests.image.machine import Machine
from tests.image.outside import Outside

BOOT_S = 300.0
"""Until systemd runs: long, because an emulated processor on a busy machine is slow, and never waited
out in a pass. So are the others."""
GOOD_S = 900.0
LOOK_S = 0.5
GRACE_S = 60.0
WHY = (
    "systemctl --no-pager --failed; "
    "journalctl -b --no-pager -o short-monotonic -n 150 -u 'vigie-*' 2>&1"
)
"""What is asked for where something did not come."""
PROGRAM = "/opt/vigie/bin/vigie"


class Guest:
    """Off until it is switched on."""

    def __init__(
        self,
        folder: Path,
        disk: Disk,
        outside: Outside,
        architecture: str = "amd64",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.disk = disk
        self._outside = outside
        self._architecture = architecture
        self._machine: Machine | None = None
        self._eyes: Eyes | None = None
        self.boot = ""
        """The id of the boot that the eyes have seen last."""

    @property
    def machine(self) -> Machine:
        """The computer, while it is on."""
        assert self._machine is not None, "it is off"
        return self._machine

    @property
    def eyes(self) -> Eyes:
        """Its inside."""
        assert self._eyes is not None, "it is off"
        return self._eyes

    def switch_on(self, saved: str | None = None) -> None:
        """Off with everything that was in memory, and on; or on as it was when it was saved."""
        assert self._machine is None, "it is on"
        self._machine = Machine(
            self.folder / "machine",
            self.disk.file,
            architecture=self._architecture,
            doors=self._outside.doors,
            credentials=credentials(self._architecture),
            saved=saved,
        )
        self._eyes = Eyes(self._machine.lines["eyes"], open_already=saved is not None)
        self._seen = 0
        if saved is not None:
            self.boot = self.run("cat /proc/sys/kernel/random/boot_id").strip()

    def start(self) -> str:
        """Switch it on, and wait until systemd runs. Which boot."""
        self.switch_on()
        return self.wait_until_up()

    def wait_until_up(self, within_s: float = BOOT_S) -> str:
        """Its next boot has come so far that systemd runs. Which boot."""
        eyes, end_s = self.eyes, time.monotonic() + within_s
        while True:
            self.boot = eyes.wait_until_open(max(1.0, end_s - time.monotonic()), self._seen)
            self._seen = eyes.said
            return self.boot

    def run(self, command: str, *, check: bool = True) -> str:
        """What a command prints, run inside as root."""
        return self.eyes.run(command, check=check)

    def tried(self, command: str) -> tuple[int, str]:
        """A command's exit code and what it prints."""
        return self.eyes.tried(command)

    def wait_for(self, condition: str, within_s: float = GOOD_S) -> None:
        """Until a command inside succeeds."""
        # Bounded inside too, so that the next command is not kept waiting by it.
        loop = f"until {condition}; do sleep {LOOK_S}; done"
        line = f"timeout {within_s:.0f} sh -c {shlex.quote(loop)} >/dev/null 2>&1"
        try:
            self.eyes.run(line, within_s=within_s + GRACE_S)
        except AssertionError as error:
            raise AssertionError(
                f"{condition}: {error}\n{self.machine.kernel.text[-3000:]}\n{self._why()}"
            ) from error

    def _why(self) -> str:
        """What its journal says, where it still answers."""
        try:
            return self.eyes.tried(WHY, within_s=GRACE_S)[1]
        except AssertionError as error:
            return f"it does not say why: {error}"

    def wait_until_ready(self) -> None:
        """The agent has said READY=1."""
        self.wait_for("systemctl is-active --quiet vigie-agent.service")

    def wait_until_good(self) -> None:
        """Its boot has been found good."""
        self.wait_for("systemctl is-active --quiet vigie-boot-good.service")

    def wait_until_recording(self) -> None:
        """There is a piece of film that goes on."""
        self.wait_for("grep -qs moof /var/lib/vigie/footage/*/*.mp4*")

    def slot(self) -> str:
        """Which slot it has booted."""
        words = self.run("cat /proc/cmdline").split()
        (slot,) = (word.partition("=")[2] for word in words if word.startswith("rauc.slot="))
        return slot

    def version(self) -> str:
        """Of the system that it has booted."""
        return self.run(". /etc/os-release; echo $IMAGE_VERSION").strip()

    def uptime_ms(self) -> int:
        """Since its boot, by its own clock."""
        return int(float(self.run("cat /proc/uptime").split()[0]) * 1000)

    def reboot(self) -> str:
        """As somebody would ask for it. Which boot comes of it."""
        self._seen = self.eyes.said
        self.eyes.begin("systemctl reboot")
        return self.wait_until_up()

    def expect_boot(self) -> None:
        """From now on a boot is awaited that comes by itself."""
        self._seen = self.eyes.said

    def switch_off(self) -> None:
        """As one should."""
        self.eyes.begin("systemctl poweroff")
        self.machine.wait_for_end(BOOT_S)
        self._machine = self._eyes = None

    def cut(self) -> None:
        """As a street does it."""
        self.machine.cut()
        self._machine = self._eyes = None

    def cut_after(self, seconds: float) -> None:
        """At a moment that something else has chosen."""
        threading.Event().wait(seconds)
        self.cut()

    def close(self) -> None:
        """Nothing of it runs any more."""
        if self._machine is not None:
            self.cut()

    # What lies on its disk, while it is off.

    def fat(self, name: str) -> FatPart:
        """A FAT of its disk, taken out."""
        return FatPart(self.disk.take(name, self.folder / f"{name}.fat"))

    def ext(self, name: str) -> ExtPart:
        """An ext4 of its disk, taken out, its journal replayed."""
        return ExtPart(self.disk.take(name, self.folder / f"{name}.ext4"))
