"""The child processes of a process."""

from contextlib import suppress
from pathlib import Path


def child_commands(pid: int | str) -> dict[int, str]:
    """Return the command line of each child by its pid, empty for a zombie. Processes that end meanwhile are absent."""
    found: dict[int, str] = {}
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, file.read_text().split()):
                with suppress(OSError):
                    command = Path(f"/proc/{child}/cmdline").read_bytes()
                    found[child] = command.decode(errors="replace").replace("\0", " ")
    return found
