"""images.opencv and images.cv2_names: the wheel that an image gets, without compiling it."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from images import cv2_names, opencv, wheels
from images.target import UNAME_MACHINES

METADATA = "Metadata-Version: 2.1\nName: opencv_python_headless\nVersion: 5.0.0.93\n"
NATIVE = next(name for name, machine in UNAME_MACHINES.items() if machine == platform.machine())
FOREIGN = next(name for name in UNAME_MACHINES if name != NATIVE)


def a_source(folder: Path) -> Path:
    (folder / "opencv").mkdir(parents=True)
    (folder / "PKG-INFO").write_text(METADATA)
    for name in ("LICENSE.txt", "opencv/LICENSE", "opencv/COPYRIGHT"):
        (folder / name).write_text(name)
    return folder


def an_installation(folder: Path, names: list[str]) -> Path:
    """The result of `cmake --install`, with dates and modes that differ from run to run."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        os.utime(path, (number, number))
        path.chmod(0o600 + number)
    return folder


INSTALLED = [
    "python/cv2/__init__.py",
    "python/cv2/python-3/cv2.abi3.so",
    "share/licenses/opencv5/zlib-LICENSE",
    "share/licenses/opencv5/libjpeg-turbo-README.ijg",
    "lib/libopencv_core.a",
]


@pytest.mark.parametrize("architecture", sorted(UNAME_MACHINES))
def test_the_same_module_gives_the_same_wheel_which_is_installed(
    tmp_path: Path, architecture: str
) -> None:
    packed = []
    for number, names in enumerate((INSTALLED, INSTALLED[::-1])):
        folder = tmp_path / str(number)
        source = a_source(folder / "source")
        installation = an_installation(folder / "install", names)
        packed.append(opencv.pack_wheel(source, installation, architecture, folder))
    first, second = packed
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()

    site_packages = tmp_path / "site-packages"
    wheels.install_wheels([first], architecture, site_packages)
    installed = {
        path.relative_to(site_packages).as_posix()
        for path in site_packages.rglob("*")
        if path.is_file()
    }
    info = "opencv_python_headless-5.0.0.93.dist-info"
    assert {
        "cv2/__init__.py",
        "cv2/python-3/cv2.abi3.so",
        f"{info}/licenses/LICENSE-zlib-LICENSE",
        f"{info}/licenses/LICENSE-libjpeg-turbo-README.ijg",
        f"{info}/licenses/LICENSE-opencv-COPYRIGHT",
    } <= installed
    assert not [name for name in installed if name.endswith(".a")]


def test_a_wheel_is_for_one_architecture(tmp_path: Path) -> None:
    source, installation = a_source(tmp_path / "s"), an_installation(tmp_path / "i", INSTALLED)
    wheel = opencv.pack_wheel(source, installation, "arm64", tmp_path)
    with pytest.raises(subprocess.CalledProcessError):
        wheels.install_wheels([wheel], "amd64", tmp_path / "site-packages")


def test_a_compiled_opencv_is_found_by_its_inputs_from_each_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = opencv.compiler_options(NATIVE)["CMAKE_CXX_COMPILER"]
    missing = [name for name in (compiler, "cmake", "ninja", "nasm") if not shutil.which(name)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: make setup-image")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    clones = [tmp_path / name for name in ("one", "two", "changed")]
    for clone in clones:
        clone.mkdir()
        for name in ("source", "numpy"):
            (clone / name).write_text(clone.name if clone.name == "changed" else name)

    def folder(source: Path, numpy: Path) -> Path:
        return wheels.opencv_folder(source / "source", NATIVE, numpy / "numpy")

    one, two, changed = clones
    found = folder(one, one)
    assert found == folder(two, two)
    assert found.is_relative_to(tmp_path / "cache/vigie")
    assert len({found, folder(changed, one), folder(one, changed)}) == 3


def test_the_module_does_not_describe_the_building_machine(tmp_path: Path) -> None:
    information = tmp_path / "version_string.inc"
    kept = ['"General configuration for OpenCV 5.0.0\\n"', '"    ZLib:    build (ver 1.3.2)\\n"']
    machine = [
        '"    Timestamp:  2026-11-27T14:41:41Z\\n"',
        '"    Host:       Linux 6.18.44 x86_64\\n"',
        '"    C++ flags:  -O3 -ffile-prefix-map=/somewhere=.\\n"',
        '"  Install to:   /somewhere/install\\n"',
    ]
    information.write_text("\n".join([kept[0], *machine, kept[1]]) + "\n")
    opencv.drop_machine_lines(information)
    assert information.read_text().splitlines() == kept


def an_agent(site_packages: Path, code: str) -> None:
    for name in ("agent", "drivers"):
        (site_packages / name).mkdir(parents=True)
    (site_packages / "agent" / "picture.py").write_text(code)


def a_cv2(site_packages: Path) -> None:
    """A package like OpenCV's, with the strings of a compiled module."""
    package = site_packages / "cv2"
    package.mkdir()
    (package / "__init__.py").write_text(
        "class detail:\n    Blender = None\n"
        "class ORB:\n    create = None\n"
        "LINE_AA = resize = error = None\n"
    )
    names = ("detail", "detail_Blender", "ORB", "create", "LINE_AA", "resize", "cv2.error")
    (package / "cv2.abi3.so").write_bytes(b"\0".join(name.encode() for name in names) + b"\0")


USED = """
import cv2
import cv2.detail
def shrink(image):
    cv2.ORB.create().detect(image)
    try:
        return cv2.resize(image, (1, 1)).copy(), cv2.detail.Blender(cv2.LINE_AA)
    except cv2.error:
        return None
"""


def test_the_names_that_the_agent_uses_are_found_in_its_code(tmp_path: Path) -> None:
    an_agent(tmp_path, USED + "from cv2 import blur\n")
    assert cv2_names.used_names([tmp_path / "agent"]) == {
        *("ORB", "ORB.create", "resize", "detail", "detail.Blender", "LINE_AA", "error", "blur"),
    }


@pytest.mark.parametrize("architecture", [NATIVE, FOREIGN])
def test_an_image_is_not_built_if_its_opencv_lacks_a_name(
    tmp_path: Path, architecture: str
) -> None:
    an_agent(tmp_path, USED)
    a_cv2(tmp_path)
    cv2_names.check_names(tmp_path, architecture)
    (tmp_path / "drivers" / "player.py").write_text("import cv2\ncv2.VideoCapture(0)\n")
    with pytest.raises(SystemExit, match=f"OpenCV of {architecture} has no VideoCapture: "):
        cv2_names.check_names(tmp_path, architecture)
