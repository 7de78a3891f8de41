"""The demo's log: what would else be written over the screen."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STDERR_FD = 2


@contextmanager
def redirect_logs(path: Path) -> Iterator[None]:
    """What the agent logs goes into a file, so that it does not write over the screen: its own
    lines, and those that native libraries write to the standard error by themselves.
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
