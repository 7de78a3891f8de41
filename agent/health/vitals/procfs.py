"""Reader of /proc and /sys files below a root, cheap enough for once a second."""

import os
from collections.abc import Iterable
from pathlib import Path

DEFAULT_ROOT = Path("/")
MAX_READ_BYTES = 16_384


class ProcFs:
    """Reads files whose paths are relative to a root, such as `proc/loadavg`."""

    def __init__(self, root: Path = DEFAULT_ROOT) -> None:
        self.root = root
        self._prefix = f"{root}/".replace("//", "/")

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes, or None if it is missing or cannot be read."""
        # System calls: pathlib and a file object cost three times as much, each second for life.
        try:
            fd = os.open(self._prefix + path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            return os.read(fd, MAX_READ_BYTES)
        except OSError:
            return None
        finally:
            os.close(fd)

    def list_paths(self, folder: str, prefix: str) -> tuple[str, ...]:
        """Return the sorted paths of a folder's entries whose names begin with `prefix`."""
        try:
            names: Iterable[str] = os.listdir(self._prefix + folder)  # noqa: PTH208
        except OSError:
            return ()
        return tuple(sorted(f"{folder}/{name}" for name in names if name.startswith(prefix)))

    def exists(self, path: str) -> bool:
        """Return True if the path exists."""
        return os.path.exists(self._prefix + path)  # noqa: PTH110

    def resolve(self, path: str) -> Path | None:
        """Return the target of a link, or None if it is broken."""
        try:
            return (self.root / path).resolve(strict=True)
        except (OSError, RuntimeError):
            return None
