"""A computer in QEMU: real UEFI firmware, a disk, three serial lines, a watchdog, a network of its own.

Nothing plays the firmware: OVMF (AAVMF on arm64) finds the boot loader on the disk, as it would on a
board. Processors are emulated (TCG), which works everywhere; `VIGIE_IMAGE_ACCEL=kvm` asks for KVM, which is never taken
by itself, because a machine may have a /dev/kvm that does not work.
"""

import base64
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.image.line import Line
from tests.image.qmp import Qmp

START_S = 60.0
END_S = 60.0
MEMORY_MB = 1024
"""The smallest board's."""
BOARD_PROCESSORS = 4


class Make(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between architectures. `kernel_port` is the first of its serial lines."""

    program: str
    machine: tuple[str, ...]
    firmware: str
    watchdog: tuple[str, ...] = ("-device", "i6300esb")
    usb_cable: bool = False
    """Whether the technician's cable is a USB adapter, for want of serial lines."""


MAKES: Mapping[str, Make] = {
    "amd64": Make(
        program="qemu-system-x86_64",
        machine=("-machine", "q35", "-cpu", "max"),
        firmware="/usr/share/ovmf/OVMF.fd",
    ),
    "arm64": Make(
        program="qemu-system-aarch64",
        machine=("-machine", "virt", "-cpu", "cortex-a72"),
        firmware="/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
        usb_cable=True,
    ),
}
USB_CABLE: Mapping[str, Any] = {
    "driver": "usb-serial",
    "id": "cable",
    "bus": "usb.0",
    "chardev": "cable",
    "always-plugged": True,
}
LINES = ("kernel", "cable", "eyes")
"""The kernel's console, the technician's cable, and what the tests look in through."""


def processors() -> int:
    """Its share of this machine's, where several tests run side by side, and no more than a board has.

    An emulated processor that waits for another one, which has no real one to run on, costs a third.
    """
    shares = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return min(max(1, len(os.sched_getaffinity(0)) // shares), BOARD_PROCESSORS)


class Machine:
    """One that is switched on. `disk` is a qcow2; `doors` lead out of its network: an address and
    port as the guest sees them, and the port of this machine.
    """

    def __init__(
        self,
        folder: Path,
        disk: Path,
        *,
        architecture: str = "amd64",
        memory_mb: int = MEMORY_MB,
        doors: Mapping[str, int] | None = None,
        credentials: Mapping[str, str] | None = None,
        saved: str | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        for name in ("qmp", *LINES):
            (folder / name).unlink(missing_ok=True)
        make = MAKES[architecture]
        self._plugs_cable = make.usb_cable
        self._log = folder / "qemu.log"
        with self._log.open("ab") as said:
            self._process = subprocess.Popen(
                [
                    # It does not outlive whoever looks at it.
                    *("setpriv", "--pdeathsig", "KILL", make.program),
                    *make.machine,
                    *("-accel", os.environ.get("VIGIE_IMAGE_ACCEL", "tcg,thread=multi")),
                    *("-m", str(memory_mb), "-smp", str(processors()), "-bios", make.firmware),
                    *("-nodefaults", "-display", "none", "-rtc", "base=utc"),
                    *make.watchdog,
                    *("-action", "watchdog=reset", "-action", "panic=none"),
                    *disk_words(disk),
                    *net_words(doors or {}),
                    *("-device", "virtio-rng-pci", "-device", "qemu-xhci,id=usb"),
                    *line_words(folder, architecture),
                    *credential_words(folder, credentials or {}),
                    *("-qmp", f"unix:{folder}/qmp,server=on,wait=off"),
                    *(("-loadvm", saved) if saved else ()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        self.lines: dict[str, Line] = {}
        try:
            self.qmp = Qmp(folder / "qmp", START_S)
            for name in LINES:
                self.lines[name] = Line(folder / name, folder / f"{name}.log", START_S)
            if self._plugs_cable:
                self.qmp.do("device_add", **USB_CABLE)
        except (OSError, AssertionError) as error:
            self.cut()
            raise AssertionError(f"QEMU did not start: {error}: {self.said()}") from error

    @property
    def kernel(self) -> Line:
        """What the boot loader, the kernel and systemd say."""
        return self.lines["kernel"]

    @property
    def runs(self) -> bool:
        """Whether it is switched on."""
        return self._process.poll() is None

    def said(self) -> str:
        """What QEMU itself complained about."""
        return self._log.read_text()

    def cut(self) -> None:
        """Pull the plug. What the guest's disk was not told to keep may be lost."""
        self._process.send_signal(signal.SIGKILL)
        self._close()

    def wait_for_end(self, within_s: float = END_S) -> None:
        """It switches itself off."""
        self._process.wait(within_s)
        self._close()

    def resets(self) -> int:
        """How often it has begun anew, for whatever reason."""
        return self.qmp.events.count("RESET")

    def wait_for_reset(self, seen: int, within_s: float) -> None:
        """It begins anew once more than `seen` times."""
        came = self.qmp.wait_for_event("RESET", seen, within_s)
        assert came, f"no reset within {within_s:g} s:\n{self.kernel.text[-3000:]}"

    def plug(self, stick: Path) -> None:
        """A USB disk with this content, which is only read."""
        drive: Mapping[str, Any] = {
            "driver": "raw",
            "node-name": "stick",
            "read-only": True,
            "file": {"driver": "file", "filename": str(stick), "read-only": True},
        }
        self.qmp.do("blockdev-add", **drive)
        self.qmp.do("device_add", driver="usb-storage", bus="usb.0", id="stick", drive="stick")

    def save(self, name: str) -> None:
        """Keep processor, memory and disk in the disk's file under a name."""
        if self._plugs_cable:
            # QEMU does not save one. It is plugged in again when the machine is as it was.
            self.qmp.do("device_del", id="cable")
        told = self.qmp.monitor(f"savevm {name}", 300)
        assert not told.strip(), told

    def _close(self) -> None:
        self._process.wait()
        for line in self.lines.values():
            line.close()
        if hasattr(self, "qmp"):
            self.qmp.close()


def disk_words(disk: Path) -> Sequence[str]:
    """A disk with a cache that a power cut empties: writeback, as drives and cards have it."""
    return (
        *("-drive", f"file={disk},format=qcow2,if=none,id=disk,cache=writeback,discard=unmap"),
        *("-device", "virtio-blk-pci,drive=disk,bootindex=1"),
    )


def net_words(doors: Mapping[str, int]) -> Sequence[str]:
    """A network that leads nowhere but through the doors."""
    # With `-tcp:` instead of a program of its own for each connection, QEMU stalls.
    forwards = "".join(
        f",guestfwd=tcp:{inside}-cmd:socat STDIO TCP4:127.0.0.1:{port}"
        for inside, port in doors.items()
    )
    return (
        *("-netdev", f"user,id=net,restrict=on{forwards}"),
        *("-device", "virtio-net-pci,netdev=net,romfile="),
    )


def line_words(folder: Path, architecture: str) -> Sequence[str]:
    """Three serial lines: of a PC's own kind, or on arm64 its one, a USB adapter and one on PCI."""
    words: list[str] = []
    for name in LINES:
        words += ["-chardev", f"socket,id={name},path={folder}/{name},server=on,wait=off"]
    if architecture == "arm64":
        return (
            *words,
            *("-serial", "chardev:kernel", "-device", "pci-serial,chardev=eyes"),
        )
    return (*words, *(word for name in LINES for word in ("-serial", f"chardev:{name}")))


def credential_words(folder: Path, credentials: Mapping[str, str]) -> Sequence[str]:
    """What systemd is handed by the machine's own tables, see systemd.system-credentials(7)."""
    words: list[str] = []
    for number, (name, text) in enumerate(credentials.items()):
        file = folder / f"credential-{number}"
        coded = base64.b64encode(text.encode()).decode()
        file.write_text(f"io.systemd.credential.binary:{name}={coded}")
        words += ["-smbios", f"type=11,path={file}"]
    return words
