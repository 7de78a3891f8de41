"""One box is flashed and booted for all tests; most begin with a copy of it as it was found good."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.image import first_boot as lives
from tests.image.box_settings import good_settings_text, new_secret
from tests.image.built_image import BuiltImage, find_image
from tests.image.bundles import BundleFactory
from tests.image.disk import Disk
from tests.image.first_boot import SNAPSHOT_NAME, FirstLife
from tests.image.footage import ReferenceStreet
from tests.image.form import SEED, selected_form, skip_reason
from tests.image.guest import Guest
from tests.image.machine import processor_count
from tests.image.outside_services import OutsideWorld, running_outside
from tests.image.serial_console import ConsoleCable

LIFE_FILE_NAME = "life.json"


def pytest_report_header() -> list[str]:
    return [f"image: form {selected_form()}, VIGIE_IMAGE_SEED={SEED}"] if selected_form() else []


@pytest.fixture(scope="session", autouse=True)
def _skip_if_unavailable() -> None:
    reason = skip_reason()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def built() -> BuiltImage:
    """The image that `make image` has built."""
    return find_image()


@pytest.fixture(scope="session")
def studio() -> Iterator[Path]:
    """A folder for disks, emptied at the end: they are large."""
    with tempfile.TemporaryDirectory(prefix="vigie-image-", dir="/var/tmp") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def world(studio: Path) -> Iterator[OutsideWorld]:
    """The broker, the centre and the shelf."""
    with running_outside(studio / "outside") as outside_world:
        yield outside_world


@pytest.fixture(scope="session")
def first(studio: Path, built: BuiltImage) -> Path:
    """The folder of the first life. With VIGIE_IMAGE_KEEP it stays, and the next run begins with it, as
    long as the image and the computer are the same.
    """
    if "VIGIE_IMAGE_KEEP" not in os.environ:
        folder = studio / "first"
    else:
        folder = Path(os.environ["VIGIE_IMAGE_KEEP"])
        life_file = folder / LIFE_FILE_NAME
        if life_file.exists() and (
            life_file.stat().st_mtime < built.disk.stat().st_mtime
            or msgspec.json.decode(life_file.read_bytes(), type=FirstLife).processors
            != processor_count()
        ):
            shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def secret(first: Path) -> Path:
    """The office's copy of the console's secret."""
    file = first / "console.secret"
    if not file.exists():
        new_secret(file)
    return file


@pytest.fixture(scope="session")
def good_settings(secret: Path) -> str:
    return good_settings_text(secret.read_text().strip())


@pytest.fixture(scope="session")
def kitchen(studio: Path, built: BuiltImage) -> BundleFactory:
    """Return the factory of bundles."""
    return BundleFactory(studio / "kitchen", built)


@pytest.fixture(scope="session")
def street() -> ReferenceStreet:
    """Return the street that the camera in the guest draws."""
    return ReferenceStreet()


@pytest.fixture(scope="session")
def make_guest(world: OutsideWorld, built: BuiltImage) -> Callable[[Path, Disk], Guest]:
    def make(folder: Path, disk: Disk) -> Guest:
        return Guest(folder, disk, world, built.architecture)

    return make


@pytest.fixture(scope="session")
def life(
    first: Path,
    built: BuiltImage,
    world: OutsideWorld,
    good_settings: str,
    make_guest: Callable[[Path, Disk], Guest],
) -> Iterator[FirstLife]:
    """The first life of the box that all others are copies of."""
    life_file = first / LIFE_FILE_NAME
    if life_file.exists():
        yield msgspec.json.decode(life_file.read_bytes(), type=FirstLife)
        return
    (first / lives.CARD_FILE_NAME).unlink(missing_ok=True)
    guest = make_guest(first, lives.make_card(first, built, good_settings))
    try:
        first_life = lives.run_first_life(guest, world)
        life_file.write_bytes(msgspec.json.encode(first_life))
        yield first_life
    finally:
        guest.close()


@pytest.fixture
def another(
    life: FirstLife, studio: Path, make_guest: Callable[[Path, Disk], Guest]
) -> Iterator[Callable[[], Guest]]:
    """Makes boxes that are off, their disks as that of the good one; one at a time."""
    guests: list[Guest] = []

    def make() -> Guest:
        while guests:
            discard_guest(guests.pop())
        folder = studio / "box"
        folder.mkdir()
        guests.append(make_guest(folder, Disk(Path(life.disk)).copy(folder / "card.qcow2")))
        return guests[-1]

    yield make
    while guests:
        discard_guest(guests.pop())


@pytest.fixture
def guest(another: Callable[[], Guest]) -> Guest:
    """A good box, running."""
    running_guest = another()
    running_guest.switch_on(SNAPSHOT_NAME)
    return running_guest


@pytest.fixture(scope="module")
def running(
    life: FirstLife, studio: Path, make_guest: Callable[[Path, Disk], Guest]
) -> Iterator[Guest]:
    """A good box for tests that only look."""
    folder = studio / "running"
    folder.mkdir()
    running_guest = make_guest(folder, Disk(Path(life.disk)).copy(folder / "card.qcow2"))
    running_guest.switch_on(SNAPSHOT_NAME)
    yield running_guest
    discard_guest(running_guest)


@pytest.fixture
def cable(guest: Guest, secret: Path) -> ConsoleCable:
    """A technician at that box."""
    return ConsoleCable(guest.machine.lines["cable"], secret)


def discard_guest(guest: Guest) -> None:
    """Switch it off and delete its disk."""
    guest.close()
    shutil.rmtree(guest.folder)
