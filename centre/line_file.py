"""Text files of results: written aside, and whole once they have their name."""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

from agent.base.atomic_file import open_replacement
from agent.base.errors import UserError

STANDARD_OUTPUT = Path("-")
"""In place of a file."""


class LineFile:
    """A new text file, which gets its name when the block ends well; a context manager.

    Every method raises UserError if opening or writing fails.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        with as_user_error(self._path):
            self._file: BinaryIO = self._stack.enter_context(self._open())

    def _open(self) -> AbstractContextManager[BinaryIO]:
        path = self._path
        if path == STANDARD_OUTPUT:
            return os.fdopen(os.dup(sys.stdout.fileno()), "wb")
        # A device, such as /dev/null, is written to as it is.
        is_replaced = path.is_file() or not path.exists()
        return open_replacement(path.resolve(), 0o666) if is_replaced else path.open("wb")

    def __enter__(self) -> Self:
        """Return the file."""
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        """Finish the file, or remove it if the block has failed."""
        with as_user_error(self._path):
            self._stack.__exit__(error_type, error, traceback)
        return False

    def write(self, line: bytes) -> None:
        """Write one line, passed without its newline."""
        with as_user_error(self._path):
            self._file.write(line + b"\n")


@contextmanager
def as_user_error(path: Path) -> Iterator[None]:
    """Raise a UserError that names an output instead of an OSError."""
    try:
        yield
    except OSError as error:
        raise UserError(f"output {str(path)!r}: {error.strerror or error}") from error
