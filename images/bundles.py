"""Signed update bundle, which RAUC writes to the inactive slot."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import msgspec

from images.target import BuildTarget

SQUASHFS_ARGS = "-comp zstd -Xcompression-level 3"
"""Low level: the root is compressed already, and the boot image is mostly empty."""
VERIFICATION_CONFIG = """[system]
compatible={compatible}
bootloader=noop
[keyring]
path={keyring}
check-purpose=codesign
"""
"""As a box verifies: rauc-system.conf. By default, RAUC demands a certificate for mail."""


class BundleSigner(msgspec.Struct, frozen=True, kw_only=True):
    """Certificate and key of the signer, and the keyring that a box verifies with."""

    certificate: Path
    key: Path
    keyring: Path


def bundle_manifest(target: BuildTarget, *, allow_downgrade: bool) -> str:
    """Return RAUC's manifest. The signature covers all of it."""
    text = (
        f"[update]\ncompatible={target.compatible}\nversion={target.version}\n\n"
        "[bundle]\nformat=verity\n\n"
        "[image.rootfs]\nfilename=root.img\n\n"
        "[image.boot]\nfilename=boot.img\n"
    )
    return text + "\n[meta.vigie]\ndowngrade=yes\n" if allow_downgrade else text


def make_bundle(
    target: BuildTarget,
    root: Path,
    boot: Path,
    signer: BundleSigner,
    output: Path,
    *,
    allow_downgrade: bool,
) -> None:
    """Write the bundle and verify it against the keyring. Raises SystemExit if a file is missing."""
    for file in (root, boot, signer.certificate, signer.key, signer.keyring):
        if not file.exists():
            raise SystemExit(f"{file}: no such file")
    output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = output.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as name:
        config, folder = Path(name) / "verification.conf", Path(name) / "content"
        config.write_text(
            VERIFICATION_CONFIG.format(
                compatible=target.compatible, keyring=signer.keyring.absolute()
            )
        )
        folder.mkdir()
        (folder / "manifest.raucm").write_text(
            bundle_manifest(target, allow_downgrade=allow_downgrade)
        )
        for source, name_in_bundle in ((root, "root.img"), (boot, "boot.img")):
            try:
                os.link(source, folder / name_in_bundle)
            except OSError:
                shutil.copyfile(source, folder / name_in_bundle)
        rauc_command = ("rauc", "-c", config)
        subprocess.run(
            [
                *(*rauc_command, "bundle", f"--cert={signer.certificate}", f"--key={signer.key}"),
                *(f"--mksquashfs-args={SQUASHFS_ARGS}", folder, unfinished),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        subprocess.run([*rauc_command, "info", unfinished], check=True, stdout=subprocess.DEVNULL)
    unfinished.replace(output)
