"""What mkosi leaves behind, under the names that the rest goes by."""

import hashlib
import shutil
import struct
import subprocess
from pathlib import Path

BLOCK = 4096
BOM = "usr/share/vigie/sbom.cdx.json"
LICENCES = "usr/share/vigie/licences"
PACKED = ".zst"
SUM = ".sha256"


def squashfs_bytes(image: Path) -> int:
    """How much of a partition its squashfs fills, in whole blocks."""
    with image.open("rb") as file:
        start = file.read(48)
    if start[:4] != b"hsqs":
        raise SystemExit(f"{image} is no squashfs")
    (used,) = struct.unpack_from("<Q", start, 40)
    return -(-int(used) // BLOCK) * BLOCK


def settle(stem: str, version: str, made: Path, output: Path) -> list[Path]:
    """Move what was made to its names: disk, slot images, list of parts, licences."""
    raw = made / f"vigie_{version}"
    disk, root, boot = (output / f"{stem}.{kind}.img" for kind in ("disk", "root", "boot"))
    shutil.move(f"{raw}.raw", disk)
    shutil.move(f"{raw}.root.raw", root)
    shutil.move(f"{raw}.boot.raw", boot)
    with root.open("rb+") as file:
        file.truncate(squashfs_bytes(root))
    subprocess.run(["fallocate", "--dig-holes", boot], check=True)
    bom, licences = output / f"{stem}.sbom.cdx.json", output / f"{stem}.licences"
    bom.write_bytes(
        subprocess.run(["unsquashfs", "-cat", root, BOM], check=True, capture_output=True).stdout
    )
    shutil.rmtree(licences, ignore_errors=True)
    unpacked = made / "unpacked"
    subprocess.run(
        ["unsquashfs", "-quiet", "-no-progress", "-dest", unpacked, root, LICENCES], check=True
    )
    shutil.move(unpacked / LICENCES, licences)
    shutil.rmtree(made)
    packed = pack(disk)
    for one in (disk, packed):
        write_sum(one)
    return [disk, packed, root, boot, bom, licences]


def pack(disk: Path) -> Path:
    """A disk as it is carried about, beside it: zstd, of which `vigie flash` needs no copy unpacked."""
    packed = disk.with_name(disk.name + PACKED)
    subprocess.run(["zstd", "--quiet", "--force", "-T0", "-12", disk, "-o", packed], check=True)
    return packed


def write_sum(file: Path) -> None:
    """Write what `sha256sum --check` and `vigie flash` compare, beside a file."""
    with file.open("rb") as data:
        digest = hashlib.file_digest(data, "sha256").hexdigest()
    file.with_name(file.name + SUM).write_text(f"{digest}  {file.name}\n")
