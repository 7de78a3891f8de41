"""Partitions that are full or spoilt: the box goes on as well as it can, and knows who it is."""

from collections.abc import Callable

import pytest

from tests.image.box_settings import BOX
from tests.image.form import not_short
from tests.image.guest import Guest

pytestmark = pytest.mark.slow

SPOILT_BYTES = 40 << 20
KEY = "sha256sum /var/lib/vigie/identity/box.key | cut -d' ' -f1"


def test_a_full_footage_partition_stops_neither_recording_nor_the_box(guest: Guest) -> None:
    guest.run("fallocate -l $(df --output=avail -B1 /data | tail -1) /data/ballast; sync; true")
    counter = "ls /var/lib/vigie/footage/north | tail -1 | cut -d_ -f1"
    before = guest.run(counter).strip()
    guest.wait_for(f'[ "$({counter})" -gt "{before}" ]')
    assert guest.run("systemctl is-active vigie-agent.service").strip() == "active"


@not_short
def test_a_spoilt_footage_partition_is_made_anew_and_who_the_box_is_stays(
    another: Callable[[], Guest],
) -> None:
    guest = another()
    key = guest.ext("state").read("/vigie/identity/box.key")
    guest.disk.spoil("data", SPOILT_BYTES)
    guest.switch_on()
    guest.wait_until_up()
    guest.wait_until_ready()
    guest.wait_until_recording()
    assert guest.run("cat /var/lib/vigie/identity/box.key").encode() == key
    assert "data" in guest.run("lsblk -no PARTLABEL $(findmnt -no SOURCE /data)")


def test_a_spoilt_state_partition_is_made_anew_from_the_card_with_a_new_key(
    another: Callable[[], Guest],
) -> None:
    guest = another()
    key = guest.ext("state").read("/vigie/identity/box.key")
    guest.disk.spoil("state", SPOILT_BYTES)
    guest.switch_on()
    guest.wait_until_up()
    guest.wait_until_ready()
    guest.wait_until_recording()
    assert guest.run("hostname").strip() == BOX
    assert guest.run("cat /var/lib/vigie/identity/box.key").encode() != key
