"""The wiring of `vigie flash`: settings, image and disk are looked at, all of them, before a byte is
written; then they are written and read back.
"""

import os
import stat
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from agent.errors import BadInput
from agent.flash import gpt, image, select_partition, writing
from agent.flash.disks import Disk, disk, disks
from agent.flash.image import Image, Told
from agent.flash.refusals import Refusal, refusals
from agent.flash.target import Target
from agent.flash.unpacking import Damaged
from agent.provision import settings as provisioning
from agent.provision.settings import Settings
from agent.vitals.tree import Tree

Bar = Callable[[str], AbstractContextManager[Told]]
"""Shows how far something is that is named so."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written where, and what may be overridden."""

    settings: Path
    image: Path
    target: Path
    overridden: frozenset[str] = frozenset()
    """The flags of refusals that do not count."""
    without_checksum: bool = False
    even_if_not_empty: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What will be written: all of it is good."""

    wish: Wish
    settings: Settings
    image: Image
    select: bytes
    """The partition with the settings in it."""
    disk: Disk | None
    """None for a file."""

    @property
    def target_words(self) -> str:
        """The target, for a person."""
        return str(self.disk or self.wish.target)


class Flashed(msgspec.Struct, frozen=True, kw_only=True):
    """What was done."""

    target: str
    box: str
    size_bytes: int
    """Of what was written, and read back."""
    write_s: float
    read_s: float


class NotFlashed(Exception):
    """It went wrong after the first byte was written. `str(error)` says what, and how the target is."""


class Stopped(NotFlashed):
    """Somebody has stopped it in the middle."""


def plan(wish: Wish, bar: Bar, tree: Tree) -> Plan:
    """Look at all, and write nothing. Raises BadInput."""
    settings = provisioning.read(wish.settings)
    with bar("checking the image") as told:
        source = image.look_at(wish.image, told, without_checksum=wish.without_checksum)
    _check_board(settings, source, wish)
    try:
        select = select_partition.with_file(source.select, provisioning.FILE_NAME, settings.data)
    except select_partition.BadPartition as error:
        raise BadInput(f"{wish.image}: the settings do not go into it: {error}") from error
    for given in (wish.image, wish.settings):
        if wish.target.exists() and wish.target.samefile(given):
            raise BadInput(
                f"{wish.target}: is what is to be written; allowed: another file, a disk"
            )
    found = _disk(wish.target, tree)
    if found is not None:
        against = [
            one for one in refusals(found, source.size_bytes) if one.flag not in wish.overridden
        ]
        if against:
            others = _candidates(source.size_bytes, tree)
            raise BadInput(f"{found}: {against[0]}{_instead(others, found)}")
    return Plan(wish=wish, settings=settings, image=source, select=select, disk=found)


def look_around(tree: Tree, image_bytes: int = 0) -> tuple[tuple[Disk, tuple[Refusal, ...]], ...]:
    """Each disk of this machine, and what speaks against it. Raises OSError."""
    return tuple((one, refusals(one, image_bytes)) for one in disks(tree))


def which(tree: Tree) -> str:
    """The disks that could be meant, in words. Raises OSError."""
    found = ", ".join(map(str, _candidates(0, tree)))
    return found or "no card and no USB disk is there that nobody uses"


def flash(planned: Plan, bar: Bar) -> Flashed:
    """Write and read back. Raises BadInput where nothing was written, else NotFlashed."""
    path = planned.wish.target
    try:
        with _open(planned) as target:
            return _onto(target, planned, bar)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}; nothing was written") from error


def _onto(target: Target, planned: Plan, bar: Bar) -> Flashed:
    source = planned.image
    begin = source.table.partition(select_partition.LABEL).begin
    laid_over: dict[int, bytes] = {begin: planned.select}
    if target.size_bytes != source.size_bytes:
        # Here, and not at the first start: a card that is smaller than it says shows itself, since
        # what is written to its end is read back too, and firmware sees a table without a fault.
        laid_over |= gpt.moved(source.head, target.size_bytes)
    total = writing.total_bytes(source.size_bytes, target.size_bytes)
    stream = writing.pieces(image.chunks(source), source.size_bytes, target.size_bytes, laid_over)
    where = planned.wish.target
    begun = time.monotonic()
    try:
        with bar("writing") as told:
            written = writing.write(target, stream, total, told)
        read_begun = time.monotonic()
        with bar("reading back") as told:
            writing.read_back(target, written, total, told)
    except KeyboardInterrupt as error:
        raise Stopped(f"{where}: stopped; {_UNUSABLE}") from error
    except writing.NotAsWritten as error:
        _spoil(target)
        raise NotFlashed(
            f"{where}: holds something else than was written, {error}; it is worn out or not as "
            f"large as it says; {_UNUSABLE}"
        ) from error
    except Damaged as error:
        raise NotFlashed(f"{planned.wish.image}: damaged: {error}; {where}: {_UNUSABLE}") from error
    except OSError as error:
        raise NotFlashed(f"{where}: {error.strerror or error}; {_UNUSABLE}") from error
    return Flashed(
        target=str(where),
        box=planned.settings.box,
        size_bytes=sum(one.size for one in written),
        write_s=read_begun - begun,
        read_s=time.monotonic() - read_begun,
    )


_UNUSABLE = "it is half written and starts no box: flash it again"


def _spoil(target: Target) -> None:
    try:
        writing.blank(target)
    except OSError:
        return  # It is told to be bad anyway.


def _open(planned: Plan) -> Target:
    wish = planned.wish
    if planned.disk is not None:
        return Target.open_disk(wish.target)
    return Target.open_file(
        wish.target, planned.image.size_bytes, even_if_not_empty=wish.even_if_not_empty
    )


def _check_board(settings: Settings, source: Image, wish: Wish) -> None:
    for one in settings.config.camera:
        if one.driver == "csi" and source.firmware.kind != "pi":
            raise BadInput(
                f"{wish.settings}: camera {one.name!r}: driver 'csi' is a Raspberry Pi's, and "
                f"{wish.image.name} is for {source.firmware.name}; allowed: an image for Raspberry Pi"
            )


def _disk(path: Path, tree: Tree) -> Disk | None:
    """The disk of this path, None where it is a file or will be one. Raises BadInput."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        if path.is_absolute() and path.parts[1] == "dev":
            raise BadInput(f"{path}: is not there; allowed: a file, or {which(tree)}") from error
        if not path.parent.is_dir():
            raise BadInput(f"{path}: its folder is not there") from error
        return None
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from error
    if stat.S_ISREG(status.st_mode):
        return None
    if stat.S_ISBLK(status.st_mode):
        number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        real = tree.real(f"sys/dev/block/{number}")
        found = disk(real.name, tree) if real is not None else None
        if found is not None:
            return found
    raise BadInput(f"{path}: neither a disk nor a file; allowed: a file, or {which(tree)}")


def _candidates(image_bytes: int, tree: Tree) -> list[Disk]:
    return [one for one, against in look_around(tree, image_bytes) if not against]


def _instead(others: list[Disk], than: Disk) -> str:
    named = [str(one) for one in others if one.name not in (than.name, than.part_of)]
    return f"; there is {', '.join(named)}" if named else ""
