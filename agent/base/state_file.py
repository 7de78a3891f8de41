"""A small file that is kept whole: old or new, whenever the power goes."""

import logging
from pathlib import Path

from agent.base import atomic_file

log = logging.getLogger(__name__)


def write(path: Path, data: bytes) -> None:
    """Write aside, flush, rename, flush the folder, which is made where it is not there. Raises
    OSError, and the old file stands then.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    atomic_file.replace_atomically(path, data, 0o666, apply_umask=True)
    atomic_file.fsync_dir(path.parent.parent)


def quarantine(path: Path) -> None:
    """A file that cannot be read is kept under another name, for who wants to know why. Where even
    that is refused it stays, and the next `keep` replaces it.
    """
    quarantined_path = path.with_name(f"{path.name}.unreadable")
    try:
        path.replace(quarantined_path)
    except OSError as error:
        log.error("%s: cannot be read, and not be set aside: %s", path, error)
    else:
        log.error("%s: cannot be read; set aside as %s", path, quarantined_path.name)
