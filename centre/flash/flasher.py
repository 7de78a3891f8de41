"""Flash a card: check settings, image and target, then write and read everything back.

Nothing is written before all three are checked.
"""

import os
import stat
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from agent.base.errors import UserError
from agent.base.progress import ProgressCallback
from agent.health.vitals.procfs import ProcFs
from agent.provisioning import settings as provisioning
from agent.provisioning.settings import BoxSettings
from centre.flash import capacity_probe, disk_image, gpt, select_partition, write_verify
from centre.flash.decompress import CorruptImage
from centre.flash.disk_image import DiskImage
from centre.flash.disks import BlockDevice, list_disks, read_disk
from centre.flash.safety_checks import SafetyRefusal, find_refusals
from centre.flash.target import FileId, WriteTarget

ProgressBar = Callable[[str], AbstractContextManager[ProgressCallback]]
"""Opens a progress bar with a label."""


class FlashRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The files, the target, and the overridden refusals."""

    settings: Path
    image: Path
    target: Path
    override_flags: frozenset[str] = frozenset()
    """Flags of the refusals that are overridden."""
    without_checksum: bool = False
    even_if_not_empty: bool = False


class FlashPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A checked request."""

    request: FlashRequest
    settings: BoxSettings
    image: DiskImage
    select_data: bytes
    """The partition `select` with the settings in it."""
    expected_target: BlockDevice | FileId | None
    """The target as it was checked; None if a file will be created."""

    @property
    def disk(self) -> BlockDevice | None:
        """The target disk, or None for a file."""
        return self.expected_target if isinstance(self.expected_target, BlockDevice) else None

    @property
    def target_text(self) -> str:
        """The target as text."""
        return str(self.disk or self.request.target)


class FlashResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a flash: bytes written and read back, and the duration."""

    target: str
    box: str
    size_bytes: int
    write_s: float
    read_s: float


class FlashError(Exception):
    """A failure after the first write; the message says how the target is left."""


class FlashInterrupted(FlashError):
    """Interrupted by a signal while writing."""


def plan_flash(request: FlashRequest, progress_bar: ProgressBar, procfs: ProcFs) -> FlashPlan:
    """Check everything and write nothing. Raises: UserError."""
    settings = provisioning.read_settings(request.settings)
    with progress_bar("checking the image") as progress:
        source = disk_image.check_image(
            request.image, progress, without_checksum=request.without_checksum
        )
    _check_board(settings, source, request)
    try:
        select_data = select_partition.add_file(
            source.select_data, provisioning.FILE_NAME, settings.data
        )
    except select_partition.BadPartition as error:
        raise UserError(
            f"{request.image}: the settings cannot be written into it: {error}"
        ) from error
    for source_path in (request.image, request.settings):
        if request.target.exists() and request.target.samefile(source_path):
            raise UserError(
                f"{request.target}: is a source of the flash; allowed: another file, or a disk"
            )
    target = _identify_target(request.target, procfs)
    if isinstance(target, BlockDevice):
        blocking = [
            refusal
            for refusal in find_refusals(target, source.size_bytes)
            if refusal.flag not in request.override_flags
        ]
        if blocking:
            candidates = _candidates(source.size_bytes, procfs)
            raise UserError(f"{target}: {blocking[0]}{_suggest_others(candidates, target)}")
    return FlashPlan(
        request=request,
        settings=settings,
        image=source,
        select_data=select_data,
        expected_target=target,
    )


def list_candidates(
    procfs: ProcFs, image_bytes: int = 0
) -> tuple[tuple[BlockDevice, tuple[SafetyRefusal, ...]], ...]:
    """Return each disk of this machine with the refusals against it. Raises: OSError."""
    return tuple((device, find_refusals(device, image_bytes)) for device in list_disks(procfs))


def describe_candidates(procfs: ProcFs) -> str:
    """Return the disks without a refusal, as text. Raises: OSError."""
    found = ", ".join(map(str, _candidates(0, procfs)))
    return found or "no unused card or USB disk was found"


def flash(plan: FlashPlan, progress_bar: ProgressBar, procfs: ProcFs) -> FlashResult:
    """Write the checked target and read it back.

    Raises: UserError if nothing was written, FlashError if the target is only partly written.
    """
    path = plan.request.target
    try:
        target = _open_target(plan, procfs)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}; nothing was written") from error
    try:
        with target:
            return _write_and_verify(target, plan, progress_bar)
    except OSError as error:
        raise FlashError(f"{path}: cannot be closed: {error}; flash it again") from error


def _write_and_verify(
    target: WriteTarget, plan: FlashPlan, progress_bar: ProgressBar
) -> FlashResult:
    source = plan.image
    select_offset = source.table.find_partition(select_partition.LABEL).offset_bytes
    overlays: dict[int, bytes] = {select_offset: plan.select_data}
    if target.size_bytes != source.size_bytes:
        # Not left to the first boot: firmware must find an intact table.
        overlays |= gpt.fit_to_disk(source.first_sectors, target.size_bytes)
    total = write_verify.total_bytes(source.size_bytes, target.size_bytes)
    stream = write_verify.build_pieces(
        disk_image.read_chunks(source), source.size_bytes, target.size_bytes, overlays
    )
    target_path = plan.request.target
    probe_offsets = capacity_probe.plan_offsets(source.size_bytes, target.size_bytes)
    start_s = time.monotonic()
    may_boot = True
    try:
        with progress_bar("writing") as progress:
            write_verify.wipe_table(target)
            may_boot = False
            capacity_probe.write_probe(target, probe_offsets)
            written = write_verify.write_pieces(target, stream, total, progress)
        read_start_s = time.monotonic()
        with progress_bar("reading back") as progress:
            write_verify.read_back(target, written, total, progress)
            capacity_probe.verify_probe(target, probe_offsets)
            may_boot = True
            write_verify.write_ends(target, written, total, progress)
    except KeyboardInterrupt as error:
        outcome = _mark_partial(target, may_boot=may_boot)
        raise FlashInterrupted(f"{target_path}: interrupted; {outcome}") from error
    except write_verify.VerifyFailed as error:
        outcome = _mark_partial(target, may_boot=may_boot)
        raise FlashError(
            f"{target_path}: differs from what was written {error}; it is worn out, or smaller "
            f"than it claims; {outcome}"
        ) from error
    except CorruptImage as error:
        outcome = _mark_partial(target, may_boot=may_boot)
        raise FlashError(
            f"{plan.request.image}: corrupt: {error}; {target_path}: {outcome}"
        ) from error
    except OSError as error:
        outcome = _mark_partial(target, may_boot=may_boot)
        raise FlashError(f"{target_path}: {error.strerror or error}; {outcome}") from error
    return FlashResult(
        target=str(target_path),
        box=plan.settings.box_id,
        size_bytes=total,
        write_s=read_start_s - start_s,
        read_s=time.monotonic() - read_start_s,
    )


_UNUSABLE = "it is partly written and not bootable: flash it again"
_UNSAFE = (
    "its partition table could not be removed, so it may boot and must not be used: flash it again"
)


def _mark_partial(target: WriteTarget, *, may_boot: bool) -> str:
    """Remove the partition table. Return how the target is left, as text."""
    try:
        write_verify.wipe_table(target)
    except (OSError, KeyboardInterrupt):
        return _UNSAFE if may_boot else _UNUSABLE
    return _UNUSABLE


def _open_target(plan: FlashPlan, procfs: ProcFs) -> WriteTarget:
    request = plan.request
    if isinstance(plan.expected_target, BlockDevice):
        target = WriteTarget.open_disk(request.target)
        try:
            _check_disk(target, plan.expected_target, procfs)
        except BaseException:
            target.close()
            raise
        return target
    return WriteTarget.open_file(
        request.target,
        plan.image.size_bytes,
        expected=plan.expected_target,
        even_if_not_empty=request.even_if_not_empty,
    )


def _check_disk(target: WriteTarget, expected: BlockDevice, procfs: ProcFs) -> None:
    current = _disk_from_stat(target.fstat(), procfs)
    if current is None or not current.is_same_disk(expected):
        raise UserError(f"{expected}: is no longer the disk that was checked; nothing was written")


def _check_board(settings: BoxSettings, source: DiskImage, request: FlashRequest) -> None:
    for camera in settings.config.camera:
        if camera.driver == "csi" and source.firmware.kind != "pi":
            raise UserError(
                f"{request.settings}: camera {camera.name!r}: driver 'csi' needs a Raspberry Pi, and "
                f"{request.image.name} is for {source.firmware.name}; allowed: an image for Raspberry Pi"
            )

    if settings.config.board.overlays and source.firmware.kind != "pi":
        raise UserError(
            f"{request.settings}: board.overlays: are for a Raspberry Pi, and {request.image.name} is for "
            f"{source.firmware.name}; allowed: an image for Raspberry Pi"
        )


def _identify_target(path: Path, procfs: ProcFs) -> BlockDevice | FileId | None:
    """Return the disk or file at this path, or None if a file can be created. Raises: UserError."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        if path.is_absolute() and path.parts[1] == "dev":
            raise UserError(
                f"{path}: does not exist; allowed: a file, or {describe_candidates(procfs)}"
            ) from error
        if not path.parent.is_dir():
            raise UserError(f"{path}: its folder does not exist") from error
        if path.is_symlink():
            raise UserError(f"{path}: a broken link; allowed: a file, or a disk") from error
        return None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    if stat.S_ISREG(status.st_mode):
        return FileId.from_stat(status)
    device = _disk_from_stat(status, procfs)
    if device is None:
        raise UserError(
            f"{path}: neither a disk nor a file; allowed: a file, or {describe_candidates(procfs)}"
        )
    return device


def _disk_from_stat(status: os.stat_result, procfs: ProcFs) -> BlockDevice | None:
    """Return the disk of a device file, or None if it is none. Raises: OSError."""
    if not stat.S_ISBLK(status.st_mode):
        return None
    device_number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    sysfs_path = procfs.resolve(f"sys/dev/block/{device_number}")
    return read_disk(sysfs_path.name, procfs) if sysfs_path is not None else None


def _candidates(image_bytes: int, procfs: ProcFs) -> list[BlockDevice]:
    return [device for device, blocking in list_candidates(procfs, image_bytes) if not blocking]


def _suggest_others(candidates: list[BlockDevice], refused: BlockDevice) -> str:
    suggestions = [
        str(device) for device in candidates if device.name not in (refused.name, refused.parent)
    ]
    return f"; found: {', '.join(suggestions)}" if suggestions else ""
