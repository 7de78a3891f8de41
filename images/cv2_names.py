"""The names of cv2 that the agent uses, looked up in the module that an image gets."""

import ast
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from images.target import UNAME_MACHINES

LOOK_UP = """
import sys
sys.path[:0] = [sys.argv[1]]
import cv2
from operator import attrgetter
for name in sys.argv[2:]:
    try:
        attrgetter(name)(cv2)
    except AttributeError:
        print(name)
"""


def check_names(site_packages: Path, architecture: str) -> None:
    """Look up each name of cv2 that the installed agent uses.

    The module of this machine's architecture is imported, with the box's numpy. In one for another architecture the
    names are searched as strings. Raises SystemExit if a name is missing.
    """
    used = used_names(site_packages / package for package in ("agent", "drivers", "simulation"))
    if UNAME_MACHINES[architecture] == platform.machine():
        command = [sys.executable, "-S", "-B", "-c", LOOK_UP, str(site_packages), *sorted(used)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        missing = done.stdout.split()
    else:
        (module,) = site_packages.glob("cv2/**/*.so")
        content = module.read_bytes()
        missing = sorted(name for name in used if not has_name(content, name))
    if missing:
        raise SystemExit(
            f"OpenCV of {architecture} has no {', '.join(missing)}: see images/opencv.py"
        )


def used_names(folders: Iterable[Path]) -> set[str]:
    """Return the names below cv2 that Python files use, such as detail.MultiBandBlender."""
    found: set[str] = set()
    for folder in folders:
        for path in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and (name := cv2_name(node)):
                    found.add(name)
                elif isinstance(node, ast.ImportFrom) and node.module == "cv2":
                    found.update(one.name for one in node.names)
    return found


def cv2_name(node: ast.expr) -> str | None:
    """Return the name of an attribute below cv2, or None if it belongs to another object."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join(reversed(parts)) if isinstance(node, ast.Name) and node.id == "cv2" else None


def has_name(module: bytes, name: str) -> bool:
    """Return True if a compiled module contains each part of a name as the end of a string."""
    return all(part.encode() + b"\0" in module for part in name.split("."))
