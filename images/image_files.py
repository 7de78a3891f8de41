"""What mkosi leaves behind, under the names that the rest goes by."""

import hashlib
import shutil
import struct
import subprocess
from pathlib import Path

BLOCK_BYTES = 4096
SBOM_PATH = "usr/share/vigie/sbom.cdx.json"
LICENCES_PATH = "usr/share/vigie/licences"
COMPRESSED_SUFFIX = ".zst"
CHECKSUM_SUFFIX = ".sha256"


def squashfs_bytes(image: Path) -> int:
    """How much of a partition its squashfs fills, in whole blocks."""
    with image.open("rb") as file:
        start = file.read(48)
    if start[:4] != b"hsqs":
        raise SystemExit(f"{image} is no squashfs")
    (used,) = struct.unpack_from("<Q", start, 40)
    return -(-int(used) // BLOCK_BYTES) * BLOCK_BYTES


def collect_outputs(stem: str, version: str, build_output: Path, output: Path) -> list[Path]:
    """Move what was made to its names: disk, slot images, list of parts, licences."""
    raw = build_output / f"vigie_{version}"
    disk, root, boot = (output / f"{stem}.{kind}.img" for kind in ("disk", "root", "boot"))
    shutil.move(f"{raw}.raw", disk)
    shutil.move(f"{raw}.root.raw", root)
    shutil.move(f"{raw}.boot.raw", boot)
    with root.open("rb+") as file:
        file.truncate(squashfs_bytes(root))
    subprocess.run(["fallocate", "--dig-holes", boot], check=True)
    sbom, licences = output / f"{stem}.sbom.cdx.json", output / f"{stem}.licences"
    sbom.write_bytes(
        subprocess.run(
            ["unsquashfs", "-cat", root, SBOM_PATH], check=True, capture_output=True
        ).stdout
    )
    shutil.rmtree(licences, ignore_errors=True)
    unpacked = build_output / "unpacked"
    subprocess.run(
        ["unsquashfs", "-quiet", "-no-progress", "-dest", unpacked, root, LICENCES_PATH], check=True
    )
    shutil.move(unpacked / LICENCES_PATH, licences)
    shutil.rmtree(build_output)
    compressed = compress_disk(disk)
    for one in (disk, compressed):
        write_checksum(one)
    return [disk, compressed, root, boot, sbom, licences]


def compress_disk(disk: Path) -> Path:
    """A disk as it is carried about, beside it: zstd, of which `vigie flash` needs no copy unpacked."""
    compressed = disk.with_name(disk.name + COMPRESSED_SUFFIX)
    subprocess.run(["zstd", "--quiet", "--force", "-T0", "-12", disk, "-o", compressed], check=True)
    return compressed


def write_checksum(file: Path) -> None:
    """Write what `sha256sum --check` and `vigie flash` compare, beside a file."""
    with file.open("rb") as data:
        digest = hashlib.file_digest(data, "sha256").hexdigest()
    file.with_name(file.name + CHECKSUM_SUFFIX).write_text(f"{digest}  {file.name}\n")
