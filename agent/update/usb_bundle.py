"""A bundle on a stick is copied into the box before anything else is done with it.

What is checked is then what is installed, whoever may write to the stick and whenever it is pulled out. RAUC
itself takes no file that somebody else owns and that it cannot make root's own, as on FAT.
"""

import os
import stat
from pathlib import Path

from agent.base.errors import UserError
from agent.update.download import OnProgress, check_free_space
from agent.update.errors import UpdateError
from agent.update.feed import MAX_BUNDLE_BYTES

MOUNT_ROOTS = ("/media", "/run/media", "/mnt")
"""Where a stick is mounted."""
BUNDLE_SUFFIX = ".raucb"
COPY_NAME = f"stick{BUNDLE_SUFFIX}"
_GLOB_PATTERNS = tuple(f"{'*/' * depth}*{BUNDLE_SUFFIX}" for depth in (0, 1, 2))
_CHUNK_BYTES = 1 << 20


def find_usb_bundles(root: Path) -> tuple[str, ...]:
    """The bundles on what is plugged in, as the box names them: from its root on."""
    bundles = {
        f"/{path.relative_to(root)}"
        for mount_root in MOUNT_ROOTS
        for pattern in _GLOB_PATTERNS
        for path in (root / mount_root.lstrip("/")).glob(pattern)
        if path.is_file() and not path.is_symlink()
    }
    return tuple(sorted(bundles))


def single_bundle(root: Path) -> str:
    """The one bundle on what is plugged in. Raises UserError where there is none, or more."""
    bundles = find_usb_bundles(root)
    if not bundles:
        raise UserError(f"usb: no *{BUNDLE_SUFFIX} below {', '.join(MOUNT_ROOTS)}")
    if len(bundles) > 1:
        listed = ", ".join(bundles[:4])
        raise UserError(f"usb: more than one bundle: {listed}; name the one that is meant")
    return bundles[0]


def copy_to_box(root: Path, bundle: str, folder: Path, on_progress: OnProgress) -> Path:
    """Copy a bundle into a folder that is root's own. Raises UserError where it does not lie on a stick,
    UpdateError where there is no room, and OSError.
    """
    base = root.resolve()
    path = base / bundle.lstrip("/")
    fd = _open_on_usb(base, path, bundle)
    with os.fdopen(fd, "rb") as source:
        size_bytes = os.fstat(fd).st_size
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if size_bytes > MAX_BUNDLE_BYTES:
            raise UserError(f"{bundle}: {size_bytes} bytes; allowed: {MAX_BUNDLE_BYTES}")
        check_free_space(folder, size_bytes)
        target = folder / COPY_NAME
        target.unlink(missing_ok=True)
        try:
            _copy(source.fileno(), target, size_bytes, on_progress)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
    return target


def _open_on_usb(base: Path, path: Path, bundle: str) -> int:
    """A file that lies where its name says: no link leads elsewhere, also none made this moment."""
    allowed = f"allowed: a file *{BUNDLE_SUFFIX} below {', '.join(MOUNT_ROOTS)}"
    mount_roots = [base / place.lstrip("/") for place in MOUNT_ROOTS]
    is_suspicious = ".." in path.parts or "\0" in bundle or path.suffix != BUNDLE_SUFFIX
    if is_suspicious or not any(mount_root in path.parents for mount_root in mount_roots):
        raise UserError(f"{bundle!r}: {allowed}")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UserError(f"{bundle}: {error.strerror}; {allowed}") from error
    is_real_path = Path(f"/proc/self/fd/{fd}").readlink() == path
    if not is_real_path or not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise UserError(f"{bundle}: not a file of its own there; {allowed}")
    return fd


def _copy(source_fd: int, target: Path, size_bytes: int, on_progress: OnProgress) -> None:
    target_fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(target_fd, "wb") as file:
        copied_bytes = 0
        while chunk := os.read(source_fd, min(_CHUNK_BYTES, size_bytes - copied_bytes)):
            file.write(chunk)
            copied_bytes += len(chunk)
            on_progress(copied_bytes, size_bytes)
        if copied_bytes != size_bytes:
            raise UpdateError("it became shorter while it was copied")
        file.flush()
        os.fsync(file.fileno())
