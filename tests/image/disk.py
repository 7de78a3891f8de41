"""The guest's disk, read and written from outside while the guest is off. Needs no root: nothing is mounted."""

import re
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tests.image.form import program

SECTOR = 512
UNMOUNTED = re.compile(
    r"Dirty bit is set|\s*Automatically removing dirty|Leaving filesystem unchanged|\S+: \d+ files|$"
    r"|There are differences between boot sector and its backup|.*mostly harmless|Cannot initialize|Using internal"
)
"""Lines of fsck.fat that are there after each cut."""
ENTRIES_MOST = 128


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Where a partition lies."""

    begin: int
    size: int


class Disk:
    """A qcow2. What is written to it leaves the file below it, of which it is an overlay, as it is."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @classmethod
    def over(cls, file: Path, below: Path, size: str | None = None) -> "Disk":
        """A new one over a raw image or another one."""
        kind = "qcow2" if below.suffix == ".qcow2" else "raw"
        ran("qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b", below, file, size or "")
        return cls(file)

    def copy(self, file: Path) -> "Disk":
        """The same again, saved states and all."""
        ran("cp", "--sparse=always", "--reflink=auto", self.file, file)
        return Disk(file)

    def parts(self) -> dict[str, Part]:
        """Its partitions by name (UEFI specification, 5.3)."""
        head = self._slice(0, (2 + ENTRIES_MOST // 4) * SECTOR)
        assert head[SECTOR : SECTOR + 8] == b"EFI PART", "no partition table"
        count, size = struct.unpack_from("<II", head, SECTOR + 80)
        found: dict[str, Part] = {}
        for number in range(min(count, ENTRIES_MOST)):
            at = 2 * SECTOR + number * size
            first, last = struct.unpack_from("<QQ", head, at + 32)
            name = head[at + 56 : at + 128].decode("utf-16-le").rstrip("\0")
            if last:
                found[name] = Part(begin=first * SECTOR, size=(last - first + 1) * SECTOR)
        return found

    def take(self, name: str, to: Path) -> Path:
        """A partition as a file of its own."""
        part = self.parts()[name]
        ran("qemu-img", "convert", "--image-opts", "-O", "raw", self._options(part), to)
        return to

    def put(self, name: str, from_: Path) -> None:
        """A partition's content, all of it, from such a file."""
        part = self.parts()[name]
        assert from_.stat().st_size == part.size, f"{name}: {from_.stat().st_size} bytes"
        words = ("-n", "--target-image-opts", "-f", "raw")
        ran("qemu-img", "convert", *words, from_, self._options(part))

    def spoil(self, name: str, size: int, byte: int = 0xA5) -> None:
        """Overwrite the beginning of a partition with nonsense."""
        at = self.parts()[name].begin
        ran("qemu-io", "-f", "qcow2", "-c", f"write -q -P {byte} {at} {size}", self.file)

    def is_sound(self) -> bool:
        """Whether the qcow2 itself is: what is merely left over in it does no harm."""
        done = subprocess.run(
            [program("qemu-img"), "check", "-q", self.file], capture_output=True, check=False
        )
        return done.returncode in (0, 3)

    def _options(self, part: Part) -> str:
        return (
            f"driver=raw,offset={part.begin},size={part.size},file.driver=qcow2,"
            f"file.file.driver=file,file.file.filename={self.file}"
        )

    def _slice(self, begin: int, size: int) -> bytes:
        part = self.file.with_suffix(".slice")
        ran(
            *("qemu-img", "convert", "--image-opts", "-O", "raw"),
            *(self._options(Part(begin=begin, size=size)), part),
        )
        data = part.read_bytes()
        part.unlink()
        return data


class FatPart:
    """A FAT that was taken out of a disk (or is to become one)."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def faults(self) -> str:
        """What fsck.fat would mend; that it was not unmounted is none."""
        words = [program("fsck.fat"), "-n", str(self.file)]
        said = subprocess.run(words, capture_output=True, text=True, check=False).stdout
        lines = [line for line in said.splitlines()[1:] if not UNMOUNTED.match(line)]
        return "\n".join(lines)

    def names(self, folder: str = "") -> list[str]:
        """What lies in a folder."""
        return ran("mdir", "-b", "-i", self.file, f"::{folder}").split()

    def read(self, name: str) -> bytes | None:
        """A file's content; None where there is no such file."""
        words = [program("mcopy"), "-n", "-i", str(self.file), f"::{name}", "-"]
        done = subprocess.run(words, capture_output=True, check=False)
        return None if done.returncode else done.stdout

    def write(self, name: str, data: bytes) -> None:
        """A file, new or replaced."""
        new = self.file.with_suffix(".new")
        new.write_bytes(data)
        ran("mcopy", "-o", "-i", self.file, new, f"::{name}")
        new.unlink()

    def remove(self, name: str) -> None:
        """No such file any more."""
        ran("mdel", "-i", self.file, f"::{name}")


def fat(file: Path, size: int, files: Mapping[str, Path]) -> Path:
    """A new FAT with these files in it."""
    ran("truncate", f"--size={size}", file)
    ran("mkfs.fat", "-F", "32", file)
    for name, from_ in files.items():
        ran("mcopy", "-i", file, from_, f"::{name}")
    return file


class ExtPart:
    """An ext4 that was taken out of a disk after a power cut: its journal is replayed, as the kernel
    would, and then it has to be without fault.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        ran("e2fsck", "-E", "journal_only", "-p", file)
        done = subprocess.run(
            [program("e2fsck"), "-fn", file], capture_output=True, text=True, check=False
        )
        self.faults = done.stdout if done.returncode else ""

    def take(self, folder: str, to: Path) -> Path:
        """A folder with all that is in it."""
        shutil.rmtree(to, ignore_errors=True)
        to.mkdir(parents=True)
        # It would like to give the files their owners, and says so where it may not.
        ran("debugfs", "-R", f"rdump {folder} {to}", self.file)
        return to / Path(folder).name

    def read(self, name: str) -> bytes:
        """A file's content; empty where there is none."""
        words = [program("debugfs"), "-R", f"cat {name}", str(self.file)]
        return subprocess.run(words, capture_output=True, check=True).stdout


def ran(*words: str | Path) -> str:
    """A program's output. Raises AssertionError with what it says where it fails."""
    name, *rest = words
    line = [program(str(name)), *(str(word) for word in rest if str(word))]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(line)}: {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout
