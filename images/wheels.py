"""The Python packages of a box: fetched by their hashes, for its architecture, never built on it."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

from images.target import MACHINE

PYTHON = "3.13"
"""Debian trixie's. The image's interpreter, which need not be the one that runs this."""

GLIBC = ("2_34", "2_31", "2_28", "2_27", "2_26", "2_17", "2_12", "2_5")
"""The manylinux tags that trixie's glibc satisfies and that wheels in the lock file carry."""

PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def for_machine(architecture: str) -> list[str]:
    """The words to pip for an interpreter that is not here."""
    machine = MACHINE[architecture]
    platforms = [f"manylinux_{glibc}_{machine}" for glibc in GLIBC] + [f"manylinux2014_{machine}"]
    words = ["--python-version", PYTHON, "--implementation", "cp"]
    for platform in platforms:
        words += ["--platform", platform]
    for abi in ("cp313", "abi3", "none"):
        words += ["--abi", abi]
    return words


def fetch(lock: Path, architecture: str, cache: Path) -> Path:
    """A folder with a wheel of each locked package. Asks the network only when the lock is new."""
    key = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    folder = cache / "wheels" / f"{architecture}-{key}"
    done = folder / ".done"
    if done.exists():
        return folder
    subprocess.run(
        [
            *PIP,
            "download",
            *("--no-deps", "--require-hashes", "--prefer-binary", "--no-build-isolation"),
            *for_machine(architecture),
            *("--dest", str(folder), "--requirement", str(lock)),
        ],
        check=True,
    )
    for source in folder.glob("*.tar.gz"):
        build(source, folder)
        source.unlink()
    done.touch()
    return folder


def build(source: Path, folder: Path) -> None:
    """Make the wheel of what is published as source alone; only pure Python may be."""
    before = set(folder.glob("*.whl"))
    words = ("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir")
    subprocess.run([*PIP, *words, str(folder), str(source)], check=True)
    for made in set(folder.glob("*.whl")) - before:
        if not made.name.endswith("-none-any.whl"):
            made.unlink()
            raise SystemExit(f"{source.name} has native code and no wheel for the box")


def install(wheels: list[Path], architecture: str, site_packages: Path) -> None:
    """Unpack wheels as pip does, offline. No byte code: that is made once for the whole image."""
    subprocess.run(
        [
            *PIP,
            "install",
            *("--no-index", "--no-deps", "--no-compile", "--only-binary", ":all:"),
            *for_machine(architecture),
            *("--target", str(site_packages)),
            *map(str, wheels),
        ],
        check=True,
    )


def commands(wheel: Path) -> dict[str, str]:
    """The console scripts of a wheel: name and `module:function`."""
    with zipfile.ZipFile(wheel) as archive:
        entry = next((n for n in archive.namelist() if n.endswith("/entry_points.txt")), None)
        text = archive.read(entry).decode() if entry else ""
    found: dict[str, str] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[] ")
        elif section == "console_scripts" and "=" in line:
            name, _, place = line.partition("=")
            found[name.strip()] = place.strip()
    return found
