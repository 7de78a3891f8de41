"""A tiny disk as the image's: real partitions, a real FAT, a few megabytes."""

import hashlib
import random
import shutil
import subprocess
from pathlib import Path

import pytest

MIB = 1 << 20
SIZES = {
    "select": 4 * MIB,
    "boot_a": MIB,
    "boot_b": MIB,
    "root_a": 6 * MIB,
    "root_b": 6 * MIB,
    "state": 5 * MIB,
}
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
NEEDED = {"sfdisk": "fdisk", "mkfs.vfat": "dosfstools", "mcopy": "mtools", "zstd": "zstd"}

SETTINGS = """
[box]
id = "casa-0001"
site = "Bd Mohammed V"
[broker]
url = "mqtt://centre.example"
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
    missing = [name for name in NEEDED if shutil.which(name, path=PATH) is None]
    if missing:
        pytest.skip(f"needs {', '.join(NEEDED[name] for name in missing)}")


def make(path: Path, firmware: tuple[str, ...] = ("EFI/BOOT/BOOTX64.EFI",)) -> Path:
    """An image at this path, and its checksum. Its second root is empty, as in the real one."""
    size = sum(SIZES.values()) + 2 * MIB
    with path.open("wb") as file:
        file.truncate(size)
    lines = [f'size={size // 512}, name="{label}"' for label, size in SIZES.items()]
    run("sfdisk", "--quiet", path, given="label: gpt\n" + "\n".join(lines))
    chance = random.Random(1)
    at = MIB
    with path.open("r+b") as file:
        for label, part in SIZES.items():
            file.seek(at)
            if label == "select":
                file.write(fat(path.with_suffix(".fat"), part, firmware))
            elif label != "root_b":
                file.write(chance.randbytes(part))
            at += part
    write_sum(path)
    return path


def fat(path: Path, size: int, firmware: tuple[str, ...], *options: str) -> bytes:
    """A FAT with files of these names."""
    with path.open("wb") as file:
        file.truncate(size)
    run("mkfs.vfat", "-n", "SELECT", *options, path)
    for name in firmware:
        *folders, _ = name.split("/")
        for number in range(len(folders)):
            run("mmd", "-D", "s", "-i", path, f"::{'/'.join(folders[: number + 1])}")
        run("mcopy", "-i", path, "-", f"::{name}", given="x")
    data = path.read_bytes()
    path.unlink()
    return data


def packed(image: Path, kind: str) -> Path:
    """The same image as .zst, .xz or .gz, and its checksum."""
    program = {"zst": "zstd", "xz": "xz", "gz": "gzip"}[kind]
    run(program, "-q", "-1", "-k", image)
    out = image.with_name(f"{image.name}.{kind}")
    write_sum(out)
    return out


def write_sum(path: Path) -> None:
    """As sha256sum writes it."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n")


def select_of(disk: Path) -> bytes:
    """The partition `select` of a disk."""
    with disk.open("rb") as file:
        file.seek(MIB)
        return file.read(SIZES["select"])


def run(program: str, *words: str | Path, given: str = "") -> str:
    """A program's output; it has to go well."""
    found = shutil.which(program, path=PATH)
    assert found is not None, f"needs {program}"
    done = subprocess.run(
        [found, *map(str, words)], input=given, capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr
    return done.stdout
