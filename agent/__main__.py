"""The command `vigie`: runs one command, and prints a user's error as one line."""

import argparse
import contextlib
import errno
import gc
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

from agent import __version__, cli
from agent.base.errors import UserError
from agent.cli.arguments import OneLineParser
from drivers.errors import DriverError


class OutputFailed(OSError):
    """Standard output takes no more: its reader has ended, or its disk is full."""


class _OutputFile(io.FileIO):
    """Standard output. Its error differs from those of a command's own files, and is raised once: the
    interpreter flushes again at its end.
    """

    _has_failed = False

    def write(self, data: Any) -> int:
        if self._has_failed:
            return len(data)
        try:
            return super().write(data)
        except OSError as error:
            self._has_failed = True
            raise OutputFailed(error.errno, error.strerror) from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Return 0 if it succeeded, 1 if it failed, 2 if an argument is wrong.

    Standard output may be closed or full, end early as with `head`, or know ASCII only.
    """
    # OpenBLAS, in numpy and in OpenCV, would start a thread for each further core when it is loaded: 50 ms of CPU. As
    # for OpenCV's own workers, each stage has a thread of its own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if argv is None:
        # In a process of its own modules stay: to look for garbage among them takes a seventh of the CPU of the imports.
        gc.disable()
    original = sys.__stdout__
    if original is not None and sys.stdout is original:
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(_OutputFile(original.fileno(), "w", closefd=False)),
            encoding=original.encoding,
            errors="backslashreplace",
            line_buffering=original.line_buffering,
        )
    try:
        try:
            exit_code = _run(sys.argv[1:] if argv is None else argv)
        finally:
            print(end="", flush=True)
    except OutputFailed as error:
        if error.errno == errno.EPIPE:
            return 0
        _print_error(f"standard output: {error.strerror}")
        return 1
    return exit_code


def _run(argv: Sequence[str]) -> int:
    try:
        args = _parse_args(list(argv))
        if not gc.isenabled():
            gc.freeze()
            gc.enable()
        return int(args.run(args))
    except UserError as error:
        _print_error(str(error))
        return 2
    except DriverError as error:
        _print_error(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


def _print_error(message: str) -> None:
    with contextlib.suppress(OSError):
        print(f"vigie: {message}", file=sys.stderr)


def _parse_args(argv: list[str]) -> argparse.Namespace:
    parser: argparse.ArgumentParser = OneLineParser(
        prog="vigie",
        description="The agent of a camera box on a street pole.",
        epilog="Start with: vigie demo" if cli.has_centre() else None,
    )
    parser.add_argument("--version", action="version", version=f"vigie {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    cli.add_parsers(commands, argv[0] if argv else None)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
