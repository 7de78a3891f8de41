"""A box: its disk, and the computer that it is in. It outlives power cuts, as a box does."""

import shlex
import threading
import time
from pathlib import Path

from tests.image.disk import Disk, ExtPart, FatPart
from tests.image.inspection import GuestShell, shell_credentials
from tests.image.machine import VirtualMachine
from tests.image.outside_services import OutsideWorld

BOOT_TIMEOUT_S = 900.0
"""Until systemd runs: long, because machines differ by a factor of six, and emulated processors with them. A test that passes
never waits for its end. The same holds for the other limits."""
GOOD_TIMEOUT_S = 900.0
POLL_INTERVAL_S = 0.5
GRACE_TIMEOUT_S = 300.0
DIAGNOSIS_COMMAND = (
    "systemctl --no-pager --failed; "
    "journalctl -b --no-pager -o short-monotonic -n 150 -u 'vigie-*' 2>&1"
)
"""Commands whose output is shown after a failed wait."""
PROGRAM = "/opt/vigie/bin/vigie"


class Guest:
    """Off until it is switched on."""

    def __init__(
        self,
        folder: Path,
        disk: Disk,
        outside_world: OutsideWorld,
        architecture: str = "amd64",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.disk = disk
        self._outside_world = outside_world
        self._architecture = architecture
        self._machine: VirtualMachine | None = None
        self._shell: GuestShell | None = None
        self.boot_id = ""
        """The id of the last boot seen by the inspection shell."""

    @property
    def machine(self) -> VirtualMachine:
        """The computer, while it is on."""
        assert self._machine is not None, "it is off"
        return self._machine

    @property
    def shell(self) -> GuestShell:
        """Its inside."""
        assert self._shell is not None, "it is off"
        return self._shell

    def switch_on(self, snapshot: str | None = None) -> None:
        """Off with everything that was in memory, and on; or on as it was when it was saved."""
        assert self._machine is None, "it is on"
        self._machine = VirtualMachine(
            self.folder / "machine",
            self.disk.file,
            architecture=self._architecture,
            forwards=self._outside_world.forwards,
            credentials=shell_credentials(self._architecture),
            snapshot=snapshot,
        )
        self._shell = GuestShell(self._machine.lines["eyes"], is_open=snapshot is not None)
        self._output_offset = 0
        if snapshot is not None:
            self.boot_id = self.run("cat /proc/sys/kernel/random/boot_id").strip()

    def start(self) -> str:
        """Switch it on, and wait until systemd runs. Which boot."""
        self.switch_on()
        return self.wait_until_up()

    def wait_until_up(self, timeout_s: float = BOOT_TIMEOUT_S) -> str:
        """Its next boot has come so far that systemd runs. Which boot."""
        shell, end_s = self.shell, time.monotonic() + timeout_s
        while True:
            self.boot_id = shell.wait_until_open(
                max(1.0, end_s - time.monotonic()), self._output_offset
            )
            self._output_offset = shell.output_length
            return self.boot_id

    def run(self, command: str, *, check: bool = True) -> str:
        """Return the output of a command that root runs in the guest."""
        return self.shell.run(command, check=check)

    def run_unchecked(self, command: str) -> tuple[int, str]:
        """A command's exit code and what it prints."""
        return self.shell.run_unchecked(command)

    def wait_for(self, condition: str, timeout_s: float = GOOD_TIMEOUT_S) -> None:
        """Until a command inside succeeds."""
        # Bounded inside too, so that the next command is not kept waiting by it.
        loop = f"until {condition}; do sleep {POLL_INTERVAL_S}; done"
        line = f"timeout {timeout_s:.0f} sh -c {shlex.quote(loop)} >/dev/null 2>&1"
        try:
            self.shell.run(line, timeout_s=timeout_s + GRACE_TIMEOUT_S)
        except AssertionError as error:
            raise AssertionError(
                f"{condition}: {error}\n{self.machine.kernel.text[-3000:]}\n{self._diagnose()}"
            ) from error

    def _diagnose(self) -> str:
        """Return the guest's journal, or the reason for which it cannot be read."""
        try:
            return self.shell.run_unchecked(DIAGNOSIS_COMMAND, timeout_s=GRACE_TIMEOUT_S)[1]
        except AssertionError as error:
            return f"it does not say why: {error}"

    def wait_until_ready(self) -> None:
        """Wait until the agent has sent READY=1."""
        self.wait_for("systemctl is-active --quiet vigie-agent.service")

    def wait_until_good(self) -> None:
        """Its boot has been found good."""
        self.wait_for("systemctl is-active --quiet vigie-boot-good.service")

    def wait_until_recording(self) -> None:
        """Wait until a file of video grows."""
        self.wait_for("grep -qs moof /var/lib/vigie/footage/*/*.mp4*")

    def booted_slot(self) -> str:
        """Which slot it has booted."""
        kernel_args = self.run("cat /proc/cmdline").split()
        (slot,) = (word.partition("=")[2] for word in kernel_args if word.startswith("rauc.slot="))
        return slot

    def image_version(self) -> str:
        """Of the system that it has booted."""
        return self.run(". /etc/os-release; echo $IMAGE_VERSION").strip()

    def uptime_ms(self) -> int:
        """Since its boot, by its own clock."""
        return int(float(self.run("cat /proc/uptime").split()[0]) * 1000)

    def reboot(self) -> str:
        """Boot the guest as an operator would; return the new boot's id."""
        self._output_offset = self.shell.output_length
        self.shell.start_command("systemctl reboot")
        return self.wait_until_up()

    def expect_boot(self) -> None:
        """From now on a boot is awaited that comes by itself."""
        self._output_offset = self.shell.output_length

    def switch_off(self) -> None:
        """As one should."""
        self.shell.start_command("systemctl poweroff")
        self.machine.wait_for_end(BOOT_TIMEOUT_S)
        self._machine = self._shell = None

    def cut_power(self) -> None:
        """As a street does it."""
        self.machine.kill()
        self._machine = self._shell = None

    def cut_power_after(self, seconds: float) -> None:
        """At a moment that something else has chosen."""
        threading.Event().wait(seconds)
        self.cut_power()

    def close(self) -> None:
        """Nothing of it runs any more."""
        if self._machine is not None:
            self.cut_power()

    # The content of its disk, while it is off.

    def extract_fat(self, name: str) -> FatPart:
        """A FAT of its disk, taken out."""
        return FatPart(self.disk.extract(name, self.folder / f"{name}.fat"))

    def extract_ext(self, name: str) -> ExtPart:
        """An ext4 of its disk, taken out, its journal replayed."""
        return ExtPart(self.disk.extract(name, self.folder / f"{name}.ext4"))
