"""agent.__main__: standard output that is full, closed early or not there, and an ASCII terminal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = (["faults"], ["faults", "STO-01"], ["--help"], ["--version"], ["demo", "--help"])


def run(
    arguments: list[str], stdout: int | None, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "agent", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=os.environ | variables,
        check=False,
    )


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_full_disk_behind_standard_output_is_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        result = run(arguments, full.fileno())
    assert result.stderr == b"vigie: standard output: No space left on device\n"
    assert result.returncode == 1


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_reader_that_ends_early_ends_the_command_without_a_message(arguments: list[str]) -> None:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    result = run(arguments, write_fd)
    os.close(write_fd)
    assert (result.stderr, result.returncode) == (b"", 0)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_closed_standard_streams_are_no_error(arguments: list[str]) -> None:
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&-', "sh", sys.executable, "-m", "agent", *arguments],
        stderr=subprocess.PIPE,
        check=False,
    )
    assert b"Traceback" not in closed.stderr
    assert closed.returncode == 0


def test_an_ascii_terminal_shows_other_characters_as_escapes() -> None:
    result = run(["faults", "--lang", "ar"], subprocess.PIPE, PYTHONIOENCODING="ascii")
    assert (result.stderr, result.returncode) == (b"", 0)
    assert b"\\u" in result.stdout
