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

from agent.base.errors import UserError
from agent.health.vitals.procfs import ProcFs
from agent.provisioning import settings as provisioning
from agent.provisioning.settings import BoxSettings
from centre.flash import capacity_probe, gpt, image, select_partition, write_verify
from centre.flash.decompress import CorruptImage
from centre.flash.disks import BlockDevice, disk, disks
from centre.flash.image import Image, Told
from centre.flash.safety_checks import SafetyRefusal, refusals
from centre.flash.target import FileId, WriteTarget

Bar = Callable[[str], AbstractContextManager[Told]]
"""Shows how far something is that is named so."""


class FlashRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written where, and what may be overridden."""

    settings: Path
    image: Path
    target: Path
    overridden: frozenset[str] = frozenset()
    """The flags of refusals that do not count."""
    without_checksum: bool = False
    even_if_not_empty: bool = False


class FlashPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What will be written: all of it is good."""

    wish: FlashRequest
    settings: BoxSettings
    image: Image
    select: bytes
    """The partition with the settings in it."""
    judged: BlockDevice | FileId | None
    """What the target was when it was looked at; None where a file will be made."""

    @property
    def disk(self) -> BlockDevice | None:
        """None for a file."""
        return self.judged if isinstance(self.judged, BlockDevice) else None

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


def plan_flash(wish: FlashRequest, bar: Bar, tree: ProcFs) -> FlashPlan:
    """Look at all, and write nothing. Raises BadInput."""
    settings = provisioning.read(wish.settings)
    with bar("checking the image") as told:
        source = image.look_at(wish.image, told, without_checksum=wish.without_checksum)
    _check_board(settings, source, wish)
    try:
        select = select_partition.with_file(source.select, provisioning.FILE_NAME, settings.data)
    except select_partition.BadPartition as error:
        raise UserError(f"{wish.image}: the settings do not go into it: {error}") from error
    for given in (wish.image, wish.settings):
        if wish.target.exists() and wish.target.samefile(given):
            raise UserError(
                f"{wish.target}: is what is to be written; allowed: another file, a disk"
            )
    found = _judged(wish.target, tree)
    if isinstance(found, BlockDevice):
        against = [
            one for one in refusals(found, source.size_bytes) if one.flag not in wish.overridden
        ]
        if against:
            others = _candidates(source.size_bytes, tree)
            raise UserError(f"{found}: {against[0]}{_instead(others, found)}")
    return FlashPlan(wish=wish, settings=settings, image=source, select=select, judged=found)


def list_candidates(
    tree: ProcFs, image_bytes: int = 0
) -> tuple[tuple[BlockDevice, tuple[SafetyRefusal, ...]], ...]:
    """Each disk of this machine, and what speaks against it. Raises OSError."""
    return tuple((one, refusals(one, image_bytes)) for one in disks(tree))


def select_disk(tree: ProcFs) -> str:
    """The disks that could be meant, in words. Raises OSError."""
    found = ", ".join(map(str, _candidates(0, tree)))
    return found or "no card and no USB disk is there that nobody uses"


def flash(planned: FlashPlan, bar: Bar, tree: ProcFs) -> Flashed:
    """Write and read back, onto what was looked at and nothing else. Raises BadInput where nothing was
    written, else NotFlashed.
    """
    path = planned.wish.target
    try:
        with _open(planned, tree) as target:
            return _onto(target, planned, bar)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}; nothing was written") from error


