"""Bundles that a box may meet: a good one, and those that it must survive or refuse.

Only the good one has a system of its own. What does not boot is small: the box finds out by trying,
and a file of nonsense fails as surely as one of half a gigabyte.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tests.image.built_image import BuiltImage
from tests.image.disk import FatPart, run_program

OS_RELEASE = "usr/lib/os-release"
DUMMY_IMAGE_BYTES = 1 << 20


class BundleSigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """The key that signs a bundle."""

    certificate: Path
    key: Path


class BundleFactory:
    """Makes bundles of a built image's slots, in a folder. What was made is not made twice."""

    def __init__(self, folder: Path, built: BuiltImage) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._built = built

    def make_bundle(
        self,
        name: str,
        version: str,
        *,
        root: Path | None = None,
        boot: Path | None = None,
        signer: BundleSigningKey | None = None,
        compatible: str | None = None,
        meta: str = "",
    ) -> Path:
        """A bundle of these two images; of random bytes if none is given."""
        file = self.folder / f"{name}.raucb"
        if file.exists():
            return file
        content = self.folder / f"{name}.content"
        content.mkdir()
        for target, image in (("root.img", root), ("boot.img", boot)):
            if image is None:
                (content / target).write_bytes(bytes(DUMMY_IMAGE_BYTES))
            else:
                run_program("cp", "--sparse=always", image, content / target)
        (content / "manifest.raucm").write_text(
            f"[update]\ncompatible={compatible or self._built.compatible}\nversion={version}\n"
            "[bundle]\nformat=verity\n"
            f"[image.rootfs]\nfilename=root.img\n[image.boot]\nfilename=boot.img\n{meta}"
        )
        signer = signer or BundleSigningKey(
            certificate=self._built.certificate, key=self._built.key
        )
        run_program(
            *("rauc", "bundle", "--cert", signer.certificate, "--key", signer.key),
            *(content, file),
        )
        shutil.rmtree(content)
        return file

    def make_root(self, version: str) -> Path:
        """The built system under another version. Compressed lightly: it is soon thrown away."""
        file = self.folder / f"root-{version}.img"
        if file.exists():
            return file
        tree = self.folder / "tree"
        run_program("unsquashfs", "-q", "-no-progress", "-d", tree, self._built.root)
        os_release = tree / OS_RELEASE
        os_release.write_text(
            "".join(
                f"IMAGE_VERSION={version}\n" if line.startswith("IMAGE_VERSION=") else line
                for line in os_release.read_text().splitlines(keepends=True)
            )
        )
        compression = ("-comp", "zstd", "-Xcompression-level", "1")
        run_program("mksquashfs", tree, file, "-quiet", "-no-progress", "-noappend", *compression)
        shutil.rmtree(tree)
        return file

    def make_empty_root(self) -> Path:
        """A file system without anything in it: no init."""
        file, tree = self.folder / "empty.img", self.folder / "empty"
        if not file.exists():
            tree.mkdir()
            run_program("mksquashfs", tree, file, "-quiet", "-no-progress", "-noappend")
        return file

    def make_boot(self, name: str, changes: Mapping[str, bytes]) -> Path:
        """The built boot partition with other files in it."""
        file = self.folder / f"boot-{name}.img"
        run_program("cp", "--sparse=always", self._built.boot, file)
        part = FatPart(file)
        for changed, data in changes.items():
            part.write(changed, data)
        return file

    def unknown_signer(self) -> BundleSigningKey:
        """An authority that the box does not know."""
        key, certificate = self.folder / "other.key", self.folder / "other.crt"
        if not key.exists():
            run_program(
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"),
                *("-keyout", key, "-out", certificate, "-subj", "/CN=other"),
            )
        return BundleSigningKey(certificate=certificate, key=key)


def copy_tampered(bundle: Path, target: Path) -> Path:
    """A bundle with a byte of its payload turned. Its signature is over the manifest, and holds."""
    shutil.copyfile(bundle, target)
    with target.open("r+b") as file:
        file.seek(bundle.stat().st_size // 3)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 0x01]))
    return target
