"""One box is flashed and booted for all tests; most begin with a copy of it as it was found good."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.image import life as lives
from tests.image.box_settings import new_secret, settings
from tests.image.built import Built, find
from tests.image.bundles import Kitchen
from tests.image.cable import Cable
from tests.image.disk import Disk
from tests.image.footage import Street
from tests.image.form import SEED, form, why_not
from tests.image.guest import Guest
from tests.image.life import SAVED, Life
from tests.image.machine import processors
from tests.image.outside import Outside, outside

LIVED = "life.json"


def pytest_report_header() -> list[str]:
    return [f"image: form {form()}, VIGIE_IMAGE_SEED={SEED}"] if form() else []


@pytest.fixture(scope="session", autouse=True)
def _can() -> None:
    why = why_not()
    if why is not None:
        pytest.skip(why)


@pytest.fixture(scope="session")
def built() -> Built:
    """The image that `make image` has built."""
    return find()


@pytest.fixture(scope="session")
def studio() -> Iterator[Path]:
    """A folder for disks, emptied at the end: they are large."""
    with tempfile.TemporaryDirectory(prefix="vigie-image-", dir="/var/tmp") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def world(studio: Path) -> Iterator[Outside]:
    """The broker, the centre and the shelf."""
    with outside(studio / "outside") as made:
        yield made


@pytest.fixture(scope="session")
def first(studio: Path, built: Built) -> Path:
    """The folder of the first life. With VIGIE_IMAGE_KEEP it stays, and the next run begins with it, as
    long as the image and the computer are the same.
    """
    if "VIGIE_IMAGE_KEEP" not in os.environ:
        folder = studio / "first"
    else:
        folder = Path(os.environ["VIGIE_IMAGE_KEEP"])
        lived = folder / LIVED
        if lived.exists() and (
            lived.stat().st_mtime < built.disk.stat().st_mtime
            or msgspec.json.decode(lived.read_bytes(), type=Life).processors != processors()
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
    return settings(secret.read_text().strip())


@pytest.fixture(scope="session")
def kitchen(studio: Path, built: Built) -> Kitchen:
    """Where bundles are made."""
    return Kitchen(studio / "kitchen", built)


@pytest.fixture(scope="session")
def street() -> Street:
    """What the camera in the guest draws."""
    return Street()


@pytest.fixture(scope="session")
def make_guest(world: Outside, built: Built) -> Callable[[Path, Disk], Guest]:
    def make(folder: Path, disk: Disk) -> Guest:
        return Guest(folder, disk, world, built.architecture)

    return make


@pytest.fixture(scope="session")
def life(
    first: Path,
    built: Built,
    world: Outside,
    good_settings: str,
    make_guest: Callable[[Path, Disk], Guest],
) -> Iterator[Life]:
    """The first life of the box that all others are copies of."""
    lived = first / LIVED
    if lived.exists():
        yield msgspec.json.decode(lived.read_bytes(), type=Life)
        return
    (first / lives.CARD).unlink(missing_ok=True)
    guest = make_guest(first, lives.card(first, built, good_settings))
    try:
        made = lives.live(guest, world)
        lived.write_bytes(msgspec.json.encode(made))
        yield made
    finally:
        guest.close()


@pytest.fixture
def another(
    life: Life, studio: Path, make_guest: Callable[[Path, Disk], Guest]
) -> Iterator[Callable[[], Guest]]:
    """Makes boxes that are off, their disks as that of the good one; one at a time."""
    made: list[Guest] = []

    def make() -> Guest:
        while made:
            discard(made.pop())
        folder = studio / "box"
        folder.mkdir()
        made.append(make_guest(folder, Disk(Path(life.disk)).copy(folder / "card.qcow2")))
        return made[-1]

    yield make
    while made:
        discard(made.pop())


@pytest.fixture
def guest(another: Callable[[], Guest]) -> Guest:
    """A good box, running."""
    made = another()
    made.switch_on(SAVED)
    return made


@pytest.fixture(scope="module")
def running(life: Life, studio: Path, make_guest: Callable[[Path, Disk], Guest]) -> Iterator[Guest]:
    """A good box for tests that only look."""
    folder = studio / "running"
    folder.mkdir()
    made = make_guest(folder, Disk(Path(life.disk)).copy(folder / "card.qcow2"))
    made.switch_on(SAVED)
    yield made
    discard(made)


@pytest.fixture
def cable(guest: Guest, secret: Path) -> Cable:
    """A technician at that box."""
    return Cable(guest.machine.lines["cable"], secret)


def discard(guest: Guest) -> None:
    """It is off, and its disk is gone."""
    guest.close()
    shutil.rmtree(guest.folder)
