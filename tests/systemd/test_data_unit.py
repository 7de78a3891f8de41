"""vigie-data.service in its sandbox: it checks and formats a partition, and systemd mounts it."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.container import ROOT, Container, skip_reason

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(skip_reason() is not None, reason=str(skip_reason())),
    pytest.mark.skipif(not Path("/dev/loop-control").exists(), reason="needs loop devices"),
]

LIB = ROOT / "images/recipe/mkosi.extra/usr/lib"
UNIT = "vigie-data.service"
MOUNTS = ("var-lib-vigie-footage.mount", "data.mount")
SIZE_BYTES = 64 << 20
DROP_IN = """[Unit]
ConditionVirtualization=
[Service]
ExecStart=
ExecStart=/etc/data-partition
"""
PREPARE = """
mkdir -p /state /data /dev/disk/by-partlabel /var/lib/vigie/footage
ln -s {device} /dev/disk/by-partlabel/data
"""


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    """A partition without a file system."""
    image = tmp_path / "data.img"
    with image.open("wb") as file:
        file.truncate(SIZE_BYTES)
    command = ["losetup", "--find", "--show", image]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    yield name
    subprocess.run(["losetup", "--detach", name], check=True)


@pytest.fixture
def box(device: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    box = Container(tmp_path_factory.mktemp("data"), {}, [device])
    try:
        units = box.root / "etc/systemd/system"
        for name in (UNIT, *MOUNTS):
            shutil.copy(LIB / "systemd/system" / name, units / name)
        (units / f"{UNIT}.d").mkdir()
        (units / f"{UNIT}.d/test.conf").write_text(DROP_IN)
        shutil.copy(LIB / "vigie/data-partition", box.root / "etc/data-partition")
        box.run("sh", "-ec", PREPARE.format(device=device))
        box.run("systemctl", "daemon-reload")
        yield box
        box.run("systemctl", "stop", UNIT, *MOUNTS)
    finally:
        box.close()


def test_a_partition_is_formatted_kept_and_formatted_again_once_it_is_lost(
    box: Container, device: str
) -> None:
    footage = box.root / "var/lib/vigie/footage"
    for content, lost in (("", ""), ("kept", ""), ("", "it could not be repaired")):
        box.run("systemctl", "start", UNIT)
        assert sorted(path.name for path in footage.iterdir()) == ([content] if content else [])
        owner, mode = box.run("stat", "--format=%U %a", "/data/footage").split()
        assert (owner, mode) == ("vigie", "750")
        for folder in ("/data", "/var/lib/vigie/footage"):
            options = box.run("findmnt", "-rno", "OPTIONS", folder).strip().split(",")
            assert {"rw", "nosuid", "nodev", "noexec"} <= set(options)
        mounts = box.run("journalctl", "--no-pager", "--unit=data.mount")
        assert ("Failed to mount" in mounts) == bool(lost), "a new partition is not mounted in vain"
        reason = box.root / "run/vigie-data-lost"
        assert (lost in reason.read_text()) if lost else not reason.exists()
        (footage / "kept").touch()
        box.run("systemctl", "stop", UNIT, *MOUNTS)
        if content:
            wipe = ["dd", "if=/dev/urandom", f"of={device}", "bs=1M", "count=60", "conv=fsync"]
            subprocess.run(wipe, check=True, capture_output=True)


@pytest.mark.parametrize("failed_starts", [1, 2, 3])
def test_a_sound_file_system_that_cannot_be_mounted_is_formatted_at_the_third_start_only(
    box: Container, failed_starts: int
) -> None:
    box.run("systemctl", "start", UNIT)
    footage, reason = box.root / "var/lib/vigie/footage", box.root / "run/vigie-data-lost"
    (footage / "kept").touch()
    box.run("systemctl", "stop", UNIT, *MOUNTS)
    drop_in = box.root / "etc/systemd/system/data.mount.d/refused.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Mount]\nOptions=no_such_option\n")
    box.run("systemctl", "daemon-reload")
    for number in range(1, failed_starts + 1):
        box.run("systemctl", "start", UNIT, check=False)
        assert box.unit_property(UNIT, "Result") == "exit-code"
        expected = (
            f"nothing was formatted (start {number} of 3)" if number < 3 else "cannot be used"
        )
        assert expected in reason.read_text()
    drop_in.unlink()
    # Boots come minutes apart; systemd refuses a sixth start within ten seconds.
    box.run("systemctl", "reset-failed")
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "start", UNIT)
    assert (footage / "kept").exists() == (failed_starts < 3)
    assert not (box.root / "state/data-failures").exists()


def test_it_has_no_right_to_mount(box: Container) -> None:
    bounding = box.unit_property(UNIT, "CapabilityBoundingSet").split()
    assert bounding == ["cap_chown"]
