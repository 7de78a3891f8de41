"""Software bill of materials of an image in CycloneDX, and the licences of its parts.

Its parts are the packages of Debian and of Python, and the libraries inside Python's wheels: those that a wheel
itself lists (PEP 770), and those of bundled-libraries.toml. A program or library that belongs to none of them ends
the build.

Usage, with the building machine's Python: inventory.py ROOT VERSION. The list and the texts are written to
ROOT/usr/share/vigie. The same tree gives the same list.
"""

import csv
import json
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

SHARE_FOLDER = Path("usr/share/vigie")
SITE_PACKAGES = "opt/vigie/lib/python3.*/site-packages"
RECIPE_FOLDER = Path(__file__).parent
ELF_MAGIC = b"\x7fELF"
MERGED_FOLDERS = ("bin", "sbin", "lib", "lib64")
"""Links into /usr in the image; dpkg's lists may have the old paths."""


def debian_packages(root: Path) -> list[dict[str, Any]]:
    """Return the installed packages of dpkg's database."""
    found = []
    for paragraph in (root / "var/lib/dpkg/status").read_text().split("\n\n"):
        fields = HeaderParser().parsestr(paragraph)
        if fields["Status"] != "install ok installed":
            continue
        name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
        found.append(
            {
                "type": "library",
                "bom-ref": f"deb/{name}",
                "name": name,
                "version": version,
                "supplier": {"name": fields["Maintainer"]},
                "purl": f"pkg:deb/debian/{name}@{version}?arch={architecture}&distro=trixie",
            }
        )
    return sorted(found, key=lambda one: str(one["name"]))


def python_packages(root: Path) -> list[dict[str, Any]]:
    """Return the packages of the agent's virtual environment, from their metadata."""
    found = []
    for metadata in root.glob(f"{SITE_PACKAGES}/*.dist-info/METADATA"):
        fields = HeaderParser().parsestr(metadata.read_text())
        name, version = normalise(fields["Name"]), fields["Version"]
        one: dict[str, Any] = {
            "type": "application" if name == "vigie" else "library",
            "bom-ref": f"pypi/{name}",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
        }
        if expression := fields["License-Expression"]:
            one["licenses"] = [{"expression": expression}]
        elif licence := fields["License"]:
            one["licenses"] = [{"license": {"name": licence.splitlines()[0]}}]
        found.append(one)
    return sorted(found, key=lambda one: str(one["name"]))


def wheel_files(root: Path) -> dict[str, list[Path]]:
    """Return the files of each wheel, by its name, from its RECORD."""
    found: dict[str, list[Path]] = {}
    for record in root.glob(f"{SITE_PACKAGES}/*.dist-info/RECORD"):
        fields = HeaderParser().parsestr(record.with_name("METADATA").read_text())
        with record.open(newline="") as file:
            paths = [record.parents[1] / row[0] for row in csv.reader(file)]
        found[normalise(fields["Name"])] = paths
    return found


