"""Redirection of logs and standard error into a file."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STDERR_FD = 2


@contextmanager
def redirect_logs(path: Path) -> Iterator[None]:
    """Write log records, and what native libraries print to standard error, to `path`.

    Otherwise they would be printed over the live screen.
    """
    log = path.open("a", encoding="utf-8", buffering=1)
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    previous_level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    saved_stderr_fd = os.dup(_STDERR_FD)
    os.dup2(log.fileno(), _STDERR_FD)
    try:
        yield
    finally:
        os.dup2(saved_stderr_fd, _STDERR_FD)
        os.close(saved_stderr_fd)
        root.removeHandler(handler)
        root.setLevel(previous_level)
        log.close()
