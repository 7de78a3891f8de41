"""The demo's log: what would else be written over the screen."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STDERR = 2


@contextmanager
def log_into(path: Path) -> Iterator[None]:
    """What the agent logs goes into a file, so that it does not write over the screen: its own
    lines, and those that native libraries write to the standard error by themselves.
    """
    log = path.open("a", encoding="utf-8", buffering=1)
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    stderr = os.dup(_STDERR)
    os.dup2(log.fileno(), _STDERR)
    try:
        yield
    finally:
        os.dup2(stderr, _STDERR)
        os.close(stderr)
        root.removeHandler(handler)
        root.setLevel(before)
        log.close()
