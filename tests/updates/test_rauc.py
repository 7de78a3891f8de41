"""agent.update.rauc_backend and pre_install under the real RAUC. Bundles are of the plain form if the
kernel is to mount them: the kernel of a build machine may have no dm-verity. The guest's tests install
those of the verity form.
"""

import os
from pathlib import Path

import pytest

from tests.updates.conftest import BundleAuthority, UpdateBox

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/loop-control").exists(),
    reason="RAUC mounts a bundle: needs root and loop devices",
)
PERMITTED = "[meta.vigie]\ndowngrade=yes\n"


@pytest.fixture
def newer(tmp_path: Path, authority: BundleAuthority) -> Path:
    return authority.make_bundle(tmp_path / "newer.raucb", "2.0.0", bundle_format="plain")


def test_a_good_bundle_is_written_tried_and_kept(box: UpdateBox, newer: Path) -> None:
    done = box.run_rauc("install", newer)
    assert done.returncode == 0, done.stdout + box.log.read_text()
    assert box.contains_version("B", "2.0.0")
    assert box.slots.read_selection().pending == "B"
    assert '"boot_primary":"rootfs.1"' in box.run_rauc("status", "--output-format=json").stdout
    box.reboot("2.0.0")
    assert box.slots.is_on_trial()
    assert box.run_rauc("status", "mark-good").returncode == 0
    assert box.slots.read_selection().default == "B"
    box.reboot("2.0.0")
    assert box.slots.booted == "B"
    assert not box.slots.is_on_trial()


def test_a_version_that_is_not_marked_good_is_left(box: UpdateBox, newer: Path) -> None:
    assert box.run_rauc("install", newer).returncode == 0
    box.reboot("2.0.0")
    box.reboot("1.0.0")
    assert box.slots.booted == "A"
    assert box.slots.read_state().refused == ("2.0.0",)
    assert '"boot_primary":"rootfs.0"' in box.run_rauc("status", "--output-format=json").stdout


def test_an_older_version_is_not_written(
    box: UpdateBox, tmp_path: Path, authority: BundleAuthority
) -> None:
    older = authority.make_bundle(tmp_path / "older.raucb", "0.9.0", bundle_format="plain")
    assert box.run_rauc("install", older).returncode == 1
    assert "version 0.9.0 is older than 1.0.0, which runs" in box.log.read_text()
    assert box.is_empty("B")
    assert box.slots.read_selection().pending is None


def test_an_older_version_signed_as_a_downgrade_is_written(
    box: UpdateBox, tmp_path: Path, authority: BundleAuthority
) -> None:
    older = authority.make_bundle(
        tmp_path / "older.raucb", "0.9.0", bundle_format="plain", meta=PERMITTED
    )
    done = box.run_rauc("install", older)
    assert done.returncode == 0, done.stdout + box.log.read_text()
    assert box.contains_version("B", "0.9.0")
    assert box.slots.read_state().slot("B").version == "0.9.0"


def test_the_rollback_slot_is_not_overwritten_during_a_trial(
    box: UpdateBox, newer: Path, tmp_path: Path, authority: BundleAuthority
) -> None:
    assert box.run_rauc("install", newer).returncode == 0
    box.reboot("2.0.0")
    newest = authority.make_bundle(tmp_path / "newest.raucb", "3.0.0", bundle_format="plain")
    assert box.run_rauc("install", newest).returncode == 1
    assert "this system is on trial" in box.log.read_text()
    assert box.is_empty("A")


@pytest.mark.parametrize("what", ["signer", "payload", "compatible"])
def test_a_bundle_for_another_box_is_not_written(
    box: UpdateBox, newer: Path, tmp_path: Path, authority: BundleAuthority, what: str
) -> None:
    if what == "signer":
        other_authority = BundleAuthority(tmp_path / "other")
        newer = other_authority.make_bundle(tmp_path / "bad.raucb", "2.0.0", bundle_format="plain")
    elif what == "compatible":
        newer = authority.make_bundle(
            tmp_path / "bad.raucb", "2.0.0", bundle_format="plain", compatible="vigie-pi-arm64"
        )
    else:
        tamper(newer)
    assert box.run_rauc("install", newer).returncode == 1
    assert box.is_empty("B")
    assert box.slots.read_selection().pending is None


@pytest.mark.parametrize(
    ("at", "is_whole"),
    [('"set-state B bad"', False), ('"set-primary B"', True)],
    ids=["before it writes", "after it wrote"],
)
def test_an_interrupted_installation_leaves_the_old_system_and_can_be_repeated(
    box: UpdateBox, newer: Path, at: str, *, is_whole: bool
) -> None:
    box.write_handlers(shell_prefix=f'[ "$*" != {at} ] || {{ kill -9 $PPID; exit 1; }}')
    assert box.run_rauc("install", newer).returncode != 0
    assert box.contains_version("B", "2.0.0") is is_whole
    assert box.slots.read_selection().pending is None
    box.write_handlers()
    box.reboot("1.0.0")
    assert box.slots.booted == "A"
    assert box.slots.read_state().failed_trial is None
    assert box.run_rauc("install", newer).returncode == 0
    assert box.contains_version("B", "2.0.0")
    box.reboot("2.0.0")
    assert box.slots.is_on_trial()


def test_the_running_default_slot_cannot_be_marked_bad(box: UpdateBox) -> None:
    assert box.run_rauc("status", "mark-bad").returncode == 1
    assert "slot A is the default" in box.log.read_text()


def tamper(path: Path) -> None:
    """One byte of the payload."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
