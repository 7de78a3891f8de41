"""Power cuts at random moments: the box always boots, old or new and nothing between, and what it had
recorded plays.

Each cut begins with the same saved box, minutes of booting left out. The disk in the guest has a cache
that the cut empties: what the box did not have flushed may be gone, in any order.
"""

import hashlib
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.image.box_settings import BOX
from tests.image.built import Built
from tests.image.bundles import Kitchen
from tests.image.disk import ran
from tests.image.footage import Street, broken, newest_end_ms, play_all
from tests.image.form import SEED, cuts
from tests.image.guest import PROGRAM, Guest
from tests.image.life import SAVED
from tests.image.outside import SHELF_URL, Outside

pytestmark = pytest.mark.slow

NEW = "99.0.0"
LOST_MOST_MS = 15_000
"""Of film before a cut: a flush each second and a group of pictures, times what an emulated processor
may be behind."""
RECORDED_S = 25.0
BUNDLE = "/data/update/new.raucb"


def test_power_cuts_while_recording(
    another: Callable[[], Guest], street: Street, built: Built
) -> None:
    draw = random.Random(SEED)
    for number in range(cuts()):
        moment_s = draw.uniform(0, RECORDED_S)
        guest = another()
        guest.switch_on(SAVED)
        began_ms, began_s = guest.uptime_ms(), time.monotonic()
        guest.cut_after(moment_s)
        cut_ms = began_ms + int((time.monotonic() - began_s) * 1000)
        where = f"cut {number} of seed {SEED}, {moment_s:.1f} s"
        look_at_footage(guest, street, where, guest.boot, cut_ms)
        boots_again(guest, where, {"A": built.version})


def test_power_cuts_during_an_update(
    another: Callable[[], Guest],
    street: Street,
    built: Built,
    kitchen: Kitchen,
    world: Outside,
) -> None:
    new = kitchen.root(NEW)
    bundle = kitchen.bundle("good", NEW, root=new, boot=built.boot)
    (world.shelf.folder / "new.raucb").hardlink_to(bundle)
    draw = random.Random(SEED + 1)
    # A box that has fetched it, and how long taking it in takes there.
    guest = another()
    guest.switch_on(SAVED)
    command = f"{PROGRAM} update install {SHELF_URL}/new.raucb"
    began_s = time.monotonic()
    guest.run(command)
    install_s = time.monotonic() - began_s
    seen: set[str] = set()
    for number in range(cuts()):
        # A tenth beyond its end: there it waits for the boot that tries it.
        moment_s = draw.uniform(0, install_s * 1.1)
        guest = another()
        guest.switch_on(SAVED)
        guest.eyes.begin(command)
        guest.cut_after(moment_s)
        where = f"cut {number} of seed {SEED}, {moment_s:.1f} s of {install_s:.1f} s"
        look_at_footage(guest, street, where)
        slot = boots_again(guest, where, {"A": built.version, "B": NEW})
        seen.add(slot)
        root = guest.disk.take(f"root_{slot.lower()}", guest.folder / "root.img")
        image = built.root if slot == "A" else new
        assert is_the_beginning(image, root), f"{where}: slot {slot} is not whole"
    assert "A" in seen


def look_at_footage(
    guest: Guest, street: Street, where: str, boot: str = "", cut_ms: int = 0
) -> None:
    """The disk of a box that was cut, before anything has mended it."""
    assert guest.disk.is_sound(), where
    data, state = guest.ext("data"), guest.ext("state")
    assert data.faults == "", f"{where}: data: {data.faults}"
    assert state.faults == "", f"{where}: state: {state.faults}"
    footage = data.take("/footage", guest.folder / "footage")
    custody = state.take("/vigie/custody", guest.folder / "custody")
    problems = broken(street, footage, custody, BOX)
    assert problems == [], where
    played = [*play_all(street, footage)]
    assert played, f"{where}: nothing was recorded"
    if boot:
        end_ms = newest_end_ms(played).get(boot[:8], 0)
        assert cut_ms - end_ms < LOST_MOST_MS, f"{where}: {cut_ms - end_ms} ms of film are gone"


def boots_again(guest: Guest, where: str, versions: dict[str, str]) -> str:
    """It comes up, one of these. Which slot."""
    try:
        guest.switch_on()
        guest.wait_until_up()
    except AssertionError as error:
        raise AssertionError(f"{where}: does not boot: {error}") from error
    slot = guest.slot()
    assert guest.version() == versions.get(slot), f"{where}: slot {slot}"
    guest.cut()
    return slot


def is_the_beginning(image: Path, partition: Path) -> bool:
    """Whether a partition begins with this image, byte for byte."""
    size = image.stat().st_size
    with image.open("rb") as one, partition.open("rb") as other:
        wanted = hashlib.file_digest(one, "sha256").digest()
        ran("truncate", f"--size={size}", partition)
        return hashlib.file_digest(other, "sha256").digest() == wanted
