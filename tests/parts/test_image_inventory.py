"""images/recipe/inventory.py: the bill of materials and the licences of an image."""

import hashlib
import json
import os
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "images" / "recipe"
BUILT_UNIX_S = 1_790_000_000
STATUS = """Package: e2fsprogs
Status: install ok installed
Maintainer: Theodore Y. Ts'o <tytso@mit.edu>
Architecture: arm64
Version: 1.47.2-3+b1
Source: e2fsprogs-source (1.47.2-3)
Pre-Depends: libold1 (>= 2) | libc6:any (>= 2.38), missing
Depends: mail-transport-agent

Package: gone
Status: deinstall ok config-files
Maintainer: Nobody <nobody@example.org>
Architecture: all
Version: 1

Package: grub-efi-arm64-bin
Status: install ok installed
Maintainer: GRUB Maintainers <grub@example.org>
Architecture: arm64
Version: 2.12-9

Package: libc6
Status: install ok installed
Maintainer: GNU Libc Maintainers <libc@example.org>
Architecture: arm64
Version: 2:2.41~rc-12
Provides: libc6-alias (= 1), mail-transport-agent

Package: perl-base
Status: install ok installed
Maintainer: Perl Maintainers <perl@example.org>
Architecture: arm64
Version: 5.40
"""
LISTS = {
    "e2fsprogs": "/.\n/sbin/e2fsck\n/usr/lib/libe2p.so.2\n/usr/share/doc/e2fsprogs/copyright\n",
    "grub-efi-arm64-bin": "/usr/lib/grub/arm64-efi/part_gpt.mod\n",
    "libc6:arm64": "/lib/libc.so.6\n/lib/libc.so\n",
    "perl-base": "/usr/bin/perl\n/usr/share/doc/perl-base/copyright\n/usr\n",
}
COPYRIGHTS = {
    "e2fsprogs": "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
    "Files: *\nLicense: GPL-2+\n\nFiles: lib/*\nLicense: LGPL-2.1\n Text.\n\nLicense: GPL-2+\n",
    "grub-efi-arm64-bin": "It is free; see /usr/share/common-licenses/GPL-3.\n",
    "libc6": "You may do as you like with it.\n",
    "perl-base": "License: Artistic\n",
}
ELF = b"\x7fELF of some program"


