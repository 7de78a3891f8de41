"""A bundle on a stick is copied into the box before anything else is done with it.

What is checked is then what is installed, whoever may write to the stick and whenever it is pulled out. RAUC
itself takes no file that somebody else owns and that it cannot make root's own, as on FAT.
"""

import os
import shutil
import stat
from pathlib import Path

from agent.base.errors import UserError
from agent.update.download import RESERVE_BYTES, Progress
from agent.update.errors import UpdateError
from agent.update.feed import BUNDLE_MOST_BYTES

STICKS = ("/media", "/run/media", "/mnt")
"""Where a stick is mounted."""
SUFFIX = ".raucb"
NAME = f"stick{SUFFIX}"
_DEEP = tuple(f"{'*/' * depth}*{SUFFIX}" for depth in (0, 1, 2))
_CHUNK_BYTES = 1 << 20


def on_sticks(root: Path) -> tuple[str, ...]:
    """The bundles on what is plugged in, as the box names them: from its root on."""
    found = {
        f"/{path.relative_to(root)}"
        for place in STICKS
        for pattern in _DEEP
        for path in (root / place.lstrip("/")).glob(pattern)
        if path.is_file() and not path.is_symlink()
    }
    return tuple(sorted(found))


def single_bundle(root: Path) -> str:
    """The one bundle on what is plugged in. Raises BadInput where there is none, or more."""
    found = on_sticks(root)
    if not found:
        raise UserError(f"usb: no *{SUFFIX} below {', '.join(STICKS)}")
    if len(found) > 1:
        named = ", ".join(found[:4])
        raise UserError(f"usb: more than one bundle: {named}; name the one that is meant")
    return found[0]


def copy_to_box(root: Path, bundle: str, folder: Path, progress: Progress) -> Path:
    """Copy a bundle into a folder that is root's own. Raises BadInput where it does not lie on a stick,
    CannotUpdate where there is no room, and OSError.
    """
    base = root.resolve()
    path = base / bundle.lstrip("/")
    handle = _opened(base, path, bundle)
    with os.fdopen(handle, "rb") as source:
        size_bytes = os.fstat(handle).st_size
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _refuse_size(bundle, size_bytes, folder)
        to = folder / NAME
        to.unlink(missing_ok=True)
        try:
            _copy(source.fileno(), to, size_bytes, progress)
        except BaseException:
            to.unlink(missing_ok=True)
            raise
    return to


def _opened(base: Path, path: Path, bundle: str) -> int:
    """A file that lies where its name says: no link leads elsewhere, also none made this moment."""
    allowed = f"allowed: a file *{SUFFIX} below {', '.join(STICKS)}"
    places = [base / place.lstrip("/") for place in STICKS]
    is_odd = ".." in path.parts or "\0" in bundle or path.suffix != SUFFIX
    if is_odd or not any(place in path.parents for place in places):
        raise UserError(f"{bundle!r}: {allowed}")
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UserError(f"{bundle}: {error.strerror}; {allowed}") from error
    is_there = Path(f"/proc/self/fd/{handle}").readlink() == path
    if not is_there or not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise UserError(f"{bundle}: not a file of its own there; {allowed}")
    return handle


def _refuse_size(bundle: str, size_bytes: int, folder: Path) -> None:
    if size_bytes > BUNDLE_MOST_BYTES:
        raise UserError(f"{bundle}: {size_bytes} bytes; allowed: {BUNDLE_MOST_BYTES}")
    free = shutil.disk_usage(folder).free
    if size_bytes + RESERVE_BYTES > free:
        raise UpdateError(
            f"{folder}: {free / 1e6:.0f} MB free; "
            f"{(size_bytes + RESERVE_BYTES) / 1e6:.0f} MB are needed"
        )


def _copy(source: int, to: Path, size_bytes: int, progress: Progress) -> None:
    made = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(made, "wb") as file:
        done = 0
        while chunk := os.read(source, min(_CHUNK_BYTES, size_bytes - done)):
            file.write(chunk)
            done += len(chunk)
            progress(done, size_bytes)
        if done != size_bytes:
            raise UpdateError("it became shorter while it was copied")
        file.flush()
        os.fsync(file.fileno())
