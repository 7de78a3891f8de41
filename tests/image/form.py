"""Whether the image is to be tested here, and how long: `VIGIE_IMAGE=short|full|long`."""

import os
import random
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

CUTS = {"short": 1, "full": 20, "long": 50}
"""Of each form, at how many random moments of an update and of recording the power is cut."""

SEED = int(os.environ.setdefault("VIGIE_IMAGE_SEED", str(random.randrange(1 << 32))))
"""Of every random moment; the workers of one run share it."""

REQUIRED_PROGRAMS = {
    "mosquitto": "mosquitto",
    "qemu-img": "qemu-utils",
    "qemu-io": "qemu-utils",
    "socat": "socat",
    "mcopy": "mtools",
    "fsck.fat": "dosfstools",
    "e2fsck": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "rauc": "rauc",
    "mksquashfs": "squashfs-tools",
}
"""Programs, and the packages that they are in."""
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def selected_form() -> str:
    """The requested form; empty if there is none."""
    requested = os.environ.get("VIGIE_IMAGE", "")
    if requested and requested not in CUTS:
        raise pytest.UsageError(f"VIGIE_IMAGE={requested}: not one of {', '.join(CUTS)}")
    return requested


def cut_count() -> int:
    """How often the power is cut, of each kind."""
    return CUTS[selected_form() or "short"]


def skip_reason(*extra_programs: str) -> str | None:
    """Why nothing of this runs here; None where it does. `more` are programs beyond the usual."""
    if not selected_form():
        return "boots the built image: make image-test"
    missing = [
        name
        for name in (*REQUIRED_PROGRAMS, *extra_programs)
        if shutil.which(name, path=PATH) is None
    ]
    if missing:
        packages = sorted({REQUIRED_PROGRAMS.get(name, name) for name in missing})
        return f"needs {', '.join(missing)}: apt-get install {' '.join(packages)}"
    return None


def find_program(name: str) -> str:
    """Return the path of a program, also of one in sbin, which some users lack in PATH."""
    found = shutil.which(name, path=PATH)
    assert found is not None, f"needs {name}"
    return found


ROOT = Path(__file__).parents[2]

not_short = pytest.mark.skipif(
    selected_form() == "short", reason="not in the short form: make image-test FORM=full"
)
"""Marks a test that takes minutes and resembles one of the short form."""


def cases(all_: Mapping[str, object], short: Collection[str]) -> list[object]:
    """Return a parameter for each name of a table; the short form runs those in `short`."""
    assert set(short) <= set(all_)
    return [pytest.param(name, marks=() if name in short else not_short) for name in all_]
