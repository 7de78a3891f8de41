"""agent.update.usb_bundle: update bundles on USB disks are found and copied."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.base.errors import UserError
from agent.update import usb_bundle
from agent.update.feed import MAX_BUNDLE_BYTES


def plugged_in(root: Path, name: str, data: bytes = b"a bundle") -> str:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return f"/{name}"


def ignore_progress(_done: int, _total: int) -> None:
    pass


def test_bundles_are_found_at_the_top_of_a_usb_disk_and_one_folder_down(tmp_path: Path) -> None:
    there = [
        plugged_in(tmp_path, name)
        for name in ("media/a.raucb", "mnt/stick/b.raucb", "run/media/sda1/vigie/c.raucb")
    ]
    for name in ("run/media/sda1/c.raucb.txt", "run/media/sda1/1/2/d.raucb", "srv/e.raucb"):
        plugged_in(tmp_path, name)
    (tmp_path / "mnt/link.raucb").symlink_to(tmp_path / "media/a.raucb")
    (tmp_path / "mnt/folder.raucb").mkdir()
    assert usb_bundle.find_usb_bundles(tmp_path) == tuple(there)


def test_a_copied_bundle_replaces_the_previous_one(tmp_path: Path) -> None:
    data, steps = os.urandom(3_000_000), [(0, 0)]
    bundle = plugged_in(tmp_path, "run/media/sda1/new.raucb", data)
    folder = tmp_path / "data/update"
    for _ in range(2):
        made = usb_bundle.copy_to_box(tmp_path, bundle, folder, lambda *step: steps.append(step))
        assert made.read_bytes() == data
    assert list(folder.iterdir()) == [made]
    assert made.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert steps[-1] == (len(data), len(data))


def linked_folder(root: Path) -> str:
    plugged_in(root, "srv/new.raucb")
    (root / "mnt").mkdir()
    (root / "mnt/folder").symlink_to(root / "srv")
    return "/mnt/folder/new.raucb"


def linked_file(root: Path) -> str:
    plugged_in(root, "srv/new.raucb")
    (root / "mnt").mkdir()
    (root / "mnt/new.raucb").symlink_to(root / "srv/new.raucb")
    return "/mnt/new.raucb"


def pipe(root: Path) -> str:
    (root / "mnt").mkdir()
    os.mkfifo(root / "mnt/new.raucb")
    return "/mnt/new.raucb"


def too_large(root: Path) -> str:
    bundle = plugged_in(root, "mnt/new.raucb")
    os.truncate(root / "mnt/new.raucb", MAX_BUNDLE_BYTES + 1)
    return bundle


@pytest.mark.parametrize(
    "make",
    [
        linked_folder,
        linked_file,
        pipe,
        too_large,
        lambda root: plugged_in(root, "srv/new.raucb"),
        lambda root: plugged_in(root, "mnt/new.img"),
        lambda root: plugged_in(root, "mnt/../srv/new.raucb"),
        lambda root: plugged_in(root, "mnt2/new.raucb"),
        lambda _root: "/mnt/nowhere.raucb",
        lambda _root: "",
        lambda _root: "/mnt/\0.raucb",
    ],
)
def test_a_link_or_special_file_on_a_usb_disk_is_not_copied(
    tmp_path: Path, make: Callable[[Path], str]
) -> None:
    (tmp_path / "mnt2").mkdir()
    bundle = make(tmp_path)
    with pytest.raises(UserError, match="allowed: "):
        usb_bundle.copy_to_box(tmp_path, bundle, tmp_path / "data", ignore_progress)
    assert not list((tmp_path / "data").glob("*"))
