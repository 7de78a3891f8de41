"""A real ext4 on a logged disk, mounts of crash states, and why either cannot be had."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DISK_BYTES = 48 << 20
_TOOLS = ("mkfs.ext4", "losetup", "mount", "umount", "e2fsck")


def need(*tools: str) -> None:
    """Skip, with the reason, where this machine lets us mount nothing or lacks a tool."""
    if os.geteuid():
        pytest.skip("needs root: loop devices and mounts")
    for tool in (*_TOOLS, *tools):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}: make setup-crash")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("needs /dev/fuse")
    with tempfile.TemporaryDirectory() as folder:
        image = make_ext4(Path(folder) / "probe.img", 4 << 20)
        try:
            with mounted(image, Path(folder) / "mnt"):
                pass
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this machine mounts no loop device: {error.stderr.strip()}")


def run(*command: str | Path) -> str:
    """A command's output. Raises CalledProcessError."""
    words = [str(word) for word in command]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def make_ext4(image: Path, size_bytes: int) -> Path:
    """A new ext4 in a file, with nothing left to be done lazily later."""
    with image.open("wb") as file:
        file.truncate(size_bytes)
    lazy = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"
    run("mkfs.ext4", "-q", "-F", "-b", "4096", "-E", lazy, image)
    return image


@contextmanager
def mounted(device: Path, point: Path, options: str = "") -> Iterator[Path]:
    """The file system of an image or a block device, by the kernel's own ext4."""
    point.mkdir(exist_ok=True)
    if device.is_file():
        options = f"loop,{options}" if options else "loop"
    run("mount", "-t", "ext4", *(["-o", options] if options else []), device, point)
    try:
        yield point
    finally:
        run("umount", point)


@contextmanager
def logged(folder: Path, image: Path, log: Path) -> Iterator[tuple[Path, Path]]:
    """The mount point of an ext4 whose disk is logged, and the file to write marks to."""
    point = folder / "fuse"
    point.mkdir()
    command = [sys.executable, "-m", "tests.crash.logged_disk", point, image, log]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"mounted\n"
        try:
            device = run("losetup", "--find", "--show", point / "disk").strip()
            try:
                with mounted(Path(device), folder / "run") as mount:
                    yield mount, point / "marks"
            finally:
                run("losetup", "--detach", device)
                run("udevadm", "settle") if shutil.which("udevadm") else None
        finally:
            _unmount(point)
            try:
                server.wait(30)
            finally:
                server.kill()


def _unmount(point: Path) -> None:
    """A loop device lets go of its file a moment after it was told to."""
    for _ in range(100):
        done = subprocess.run(["umount", str(point)], check=False, capture_output=True)
        if not done.returncode:
            return
        subprocess.run(["sync"], check=False)
    run("umount", "--lazy", point)
