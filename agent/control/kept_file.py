"""A small file that is kept whole: old or new, whenever the power goes."""

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


def keep(path: Path, data: bytes) -> None:
    """Write aside, flush, rename, flush the folder, which is made where it is not there. Raises
    OSError, and the old file stands then.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    making = path.with_name(f".{path.name}.making")
    with making.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    making.replace(path)
    _sync(path.parent)
    _sync(path.parent.parent)


def set_aside(path: Path) -> None:
    """A file that cannot be read is kept under another name, for who wants to know why. Where even
    that is refused it stays, and the next `keep` replaces it.
    """
    aside = path.with_name(f"{path.name}.unreadable")
    try:
        path.replace(aside)
    except OSError as error:
        log.error("%s: cannot be read, and not be set aside: %s", path, error)
    else:
        log.error("%s: cannot be read; set aside as %s", path, aside.name)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
