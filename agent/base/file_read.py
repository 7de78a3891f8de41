"""Bounded reads of files that a person names, or that another program or a damaged disk may have replaced."""

import errno
import os
import stat
from pathlib import Path

MAX_PEM_BYTES = 1_048_576
"""Of a certificate, a key or a secret. The authorities of a whole operating system take a quarter of it."""


def read_regular_file(path: Path, max_bytes: int) -> bytes:
    """Read a whole file.

    Raises: OSError, also if it is larger than `max_bytes`, or a folder, a device or a pipe: none of them
    is opened for long, and none is read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:
        raise OSError(errno.EINVAL, "a path that contains NUL", str(path)) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with os.fdopen(fd, "rb") as file:
        data = file.read(max_bytes + 1)
    if data is None:  # a file of /proc that waits for data
        raise OSError(errno.EAGAIN, "it has no content yet", str(path))
    if len(data) > max_bytes:
        raise OSError(errno.EFBIG, f"more than {max_bytes} bytes", str(path))
    return data
