"""OpenCV of a box, built from its source package: the modules that the agent uses, and two codecs.

The wheel of the package index has 15 shared libraries that the agent never uses, two of them an FFmpeg and an
OpenSSL without maintainer: decision 19.
"""

import base64
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

from images.target import UNAME_MACHINES

PACKAGE = "opencv-python-headless"
GCC_VERSION = "14"
"""Debian trixie's. A machine may have another default, which compiles other bytes."""
SOURCE_PATTERN = "opencv_python_headless-*.tar.gz"

MODULES = (
    "core", "imgproc", "imgcodecs", "video", "features", "geometry", "flann", "stitching", "python3",
)  # fmt: skip

UNUSED_LIBRARIES = (
    "1394", "AVIF", "EIGEN", "FFMPEG", "FLATBUFFERS", "GSTREAMER", "GTK", "IMGCODEC_GIF", "IMGCODEC_HDR",
    "IMGCODEC_PFM", "IMGCODEC_PXM", "IMGCODEC_SUNRASTER", "IPP", "ITT", "JASPER", "KLEIDICV", "LAPACK", "OBSENSOR",
    "OPENCL", "OPENEXR", "OPENJPEG", "PROTOBUF", "TIFF", "UNIFONT", "V4L", "VA", "VA_INTEL", "VTK", "WEBP",
)  # fmt: skip
"""Switched off one by one: CMake uses what it finds on the building machine, or downloads it."""

OPTIONS = {
    "BUILD_LIST": ",".join(MODULES),
    "BUILD_JAVA": "OFF",
    "BUILD_JPEG": "ON",
    "BUILD_PNG": "ON",
    "BUILD_SHARED_LIBS": "OFF",
    "BUILD_ZLIB": "ON",
    "BUILD_opencv_apps": "OFF",
    "CMAKE_BUILD_TYPE": "Release",
    "CMAKE_MODULE_LINKER_FLAGS": "-Wl,--strip-all",
    "CMAKE_SKIP_RPATH": "ON",
    "CV_TRACE": "OFF",
    "ENABLE_CCACHE": "OFF",
    "INSTALL_CREATE_DISTRIB": "ON",
    "OPENCV_PYTHON3_INSTALL_PATH": "python",
    "PYTHON3_LIMITED_API": "ON",
    **{f"WITH_{library}": "OFF" for library in UNUSED_LIBRARIES},
}

CPU_OPTIONS = {
    # x86-64-v2, which numpy requires too, and faster code if the processor has more.
    "amd64": {"CPU_BASELINE": "SSE4_2", "CPU_DISPATCH": "AVX2;AVX512_SKX"},
    # NEON, and OpenCV's choice of faster code.
    "arm64": {},
}

WHEEL_DATE = (1980, 1, 1, 0, 0, 0)
"""The first that a ZIP archive can have."""


def build_wheel(source: Path, architecture: str, numpy_wheel: Path, folder: Path) -> Path:
    """Build a wheel of OpenCV's source package for a box. The same source gives the same bytes. Returns the wheel."""
    with tempfile.TemporaryDirectory(dir=folder) as work_folder:
        work = Path(work_folder)
        shutil.unpack_archive(source, work, filter="data")
        extracted = work / source.name.removesuffix(".tar.gz")
        installed = compile_module(extracted, architecture, numpy_wheel, work)
        return pack_wheel(extracted, installed, architecture, folder)


def python_headers(architecture: str, folder: Path) -> list[Path]:
    """Return the folders of Python's headers.

    Debian has one header for each architecture, pyconfig.h. This machine's is used for all: the limited API reads
    sizes of types in it, which amd64 and arm64 have in common.
    """
    include = Path(sysconfig.get_path("include"))
    own_config = (
        include.parent / sysconfig.get_config_var("MULTIARCH") / include.name / "pyconfig.h"
    )
    config = folder / f"{UNAME_MACHINES[architecture]}-linux-gnu" / include.name / "pyconfig.h"
    config.parent.mkdir(parents=True)
    shutil.copyfile(own_config, config)
    return [include, folder]


def compiler_options(architecture: str) -> dict[str, str]:
    """Return CMake's options for Debian's compiler, which is a cross compiler on another machine."""
    machine = UNAME_MACHINES[architecture]
    triplet = f"{machine}-linux-gnu"
    options = {
        "CMAKE_C_COMPILER": f"{triplet}-gcc-{GCC_VERSION}",
        "CMAKE_CXX_COMPILER": f"{triplet}-g++-{GCC_VERSION}",
    }
    if machine == platform.machine():
        return options
    only_target = ("LIBRARY", "INCLUDE", "PACKAGE")
    return {
        **options,
        "CMAKE_SYSTEM_NAME": "Linux",
        "CMAKE_SYSTEM_PROCESSOR": machine,
        "CMAKE_FIND_ROOT_PATH": f"/usr/{triplet}",
        "CMAKE_FIND_ROOT_PATH_MODE_PROGRAM": "NEVER",
        **{f"CMAKE_FIND_ROOT_PATH_MODE_{kind}": "ONLY" for kind in only_target},
    }


