"""Software bill of materials of an image in CycloneDX, and the licences of its parts.

Its parts are the packages of Debian and of Python, and the libraries inside Python's wheels: those that a wheel
itself lists (PEP 770), and those of bundled-libraries.toml. A program or library that belongs to none of them ends
the build.

Usage, with the building machine's Python: inventory.py ROOT RECORDS VERSION. RECORDS has dpkg's database and the copyright files
of the packages, which ROOT does not have any more. The list and the texts are written to ROOT/usr/share/vigie. The same tree and
SOURCE_DATE_EPOCH give the same list.

The hash of a package is over the lines that `sha256sum` prints of its files in the image, sorted by path.
"""

import csv
import hashlib
import json
import os
import re
import shutil
import sys
import tomllib
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

SHARE_FOLDER = Path("usr/share/vigie")
SITE_PACKAGES = "opt/vigie/lib/python3.*/site-packages"
RECIPE_FOLDER = Path(__file__).parent
ELF_MAGIC = b"\x7fELF"
LICENCE_CLASSIFIER = re.compile(r"^License :: (?:OSI Approved :: )?(.+)$", re.MULTILINE)
REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
MERGED_FOLDERS = ("bin", "sbin", "lib", "lib64")
"""Links into /usr in the image; dpkg's lists may have the old paths."""
BOOT_FILES = (
    ("grub-efi-", "image/select/EFI/BOOT/*.EFI"),
    ("initramfs-tools-core", "image/boot/init*"),
    ("raspi-firmware", "image/boot/[sf]*4.*"),
)
"""Packages, by the beginning of their names, and the files of the boot partitions that are made of them."""
COMMON_LICENCE = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9.+-]*[A-Za-z0-9+])")
DEPENDENCY = re.compile(r"\s*([a-z0-9][a-z0-9+.-]+)")
IMAGE_REFERENCE = "vigie-image"
Component = dict[str, Any]


class DebianPackage(NamedTuple):
    """An installed package of which the image has something: the files that are left, and its control fields."""

    name: str
    files: list[Path]
    fields: Message

    @property
    def reference(self) -> str:
        """Return its name within the bill of materials."""
        return f"deb/{self.name}"


def read_packages(root: Path, records: Path) -> list[DebianPackage]:
    """Return the packages, without those whose files the image does not have."""
    found = []
    for paragraph in (records / "var/lib/dpkg/status").read_text().split("\n\n"):
        fields = HeaderParser().parsestr(paragraph)
        if fields["Status"] != "install ok installed":
            continue
        name = str(fields["Package"])
        files = [
            path
            for path in listed_files(root, records, name, str(fields["Architecture"]))
            if path.is_symlink() or path.is_file()
        ]
        for prefix, pattern in BOOT_FILES:
            if name.startswith(prefix):
                files += root.glob(pattern)
        if files:
            found.append(DebianPackage(name=name, files=sorted(files), fields=fields))
    return sorted(found)


def listed_files(root: Path, records: Path, name: str, architecture: str) -> list[Path]:
    """Return the files and folders that a package has installed."""
    info = records / "var/lib/dpkg/info"
    file_list = info / f"{name}.list"
    if not file_list.exists():
        file_list = info / f"{name}:{architecture}.list"
    found = []
    for line in file_list.read_text().splitlines():
        path = Path(line.lstrip("/"))
        if path.parts and path.parts[0] in MERGED_FOLDERS:
            path = Path("usr") / path
        found.append(root / path)
    return found


def debian_component(package: DebianPackage, copyright_file: Path) -> Component:
    """Return a package's component, without hashes."""
    name, fields = package.name, package.fields
    version = str(fields["Version"])
    source, _, source_version = str(fields.get("Source", name)).partition(" ")
    licences = read_licences(copyright_file)
    return {
        "type": "library",
        "bom-ref": package.reference,
        "name": name,
        "version": version,
        "supplier": {"name": fields["Maintainer"]},
        "licenses": [{"license": {"name": licence}} for licence in licences],
        "purl": f"pkg:deb/debian/{quote(name)}@{quote(version, safe=':~')}"
        f"?arch={fields['Architecture']}&distro=trixie",
        # Debian's tracker knows weaknesses by the source package; trivy reads it here.
        "properties": [
            {"name": "aquasecurity:trivy:SrcName", "value": source},
            {
                "name": "aquasecurity:trivy:SrcVersion",
                "value": source_version.strip("()") or version,
            },
        ],
    }


