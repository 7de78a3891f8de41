"""Partitions that are full or damaged: the box continues as well as it can, and keeps its identity."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.image.box_settings import BOX
from tests.image.built_image import BuiltImage
from tests.image.disk import Disk, ExtPart
from tests.image.first_boot import write_settings
from tests.image.form import not_short
from tests.image.guest import Guest

pytestmark = pytest.mark.slow

SPOILT_BYTES = 40 << 20
BLANKED_BYTES = 4 << 20
"""Of what follows the image, by `centre.flash.write_verify`."""
KEY = "cat /var/lib/vigie/identity/box.key"
CHAIN_BEGIN = "set -- /var/lib/vigie/custody/*; head -n 1 $1 | grep ."
BALLAST = "set -- $(df --output=avail,size -B1 /data | tail -n 1); fallocate -l $(($1 - $2 / 125)) /data/ballast; sync"
"""Fills the partition of the footage up to 0.8 % of it.

Detection ends there, and recording, which needs 0.4 %, has room for itself also before its own footage is evicted: that of an
emulated camera may be small.
"""


@not_short
def test_a_full_footage_partition_stops_neither_recording_nor_the_box(guest: Guest) -> None:
    guest.run(BALLAST)
    counter = "ls /var/lib/vigie/footage/north | tail -1 | cut -d_ -f1"
    before = guest.run(counter).strip()
    guest.wait_for(f'[ "$({counter})" -gt "{before}" ]')
    assert guest.run("systemctl is-active vigie-agent.service").strip() == "active"


@not_short
def test_a_damaged_footage_partition_is_recreated_and_the_identity_stays(
    another: Callable[[], Guest],
) -> None:
    guest = another()
    key = guest.extract_ext("state").read("/vigie/identity/box.key")
    guest.disk.corrupt("data", SPOILT_BYTES)
    guest.start()
    guest.wait_until_ready()
    guest.wait_until_recording()
    assert guest.run(KEY).encode() == key
    assert "data" in guest.run("lsblk -no PARTLABEL $(findmnt -no SOURCE /data)")


@not_short
def test_a_reflashed_box_has_no_footage_of_the_previous_one(
    another: Callable[[], Guest], built: BuiltImage, good_settings: str
) -> None:
    guest = another()
    before = footage(guest.extract_ext("data"), guest.folder)
    assert before
    # As the flasher does, on a disk that keeps bytes that were not overwritten.
    flashed = Disk.create_overlay(guest.folder / "flashed.qcow2", built.disk)
    guest.disk.write_partition("state", flashed.extract("state", guest.folder / "flashed.state"))
    guest.disk.corrupt("data", BLANKED_BYTES, byte=0)
    write_settings(guest.disk, good_settings, guest.folder)
    guest.start()
    guest.wait_until_recording()
    guest.cut_power()
    assert not before & footage(guest.extract_ext("data"), guest.folder)


def footage(data: ExtPart, folder: Path) -> set[str]:
    """The names of the files; no two boots make one of the same name."""
    taken = data.extract_folder("/footage", folder / "footage")
    return {file.name.removesuffix(".part") for file in taken.rglob("*.mp4*")}


DAMAGED_STATE = {
    "its beginning": (SPOILT_BYTES, ("reformatted", "gone after a repair")),
    "all of it": (None, ("reformatted",)),
}
"""The overwritten bytes, and the words for what the initramfs could do."""


@not_short
@pytest.mark.parametrize("damage", DAMAGED_STATE)
def test_a_destroyed_state_partition_is_formatted_again_and_its_new_key_outlives_the_power(
    damage: str, another: Callable[[], Guest]
) -> None:
    size, outcomes = DAMAGED_STATE[damage]
    guest = another()
    lost_key = guest.extract_ext("state").read("/vigie/identity/box.key")
    guest.disk.corrupt("state", size or guest.disk.partitions()["state"].size)
    guest.start()
    guest.wait_until_ready()
    guest.wait_until_recording()
    reason = guest.run("cat /run/vigie-state-lost")
    assert any(outcome in reason for outcome in outcomes)
    assert_state_is_on_the_disk(guest)
    assert guest.run("hostname").strip() == BOX
    key, chain = guest.run(KEY), guest.run(CHAIN_BEGIN)
    assert key.encode() != lost_key
    guest.cut_power()
    guest.start()
    guest.wait_until_ready()
    assert_state_is_on_the_disk(guest)
    assert guest.run_unchecked("test -e /run/vigie-state-lost")[0] == 1
    assert (guest.run(KEY), guest.run(CHAIN_BEGIN)) == (key, chain)


def assert_state_is_on_the_disk(guest: Guest) -> None:
    """The folders of the state are on the partition and not in memory."""
    for folder in ("/state", "/var/lib/vigie/identity", "/etc/vigie", "/var/log/journal"):
        kind, device = guest.run(f"findmnt -no FSTYPE,SOURCE --target {folder}").split()
        assert kind == "ext4", folder
        label = guest.run(f"lsblk -no PARTLABEL {device.partition('[')[0]}").strip()
        assert label == "state", folder
    assert guest.run_unchecked("test -e /run/vigie-state-volatile")[0] == 1
