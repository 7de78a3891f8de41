"""A real ext4 on a logged disk, mounts of crash states, and why either cannot be had."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DISK_BYTES = 48 << 20
_TOOLS = ("mkfs.ext4", "losetup", "mount", "umount", "e2fsck")


def skip_unless_available(*tools: str) -> None:
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


def run_command(*command: str | Path) -> str:
    """A command's output. Raises CalledProcessError."""
    arguments = [str(word) for word in command]
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout


def make_ext4(image: Path, size_bytes: int) -> Path:
    """A new ext4 in a file, with nothing left to be done lazily later."""
    with image.open("wb") as file:
        file.truncate(size_bytes)
    extended_options = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"
    run_command("mkfs.ext4", "-q", "-F", "-b", "4096", "-E", extended_options, image)
    return image


def repair_ext4(image: Path) -> None:
    """Check the file system as a box does before it mounts it: a torn write of the superblock leaves its copies.

    Raises CalledProcessError if nothing can be repaired.
    """
    if subprocess.run(["e2fsck", "-p", image], check=False, capture_output=True).returncode >= 4:
        forced = subprocess.run(["e2fsck", "-f", "-y", image], check=False, capture_output=True)
        if forced.returncode >= 4:
            raise subprocess.CalledProcessError(
                forced.returncode, forced.args, stderr=forced.stdout.decode(errors="replace")
            )


@contextmanager
def mounted(device: Path, mount_point: Path, options: str = "") -> Iterator[Path]:
    """The file system of an image or a block device, by the kernel's own ext4."""
    mount_point.mkdir(exist_ok=True)
    if device.is_file():
        options = f"loop,{options}" if options else "loop"
    run_command("mount", "-t", "ext4", *(["-o", options] if options else []), device, mount_point)
    try:
        yield mount_point
    finally:
        run_command("umount", mount_point)


@contextmanager
def logged_ext4(
    folder: Path, image: Path, log: Path, bad_offsets: Sequence[int] = ()
) -> Iterator[tuple[Path, Path]]:
    """The mount point of an ext4 whose disk is logged, and the file to write marks to.

    The blocks at `bad_offsets` of the image cannot be read.
    """
    fuse_mount = folder / "fuse"
    fuse_mount.mkdir()
    command = [sys.executable, "-m", "tests.crash.logged_disk", fuse_mount, image, log]
    command += map(str, bad_offsets)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"mounted\n"
        try:
            device = run_command("losetup", "--find", "--show", fuse_mount / "disk").strip()
            try:
                with mounted(Path(device), folder / "run") as mount:
                    yield mount, fuse_mount / "marks"
            finally:
                run_command("losetup", "--detach", device)
                run_command("udevadm", "settle") if shutil.which("udevadm") else None
        finally:
            _unmount(fuse_mount)
            try:
                server.wait(60)
            finally:
                server.kill()


def _unmount(point: Path) -> None:
    """Unmount, with retries: a loop device releases its file a moment later."""
    for _ in range(100):
        process = subprocess.run(["umount", str(point)], check=False, capture_output=True)
        if not process.returncode:
            return
        subprocess.run(["sync"], check=False)
    run_command("umount", "--lazy", point)
