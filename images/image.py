"""Build of one image with mkosi, from package sources to named files."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import msgspec

from agent.base import update_keyring
from agent.base.errors import UserError
from agent.base.update_keyring import TEST_AUTHORITY
from images import apt_sources, certificates, emulation, image_files, tree
from images.target import MKOSI_ARCHITECTURES, BuildTarget

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "image"
TEST_CA = CACHE / "test-ca"
PI_PACKAGES = tree.RECIPE / "mkosi.profiles" / "pi" / "packages"


class PackageSources(msgspec.Struct, frozen=True, kw_only=True):
    """Package sources. mirror = None uses this machine's; the pi profile requires the board's."""

    mirror: str | None
    security_mirror: str
    board_mirror: str | None
    board_keyring: Path | None
    board_packages: Path


def output_folder(target: BuildTarget) -> Path:
    """Return the folder of the target's files."""
    return ROOT / "build" / "image" / target.name


def file_stem(target: BuildTarget) -> str:
    """Return the common beginning of the target's file names."""
    return f"vigie-{target.name}-{target.version}"


def allocated_bytes(path: Path) -> int:
    """Return the allocated size of a file or folder: images are sparse."""
    files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
    return sum(one.stat().st_blocks * 512 for one in files)


def commit_time() -> str:
    """Return SOURCE_DATE_EPOCH, by default the commit's time: builds of a commit have the same dates."""
    git_command = ("git", "log", "-1", "--format=%ct")
    configured = os.environ.get("SOURCE_DATE_EPOCH")
    return (
        configured
        or subprocess.run(
            git_command, cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.strip()
    )


def digest_of(paths: list[Path]) -> str:
    """Return a SHA-256 digest over the paths, modes and contents of files and folders."""
    digest = hashlib.sha256()
    for path in paths:
        for one in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if one.is_file():
                digest.update(f"{one}\0{one.stat().st_mode}\0".encode() + one.read_bytes())
    return digest.hexdigest()


def invalidate_cache(base: Path, key: str) -> None:
    """Delete mkosi's cache if its inputs have changed: mkosi ignores changes of mkosi.skeleton."""
    key_file = base / "key"
    if not key_file.exists() or key_file.read_text() != key:
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir(parents=True)
        key_file.write_text(key)


def write_apt_sources(target: BuildTarget, sources: PackageSources, sandbox: Path) -> Path:
    """Write apt's sources to mkosi's sandbox. They are not part of the image.

    Raises SystemExit if the pi profile has no archive.
    """
    shutil.rmtree(sandbox, ignore_errors=True)
    # With any other name, mkosi adds sources of its own, which few mirrors have.
    file = sandbox / "etc" / "apt" / "sources.list.d" / "mkosi.sources"
    file.parent.mkdir(parents=True)
    text = (
        apt_sources.mirror_sources(sources.mirror, sources.security_mirror)
        if sources.mirror
        else apt_sources.machine_sources()
    )
    if target.profile == "pi":
        if not sources.board_mirror or not sources.board_keyring:
            raise SystemExit(
                "the pi profile needs Raspberry Pi's archive: --raspberrypi-mirror URL"
                " --raspberrypi-keyring FILE (as make image: RASPBERRYPI_MIRROR= RASPBERRYPI_KEYRING=)"
            )
        keyring = sandbox / "etc" / "apt" / "keyrings" / "raspberrypi.pgp"
        keyring.parent.mkdir(parents=True)
        shutil.copyfile(sources.board_keyring, keyring)
        text += "\n" + apt_sources.board_sources(sources.board_mirror)
    file.write_text(text)
    return file


def read_board_packages(file: Path) -> list[str]:
    """Return the packages in a file, one a line."""
    lines = (one.partition("#")[0].strip() for one in file.read_text().splitlines())
    return [one for one in lines if one]


def check_keyring(target: BuildTarget, keyring: Path | None) -> str | None:
    """Return a warning if an image with this keyring trusts the test authority.

    Raises SystemExit if it is for boards then, or if the keyring cannot be read.
    """
    try:
        names = update_keyring.read_authorities(keyring) if keyring else (TEST_AUTHORITY,)
    except (OSError, UserError) as error:
        raise SystemExit(str(error)) from error
    if TEST_AUTHORITY not in names:
        return None
    if target.profile == "pi":
        raise SystemExit(
            "the pi profile needs the authorities that sign your updates: --keyring FILE (as make image: KEYRING=)"
        )
    return f"WARNING: {update_keyring.TEST_AUTHORITY_WARNING}; allowed in the field: with KEYRING="


def build_image(
    target: BuildTarget, keyring: Path | None, sources: PackageSources, *, cold: bool
) -> list[Path]:
    """Build the image and return its files.

    Raises SystemExit if not run as root, or as check_keyring does.
    """
    warning = check_keyring(target, keyring)
    if os.geteuid() != 0:
        raise SystemExit("an image is built as root: mkosi makes files owned by root")
    if keyring is None:
        certificates.make_test_ca(TEST_CA)
        keyring = TEST_CA / "ca.pem"
    emulation.prepare_emulation(target.architecture)
    work = CACHE / target.name
    base, extra_tree, build_output = work / "base", work / "tree", work / "made"
    apt_sources_file = write_apt_sources(target, sources, work / "sandbox")
    if cold:
        shutil.rmtree(base, ignore_errors=True)
    recipe = tree.RECIPE
    extra_packages = read_board_packages(sources.board_packages) if target.profile == "pi" else []
    profile = recipe / "mkosi.profiles" / target.profile
    config_files = sorted(profile.glob("mkosi.conf*"))
    inputs = [recipe / "mkosi.conf", recipe / "mkosi.skeleton", *config_files, apt_sources_file]
    # The cached initrd contains the date: with another commit's, the build would not be reproducible.
    invalidate_cache(base, f"{digest_of(inputs)} {commit_time()}")
    tree.build_tree(target, keyring, extra_tree, CACHE, work)
    shutil.rmtree(build_output, ignore_errors=True)
    for folder in (output_folder(target), CACHE / "packages", work / "workspace", build_output):
        folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [
            "mkosi",
            *("--directory", recipe, "--profile", target.profile),
            f"--architecture={MKOSI_ARCHITECTURES[target.architecture]}",
            f"--image-version={target.version}",
            f"--source-date-epoch={commit_time()}",
            f"--extra-tree={extra_tree}",
            f"--sandbox-tree={work / 'sandbox'}",
            f"--output-directory={build_output}",
            f"--cache-directory={base}",
            f"--package-cache-directory={CACHE / 'packages'}",
            f"--workspace-directory={work / 'workspace'}",
            *(f"--package={one}" for one in extra_packages),
            "--incremental=yes",
            "--force",
            "build",
        ],
        check=True,
    )
    outputs = image_files.collect_outputs(
        file_stem(target), target.version, build_output, output_folder(target)
    )
    if warning:
        print(warning)
    return outputs