def read_licences(copyright_file: Path) -> list[str]:
    """Return the licences that a copyright file names, in Debian's words.

    One that is not machine-readable names those of /usr/share/common-licenses that it refers to; if it refers to none,
    the licence is the text itself.
    """
    if not copyright_file.is_file():
        return ["not stated by the package"]
    text = copyright_file.read_text(errors="replace")
    if text.lstrip().startswith("Format:"):
        names = re.findall(r"^License:[ \t]*(\S.*)$", text, re.MULTILINE)
    else:
        names = COMMON_LICENCE.findall(text)
    own = f"text in /usr/share/vigie/licences/debian/{copyright_file.parent.name}"
    return sorted({name.strip() for name in names}) or [own]


def dependencies_of(packages: list[DebianPackage]) -> dict[str, list[str]]:
    """Return what each package depends on, as far as the image has it."""
    providers: dict[str, str] = {}
    for package in packages:
        for provided in str(package.fields.get("Provides", "")).split(","):
            if match := DEPENDENCY.match(provided):
                providers.setdefault(match[1], package.reference)
    providers |= {package.name: package.reference for package in packages}
    found = {}
    for package in packages:
        clauses = [
            clause
            for field in ("Pre-Depends", "Depends")
            for clause in str(package.fields.get(field, "")).split(",")
        ]
        needed = {provider for clause in clauses if (provider := find_provider(clause, providers))}
        found[package.reference] = sorted(needed - {package.reference})
    return found


def find_provider(clause: str, providers: dict[str, str]) -> str | None:
    """Return the first alternative of a dependency that the image has, or None."""
    for alternative in clause.split("|"):
        match = DEPENDENCY.match(alternative)
        if match and match[1] in providers:
            return providers[match[1]]
    return None


def operating_system(root: Path) -> Component:
    """Return the component that Debian's packages belong to; a check for known weaknesses looks for it."""
    return {
        "type": "operating-system",
        "bom-ref": "os/debian",
        "name": "debian",
        "version": (root / "etc/debian_version").read_text().strip(),
    }


