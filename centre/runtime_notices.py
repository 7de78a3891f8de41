"""Notices of the detector's runtime, which it prints on standard error when it opens a model."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR_FD = 2


@contextmanager
def hidden_notices() -> Iterator[None]:
    """Leave out lines that begin with `INFO:`; print all other ones at the end. For a program without threads."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as printed:
        saved_fd = os.dup(_STDERR_FD)
        os.dup2(printed.fileno(), _STDERR_FD)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved_fd, _STDERR_FD)
            os.close(saved_fd)
            printed.seek(0)
            for line in printed:
                if not line.startswith(b"INFO:"):
                    os.write(_STDERR_FD, line)