def a_root(folder: Path) -> Path:
    """A root file system as mkosi.finalize leaves it, of Debian and two Python packages; `records` is next to it."""
    root, records = folder / "root", folder / "records"
    site = root / "opt/vigie/lib/python3.13/site-packages"
    for name, more in (
        ("vigie-1.2.3", "License-Expression: Apache-2.0\nRequires-Dist: old_codec>=1"),
        (
            "Old_Codec-1",
            "Classifier: License :: OSI Approved :: BSD License\nRequires-Dist: vigie; extra == 'all'",
        ),
    ):
        package = site / f"{name}.dist-info"
        (package / "licenses").mkdir(parents=True)
        (package / "licenses" / "LICENSE").write_text(f"the licence of {name}")
        title, version = name.split("-")
        (package / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {title}\nVersion: {version}\n{more}\n"
        )
        (package / "RECORD").write_text(f"{title.lower()}/fast.so,sha256=x,4\n")
        (site / title.lower()).mkdir()
        (site / title.lower() / "fast.so").write_bytes(ELF)
    info = records / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    (info.parent / "status").write_text(STATUS)
    for name, lines in LISTS.items():
        (info / f"{name}.list").write_text(lines)
    for name, text in COPYRIGHTS.items():
        (records / "usr/share/doc" / name).mkdir(parents=True)
        (records / "usr/share/doc" / name / "copyright").write_text(text)
    for path, content in {
        "etc/debian_version": b"13.2\n",
        "usr/sbin/e2fsck": ELF,
        "usr/lib/libc.so.6": ELF,
        "image/select/EFI/BOOT/BOOTAA64.EFI": b"GRUB",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    (root / "usr/lib/libc.so").symlink_to("libc.so.6")
    return root


def take_inventory(
    root: Path, built_unix_s: int = BUILT_UNIX_S
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, RECIPE / "inventory.py", root, root.parent / "records", "1.2.3"]
    environ = {**os.environ, "SOURCE_DATE_EPOCH": str(built_unix_s)}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def inventory(root: Path, built_unix_s: int = BUILT_UNIX_S) -> dict[str, Any]:
    done = take_inventory(root, built_unix_s)
    assert done.returncode == 0, done.stderr
    return dict(json.loads((root / "usr/share/vigie/sbom.cdx.json").read_text()))


def parts(sbom: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["bom-ref"]: one for one in sbom["components"]}


def test_an_image_contains_its_inventory_and_licences(tmp_path: Path) -> None:
    root = a_root(tmp_path)
    reported = inventory(root)
    component = reported["metadata"]["component"]
    assert (reported["bomFormat"], component["version"]) == ("CycloneDX", "1.2.3")
    assert [one["purl"] for one in reported["components"] if "purl" in one] == [
        "pkg:deb/debian/e2fsprogs@1.47.2-3%2Bb1?arch=arm64&distro=trixie",
        "pkg:deb/debian/grub-efi-arm64-bin@2.12-9?arch=arm64&distro=trixie",
        "pkg:deb/debian/libc6@2:2.41~rc-12?arch=arm64&distro=trixie",
        "pkg:pypi/old-codec@1",
        "pkg:pypi/vigie@1.2.3",
    ]
    assert parts(reported)["pypi/vigie"]["licenses"] == [{"expression": "Apache-2.0"}]
    place = root / "usr/share/vigie"
    assert (place / "licences/debian/libc6").read_text() == COPYRIGHTS["libc6"]
    assert (place / "licences/python/vigie-1.2.3/LICENSE").is_file()


VALIDATOR = ROOT / ".cache/audit/bin/python"
VALIDATION = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
import json
text = sys.stdin.read()
sys.exit(str(JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) or "") or [
    one["purl"] for one in json.loads(text)["components"]
    if "purl" in one and PackageURL.from_string(one["purl"]).to_string() != one["purl"]
] or 0)
"""


@pytest.mark.skipif(
    not VALIDATOR.exists(), reason="needs CycloneDX in .cache/audit: make setup-test"
)
def test_the_bill_of_materials_is_valid_cyclonedx(tmp_path: Path) -> None:
    root = a_root(tmp_path)
    add_wheel(root, "av", av_version(), {X265: ELF + b" 4.3+1-e9b8812"})
    text = json.dumps(inventory(root))
    for document, is_valid in ((text, True), (text.replace("SHA-256", "SHA-257"), False)):
        command = [VALIDATOR, "-c", VALIDATION]
        done = subprocess.run(command, input=document, text=True, capture_output=True, check=False)
        assert (done.returncode == 0) is is_valid, done.stderr


def test_a_package_whose_files_are_not_in_the_image_is_not_listed(tmp_path: Path) -> None:
    listed = parts(inventory(a_root(tmp_path)))
    assert "deb/perl-base" not in listed
    assert "deb/grub-efi-arm64-bin" in listed, "it is in a boot partition"


@pytest.mark.parametrize(
    ("name", "licences"),
    [
        ("e2fsprogs", ["GPL-2+", "LGPL-2.1"]),
        ("grub-efi-arm64-bin", ["GPL-3"]),
        ("libc6", ["text in /usr/share/vigie/licences/debian/libc6"]),
    ],
)
def test_each_debian_package_has_a_licence(tmp_path: Path, name: str, licences: list[str]) -> None:
    component = parts(inventory(a_root(tmp_path)))[f"deb/{name}"]
    assert component["licenses"] == [{"license": {"name": licence}} for licence in licences]


def test_each_debian_package_has_its_source_package(tmp_path: Path) -> None:
    listed = parts(inventory(a_root(tmp_path)))
    sources = {
        reference: [one["value"] for one in component["properties"]]
        for reference, component in listed.items()
        if reference.startswith("deb/")
    }
    assert sources == {
        "deb/e2fsprogs": ["e2fsprogs-source", "1.47.2-3"],
        "deb/grub-efi-arm64-bin": ["grub-efi-arm64-bin", "2.12-9"],
        "deb/libc6": ["libc6", "2:2.41~rc-12"],
    }


def test_each_package_has_the_hash_of_its_files_in_the_image(tmp_path: Path) -> None:
    root = a_root(tmp_path)
    listed = parts(inventory(root))
    packages = [one for one in listed if one.startswith("deb/") or one.count("/") == 1]
    assert {one for one in packages if "hashes" not in listed[one]} == {"os/debian"}
    printed = subprocess.run(
        ["sha256sum", "usr/sbin/e2fsck"], cwd=root, capture_output=True, check=True
    )
    digest = hashlib.sha256(printed.stdout).hexdigest()
    assert listed["deb/e2fsprogs"]["hashes"] == [{"alg": "SHA-256", "content": digest}]
    (root / "usr/lib/libc.so").unlink()
    (root / "usr/lib/libc.so").symlink_to("../sbin/e2fsck")
    changed = parts(inventory(root))
    assert {one for one in listed if listed[one] != changed[one]} == {"deb/libc6"}


def test_what_depends_on_what_is_listed(tmp_path: Path) -> None:
    sbom = inventory(a_root(tmp_path))
    graph = {one["ref"]: one["dependsOn"] for one in sbom["dependencies"]}
    image = sbom["metadata"]["component"]["bom-ref"]
    assert graph == {
        image: ["os/debian", "pypi/vigie"],
        "os/debian": ["deb/e2fsprogs", "deb/grub-efi-arm64-bin", "deb/libc6"],
        "deb/e2fsprogs": ["deb/libc6"],
        "deb/grub-efi-arm64-bin": [],
        "deb/libc6": [],
        "pypi/vigie": ["pypi/old-codec"],
        "pypi/old-codec": [],
    }


def test_debian_is_the_only_operating_system(tmp_path: Path) -> None:
    """Trivy compares no package with Debian's tracker otherwise: it takes the image itself for the system."""
    sbom = inventory(a_root(tmp_path))
    systems = [
        (one["name"], one["version"])
        for one in (sbom["metadata"]["component"], *sbom["components"])
        if one["type"] == "operating-system"
    ]
    assert systems == [("debian", "13.2")]


