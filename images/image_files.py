"""What mkosi leaves behind, under the names that the rest goes by."""

import shutil
import struct
import subprocess
from pathlib import Path

BLOCK = 4096
BOM = "usr/share/vigie/sbom.cdx.json"
LICENCES = "usr/share/vigie/licences"


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
    return [disk, root, boot, bom, licences]