def normalise(name: str) -> str:
    """Return the form of a Python package's name that is compared, and that a purl has (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def listed_libraries(root: Path) -> list[dict[str, Any]]:
    """Return the components that wheels list in their own bills of materials (PEP 770)."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(root.glob(f"{SITE_PACKAGES}/*.dist-info/sboms/*.json")):
        wheel = normalise(file.parents[1].name.partition("-")[0])
        for component in json.loads(file.read_text()).get("components", ()):
            purl = component.get("purl", "").partition("#")[0].partition("?")[0]
            if not purl or normalise(component["name"]) == wheel:
                continue
            one = {
                "type": "library",
                "bom-ref": f"pypi/{wheel}/{purl}",
                "name": component["name"],
                "version": component.get("version", ""),
                "purl": purl,
            }
            if "licenses" in component:
                one["licenses"] = component["licenses"]
            found[one["bom-ref"]] = one
    return list(found.values())


def bundled_libraries(root: Path) -> list[dict[str, Any]]:
    """Return the libraries of bundled-libraries.toml that the image has. Raises SystemExit if it is out of date."""
    versions = {one["name"]: one["version"] for one in python_packages(root)}
    files = wheel_files(root)
    found = []
    table = tomllib.loads((RECIPE_FOLDER / "bundled-libraries.toml").read_text())
    for wheel in table["wheel"]:
        name = wheel["name"]
        if name not in versions:
            continue
        if versions[name] != wheel["version"]:
            raise SystemExit(
                f"bundled-libraries.toml: {name} {wheel['version']}: the image has {versions[name]}; "
                "look into the new wheel, and correct the list"
            )
        for library in wheel["library"]:
            own_files = [path for path in files[name] if library_name(path) in library["files"]]
            check_evidence(root, name, library, own_files)
            found.append(
                {
                    "type": "library",
                    "bom-ref": f"pypi/{name}/{library['name']}",
                    "name": library["name"],
                    "version": library["version"],
                    "licenses": [{"expression": library["licence"]}],
                    "externalReferences": [{"type": "distribution", "url": library["source"]}],
                    "evidence": {
                        "occurrences": [
                            {"location": f"/{path.relative_to(root)}"} for path in sorted(own_files)
                        ]
                    },
                }
            )
    return found


def library_name(path: Path) -> str:
    """Return the name of a shared library without version, hash and ending."""
    return re.split(r"[-.]", path.name, maxsplit=1)[0]


def check_evidence(root: Path, wheel: str, library: dict[str, Any], files: list[Path]) -> None:
    """Raise SystemExit unless one of the library's files contains what its entry quotes."""
    evidence = library.get("evidence")
    if evidence is None or not files:
        return
    if not any(evidence.encode() in path.read_bytes() for path in files):
        raise SystemExit(
            f"bundled-libraries.toml: {wheel}: {library['name']}: {evidence!r} is in none of "
            + ", ".join(str(path.relative_to(root)) for path in files)
        )


def iter_elf_files(root: Path) -> Iterator[Path]:
    """Yield each program, library and kernel module that is not compressed."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(len(ELF_MAGIC)) == ELF_MAGIC:
                    yield path


def debian_files(root: Path) -> set[Path]:
    """Return the paths of Debian's packages."""
    found = set()
    for file_list in (root / "var/lib/dpkg/info").glob("*.list"):
        for line in file_list.read_text().splitlines():
            path = Path(line.lstrip("/"))
            if path.parts and path.parts[0] in MERGED_FOLDERS:
                path = Path("usr") / path
            found.add(root / path)
    return found


def find_files_without_owner(root: Path) -> list[Path]:
    """Return the programs and libraries that no component of the bill of materials has.

    A shared library in the folder of a wheel's libraries must be in bundled-libraries.toml.
    """
    table = tomllib.loads((RECIPE_FOLDER / "bundled-libraries.toml").read_text())
    bundled = {
        (wheel["name"], name)
        for wheel in table["wheel"]
        for library in wheel["library"]
        for name in library["files"]
    }
    owned = debian_files(root)
    for wheel, paths in wheel_files(root).items():
        owned |= {
            path
            for path in paths
            if not path.parent.name.endswith(".libs") or (wheel, library_name(path)) in bundled
        }
    return [path for path in iter_elf_files(root) if path not in owned]


def copy_licences(root: Path, target_folder: Path) -> None:
    """Copy the texts of licences: the image has no documentation folders."""
    for text in sorted(root.glob("usr/share/doc/*/copyright")):
        target = target_folder / "debian" / text.parent.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(text, target)
    for text in sorted((root / "usr/share/common-licenses").glob("*")):
        if not text.is_symlink():
            target = target_folder / "common" / text.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(text, target)
    shutil.copytree(RECIPE_FOLDER / "licences", target_folder / "bundled", dirs_exist_ok=True)
    for package in sorted(root.glob(f"{SITE_PACKAGES}/*.dist-info")):
        for text in sorted(package.rglob("*")):
            if text.is_file() and text.name.upper().startswith(
                ("LICEN", "COPYING", "NOTICE", "AUTHORS")
            ):
                target = (
                    target_folder / "python" / package.name.removesuffix(".dist-info") / text.name
                )
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(text, target)


def main() -> None:
    """Write the list and the licences. Raises SystemExit if a program or library belongs to no part."""
    root, version = Path(sys.argv[1]), sys.argv[2]
    strangers = find_files_without_owner(root)
    if strangers:
        raise SystemExit(
            "of no component of the bill of materials: "
            + ", ".join(str(path.relative_to(root)) for path in strangers)
            + "; a library inside a wheel is declared in images/recipe/bundled-libraries.toml"
        )
    share_folder = root / SHARE_FOLDER
    share_folder.mkdir(parents=True, exist_ok=True)
    sbom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {"type": "operating-system", "name": "vigie", "version": version}
        },
        "components": (
            debian_packages(root)
            + python_packages(root)
            + listed_libraries(root)
            + bundled_libraries(root)
        ),
    }
    (share_folder / "sbom.cdx.json").write_text(json.dumps(sbom, indent=1) + "\n")
    copy_licences(root, share_folder / "licences")


if __name__ == "__main__":
    main()