def test_the_same_tree_gives_the_same_list_and_another_one_another_serial_number(
    tmp_path: Path,
) -> None:
    root = a_root(tmp_path)
    first = inventory(root)
    assert first["metadata"]["timestamp"] == "2026-09-21T14:13:20Z"
    assert inventory(root) == first
    later = inventory(root, BUILT_UNIX_S + 1)
    (root / "usr/sbin/e2fsck").write_bytes(ELF + b" that differs")
    changed = inventory(root)
    serials = [one["serialNumber"] for one in (first, later, changed)]
    assert len({uuid.UUID(one.removeprefix("urn:uuid:")) for one in serials}) == 3


def test_the_list_is_of_the_files_as_they_are_in_the_image() -> None:
    lines = (RECIPE / "mkosi.finalize").read_text().splitlines()
    keep, delete, change, take, date = (
        next(number for number, line in enumerate(lines) if line.startswith(begin))
        for begin in (
            *("cp -a --parents var/lib/dpkg", "rm -rf boot/*", 'echo "VARIANT_ID='),
            *('/usr/bin/python3 "$SRCDIR/inventory.py"', "find . -exec touch"),
        )
    )
    assert keep < delete < change < take < date


def add_wheel(root: Path, name: str, version: str, files: Mapping[str, bytes]) -> Path:
    site = root / "opt/vigie/lib/python3.13/site-packages"
    package = site / f"{name.replace('-', '_')}-{version}.dist-info"
    package.mkdir()
    (package / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n")
    (package / "RECORD").write_text("".join(f"{path},,\n" for path in files))
    for path, content in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(content)
    return package


def av_version() -> str:
    return next(wheel["version"] for wheel in BUNDLED["wheel"] if wheel["name"] == "av")


BUNDLED = tomllib.loads((RECIPE / "bundled-libraries.toml").read_text())
X265 = "av.libs/libx265-eebb7db1.so.217"


def test_a_library_inside_a_wheel_is_listed_with_its_version_and_licence(tmp_path: Path) -> None:
    root = a_root(tmp_path)
    add_wheel(root, "av", av_version(), {X265: ELF + b" 4.3+1-e9b8812"})
    sbom = inventory(root)
    (x265,) = [one for one in sbom["components"] if one["name"] == "x265"]
    assert x265["version"] == "4.3+1-e9b8812"
    assert x265["licenses"] == [{"expression": "GPL-2.0-or-later"}]
    assert [one["location"].rpartition("/")[2] for one in x265["evidence"]["occurrences"]] == [
        "libx265-eebb7db1.so.217"
    ]
    assert "GNU" in (root / "usr/share/vigie/licences/bundled/x265").read_text()


def test_the_libraries_that_a_wheel_lists_itself_are_in_the_inventory(tmp_path: Path) -> None:
    root = a_root(tmp_path)
    package = add_wheel(root, "crypto", "1", {})
    (package / "sboms").mkdir()
    (package / "sboms" / "openssl.json").write_text(
        json.dumps(
            {
                "components": [
                    {
                        "name": "openssl",
                        "version": "4.0.3",
                        "purl": "pkg:generic/openssl@4.0.3?x=1",
                    },
                    {"name": "libXau", "version": "1", "purl": "pkg:rpm/almalinux/libXau@1"},
                ]
            }
        )
    )
    sbom = inventory(root)
    assert {"pkg:generic/openssl@4.0.3"} <= {one.get("purl") for one in sbom["components"]}
    graph = {one["ref"]: one["dependsOn"] for one in sbom["dependencies"]}
    assert graph["pypi/crypto"] == ["pypi/crypto/pkg:generic/openssl@4.0.3"]
    assert not [one for one in sbom["components"] if "libXau" in one["name"]]


@pytest.mark.parametrize(
    ("version", "files", "line"),
    [
        (None, {"av.libs/libstranger-00.so.1": ELF}, "of no component of the bill of materials: "),
        (None, {X265: ELF}, "bundled-libraries.toml: av: x265: '4.3+1-e9b8812' is in none of "),
        ("99.0", {}, "the image has 99.0; look into the new wheel"),
    ],
)
def test_an_image_with_a_library_of_unknown_origin_or_version_is_not_built(
    tmp_path: Path, version: str | None, files: dict[str, bytes], line: str
) -> None:
    root = a_root(tmp_path)
    add_wheel(root, "av", version or av_version(), files)
    done = take_inventory(root)
    assert done.returncode == 1
    assert line in done.stderr


def test_a_program_that_no_package_brings_is_not_in_an_image(tmp_path: Path) -> None:
    root = a_root(tmp_path)
    (root / "usr/bin").mkdir()
    (root / "usr/bin/stranger").write_bytes(ELF)
    done = take_inventory(root)
    assert done.returncode == 1
    assert "bill of materials: usr/bin/stranger" in done.stderr


def test_each_wheel_with_bundled_libraries_is_a_locked_one_of_the_same_version() -> None:
    lock = (ROOT / "images/requirements-box.lock").read_text()
    for wheel in BUNDLED["wheel"]:
        assert f"{wheel['name']}=={wheel['version']} " in lock
        for library in wheel["library"]:
            for text in library["text"]:
                folder, name = text.split("/")
                assert folder in ("bundled", "common", "debian")
                assert folder != "bundled" or (RECIPE / "licences" / name).is_file()
