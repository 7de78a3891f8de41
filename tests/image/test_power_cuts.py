"""Power cuts at random moments: the box always boots the system that ran, a slot that waits for its trial is whole,
and recorded footage plays.

Each cut begins with the same saved box, minutes of booting left out. The disk in the guest has a cache
that the cut empties: data that the box had not flushed may be lost, in any order.
"""

import hashlib
import random
import time
from pathlib import Path

import msgspec
import pytest

from tests.image.box_settings import BOX
from tests.image.built_image import BuiltImage
from tests.image.bundles import BundleFactory
from tests.image.disk import Disk, ExtPart, run_program
from tests.image.first_boot import FirstLife
from tests.image.footage import ReferenceStreet, end_by_boot_ms, find_problems, play_files
from tests.image.form import SEED, cut_count
from tests.image.guest import PROGRAM, Guest
from tests.image.outside_services import BUNDLE_SERVER_URL, OutsideWorld

pytestmark = pytest.mark.slow

NEW = "99.0.0"
LOST_MOST_MS = 15_000
"""Of video before a cut: a flush each second and a group of pictures, times what an emulated processor
may fall behind meanwhile."""
RECORDED_S = 25.0


def moment(number: int, kind: str) -> float:
    """When the power is cut, from 0 at the beginning to 1 at the end: by chance within the cut's own part
    of that time, so that no long stretch of it is left out.
    """
    return (number + random.Random(f"{SEED} {kind} {number}").random()) / cut_count()


class Taking(msgspec.Struct, frozen=True, kw_only=True):
    """How a box fetches an update and takes it in, how long that takes it here, and the root in it."""

    command: str
    whole_s: float
    root: Path


@pytest.fixture(scope="module")
def taking(
    running: Guest, built: BuiltImage, kitchen: BundleFactory, world: OutsideWorld
) -> Taking:
    root = kitchen.make_root(NEW)
    bundle = kitchen.make_bundle("good", NEW, root=root, boot=built.boot)
    (world.bundle_server.folder / "new.raucb").hardlink_to(bundle)
    command = f"{PROGRAM} update install {BUNDLE_SERVER_URL}/new.raucb"
    began_s = time.monotonic()
    running.run(command)
    whole_s = time.monotonic() - began_s
    running.close()  # no other guest runs while boxes are cut
    return Taking(command=command, whole_s=whole_s, root=root)


@pytest.fixture(scope="module")
def saved_end_ms(life: FirstLife, street: ReferenceStreet, studio: Path) -> int:
    """End of the video on the disk of the saved box, in milliseconds since its boot.

    The camera of an emulated box draws its pictures late, by a minute where the machine is slow.
    """
    folder = studio / "saved"
    folder.mkdir()
    data = ExtPart(Disk(Path(life.disk)).extract("data", folder / "data.ext4"))
    played = [*play_files(street, data.extract_folder("/footage", folder / "footage"))]
    return end_by_boot_ms(played)[life.boot[:8]]


@pytest.mark.parametrize("number", range(cut_count()))
def test_a_power_cut_while_recording(
    number: int, saved_end_ms: int, guest: Guest, street: ReferenceStreet, built: BuiltImage
) -> None:
    moment_s = RECORDED_S * moment(number, "recording")
    began_ms, began_s = guest.uptime_ms(), time.monotonic()
    behind_ms = max(0, began_ms - saved_end_ms)
    guest.cut_power_after(moment_s)
    cut_ms = began_ms + int((time.monotonic() - began_s) * 1000)
    where = f"{moment_s:.1f} s, seed {SEED}"
    look_at_footage(guest, street, where, guest.boot_id, cut_ms - behind_ms)
    boots_again(guest, where, built.version)


@pytest.mark.parametrize("number", range(cut_count()))
def test_a_power_cut_during_an_update(
    number: int, taking: Taking, guest: Guest, street: ReferenceStreet, built: BuiltImage
) -> None:
    # A tenth beyond its end: there it waits for the requested reboot that tries it.
    moment_s = taking.whole_s * 1.1 * moment(number, "update")
    guest.shell.start_command(taking.command)
    guest.cut_power_after(moment_s)
    where = f"{moment_s:.1f} s of {taking.whole_s:.1f} s, seed {SEED}"
    look_at_footage(guest, street, where)
    boots_again(guest, where, built.version)
    grubenv = guest.extract_fat("select").read("grubenv") or b""
    is_pending = b"pending=B\n" in grubenv
    assert not (is_pending and moment_s < taking.whole_s / 2), (
        f"{where}: it waits before it can be there"
    )
    for slot, image in (("A", built.root), *((("B", taking.root),) if is_pending else ())):
        root = guest.disk.extract(f"root_{slot.lower()}", guest.folder / "root.img")
        assert is_the_beginning(image, root), f"{where}: slot {slot} is not whole"


def look_at_footage(
    guest: Guest, street: ReferenceStreet, where: str, boot: str = "", due_ms: int = 0
) -> None:
    """The disk of a box that was cut, before its recovery. Of a boot, the video up to `due_ms` was drawn."""
    assert guest.disk.is_consistent(), where
    data, state = guest.extract_ext("data"), guest.extract_ext("state")
    assert data.faults == "", f"{where}: data: {data.faults}"
    assert state.faults == "", f"{where}: state: {state.faults}"
    footage = data.extract_folder("/footage", guest.folder / "footage")
    custody = state.extract_folder("/vigie/custody", guest.folder / "custody")
    problems = find_problems(street, footage, custody, BOX)
    assert problems == [], where
    played = [*play_files(street, footage)]
    assert played, f"{where}: nothing was recorded"
    if boot:
        end_ms = end_by_boot_ms(played).get(boot[:8], 0)
        assert due_ms - end_ms < LOST_MOST_MS, f"{where}: {due_ms - end_ms} ms of video are gone"


def boots_again(guest: Guest, where: str, version: str) -> None:
    """It comes up with the version that ran."""
    try:
        guest.start()
    except AssertionError as error:
        raise AssertionError(f"{where}: does not boot: {error}") from error
    assert (guest.booted_slot(), guest.image_version()) == ("A", version), where
    guest.cut_power()


def is_the_beginning(image: Path, partition: Path) -> bool:
    """Whether a partition begins with this image, byte for byte."""
    size = image.stat().st_size
    with image.open("rb") as one, partition.open("rb") as other:
        wanted = hashlib.file_digest(one, "sha256").digest()
        run_program("truncate", f"--size={size}", partition)
        return hashlib.file_digest(other, "sha256").digest() == wanted
