"""images.image: the same commit gives the same slots, in any folder."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from images import image
from tests.image.built_image import BuiltImage
from tests.image.form import ROOT, not_short

PARTS = (
    "agent",
    "drivers",
    "simulation",
    "images",
    "systemd",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "NOTICE",
)


@pytest.mark.slow
@pytest.mark.xdist_group("built twice")
@not_short
@pytest.mark.parametrize("name", ["root", "boot", "disk"])
def test_a_build_in_another_folder_is_bit_identical(
    name: str, built: BuiltImage, elsewhere: Path
) -> None:
    file: Path = getattr(built, name)
    (again,) = elsewhere.rglob(file.name)
    assert digest(again) == digest(file)


@pytest.fixture(scope="module")
def elsewhere(built: BuiltImage, studio: Path) -> Path:
    """A build from nothing, of the same sources, for the same authority."""
    folder = studio / "elsewhere"
    folder.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, symlinks=True)
        else:
            shutil.copy(ROOT / part, folder / part)
    subprocess.run(
        [
            *(sys.executable, "-m", "images", "build", built.profile, built.architecture),
            *("--cold", "--version", built.version, "--keyring", built.authority),
        ],
        cwd=folder,
        env={
            **os.environ,
            "SOURCE_DATE_EPOCH": image.commit_time(),
            # OpenCV is compiled a second time too.
            "XDG_CACHE_HOME": str(studio / "cache"),
        },
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return folder


def digest(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