def _onto(target: WriteTarget, planned: FlashPlan, bar: Bar) -> Flashed:
    source = planned.image
    begin = source.table.partition(select_partition.LABEL).begin
    laid_over: dict[int, bytes] = {begin: planned.select}
    if target.size_bytes != source.size_bytes:
        # Here, and not at the first start: firmware sees a table without a fault.
        laid_over |= gpt.moved(source.head, target.size_bytes)
    total = write_verify.total_bytes(source.size_bytes, target.size_bytes)
    stream = write_verify.pieces(
        image.chunks(source), source.size_bytes, target.size_bytes, laid_over
    )
    where = planned.wish.target
    marked = capacity_probe.places(source.size_bytes, target.size_bytes)
    begun = time.monotonic()
    may_start = True
    try:
        with bar("writing") as told:
            write_verify.blank(target)
            may_start = False
            capacity_probe.write_probe(target, marked)
            written = write_verify.write(target, stream, total, told)
        read_begun = time.monotonic()
        with bar("reading back") as told:
            write_verify.read_back(target, written, total, told)
            capacity_probe.verify_probe(target, marked)
            may_start = True
            write_verify.finish(target, written, total, told)
    except KeyboardInterrupt as error:
        state = _mark_partial(target, may_start=may_start)
        raise Stopped(f"{where}: stopped; {state}") from error
    except write_verify.VerifyFailed as error:
        state = _mark_partial(target, may_start=may_start)
        raise NotFlashed(
            f"{where}: holds something else than was written, {error}; it is worn out or not as "
            f"large as it says; {state}"
        ) from error
    except CorruptImage as error:
        state = _mark_partial(target, may_start=may_start)
        raise NotFlashed(f"{planned.wish.image}: damaged: {error}; {where}: {state}") from error
    except OSError as error:
        state = _mark_partial(target, may_start=may_start)
        raise NotFlashed(f"{where}: {error.strerror or error}; {state}") from error
    return Flashed(
        target=str(where),
        box=planned.settings.box,
        size_bytes=total,
        write_s=read_begun - begun,
        read_s=time.monotonic() - read_begun,
    )


_UNUSABLE = "it is half written and starts no box: flash it again"
_UNSAFE = (
    "its partition table could not be taken off: it may start, and must not be used: flash it again"
)


def _mark_partial(target: WriteTarget, *, may_start: bool) -> str:
    """Take the partition table off, and say how the target is then."""
    try:
        write_verify.blank(target)
    except (OSError, KeyboardInterrupt):
        return _UNSAFE if may_start else _UNUSABLE
    return _UNUSABLE


def _open(planned: FlashPlan, tree: ProcFs) -> WriteTarget:
    wish = planned.wish
    if isinstance(planned.judged, BlockDevice):
        target = WriteTarget.open_disk(wish.target)
        try:
            _check_disk(target, planned.judged, tree)
        except BaseException:
            target.close()
            raise
        return target
    return WriteTarget.open_file(
        wish.target,
        planned.image.size_bytes,
        judged=planned.judged,
        even_if_not_empty=wish.even_if_not_empty,
    )


def _check_disk(target: WriteTarget, judged: BlockDevice, tree: ProcFs) -> None:
    now = _disk_of(target.status(), tree)
    if now is None or not now.is_same(judged):
        raise UserError(f"{judged}: is another disk than a moment ago; nothing was written")


def _check_board(settings: BoxSettings, source: Image, wish: FlashRequest) -> None:
    for one in settings.config.camera:
        if one.driver == "csi" and source.firmware.kind != "pi":
            raise UserError(
                f"{wish.settings}: camera {one.name!r}: driver 'csi' is a Raspberry Pi's, and "
                f"{wish.image.name} is for {source.firmware.name}; allowed: an image for Raspberry Pi"
            )


def _judged(path: Path, tree: ProcFs) -> BlockDevice | FileId | None:
    """The disk or the file of this path, None where a file will be. Raises BadInput."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        if path.is_absolute() and path.parts[1] == "dev":
            raise UserError(
                f"{path}: is not there; allowed: a file, or {select_disk(tree)}"
            ) from error
        if not path.parent.is_dir():
            raise UserError(f"{path}: its folder is not there") from error
        if path.is_symlink():
            raise UserError(f"{path}: leads to nothing; allowed: a file, a disk") from error
        return None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    if stat.S_ISREG(status.st_mode):
        return FileId.of(status)
    found = _disk_of(status, tree)
    if found is None:
        raise UserError(
            f"{path}: neither a disk nor a file; allowed: a file, or {select_disk(tree)}"
        )
    return found


def _disk_of(status: os.stat_result, tree: ProcFs) -> BlockDevice | None:
    """The disk of a device file. Raises OSError."""
    if not stat.S_ISBLK(status.st_mode):
        return None
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    real = tree.real(f"sys/dev/block/{number}")
    return disk(real.name, tree) if real is not None else None


def _candidates(image_bytes: int, tree: ProcFs) -> list[BlockDevice]:
    return [one for one, against in list_candidates(tree, image_bytes) if not against]


def _instead(others: list[BlockDevice], than: BlockDevice) -> str:
    named = [str(one) for one in others if one.name not in (than.name, than.part_of)]
    return f"; there is {', '.join(named)}" if named else ""
