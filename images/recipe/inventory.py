"""Software bill of materials of an image: Debian and Python packages in CycloneDX, and their licences.

Usage, with the building machine's Python: inventory.py ROOT VERSION. The list and the texts are written to
ROOT/usr/share/vigie. The same tree gives the same list.
"""

import json
import shutil
import sys
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

SHARE_FOLDER = Path("usr/share/vigie")


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
    for metadata in root.glob("opt/vigie/lib/python3.*/site-packages/*.dist-info/METADATA"):
        fields = HeaderParser().parsestr(metadata.read_text())
        name, version = fields["Name"].lower(), fields["Version"]
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


def copy_licences(root: Path, target_folder: Path) -> None:
    """Copy the texts of licences: the image has no documentation folders."""
    for text in sorted(root.glob("usr/share/doc/*/copyright")):
        target = target_folder / "debian" / text.parent.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(text, target)
    packages = root.glob("opt/vigie/lib/python3.*/site-packages/*.dist-info")
    for package in sorted(packages):
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
    """Write the list and the licences."""
    root, version = Path(sys.argv[1]), sys.argv[2]
    share_folder = root / SHARE_FOLDER
    share_folder.mkdir(parents=True, exist_ok=True)
    sbom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {"type": "operating-system", "name": "vigie", "version": version}
        },
        "components": debian_packages(root) + python_packages(root),
    }
    (share_folder / "sbom.cdx.json").write_text(json.dumps(sbom, indent=1) + "\n")
    copy_licences(root, share_folder / "licences")


if __name__ == "__main__":
    main()