def drop_machine_lines(build_information: Path) -> None:
    """Delete lines that differ between two machines or folders from what cv2.getBuildInformation() returns."""
    lines = build_information.read_text().splitlines(keepends=True)
    machine_words = ("Timestamp:", "Host:", " /", "=/")
    kept = [line for line in lines if not any(word in line for word in machine_words)]
    build_information.write_text("".join(kept))


def compile_module(source: Path, architecture: str, numpy_wheel: Path, work: Path) -> Path:
    """Compile and install OpenCV, and return the folder of the installation."""
    build, install = work / "build", work / "install"
    shutil.unpack_archive(numpy_wheel, work / "numpy", "zip")
    headers = python_headers(architecture, work / "python")
    # Paths of this machine would be in error messages.
    flags = f"-ffile-prefix-map={work}=."
    options = {
        **OPTIONS,
        **CPU_OPTIONS[architecture],
        **compiler_options(architecture),
        "CMAKE_C_FLAGS": flags,
        "CMAKE_CXX_FLAGS": flags,
        "CMAKE_INSTALL_PREFIX": str(install),
        "PYTHON3_EXECUTABLE": sys.executable,
        "PYTHON_DEFAULT_EXECUTABLE": sys.executable,
        "PYTHON3_INCLUDE_PATH": ";".join(map(str, headers)),
        "PYTHON3_NUMPY_INCLUDE_DIRS": str(work / "numpy" / "numpy" / "_core" / "include"),
    }
    # Generators of code iterate over sets.
    environment = {**os.environ, "PYTHONHASHSEED": "0", "SOURCE_DATE_EPOCH": "0"}
    definitions = [f"-D{name}={value}" for name, value in options.items()]

    def cmake(*arguments: str | Path) -> None:
        command = ("cmake", *arguments)
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)

    cmake("-G", "Ninja", "-S", source / "opencv", "-B", build, *definitions)
    drop_machine_lines(build / "modules" / "core" / "version_string.inc")
    # Where OpenCV looks for the data of its samples.
    data_folders = build / "opencv_data_config.hpp"
    data_folders.write_text(data_folders.read_text().replace(str(work), "/nonexistent"))
    cmake("--build", build)
    cmake("--install", build)
    return install


def pack_wheel(source: Path, installed: Path, architecture: str, folder: Path) -> Path:
    """Pack an installation into a wheel with its own licences. Returns the wheel."""
    metadata = (source / "PKG-INFO").read_text()
    fields = HeaderParser().parsestr(metadata)
    stem = f"{fields['Name']}-{fields['Version']}"
    # Linked with the C library of this machine's Debian, which is the box's.
    tag = f"cp37-abi3-linux_{UNAME_MACHINES[architecture]}"
    modules = installed / "python"
    contents = {
        path.relative_to(modules).as_posix(): path.read_bytes()
        for path in modules.rglob("*")
        if path.is_file()
    }
    licences = [
        *(source / name for name in ("LICENSE.txt", "opencv/LICENSE", "opencv/COPYRIGHT")),
        *(installed / "share" / "licenses" / "opencv5").iterdir(),
    ]
    for path in licences:
        base = source if path.is_relative_to(source) else path.parent
        # The image gets the files that begin so.
        licence = "LICENSE-" + "-".join(path.relative_to(base).parts)
        contents[f"{stem}.dist-info/licenses/{licence}"] = path.read_bytes()
    contents[f"{stem}.dist-info/METADATA"] = metadata.encode()
    contents[f"{stem}.dist-info/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: vigie\nRoot-Is-Purelib: false\nTag: {tag}\n".encode()
    )
    record = f"{stem}.dist-info/RECORD"
    contents[record] = "".join(
        [*(record_line(name, contents[name]) for name in sorted(contents)), f"{record},,\n"]
    ).encode()
    wheel = folder / f"{stem}-{tag}.whl"
    partial = wheel.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w") as archive:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(name, date_time=WHEEL_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, contents[name])
    partial.rename(wheel)
    return wheel


def record_line(name: str, content: bytes) -> str:
    """Return a file's line of a wheel's RECORD."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    return f"{name},sha256={digest},{len(content)}\n"
