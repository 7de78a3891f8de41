"""Loop devices: disks whose medium is a file. One that is free goes to any program of the machine that asks for one."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.whole import flash_image
from tests.whole.flash_image import run_program


@contextmanager
def loop_device(medium: Path) -> Iterator[Path]:
    """Return the device of a medium, which is detached at the end. Skip the test where there is none."""
    losetup = shutil.which("losetup", path=flash_image.PATH)
    if losetup is None or os.geteuid():
        pytest.skip("needs root and losetup: a loop device")
    with _no_other_test_attaches():
        words = [losetup, "--find", "--show", "--partscan", str(medium)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no loop device here: {done.stderr.strip()}")
    device = Path(done.stdout.strip())
    try:
        yield device
    finally:
        run_program("losetup", "--detach", device)


def attach_anew(device: Path, medium: Path) -> None:
    """Detach a device and attach it again, as when a card reader is plugged out and in."""
    with _no_other_test_attaches():
        run_program("losetup", "--detach", device)
        run_program("losetup", device, medium)


@contextmanager
def _no_other_test_attaches() -> Iterator[None]:
    with Path("/dev/loop-control").open("rb") as control:
        fcntl.flock(control, fcntl.LOCK_EX)
        yield
