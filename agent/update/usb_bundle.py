"""Copy a bundle from a USB stick, or from an upload at the page at the pole, before it is checked.

So the checked file is the installed one, even if the stick is written or pulled out meanwhile. RAUC also refuses a
file of another user whose owner it cannot change, as on FAT.
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from agent.base.atomic_file import sync
from agent.base.errors import UserError
from agent.base.message import Message
from agent.base.progress import ProgressCallback
from agent.update.download import check_free_space
from agent.update.errors import UpdateError
from agent.update.feed import MAX_BUNDLE_BYTES

MOUNT_ROOTS = ("/media", "/run/media", "/mnt")
"""Folders that USB sticks are mounted below."""
UPLOAD_ROOT = "/var/lib/vigie/uploads"
"""The folder of the agent's user that a technician's upload is stored in."""
BUNDLE_SUFFIX = ".raucb"
COPY_NAME = f"stick{BUNDLE_SUFFIX}"
_GLOB_PATTERNS = tuple(f"{'*/' * depth}*{BUNDLE_SUFFIX}" for depth in (0, 1, 2))
_CHUNK_BYTES = 1 << 20


def find_usb_bundles(root: Path) -> tuple[str, ...]:
    """Return the absolute paths of the bundles on mounted USB sticks."""
    bundles = {
        f"/{path.relative_to(root)}"
        for mount_root in MOUNT_ROOTS
        for pattern in _GLOB_PATTERNS
        for path in (root / mount_root.lstrip("/")).glob(pattern)
        if path.is_file() and not path.is_symlink()
    }
    return tuple(sorted(bundles))


def single_bundle(root: Path) -> str:
    """Return the only bundle on mounted USB sticks. Raises: UserError if there is none, or several."""
    bundles = find_usb_bundles(root)
    if not bundles:
        raise UserError(
            Message(
                "usb: no *{suffix} below {folders}",
                suffix=BUNDLE_SUFFIX,
                folders=", ".join(MOUNT_ROOTS),
            )
        )
    if len(bundles) > 1:
        listed = ", ".join(bundles[:4])
        raise UserError(
            Message("usb: more than one bundle: {listed}; allowed: the path of one", listed=listed)
        )
    return bundles[0]


def copy_to_box(root: Path, bundle: str, folder: Path, on_progress: ProgressCallback) -> Path:
    """Copy a bundle into `folder`.

    Raises: UserError if it is neither on a USB stick nor an upload, UpdateError if there is no room, OSError.
    """
    base = root.resolve()
    path = base / bundle.lstrip("/")
    fd = _open_on_usb(base, path, bundle)
    with os.fdopen(fd, "rb") as source:
        size_bytes = os.fstat(fd).st_size
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if size_bytes > MAX_BUNDLE_BYTES:
            raise UserError(
                Message(
                    "{label}: {size_bytes} bytes; allowed: {max_bytes}",
                    label=str(bundle),
                    size_bytes=size_bytes,
                    max_bytes=MAX_BUNDLE_BYTES,
                )
            )
        check_free_space(folder, size_bytes)
        target = folder / COPY_NAME
        target.unlink(missing_ok=True)
        try:
            _copy(source.fileno(), target, size_bytes, on_progress)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
    return target


def store_upload(path: Path, parts: Iterable[bytes]) -> None:
    """Write an upload to a new file, and flush it. Raises OSError, and the errors of `parts`."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.writelines(parts)
        file.flush()
        sync(fd)


def _open_on_usb(base: Path, path: Path, bundle: str) -> int:
    """Open a regular file without following links, also ones made at this moment."""
    places = (*MOUNT_ROOTS, UPLOAD_ROOT)
    allowed = Message(
        "allowed: a file *{suffix} below {folders}", suffix=BUNDLE_SUFFIX, folders=", ".join(places)
    )
    mount_roots = [base / place.lstrip("/") for place in places]
    is_suspicious = ".." in path.parts or "\0" in bundle or path.suffix != BUNDLE_SUFFIX
    if is_suspicious or not any(mount_root in path.parents for mount_root in mount_roots):
        raise UserError(Message("{label}: {problem}", label=repr(bundle), problem=allowed))
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UserError(
            Message(
                "{label}: {problem}; {allowed}",
                label=str(bundle),
                problem=error.strerror or str(error),
                allowed=allowed,
            )
        ) from error
    is_real_path = Path(f"/proc/self/fd/{fd}").readlink() == path
    if not is_real_path or not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise UserError(
            Message("{label}: not a regular file; {allowed}", label=str(bundle), allowed=allowed)
        )
    return fd


def _copy(source_fd: int, target: Path, size_bytes: int, on_progress: ProgressCallback) -> None:
    target_fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(target_fd, "wb") as file:
        copied_bytes = 0
        while chunk := os.read(source_fd, min(_CHUNK_BYTES, size_bytes - copied_bytes)):
            file.write(chunk)
            copied_bytes += len(chunk)
            on_progress(copied_bytes, size_bytes)
        if copied_bytes != size_bytes:
            raise UpdateError("the file became shorter while it was copied")
        file.flush()
        sync(file.fileno())
