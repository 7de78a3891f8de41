"""The programs that the scripts of the built initramfs call: those of the root where busybox has less to offer."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.image.built_image import INITRD, BuiltImage
from tests.image.disk import FatPart
from tests.image.form import ROOT, find_program
from tests.image.initramfs import InitramfsFile, read_initramfs

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("one look")]

SCRIPTS = ROOT / "images/recipe/mkosi.skeleton/etc/initramfs-tools/scripts"
BUSYBOX = "usr/bin/busybox"
WORD = re.compile(r"[\w./-]+")
OF_BUSYBOX = {
    "cat", "chmod", "chown", "dmesg", "echo", "false", "grep", "kill", "mkdir", "mount", "mv", "reboot", "rm", "rmdir",
    "sh", "sleep", "sync", "test", "tr", "true", "umount", "wc",
}  # fmt: skip
"""The applets of busybox that do all that the scripts ask of them."""
NO_COMMANDS = {"id", "init", "reset", "watchdog", "yes"}
"""Words of messages, names and paths that are names of applets too."""


@pytest.fixture(scope="module")
def files(built: BuiltImage) -> dict[str, InitramfsFile]:
    return read_initramfs(FatPart(built.boot).read(INITRD) or b"")


def script_words() -> set[str]:
    """Return each word of the scripts, comments left out."""
    text = "\n".join(path.read_text() for path in SCRIPTS.rglob("*") if path.is_file())
    return set(WORD.findall(re.sub(r"(^|\s)#.*", "", text)))


def test_a_program_that_the_scripts_call_by_its_path_is_the_roots_own(
    files: dict[str, InitramfsFile], built: BuiltImage
) -> None:
    called = {word.removeprefix("/") for word in script_words() if word.startswith("/usr/sbin/")}
    assert called >= {"usr/sbin/e2fsck", "usr/sbin/mke2fs"}
    for path in sorted(called):
        assert files[path].content == read_root_file(built.root, path), path


def test_the_scripts_call_only_those_applets_of_busybox_that_suffice(
    files: dict[str, InitramfsFile],
) -> None:
    busybox = files[BUSYBOX].inode
    applets = {Path(path).name for path, file in files.items() if file.inode == busybox}
    assert "mount" in applets
    called = {word.rpartition("/")[2] for word in script_words()} & applets
    assert called - NO_COMMANDS <= OF_BUSYBOX


def read_root_file(root: Path, path: str) -> bytes:
    """Return the content of a file of the root."""
    command = [find_program("unsquashfs"), "-cat", str(root), path]
    return subprocess.run(command, capture_output=True, check=True).stdout
