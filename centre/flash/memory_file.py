"""Files in memory that other programs read and write: settings in one hold secrets, and a disk of any size takes no space.

Vigie has no writer of FAT and of partition tables: mtools and sfdisk are in use for decades, and need no root for a file.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from agent.base.errors import UserError

_PACKAGES: Mapping[str, str] = {"mcopy": "mtools", "sfdisk": "fdisk"}
_TIMEOUT_S = 60.0


class ProgramFailed(Exception):
    """A program has ended with an error; the message is the first line that it wrote."""


def check_programs(*programs: str) -> None:
    """Raise UserError if a program is not installed."""
    for program in programs:
        if shutil.which(program, path=_search_path()) is None:
            package = _PACKAGES.get(program, program)
            raise UserError(
                f"flash: the program {program} is missing; allowed: apt-get install {package}"
            )


@contextmanager
def open_memory_file(content: bytes, size_bytes: int = 0) -> Iterator[BinaryIO]:
    """Yield a file with this content, and behind it zeros up to `size_bytes`."""
    with os.fdopen(os.memfd_create("flash", os.MFD_CLOEXEC), "w+b", buffering=0) as file:
        file.write(content)
        file.truncate(max(size_bytes, len(content)))
        yield file


def path_of(file: BinaryIO) -> str:
    """Return the path of a file in memory for `run_program`."""
    return f"/proc/self/fd/{file.fileno()}"


def run_program(file: BinaryIO, command: Sequence[str], stdin: bytes = b"") -> bytes:
    """Run a program on a file in memory, and return its output. Raises: ProgramFailed."""
    try:
        result = subprocess.run(  # noqa: S603 - fixed words
            command,
            input=stdin,
            capture_output=True,
            check=False,
            pass_fds=[file.fileno()],
            # The user's own configuration of mtools is ignored, and their language.
            env={"PATH": _search_path(), "MTOOLSRC": os.devnull, "HOME": "/"},
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProgramFailed(f"{command[0]}: {error}") from error
    if result.returncode:
        message = result.stderr.decode(errors="replace").split("\n")[0].strip()
        raise ProgramFailed(f"{command[0]}: {message}")
    return result.stdout


def _search_path() -> str:
    """Return the user's path, with the folder of sfdisk, which Debian's users have not in theirs."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
