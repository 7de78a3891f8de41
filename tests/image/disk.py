"""The guest's disk, read and written from outside while the guest is off. Needs no root: nothing is mounted."""

import re
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tests.image.form import find_program

SECTOR_BYTES = 512
UNCLEAN_UNMOUNT_LINES = re.compile(
    r"Dirty bit is set|\s*Automatically removing dirty|Leaving filesystem unchanged|\S+: \d+ files|$"
    r"|There are differences between boot sector and its backup|.*mostly harmless|Cannot initialize|Using internal"
)
"""Lines of fsck.fat that are there after each cut."""
MAX_PARTITION_ENTRIES = 128


class Partition(msgspec.Struct, frozen=True, kw_only=True):
    """The begin and the size of a partition."""

    begin: int
    size: int


class Disk:
    """A qcow2. What is written to it leaves the file below it, of which it is an overlay, as it is."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @classmethod
    def create_overlay(cls, file: Path, base: Path, size: str | None = None) -> "Disk":
        """A new one over a raw image or another one."""
        kind = "qcow2" if base.suffix == ".qcow2" else "raw"
        run_program(
            "qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b", base, file, size or ""
        )
        return cls(file)

    def copy(self, file: Path) -> "Disk":
        """The same again, saved states and all."""
        run_program("cp", "--sparse=always", "--reflink=auto", self.file, file)
        return Disk(file)

    def partitions(self) -> dict[str, Partition]:
        """Its partitions by name (UEFI specification, 5.3)."""
        table = self._read_range(0, (2 + MAX_PARTITION_ENTRIES // 4) * SECTOR_BYTES)
        assert table[SECTOR_BYTES : SECTOR_BYTES + 8] == b"EFI PART", "no partition table"
        count, size = struct.unpack_from("<II", table, SECTOR_BYTES + 80)
        found: dict[str, Partition] = {}
        for number in range(min(count, MAX_PARTITION_ENTRIES)):
            at = 2 * SECTOR_BYTES + number * size
            first, last = struct.unpack_from("<QQ", table, at + 32)
            name = table[at + 56 : at + 128].decode("utf-16-le").rstrip("\0")
            if last:
                found[name] = Partition(
                    begin=first * SECTOR_BYTES, size=(last - first + 1) * SECTOR_BYTES
                )
        return found

    def extract(self, name: str, target: Path) -> Path:
        """A partition as a file of its own."""
        partition = self.partitions()[name]
        run_program(
            "qemu-img", "convert", "--image-opts", "-O", "raw", self._options(partition), target
        )
        return target

    def write_partition(self, name: str, from_: Path) -> None:
        """A partition's content, all of it, from such a file."""
        part = self.partitions()[name]
        assert from_.stat().st_size == part.size, f"{name}: {from_.stat().st_size} bytes"
        arguments = ("-n", "--target-image-opts", "-f", "raw")
        run_program("qemu-img", "convert", *arguments, from_, self._options(part))

    def corrupt(self, name: str, size: int, byte: int = 0xA5) -> None:
        """Overwrite the beginning of a partition with nonsense."""
        at = self.partitions()[name].begin
        run_program("qemu-io", "-f", "qcow2", "-c", f"write -q -P {byte} {at} {size}", self.file)

    def is_consistent(self) -> bool:
        """Whether the qcow2 itself is: what is merely left over in it does no harm."""
        done = subprocess.run(
            [find_program("qemu-img"), "check", "-q", self.file], capture_output=True, check=False
        )
        return done.returncode in (0, 3)

    def _options(self, part: Partition) -> str:
        return (
            f"driver=raw,offset={part.begin},size={part.size},file.driver=qcow2,"
            f"file.file.driver=file,file.file.filename={self.file}"
        )

    def _read_range(self, begin: int, size: int) -> bytes:
        slice_file = self.file.with_suffix(".slice")
        run_program(
            *("qemu-img", "convert", "--image-opts", "-O", "raw"),
            *(self._options(Partition(begin=begin, size=size)), slice_file),
        )
        data = slice_file.read_bytes()
        slice_file.unlink()
        return data


class FatPart:
    """A FAT that was taken out of a disk (or is to become one)."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def check_errors(self) -> str:
        """Return the errors that fsck.fat would repair; an unclean unmount is not counted."""
        command = [find_program("fsck.fat"), "-n", str(self.file)]
        output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        lines = [line for line in output.splitlines()[1:] if not UNCLEAN_UNMOUNT_LINES.match(line)]
        return "\n".join(lines)

    def list_names(self, folder: str = "") -> list[str]:
        """Return the names in a folder."""
        return run_program("mdir", "-b", "-i", self.file, f"::{folder}").split()

    def read(self, name: str) -> bytes | None:
        """A file's content; None where there is no such file."""
        command = [find_program("mcopy"), "-n", "-i", str(self.file), f"::{name}", "-"]
        done = subprocess.run(command, capture_output=True, check=False)
        return None if done.returncode else done.stdout

    def write(self, name: str, data: bytes) -> None:
        """A file, new or replaced."""
        new = self.file.with_suffix(".new")
        new.write_bytes(data)
        run_program("mcopy", "-o", "-i", self.file, new, f"::{name}")
        new.unlink()

    def remove(self, name: str) -> None:
        """No such file any more."""
        run_program("mdel", "-i", self.file, f"::{name}")


def make_fat(file: Path, size: int, files: Mapping[str, Path]) -> Path:
    """A new FAT with these files in it."""
    run_program("truncate", f"--size={size}", file)
    run_program("mkfs.fat", "-F", "32", file)
    for name, from_ in files.items():
        run_program("mcopy", "-i", file, from_, f"::{name}")
    return file


class ExtPart:
    """An ext4 that was taken out of a disk after a power cut: its journal is replayed, as the kernel
    would, and then it has to be without fault.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        run_program("e2fsck", "-E", "journal_only", "-p", file)
        done = subprocess.run(
            [find_program("e2fsck"), "-fn", file], capture_output=True, text=True, check=False
        )
        self.faults = done.stdout if done.returncode else ""

    def extract_folder(self, folder: str, target: Path) -> Path:
        """A folder with all that is in it."""
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        # It tries to give the files their owners, and complains if it may not.
        run_program("debugfs", "-R", f"rdump {folder} {target}", self.file)
        return target / Path(folder).name

    def read(self, name: str) -> bytes:
        """A file's content; empty where there is none."""
        command = [find_program("debugfs"), "-R", f"cat {name}", str(self.file)]
        return subprocess.run(command, capture_output=True, check=True).stdout


def run_program(*command: str | Path) -> str:
    """A program's output. Raises AssertionError with it if the program fails."""
    name, *rest = command
    full_command = [find_program(str(name)), *(str(word) for word in rest if str(word))]
    process = subprocess.run(full_command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, (
        f"{' '.join(full_command)}: {process.returncode}: {process.stdout}{process.stderr}"
    )
    return process.stdout
