"""Extra tree of an image, copied over its packages: agent, units, RAUC's configuration."""

import shutil
import subprocess
from pathlib import Path

from images import cv2_names, wheels
from images.target import BuildTarget

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "images" / "recipe"
LOCK = ROOT / "images" / "requirements-box.lock"

VENV = Path("opt/vigie")
SOURCES = (
    "agent",
    "drivers",
    # The camera of the self-test, and nothing else that is simulated.
    "simulation/__init__.py",
    "simulation/camera",
    "simulation/street",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "NOTICE",
)
EXCLUDED_PATTERNS = (
    # Scripts of other packages are not used, and their shebangs are of the building machine.
    "bin",
    "setuptools*",
    "_distutils_hack",
    "distutils-precedence.pth",
    "ai_edge_litert/libLiteRtWebGpuAccelerator.so",
    "ai_edge_litert/tools",
    "numpy/_pyinstaller",
    "numpy/f2py",
    "**/tests",
    "**/*.pyi",
)
"""Relative to site-packages."""

SCRIPT_TEMPLATE = """#!/{venv}/bin/python
import sys
from {module} import {function}
sys.exit({function}())
"""


def build_agent_wheel(work: Path) -> Path:
    """Build the agent's wheel from a clean copy: a used build folder keeps deleted modules."""
    source, wheel_folder = work / "source", work / "wheel"
    for folder in (source, wheel_folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    copy_sources(source)
    pip_args = ("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir")
    subprocess.run([*wheels.PIP_COMMAND, *pip_args, str(wheel_folder), str(source)], check=True)
    return next(wheel_folder.glob("vigie-*.whl"))


def copy_sources(folder: Path) -> None:
    """Copy what a box has of the project to an empty folder."""
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def install_agent(target: BuildTarget, tree: Path, cache: Path, work: Path) -> None:
    """Create the agent's virtual environment, as `python -m venv` does, without pip."""
    agent = build_agent_wheel(work)
    dependency_wheels = sorted(wheels.fetch_wheels(LOCK, target.architecture, cache).glob("*.whl"))
    venv = tree / VENV
    site_packages = venv / "lib" / f"python{wheels.PYTHON_VERSION}" / "site-packages"
    site_packages.mkdir(parents=True)
    wheels.install_wheels([agent, *dependency_wheels], target.architecture, site_packages)
    cv2_names.check_names(site_packages, target.architecture)
    for pattern in EXCLUDED_PATTERNS:
        for path in list(site_packages.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    strip_install_records(site_packages)
    (venv / "bin").mkdir()
    (venv / "bin" / "python").symlink_to("python3")
    (venv / "bin" / "python3").symlink_to("/usr/bin/python3")
    system = "true" if target.profile == "pi" else "false"
    (venv / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = {system}\nversion = {wheels.PYTHON_VERSION}\n"
    )
    for name, entry_point in wheels.console_scripts(agent).items():
        module, _, function = entry_point.partition(":")
        script = venv / "bin" / name
        script.write_text(SCRIPT_TEMPLATE.format(venv=VENV, module=module, function=function))
        script.chmod(0o755)


def strip_install_records(site_packages: Path) -> None:
    """Delete pip's records of the building machine: the paths of wheels, and the scripts, which are not on
    a box.
    """
    for record in site_packages.glob("*.dist-info/RECORD"):
        direct_url = record.with_name("direct_url.json")
        dropped_prefixes = ("../../bin/", f"{direct_url.parent.name}/{direct_url.name},")
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith(dropped_prefixes)))
        direct_url.unlink(missing_ok=True)


def build_tree(target: BuildTarget, keyring: Path, tree: Path, cache: Path, work: Path) -> None:
    """Build the whole tree in an empty folder."""
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    install_agent(target, tree, cache, work)
    subprocess.run([ROOT / "systemd" / "install", tree, "/usr"], check=True)
    rauc = tree / "etc" / "rauc"
    rauc.mkdir(parents=True)
    text = (RECIPE / "rauc-system.conf").read_text()
    (rauc / "system.conf").write_text(text.replace("@COMPATIBLE@", target.compatible))
    # The console reads it too, as the agent's user.
    shutil.copyfile(keyring, rauc / "keyring.pem")
    (rauc / "keyring.pem").chmod(0o644)