def python_packages(root: Path) -> list[Component]:
    """Return the packages of the agent's virtual environment, from their metadata."""
    found = []
    for metadata in root.glob(f"{SITE_PACKAGES}/*.dist-info/METADATA"):
        fields = HeaderParser().parsestr(metadata.read_text())
        name, version = normalise(fields["Name"]), fields["Version"]
        one: Component = {
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
        elif names := LICENCE_CLASSIFIER.findall("\n".join(fields.get_all("Classifier", []))):
            one["licenses"] = [{"license": {"name": name}} for name in names]
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


def listed_libraries(root: Path) -> list[Component]:
    """Return the components that wheels list in their own bills of materials (PEP 770)."""
    found: dict[str, Component] = {}
    for file in sorted(root.glob(f"{SITE_PACKAGES}/*.dist-info/sboms/*.json")):
        wheel = normalise(file.parents[1].name.partition("-")[0])
        for component in json.loads(file.read_text()).get("components", ()):
            purl = component.get("purl", "").partition("#")[0].partition("?")[0]
            # Of a distribution: auditwheel names the package whose library it has copied into the wheel, which is in
            # bundled-libraries.toml. A check for known weaknesses would take it for a package of this system.
            is_copied = purl.startswith(("pkg:rpm/", "pkg:deb/", "pkg:apk/"))
            if not purl or is_copied or normalise(component["name"]) == wheel:
                continue
            one = {
                "type": "library",
                "bom-ref": f"pypi/{wheel}/{purl}",
                "name": component["name"],
                "version": component.get("version", ""),
                "purl": purl,
            }
            one |= {key: component[key] for key in ("licenses", "hashes") if key in component}
            found[one["bom-ref"]] = one
    return list(found.values())


def bundled_libraries(root: Path) -> list[Component]:
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


def check_evidence(root: Path, wheel: str, library: Component, files: list[Path]) -> None:
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


def find_files_without_owner(root: Path, packages: list[DebianPackage]) -> list[Path]:
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
    owned = {path for package in packages for path in package.files}
    for wheel, paths in wheel_files(root).items():
        owned |= {
            path
            for path in paths
            if not path.parent.name.endswith(".libs") or (wheel, library_name(path)) in bundled
        }
    return [path for path in iter_elf_files(root) if path not in owned]


def copy_licences(root: Path, records: Path, target_folder: Path) -> None:
    """Copy the texts of licences: the image has no documentation folders."""
    for text in sorted(records.glob("usr/share/doc/*/copyright")):
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


def python_dependencies(root: Path, components: list[Component]) -> dict[str, list[str]]:
    """Return what each Python package and wheel depends on: packages, and the libraries inside it."""
    references = [one["bom-ref"] for one in components]
    found = {}
    for metadata in root.glob(f"{SITE_PACKAGES}/*.dist-info/METADATA"):
        fields = HeaderParser().parsestr(metadata.read_text())
        own = f"pypi/{normalise(fields['Name'])}"
        required = {
            f"pypi/{normalise(match[0])}"
            for requirement in fields.get_all("Requires-Dist", [])
            if "extra ==" not in requirement and (match := REQUIREMENT.match(requirement))
        }
        inside = {one for one in references if one.startswith(f"{own}/")}
        found[own] = sorted(inside | (required & set(references)))
    return found


def content_hashes(root: Path, files: Iterable[Path]) -> list[Component]:
    """Return the hash of a package's files in the image. A link counts as a file with its target's path."""
    lines = b""
    for path in sorted(files):
        if path.is_symlink() or path.is_file():
            content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            lines += f"{digest}  {path.relative_to(root)}\n".encode()
    return [{"alg": "SHA-256", "content": hashlib.sha256(lines).hexdigest()}] if lines else []


def image_components(root: Path, records: Path, packages: list[DebianPackage]) -> list[Component]:
    """Return all components, with their hashes."""
    debian = [
        debian_component(package, records / "usr/share/doc" / package.name / "copyright")
        for package in packages
    ]
    wheels = {f"pypi/{name}": files for name, files in wheel_files(root).items()}
    files = {package.reference: package.files for package in packages} | wheels
    components = [
        operating_system(root),
        *(*debian, *python_packages(root)),
        *(*listed_libraries(root), *bundled_libraries(root)),
    ]
    for one in components:
        occurrences = one.get("evidence", {}).get("occurrences", ())
        own_files = files.get(one["bom-ref"]) or [
            root / place["location"].lstrip("/") for place in occurrences
        ]
        if "hashes" not in one and (hashes := content_hashes(root, own_files)):
            one["hashes"] = hashes
    return components


def bill_of_materials(
    root: Path, records: Path, packages: list[DebianPackage], version: str, built: datetime
) -> Component:
    """Return the list, as a document of CycloneDX 1.6."""
    components = image_components(root, records, packages)
    graph = {
        "os/debian": [package.reference for package in packages],
        **dependencies_of(packages),
        **python_dependencies(root, components),
    }
    references = [one["bom-ref"] for one in components]
    graph[IMAGE_REFERENCE] = sorted(set(references).difference(*graph.values()))
    document: Component = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": built.isoformat().replace("+00:00", "Z"),
            "tools": {"components": [{"type": "application", "name": "vigie inventory.py"}]},
            "component": {
                "type": "firmware",
                "bom-ref": IMAGE_REFERENCE,
                "name": "vigie",
                "version": version,
            },
        },
        "components": components,
        "dependencies": [
            {"ref": reference, "dependsOn": graph.get(reference, [])}
            for reference in (IMAGE_REFERENCE, *references)
        ],
    }
    content = hashlib.sha256(json.dumps(document).encode()).hexdigest()
    document["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_OID, content).urn
    return document


def main() -> None:
    """Write the list and the licences. Raises SystemExit if a program or library belongs to no part."""
    root, records, version = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    built = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    packages = read_packages(root, records)
    strangers = find_files_without_owner(root, packages)
    if strangers:
        raise SystemExit(
            "of no component of the bill of materials: "
            + ", ".join(str(path.relative_to(root)) for path in strangers)
            + "; a library inside a wheel is declared in images/recipe/bundled-libraries.toml"
        )
    share_folder = root / SHARE_FOLDER
    share_folder.mkdir(parents=True, exist_ok=True)
    document = bill_of_materials(root, records, packages, version, built)
    (share_folder / "sbom.cdx.json").write_text(json.dumps(document, indent=1) + "\n")
    copy_licences(root, records, share_folder / "licences")


if __name__ == "__main__":
    main()
