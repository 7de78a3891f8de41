"""A computer in QEMU: real UEFI firmware, a disk, three serial lines, a watchdog, a network of its own.

The firmware is not simulated: OVMF (AAVMF on arm64) finds the boot loader on the disk, as it would on a
board. Processors are emulated (TCG), which works everywhere; `VIGIE_IMAGE_ACCEL=kvm` requests KVM, which is never
selected automatically, because a machine may have a /dev/kvm that does not work.
"""

import base64
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.image.guest_line import GuestLine
from tests.image.qmp import QmpClient

START_TIMEOUT_S = 300.0
END_TIMEOUT_S = 300.0
MEMORY_MB = 1024
"""The smallest board's."""
MAX_PROCESSORS = 4


class MachineModel(msgspec.Struct, frozen=True, kw_only=True):
    """The differences between architectures. `kernel_port` is the first of its serial lines."""

    program: str
    machine: tuple[str, ...]
    firmware: str
    watchdog: tuple[str, ...] = ("-device", "i6300esb")
    has_usb_cable: bool = False
    """Whether the technician's cable is a USB adapter, for want of serial lines."""


MACHINE_MODELS: Mapping[str, MachineModel] = {
    "amd64": MachineModel(
        program="qemu-system-x86_64",
        machine=("-machine", "q35", "-cpu", "max"),
        firmware="/usr/share/ovmf/OVMF.fd",
    ),
    "arm64": MachineModel(
        program="qemu-system-aarch64",
        machine=("-machine", "virt", "-cpu", "cortex-a72"),
        firmware="/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
        has_usb_cable=True,
    ),
}
USB_CABLE: Mapping[str, Any] = {
    "driver": "usb-serial",
    "id": "cable",
    "bus": "usb.0",
    "chardev": "cable",
    "always-plugged": True,
}
LINE_NAMES = ("kernel", "cable", "eyes")
"""The kernel's console, the technician's cable, and what the tests look in through."""


