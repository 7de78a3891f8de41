"""The real RAUC with our backend and our handler. Bundles are plain ones where the kernel is to mount them:
the kernel of a build machine may have no dm-verity. The guest's tests install those of the verity form.
"""

import os
from pathlib import Path

import pytest

from tests.updates.conftest import Authority, Box

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/loop-control").exists(),
    reason="RAUC mounts a bundle: needs root and loop devices",
)
PERMITTED = "[meta.vigie]\ndowngrade=yes\n"


@pytest.fixture
def newer(tmp_path: Path, authority: Authority) -> Path:
    return authority.bundle(tmp_path / "newer.raucb", "2.0.0", form="plain")


def test_a_good_bundle_is_written_tried_and_kept(box: Box, newer: Path) -> None:
    done = box.rauc("install", newer)
    assert done.returncode == 0, done.stdout + box.log.read_text()
    assert box.holds("B", "2.0.0")
    assert box.slots.choice().pending == "B"
    assert '"boot_primary":"rootfs.1"' in box.rauc("status", "--output-format=json").stdout
    box.reboot("2.0.0")
    assert box.slots.on_trial()
    assert box.rauc("status", "mark-good").returncode == 0
    assert box.slots.choice().default == "B"
    box.reboot("2.0.0")
    assert box.slots.current == "B"
    assert not box.slots.on_trial()


def test_what_is_not_marked_good_is_left(box: Box, newer: Path) -> None:
    assert box.rauc("install", newer).returncode == 0
    box.reboot("2.0.0")
    box.reboot("1.0.0")
    assert box.slots.current == "A"
    assert box.slots.book().refused == ("2.0.0",)
    assert '"boot_primary":"rootfs.0"' in box.rauc("status", "--output-format=json").stdout


def test_an_older_version_is_not_written(box: Box, tmp_path: Path, authority: Authority) -> None:
    older = authority.bundle(tmp_path / "older.raucb", "0.9.0", form="plain")
    assert box.rauc("install", older).returncode == 1
    assert "version 0.9.0 is older than 1.0.0, which runs" in box.log.read_text()
    assert box.is_empty("B")
    assert box.slots.choice().pending is None


def test_an_older_version_that_was_signed_to_be_one_is(
    box: Box, tmp_path: Path, authority: Authority
) -> None:
    older = authority.bundle(tmp_path / "older.raucb", "0.9.0", form="plain", meta=PERMITTED)
    done = box.rauc("install", older)
    assert done.returncode == 0, done.stdout + box.log.read_text()
    assert box.holds("B", "0.9.0")
    assert box.slots.book().slot("B").version == "0.9.0"


def test_nothing_is_written_over_the_way_back(
    box: Box, newer: Path, tmp_path: Path, authority: Authority
) -> None:
    assert box.rauc("install", newer).returncode == 0
    box.reboot("2.0.0")
    newest = authority.bundle(tmp_path / "newest.raucb", "3.0.0", form="plain")
    assert box.rauc("install", newest).returncode == 1
    assert "this system is on trial" in box.log.read_text()
    assert box.is_empty("A")


@pytest.mark.parametrize("what", ["signer", "payload", "compatible"])
def test_what_is_not_for_this_box_is_not_written(
    box: Box, newer: Path, tmp_path: Path, authority: Authority, what: str
) -> None:
    if what == "signer":
        stranger = Authority(tmp_path, "stranger")
        newer = stranger.bundle(tmp_path / "bad.raucb", "2.0.0", form="plain")
    elif what == "compatible":
        newer = authority.bundle(
            tmp_path / "bad.raucb", "2.0.0", form="plain", compatible="vigie-pi-arm64"
        )
    else:
        tamper(newer)
    assert box.rauc("install", newer).returncode == 1
    assert box.is_empty("B")
    assert box.slots.choice().pending is None


@pytest.mark.parametrize(
    ("at", "is_whole"),
    [('"set-state B bad"', False), ('"set-primary B"', True)],
    ids=["before it writes", "after it wrote"],
)
def test_an_interrupted_installation_leaves_the_old_system_and_can_be_made_again(
    box: Box, newer: Path, at: str, *, is_whole: bool
) -> None:
    box.wrap(before=f'[ "$*" != {at} ] || {{ kill -9 $PPID; exit 1; }}')
    assert box.rauc("install", newer).returncode != 0
    assert box.holds("B", "2.0.0") is is_whole
    assert box.slots.choice().pending is None
    box.wrap()
    box.reboot("1.0.0")
    assert box.slots.current == "A"
    assert box.slots.book().fell_back is None
    assert box.rauc("install", newer).returncode == 0
    assert box.holds("B", "2.0.0")
    box.reboot("2.0.0")
    assert box.slots.on_trial()


def test_what_runs_and_is_the_default_cannot_be_marked_bad(box: Box) -> None:
    assert box.rauc("status", "mark-bad").returncode == 1
    assert "slot A is the default" in box.log.read_text()


def tamper(path: Path) -> None:
    """One byte of the payload."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
