"""Python packages of a box: fetched by hash for its architecture, never built on it."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from images import opencv
from images.target import UNAME_MACHINES

PYTHON_VERSION = "3.13"
"""Debian trixie's: the image's interpreter, not necessarily that of the build."""

GLIBC_TAGS = ("2_34", "2_31", "2_28", "2_27", "2_26", "2_17", "2_12", "2_5")
"""The manylinux tags that trixie's glibc satisfies and that wheels in the lock file carry."""

OPENCV_RECIPE = Path(opencv.__file__)

PIP_COMMAND = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def pip_platform_args(architecture: str) -> list[str]:
    """Return pip's arguments for the interpreter of a box."""
    machine = UNAME_MACHINES[architecture]
    platforms = [f"manylinux_{glibc}_{machine}" for glibc in GLIBC_TAGS] + [
        f"manylinux2014_{machine}",
        # The build's own OpenCV.
        f"linux_{machine}",
    ]
    arguments = ["--python-version", PYTHON_VERSION, "--implementation", "cp"]
    for platform in platforms:
        arguments += ["--platform", platform]
    for abi in ("cp313", "abi3", "none"):
        arguments += ["--abi", abi]
    return arguments


def fetch_wheels(lock: Path, architecture: str, cache: Path) -> Path:
    """Return a folder with a wheel of each locked package.

    Downloads only if the lock or OpenCV's recipe has changed.
    """
    key = _hash(lock, OPENCV_RECIPE)
    folder = cache / "wheels" / f"{architecture}-{key}"
    done_marker = folder / ".done"
    if done_marker.exists():
        return folder
    subprocess.run(
        [
            *PIP_COMMAND,
            "download",
            *("--no-deps", "--require-hashes", "--prefer-binary", "--no-build-isolation"),
            *("--no-binary", opencv.PACKAGE),
            *pip_platform_args(architecture),
            *("--dest", str(folder), "--requirement", str(lock)),
        ],
        check=True,
    )
    (numpy_wheel,) = folder.glob("numpy-*.whl")
    for source in folder.glob("*.tar.gz"):
        if source.match(opencv.SOURCE_PATTERN):
            shutil.copy(_fetch_opencv(source, architecture, numpy_wheel), folder)
        else:
            build_wheel(source, folder)
        source.unlink()
    done_marker.touch()
    return folder


def opencv_folder(source: Path, architecture: str, numpy_wheel: Path) -> Path:
    """Return the folder of the wheel that these inputs and this machine's tools make.

    It is the user's, not the project's: a fresh clone takes the wheel that another one has compiled.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    options = opencv.compiler_options(architecture)
    tools = (options["CMAKE_CXX_COMPILER"], "cmake", "ninja", "nasm")
    versions = [
        subprocess.run([tool, "--version"], check=True, capture_output=True).stdout
        for tool in tools
    ]
    inputs = (file.read_bytes() for file in (source, OPENCV_RECIPE, numpy_wheel))
    digest = hashlib.sha256()
    for part in (sys.version.encode(), *versions, *inputs):
        digest.update(hashlib.sha256(part).digest())
    return cache / "vigie" / "opencv" / f"{architecture}-{digest.hexdigest()}"


def _fetch_opencv(source: Path, architecture: str, numpy_wheel: Path) -> Path:
    """Return the wheel of OpenCV. Compiles it only if no build of the same inputs has."""
    folder = opencv_folder(source, architecture, numpy_wheel)
    wheels = list(folder.glob("*.whl"))
    if wheels:
        return wheels[0]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Two builds at once make the same wheel: each in its own folder, until it is whole.
    with tempfile.TemporaryDirectory(dir=folder) as work:
        wheel = opencv.build_wheel(source, architecture, numpy_wheel, Path(work))
        return wheel.rename(folder / wheel.name)


def _hash(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def build_wheel(source: Path, folder: Path) -> None:
    """Build a wheel of a package published as source only. Raises SystemExit if it is not pure Python."""
    before = set(folder.glob("*.whl"))
    pip_args = ("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir")
    subprocess.run([*PIP_COMMAND, *pip_args, str(folder), str(source)], check=True)
    for wheel in set(folder.glob("*.whl")) - before:
        if not wheel.name.endswith("-none-any.whl"):
            wheel.unlink()
            raise SystemExit(
                f"{source.name}: native code without a wheel for the box; allowed: pure Python"
            )


def install_wheels(wheels: list[Path], architecture: str, site_packages: Path) -> None:
    """Install wheels offline with pip. Byte code is compiled once for the whole image, not here."""
    subprocess.run(
        [
            *PIP_COMMAND,
            "install",
            *("--no-index", "--no-deps", "--no-compile", "--only-binary", ":all:"),
            *pip_platform_args(architecture),
            *("--target", str(site_packages)),
            *map(str, wheels),
        ],
        check=True,
    )


def console_scripts(wheel: Path) -> dict[str, str]:
    """Return the console scripts of a wheel: `module:function` by name."""
    with zipfile.ZipFile(wheel) as archive:
        entry_points_file = next(
            (n for n in archive.namelist() if n.endswith("/entry_points.txt")), None
        )
        text = archive.read(entry_points_file).decode() if entry_points_file else ""
    found: dict[str, str] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[] ")
        elif section == "console_scripts" and "=" in line:
            name, _, entry_point = line.partition("=")
            found[name.strip()] = entry_point.strip()
    return found