def processor_count() -> int:
    """Its share of this machine's, where several tests run side by side, and no more than a board has.

    An emulated processor that waits for another one, which has no real one to run on, costs a third.
    """
    worker_count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return min(max(1, len(os.sched_getaffinity(0)) // worker_count), MAX_PROCESSORS)


class VirtualMachine:
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
        forwards: Mapping[str, int] | None = None,
        credentials: Mapping[str, str] | None = None,
        snapshot: str | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        for name in ("qmp", *LINE_NAMES):
            (folder / name).unlink(missing_ok=True)
        model = MACHINE_MODELS[architecture]
        self._has_usb_cable = model.has_usb_cable
        self._log = folder / "qemu.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    # The machine ends with the process that reads it.
                    *("setpriv", "--pdeathsig", "KILL", model.program),
                    *model.machine,
                    *("-accel", os.environ.get("VIGIE_IMAGE_ACCEL", "tcg,thread=multi")),
                    *(
                        "-m",
                        str(memory_mb),
                        "-smp",
                        str(processor_count()),
                        "-bios",
                        model.firmware,
                    ),
                    *("-nodefaults", "-display", "none", "-rtc", "base=utc"),
                    *model.watchdog,
                    *("-action", "watchdog=reset", "-action", "panic=none"),
                    *disk_arguments(disk),
                    *network_arguments(forwards or {}),
                    *("-device", "virtio-rng-pci", "-device", "qemu-xhci,id=usb"),
                    *line_arguments(folder, architecture),
                    *credential_arguments(folder, credentials or {}),
                    *("-qmp", f"unix:{folder}/qmp,server=on,wait=off"),
                    *(("-loadvm", snapshot) if snapshot else ()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.lines: dict[str, GuestLine] = {}
        try:
            self.qmp = QmpClient(folder / "qmp", START_TIMEOUT_S)
            for name in LINE_NAMES:
                self.lines[name] = GuestLine(folder / name, folder / f"{name}.log", START_TIMEOUT_S)
            if self._has_usb_cable:
                self.qmp.execute("device_add", **USB_CABLE)
        except (OSError, AssertionError) as error:
            self.kill()
            raise AssertionError(f"QEMU did not start: {error}: {self.qemu_output()}") from error

    @property
    def kernel(self) -> GuestLine:
        """The output of the boot loader, the kernel and systemd."""
        return self.lines["kernel"]

    @property
    def is_running(self) -> bool:
        """Whether it is switched on."""
        return self._process.poll() is None

    def qemu_output(self) -> str:
        """QEMU's own error output."""
        return self._log.read_text()

    def kill(self) -> None:
        """Pull the plug. Data that the guest has not flushed may be lost."""
        self._process.send_signal(signal.SIGKILL)
        self._close()

    def wait_for_end(self, timeout_s: float = END_TIMEOUT_S) -> None:
        """It switches itself off."""
        self._process.wait(timeout_s)
        self._close()

    def reset_count(self) -> int:
        """The number of resets, for any reason."""
        return self.qmp.events.count("RESET")

    def wait_for_reset(self, previous_count: int, timeout_s: float) -> None:
        """Wait until the machine has reset more than `previous_count` times."""
        has_reset = self.qmp.wait_for_event("RESET", previous_count, timeout_s)
        assert has_reset, f"no reset within {timeout_s:g} s:\n{self.kernel.text[-3000:]}"

    def plug_stick(self, stick: Path, *, writable: bool = False) -> None:
        """A USB disk with this content. Writes reach the file at once."""
        drive: Mapping[str, Any] = {
            "driver": "raw",
            "node-name": "stick",
            "read-only": not writable,
            "file": {"driver": "file", "filename": str(stick), "read-only": not writable},
        }
        self.qmp.execute("blockdev-add", **drive)
        self.qmp.execute("device_add", driver="usb-storage", bus="usb.0", id="stick", drive="stick")

    def plug_network_adapter(self) -> None:
        """A USB network adapter, with a DHCP server at the other end of its cable."""
        self.qmp.execute("netdev_add", type="user", id="adapter", restrict=True)
        self.qmp.execute(
            "device_add", driver="usb-net", bus="usb.0", id="adapter", netdev="adapter"
        )

    def unplug_network_adapter(self) -> None:
        """Unplug it again."""
        self.qmp.execute("device_del", id="adapter")

    def save_snapshot(self, name: str) -> None:
        """Keep processor, memory and disk in the disk's file under a name."""
        if self._has_usb_cable:
            # QEMU does not save one. It is plugged in again when the machine is as it was.
            self.qmp.execute("device_del", id="cable")
        output = self.qmp.run_monitor_command(f"savevm {name}", 300)
        assert not output.strip(), output

    def _close(self) -> None:
        self._process.wait()
        for line in self.lines.values():
            line.close()
        if hasattr(self, "qmp"):
            self.qmp.close()


def disk_arguments(disk: Path) -> Sequence[str]:
    """A disk with a cache that a power cut empties: writeback, as drives and cards have it."""
    return (
        *("-drive", f"file={disk},format=qcow2,if=none,id=disk,cache=writeback,discard=unmap"),
        *("-device", "virtio-blk-pci,drive=disk,bootindex=1"),
    )


def network_arguments(forwards: Mapping[str, int]) -> Sequence[str]:
    """A network that leads nowhere but through the doors."""
    # With `-tcp:` instead of a program of its own for each connection, QEMU stalls.
    options = "".join(
        f",guestfwd=tcp:{guest_address}-cmd:socat STDIO TCP4:127.0.0.1:{port}"
        for guest_address, port in forwards.items()
    )
    return (
        *("-netdev", f"user,id=net,restrict=on{options}"),
        *("-device", "virtio-net-pci,netdev=net,romfile="),
    )


def line_arguments(folder: Path, architecture: str) -> Sequence[str]:
    """Three serial lines: of a PC's own kind, or on arm64 its one, a USB adapter and one on PCI."""
    arguments: list[str] = []
    for name in LINE_NAMES:
        arguments += ["-chardev", f"socket,id={name},path={folder}/{name},server=on,wait=off"]
    if architecture == "arm64":
        return (
            *arguments,
            *("-serial", "chardev:kernel", "-device", "pci-serial,chardev=eyes"),
        )
    return (*arguments, *(word for name in LINE_NAMES for word in ("-serial", f"chardev:{name}")))


def credential_arguments(folder: Path, credentials: Mapping[str, str]) -> Sequence[str]:
    """Return the arguments for credentials in the firmware's tables, see systemd.system-credentials(7)."""
    arguments: list[str] = []
    for number, (name, text) in enumerate(credentials.items()):
        file = folder / f"credential-{number}"
        coded = base64.b64encode(text.encode()).decode()
        file.write_text(f"io.systemd.credential.binary:{name}={coded}")
        arguments += ["-smbios", f"type=11,path={file}"]
    return arguments
