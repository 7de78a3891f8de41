"""A tiny disk as the image's: real partitions, a real FAT, a few megabytes."""

import hashlib
import random
import shutil
import subprocess
from pathlib import Path

import pytest

MIB = 1 << 20
PARTITION_BYTES = {
    "select": 4 * MIB,
    "boot_a": MIB,
    "boot_b": MIB,
    "root_a": 6 * MIB,
    "root_b": 6 * MIB,
    "state": 5 * MIB,
}
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
REQUIRED_PROGRAMS = {
    "sfdisk": "fdisk",
    "mkfs.vfat": "dosfstools",
    "mcopy": "mtools",
    "zstd": "zstd",
}

SETTINGS = """
[box]
id = "casa-0001"
site = "Bd Mohammed V"
[broker]
url = "mqtt://centre.example"
insecure = true
[[camera]]
name = "north"
driver = "fake"
options = {}
detect = { enabled = false }
[secrets]
"console.secret" = "w7xJ0u0xM6Yf2y3cVqg1k3iSxKJtq1sQ5b0aZ8m2n4E="
"""


def skip_without_tools() -> None:
    """Ends the test where a program is missing."""
    missing = [name for name in REQUIRED_PROGRAMS if shutil.which(name, path=PATH) is None]
    if missing:
        pytest.skip(f"needs {', '.join(REQUIRED_PROGRAMS[name] for name in missing)}")


def make_image(path: Path, firmware: tuple[str, ...] = ("EFI/BOOT/BOOTX64.EFI",)) -> Path:
    """An image at this path, and its checksum. Its second root is empty, as in the real one."""
    size = sum(PARTITION_BYTES.values()) + 2 * MIB
    with path.open("wb") as file:
        file.truncate(size)
    lines = [f'size={size // 512}, name="{label}"' for label, size in PARTITION_BYTES.items()]
    run_program("sfdisk", "--quiet", path, stdin_text="label: gpt\n" + "\n".join(lines))
    rng = random.Random(1)
    offset = MIB
    with path.open("r+b") as file:
        for label, part_bytes in PARTITION_BYTES.items():
            file.seek(offset)
            if label == "select":
                file.write(make_fat(path.with_suffix(".fat"), part_bytes, firmware))
            elif label != "root_b":
                file.write(rng.randbytes(part_bytes))
            offset += part_bytes
    write_checksum(path)
    return path


def make_fat(path: Path, size: int, firmware: tuple[str, ...], *options: str) -> bytes:
    """A FAT with files of these names."""
    with path.open("wb") as file:
        file.truncate(size)
    run_program("mkfs.vfat", "-n", "SELECT", *options, path)
    for name in firmware:
        *folders, _ = name.split("/")
        for number in range(len(folders)):
            run_program("mmd", "-D", "s", "-i", path, f"::{'/'.join(folders[: number + 1])}")
        run_program("mcopy", "-i", path, "-", f"::{name}", stdin_text="x")
    data = path.read_bytes()
    path.unlink()
    return data


def compress_image(image: Path, suffix: str) -> Path:
    """The same image as .zst, .xz or .gz, and its checksum."""
    program = {"zst": "zstd", "xz": "xz", "gz": "gzip"}[suffix]
    run_program(program, "-q", "-1", "-k", image)
    out = image.with_name(f"{image.name}.{suffix}")
    write_checksum(out)
    return out


def write_checksum(path: Path) -> None:
    """As sha256sum writes it."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n")


def read_select_partition(disk: Path) -> bytes:
    """The partition `select` of a disk."""
    with disk.open("rb") as file:
        file.seek(MIB)
        return file.read(PARTITION_BYTES["select"])


def run_program(program: str, *arguments: str | Path, stdin_text: str = "") -> str:
    """A program's output; it has to go well."""
    found = shutil.which(program, path=PATH)
    assert found is not None, f"needs {program}"
    process = subprocess.run(
        [found, *map(str, arguments)], input=stdin_text, capture_output=True, text=True, check=False
    )
    assert not process.returncode, process.stderr
    return process.stdout
