"""The output of `make image` in build/image, and the key that signs its bundles."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from agent import __version__
from tests.image.disk import FatPart
from tests.image.form import ROOT

OUTPUT = ROOT / "build" / "image"
AUTHORITY_FOLDER = ROOT / ".cache" / "image" / "test-ca"
KERNEL, INITRD, SLOT_FILE = "vmlinuz", "initrd", "slot.cfg"
"""Within a boot slot."""


class BuiltImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image, and the slot images that a bundle is made of."""

    folder: Path
    profile: str
    architecture: str
    version: str
    certificate: Path = AUTHORITY_FOLDER / "signer.pem"
    key: Path = AUTHORITY_FOLDER / "signer.key"
    authority: Path = AUTHORITY_FOLDER / "ca.pem"

    @property
    def compatible(self) -> str:
        """Return the `compatible` of its bundles."""
        return f"vigie-{self.profile}-{self.architecture}"

    @property
    def disk(self) -> Path:
        """As it is flashed."""
        return self._file("disk.img")

    @property
    def compressed_disk(self) -> Path:
        """The same as it is carried about."""
        return self._file("disk.img.zst")

    @property
    def root(self) -> Path:
        """The root file system of a slot."""
        return self._file("root.img")

    @property
    def boot(self) -> Path:
        """The boot partition of a slot."""
        return self._file("boot.img")

    @property
    def bundle(self) -> Path:
        """The two as an update."""
        return self._file("raucb")

    def _file(self, suffix: str) -> Path:
        return self.folder / f"{self.compatible}-{self.version}.{suffix}"

    def slot_file_with_kernel_args(self, kernel_args: str) -> Mapping[str, bytes]:
        """The slot's own boot configuration, with more words for the kernel."""
        text = (FatPart(self.boot).read(SLOT_FILE) or b"").decode()
        assert " panic=" in text, text
        return {SLOT_FILE: text.replace(" panic=", f" {kernel_args} panic=").encode()}


def find_image() -> BuiltImage:
    """The image to be tested: of `VIGIE_IMAGE_TARGET`, such as virt-arm64 (by default virt-amd64), in
    `VIGIE_IMAGE_FOLDER` or in the folder of `make image`.
    """
    target = os.environ.get("VIGIE_IMAGE_TARGET", "virt-amd64")
    profile, _, architecture = target.partition("-")
    built = BuiltImage(
        folder=Path(os.environ.get("VIGIE_IMAGE_FOLDER", OUTPUT / target)),
        profile=profile,
        architecture=architecture,
        version=__version__,
    )
    if not built.disk.exists():
        pytest.fail(f"{built.disk}: not there: make image PROFILE={profile} ARCH={architecture}")
    return built
