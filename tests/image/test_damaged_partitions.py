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
KEY = "sha256sum /var/lib/vigie/identity/box.key | cut -d' ' -f1"


def test_a_full_footage_partition_stops_neither_recording_nor_the_box(guest: Guest) -> None:
    guest.run("fallocate -l $(df --output=avail -B1 /data | tail -1) /data/ballast; sync; true")
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
    assert guest.run("cat /var/lib/vigie/identity/box.key").encode() == key
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


def test_a_damaged_state_partition_is_recreated_from_the_card_with_a_new_key(
    another: Callable[[], Guest],
) -> None:
    guest = another()
    key = guest.extract_ext("state").read("/vigie/identity/box.key")
    guest.disk.corrupt("state", SPOILT_BYTES)
    guest.start()
    guest.wait_until_ready()
    guest.wait_until_recording()
    assert guest.run("hostname").strip() == BOX
    assert guest.run("cat /var/lib/vigie/identity/box.key").encode() != key
