"""Files of a build: mkosi's outputs, renamed, compressed and with checksums."""

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
    """Return the size of the squashfs in a partition image, in whole blocks. Raises SystemExit if there is none."""
    with image.open("rb") as file:
        start = file.read(48)
    if start[:4] != b"hsqs":
        raise SystemExit(f"{image}: not a squashfs")
    (used,) = struct.unpack_from("<Q", start, 40)
    return -(-int(used) // BLOCK_BYTES) * BLOCK_BYTES


def collect_outputs(stem: str, version: str, build_output: Path, output: Path) -> list[Path]:
    """Rename the outputs: disk, slot images, list of packages, licences."""
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
    """Compress a disk with zstd, next to it; `vigie flash` reads it without unpacking a copy."""
    compressed = disk.with_name(disk.name + COMPRESSED_SUFFIX)
    subprocess.run(["zstd", "--quiet", "--force", "-T0", "-12", disk, "-o", compressed], check=True)
    return compressed


def write_checksum(file: Path) -> None:
    """Write a file's checksum next to it, for `sha256sum --check` and `vigie flash`."""
    with file.open("rb") as data:
        digest = hashlib.file_digest(data, "sha256").hexdigest()
    file.with_name(file.name + CHECKSUM_SUFFIX).write_text(f"{digest}  {file.name}\n")
