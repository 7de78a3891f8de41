"""Emulation of other architectures on the building machine: qemu-user with binfmt_misc."""

import platform
import subprocess
from pathlib import Path

from images.target import UNAME_MACHINES

BINFMT = Path("/proc/sys/fs/binfmt_misc")


def prepare_emulation(architecture: str) -> None:
    """Register qemu-user with the kernel, if the target has another architecture.

    Raises SystemExit if a program is missing.
    """
    probe = subprocess.run(["systemd-repart", "--version"], capture_output=True, check=False)
    if probe.returncode:
        raise SystemExit(
            "systemd-repart does not run: apt-get install --reinstall systemd-repart libsystemd-shared"
        )
    machine = UNAME_MACHINES[architecture]
    if machine == platform.machine():
        return
    name = f"qemu-{machine}"
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT], check=True)
    if not (BINFMT / name).exists():
        subprocess.run(["/usr/lib/systemd/systemd-binfmt", f"{name}.conf"], check=True)
    if not (BINFMT / name).exists():
        raise SystemExit(f"no emulation of {machine}: apt-get install qemu-user-binfmt")
